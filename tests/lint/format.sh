#!/bin/sh
# C is laid out as .clang-format says; by version 14, since each version differs a little.
. "$(dirname "$0")/lib.sh"
need clang-format-14

sources common server tests -- '*.c' '*.h' |
    xargs -r clang-format-14 --dry-run -Werror 2>&1 | grep -E ': (error|warning):' >>"$FINDINGS" || true

finish
