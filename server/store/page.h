#pragma once
/*
 * Pages of a list by keyset: the cursor holds the last row's key, so that a page costs the same
 * wherever it lies and rows that come or go in between shift nothing. A cursor is text for a URL,
 * opaque to whoever holds it.
 */
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum { PAGE_DEFAULT = 50, PAGE_MAX = 1000 };

struct page {
    struct slice cursor; /* of the page before; empty: the first page */
    size_t limit;        /* 1 … PAGE_MAX; 0: PAGE_DEFAULT */
};

/* For the stores. The rows to ask for, from page->limit. */
size_t page_limit(const struct page *page);

/* The cursor of one list (kind: a letter) for the keys, and back: ERR_BAD_REQUEST where it is none of
 * that list's. */
enum status page_cursor(char kind, struct slice key, int64_t number, struct arena *arena,
                        struct slice *ret_cursor, struct err *err) MUST_CHECK;
enum status page_parse(char kind, struct slice cursor, struct arena *arena, struct slice *ret_key,
                       int64_t *ret_number, struct err *err) MUST_CHECK;
