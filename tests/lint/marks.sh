#!/bin/sh
# No marks of unfinished work.
. "$(dirname "$0")/lib.sh"

sources . -- '*.[ch]' '*.sh' '*.py' '*.js' '*.ts' '*.css' '*.html' '*.yaml' '*.yml' '*.json' '*.md' \
    '*.sql' '*.cmake' '*.awk' '*.txt' '*.in' '*.toml' '*.ini' '*.service' run |
    { grep -v -e '^tests/lint/marks\.sh$' -e '^tests/lint/selftest\.sh$' || true; } |
    xargs -r grep -nwE 'TODO|FIXME|XXX|HACK' /dev/null >>"$FINDINGS" || true

finish
