#include <stdarg.h>
#include <stdio.h>

#include "server/cli/cli.h"

void
cli_complain(const char *format, ...)
{
    va_list arguments;

    (void)fputs("ckptd: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}
