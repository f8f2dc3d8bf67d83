#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/utf8.h"

static const struct {
    int http;
    const char *name;
    const char *type;
    const char *title;
} table[] = {
    [OK] = {200, "OK", "", ""},
#define ERR(code, http, type, text) [ERR_##code] = {http, #code, type, text},
#include "common/base/err_table.h"
#undef ERR
};

/* Messages quote names from hostile files; whoever prints them need not think of that. */
static void
clean(char *text)
{
    struct slice rest = slice_of(text);

    while (rest.length > 0) {
        uint32_t code = 0;
        size_t length = utf8_next(rest, &code), bad = 0;

        if (length == 0)
            bad = length = 1;
        else if (utf8_is_unseemly(code))
            bad = length;
        memset(text, '?', bad);
        text += length;
        rest = slice_from(rest, length);
    }
}

void
err_set(struct err *err, enum status code, uint64_t offset, const char *format, ...)
{
    va_list arguments;

    if (err == NULL || err->code != OK)
        return;
    err->code = code;
    err->offset = offset;
    va_start(arguments, format);
    (void)vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    clean(err->text);
}

void
err_copy(struct err *err, const struct err *other)
{
    if (err != NULL && err->code == OK)
        *err = *other;
}

int
err_http_status(enum status code)
{
    return table[code].http;
}

const char *
err_problem_type(enum status code)
{
    return table[code].type;
}

const char *
err_title(enum status code)
{
    return table[code].title;
}

const char *
err_name(enum status code)
{
    return table[code].name;
}

size_t
err_count(void)
{
    return ARRAY_LENGTH(table);
}
