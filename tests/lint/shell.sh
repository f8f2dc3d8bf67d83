#!/bin/sh
# Shell scripts are clean under shellcheck.
. "$(dirname "$0")/lib.sh"
need shellcheck

scripts=$(sources . -- '*.sh')
[ -f .ci/run ] && scripts="$scripts .ci/run"
# The list is our own file names, without spaces.
# shellcheck disable=SC2086
[ -z "$scripts" ] || shellcheck --format=gcc --external-sources --source-path=SCRIPTDIR $scripts >>"$FINDINGS" || true

finish
