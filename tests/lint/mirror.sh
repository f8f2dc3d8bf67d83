#!/bin/sh
# Each source has its unit test at the mirror path, or a row in covered.txt that names what tests it;
# and each unit test is in its folder's list, so that it runs.
. "$(dirname "$0")/lib.sh"

covered=tests/lint/covered.txt
[ -f "$covered" ] || covered=/dev/null

for source in $(sources common server -- '*.c'); do
    test=tests/unit/$(dirname "$source")/test_$(basename "$source")
    row=$(sed 's/#.*//' "$covered" | awk -v path="$source" '$1 == path { print $2; exit }')
    if [ -f "$test" ]; then
        [ -z "$row" ] || complain "$source has $test: its row in covered.txt is out of date"
    elif [ -z "$row" ]; then
        complain "$source has no $test, nor a row in tests/lint/covered.txt"
    fi
done

sed 's/#.*//' "$covered" | while read -r source test rest; do
    [ -n "$source" ] || continue
    [ -f "$source" ] || complain "covered.txt: there is no $source"
    { [ -n "$test" ] && [ -e "$test" ]; } || complain "covered.txt: $source: there is no test '$test $rest'"
done

for test in $(sources tests/unit -- 'test_*.c'); do
    source=$(dirname "${test#tests/unit/}")/$(basename "$test" | sed 's/^test_//')
    header=${source%.c}.h
    { [ -f "$source" ] || [ -f "$header" ]; } || complain "$test mirrors nothing: there is no $source"
    suite=$(basename "$test" .c | sed 's/^test_//')
    grep -qw -e "$suite" "$(dirname "$test")/CMakeLists.txt" 2>/dev/null ||
        complain "$test is in no list of $(dirname "$test")/CMakeLists.txt: it never runs"
done

finish
