#!/bin/sh
# Each problem type of the error table is in the contract, with the status that it comes with.
. "$(dirname "$0")/lib.sh"

[ -f openapi.yaml ] || {
    echo "errors: skipped, there is no openapi.yaml yet"
    exit 77
}
types=$(sed -n 's/^ERR(\([A-Z_]*\), *\([0-9]*\), *"\([^"]*\)".*/\3/p' common/base/err_table.h)
[ -n "$types" ] || complain "common/base/err_table.h has no rows that can be read"
for type in $types; do
    grep -q -e "[^a-z-]$type\([^a-z-]\|\$\)" openapi.yaml ||
        complain "openapi.yaml does not name the problem type $type"
done
doubles=$(printf '%s\n' "$types" | sort | uniq -d)
[ -z "$doubles" ] || complain "problem types that occur twice: $doubles"

finish
