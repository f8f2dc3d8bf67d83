#!/bin/sh
# search.sh PROGRAM NAME DIRECTORY: let libFuzzer search for CKPTD_FUZZ_SECONDS (10), from the corpus of
# the sources and what earlier searches in DIRECTORY found; CKPTD_SEED makes it another search.
set -eu
program=$1 name=$2
here=$(cd "$(dirname "$0")" && pwd)
found=$3/found/$name
crashes=$3/crashes
mkdir -p "$found" "$crashes"
dict=
[ ! -f "$here/dict/$name.dict" ] || dict=-dict=$here/dict/$name.dict
# A dictionary's path has no spaces where the tree's has none; without one the word must vanish.
# shellcheck disable=SC2086
if "$program" -max_total_time="${CKPTD_FUZZ_SECONDS:-10}" -max_len=65536 -timeout=10 \
    -rss_limit_mb=1024 -seed="${CKPTD_SEED:-1}" -print_final_stats=1 \
    -artifact_prefix="$crashes/$name-" $dict "$found" "$here/corpus/$name" >"$crashes/$name.log" 2>&1; then
    grep -e 'stat::number_of_executed_units' -e 'stat::new_units_added' "$crashes/$name.log"
else
    tail -n 60 "$crashes/$name.log"
    echo "$name: the input is in $crashes; put it into tests/fuzz/corpus/$name once it is mended"
    exit 1
fi
