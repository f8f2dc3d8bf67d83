#!/bin/sh
# A file has at most 900 lines and a function at most 90; past 600 and 70 it is said, not failed.
. "$(dirname "$0")/lib.sh"

sources common server tests deploy -- '*.c' '*.h' '*.sh' '*.py' '*.js' '*.ts' '*.css' '*.awk' '*.cmake' \
    CMakeLists.txt | xargs -r wc -l | awk '$2 == "total" { next }
    $1 > 900 { print $2 ": " $1 " lines; split it where a reader would look for the parts"; next }
    $1 > 600 { print "note: " $2 " has " $1 " lines" >"/dev/stderr" }' >>"$FINDINGS"

# A function's body begins with a brace at the line's beginning and ends with the next such one.
# shellcheck disable=SC2016
sources common server tests -- '*.c' '*.h' | xargs -r awk '
    FNR == 1 { start = 0; previous = "" }
    /^\{/ && previous ~ /\)$/ { start = FNR; name = previous }
    /^\}/ && start > 0 {
        lines = FNR - start - 1
        if (lines > 90)
            print FILENAME ":" start ": " lines " lines of " name
        else if (lines > 70)
            print "note: " FILENAME ":" start ": " lines " lines of " name >"/dev/stderr"
        start = 0
    }
    NF > 0 { previous = $0 }' >>"$FINDINGS"

finish
