#!/bin/sh
# The table of routes, the handlers and openapi.yaml agree: methods, paths, names, query parameters,
# bodies; and the contract lists each problem type of the error table and no other. See routes.py.
. "$(dirname "$0")/lib.sh"

[ -f server/api/routes.c ] || {
    echo "routes: skipped, there is no server/api/routes.c yet"
    exit 77
}
need python3
python3 -c 'import yaml' 2>/dev/null || {
    echo "routes: skipped, python3-yaml is not installed"
    exit 77
}
python3 "$LINT_DIR/routes.py" . >>"$FINDINGS"

finish
