#include "server/store/page.h"

#include <string.h>

#include "common/base/num.h"

/* <kind><number>.<key in hex>: letters, digits and two signs that no URL needs to escape. */

size_t
page_limit(const struct page *page)
{
    if (page->limit == 0)
        return PAGE_DEFAULT;
    return page->limit > PAGE_MAX ? PAGE_MAX : page->limit;
}

enum status
page_cursor(char kind, struct slice key, int64_t number, struct arena *arena,
            struct slice *ret_cursor, struct err *err)
{
    static const char digits[] = "0123456789abcdef";
    struct slice head;
    char *text;

    TRY(arena_printf(arena, &head, err, "%c%lld.", kind, (long long)number));
    text = arena_alloc(arena, head.length + 2 * key.length + 1, 1);
    if (text == NULL)
        return arena_fail(arena, err);
    memcpy(text, head.at, head.length);
    for (size_t i = 0; i < key.length; i++) {
        text[head.length + 2 * i] = digits[(uint8_t)key.at[i] >> 4];
        text[head.length + 2 * i + 1] = digits[(uint8_t)key.at[i] & 15];
    }
    *ret_cursor = (struct slice){text, head.length + 2 * key.length};
    return OK;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum status
parse_key(struct slice hex, struct arena *arena, struct slice *ret_key, struct err *err)
{
    char *key = arena_alloc(arena, hex.length / 2 + 1, 1);

    if (key == NULL)
        return arena_fail(arena, err);
    FAIL_IF(hex.length % 2 != 0, err, BAD_REQUEST, 0, "this cursor is not one of this list's");
    for (size_t i = 0; i < hex.length / 2; i++) {
        int high = hex_value(hex.at[2 * i]), low = hex_value(hex.at[2 * i + 1]);

        FAIL_IF(high < 0 || low < 0 || (high == 0 && low == 0), err, BAD_REQUEST, 0,
                "this cursor is not one of this list's");
        key[i] = (char)(high << 4 | low);
    }
    *ret_key = (struct slice){key, hex.length / 2};
    return OK;
}

enum status
page_parse(char kind, struct slice cursor, struct arena *arena, struct slice *ret_key,
           int64_t *ret_number, struct err *err)
{
    struct slice number, rest = cursor;

    FAIL_IF(cursor.length > 4096 || cursor.length == 0 || cursor.at[0] != kind, err, BAD_REQUEST, 0,
            "this cursor is not one of this list's");
    rest = slice_from(rest, 1);
    number = slice_cut(&rest, '.');
    FAIL_IF(rest.at == NULL || !num_parse_i64(number, ret_number), err, BAD_REQUEST, 0,
            "this cursor is not one of this list's");
    return parse_key(rest, arena, ret_key, err);
}
