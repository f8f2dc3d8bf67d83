# shellcheck shell=sh
# What the lint scripts share; each sources this as its first act. The tree to look at is the first
# argument, or the one that the script stands in. A script calls complain for each finding and ends
# with finish, which prints how many there were and is the exit code.
set -eu
LINT_DIR=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$LINT_DIR/../..}"

# Files of the tree, one a line: sources FOLDERS… -- PATTERNS…
sources() {
    folders=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        [ -e "$1" ] && folders="$folders $1"
        shift
    done
    shift
    [ -n "$folders" ] || return 0
    names=
    for pattern in "$@"; do
        names="$names ${names:+-o} -name $pattern"
    done
    # The lists are our own words, without spaces.
    # shellcheck disable=SC2086
    (set -f; find $folders \( -name build -o -name node_modules -o -name .git -o -name '.venv*' \) \
        -prune -o -type f \( $names \) -print) | sed 's|^\./||' | LC_ALL=C sort
}

# The same, as code only: see strip.awk. Reads the list of files from standard input.
code() {
    xargs -r awk -f "$LINT_DIR/strip.awk"
}

FINDINGS=$(mktemp)
trap 'rm -f "$FINDINGS"' EXIT

complain() {
    printf '%s\n' "$*" >>"$FINDINGS"
}

finish() {
    count=$(wc -l <"$FINDINGS")
    cat "$FINDINGS"
    [ "$count" -eq 0 ] || {
        printf '%s: %d findings\n' "$(basename "$0" .sh)" "$count"
        exit 1
    }
    exit 0
}

# Give up kindly where a tool is missing: ctest reads 77 as skipped.
need() {
    command -v "$1" >/dev/null 2>&1 || {
        printf '%s: skipped, %s is not installed\n' "$(basename "$0" .sh)" "$1"
        exit 77
    }
}
