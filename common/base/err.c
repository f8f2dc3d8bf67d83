#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/attr.h"

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
