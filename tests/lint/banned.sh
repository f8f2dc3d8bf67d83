#!/bin/sh
# Functions and constructs that this project does without.
. "$(dirname "$0")/lib.sh"

# search NAME REGEX: complain of each line of the code on standard input that matches.
search() {
    awk -v WHY="$1" -v REGEX="$2" '
    {
        text = $0
        sub(/^[^:]*:[^:]*:/, "", text)
        if ((" " text) ~ REGEX) {
            split($0, parts, ":")
            print parts[1] ":" parts[2] ": " WHY ": " text
        }
    }' >>"$FINDINGS"
}

calls() {
    printf '[^A-Za-z0-9_.>](%s)[ \t]*\\(' "$1"
}

all=$(mktemp)
trap 'rm -f "$FINDINGS" "$all"' EXIT
sources common server -- '*.c' '*.h' | code >"$all"

search 'banned function' "$(calls 'strcpy|strncpy|strcat|strncat|sprintf|vsprintf|strtok|strtok_r|atoi|atol|atoll|atof|strtol|strtoul|strtoll|strtoull|gets|alloca|localtime|gmtime|ctime|asctime|strerror|system|popen|tmpnam|mktemp|rand|srand|scanf|sscanf|fscanf|longjmp|setjmp|setlocale')" <"$all"
grep -v '^common/base/mem\.c:' "$all" |
    search 'the heap is behind mem.h' "$(calls 'malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|posix_memalign|aligned_alloc')"
grep '^common/' "$all" |
    search 'common/ neither logs nor exits' "$(calls 'printf|vprintf|fprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|abort|syslog|getenv')"
search 'no goto' '[^A-Za-z0-9_]goto[^A-Za-z0-9_]' <"$all"
# Of functions there may be.
search 'no typedef of a struct, union or enum' '[^A-Za-z0-9_]typedef[ \t]+(struct|union|enum)[^A-Za-z0-9_][^(]*[{;]' <"$all"
search 'a bind index by number: bind by name' 'sqlite3_bind_[a-z0-9_]*[ \t]*\([^,]*,[ \t]*[0-9]' <"$all"
search 'posix_fallocate writes where the file system cannot reserve' "$(calls posix_fallocate)" <"$all"

# SQL stands in server/store alone. Here the strings count, so the lines are as written.
sources common server -- '*.c' '*.h' | { grep -v '^server/store/' || true; } |
    xargs -r grep -nE '"(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|PRAGMA|BEGIN IMMEDIATE) ' /dev/null |
    sed 's/$/   <- SQL outside server\/store/' >>"$FINDINGS" || true

finish
