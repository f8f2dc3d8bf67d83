#pragma once
/*
 * For the readers' unit tests: the cases of one format, tests/cases/<format>/<case>/, each a file
 * input.<anything>, or a folder input/ whose files are the set, and expect.json.
 *
 * expect.json is a part of what `ckptd inspect --json` prints (tests/support/json_subset.h), to which
 * state_dicts is added: of each container, by its path, its kind, tensors, entries, versions, order,
 * and places. {"error": "malformed-input"} where reading must fail with that type. What was read must
 * also come through the inspector's record unchanged.
 */
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/structure/inspection.h"

enum { FORMAT_CASES_FILE_MAX = 1 << 20 };

/* Check every case of the format: each that differs is told on stderr, and then the test fails. It
 * fails, too, where there are fewer than least. */
void format_cases_check(const char *format, size_t least);

/* Cut the case's input (a single file) at every byte: each time an error with a text, or safety
 * malformed. Where may_be_whole is given it says which lengths are whole files of their own. */
void format_cases_cut(const char *format, const char *name, bool (*may_be_whole)(size_t length));

/* Make each byte of the case's input wrong in turn: an error with a text, or an inspection that can be
 * shown and recorded. */
void format_cases_spoil(const char *format, const char *name);

/* The case's input, a single file. */
struct buf format_cases_input(const char *format, const char *name);

/* Read bytes in a block of exactly that size, so that a sanitizer sees a read past it. */
enum status format_cases_read(const char *bytes, size_t length, struct inspection *ret,
                              struct err *err);

/* The whole of what a case's expect.json is compared with. */
void format_cases_show(struct buf *out, const struct inspection *in);
