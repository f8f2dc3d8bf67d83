#!/bin/sh
# kill.sh DRIVER [ROUNDS]: kill -9 an uploader at a random moment, again and again, in one directory. After
# each kill every acknowledged version has its bytes and no orphan stays.
set -eu
driver=$1
rounds=${2:-50}
seed=${CKPTD_SEED:-$$}
folder=$(mktemp -d "${TMPDIR:-/tmp}/ckptd-kill-XXXXXX")
mkdir "$folder/data"
: >"$folder/acknowledged"
pid=
trap 'test -z "$pid" || kill -9 "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT INT TERM

round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    "$driver" upload "$folder/data" "$((seed + round))" >>"$folder/acknowledged" &
    pid=$!
    # 20 to 419 milliseconds, from the seed
    pause=$(awk -v s="$((seed * 31 + round * 7919))" 'BEGIN { srand(s); printf "%.3f", 0.02 + rand() * 0.4 }')
    sleep "$pause"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    pid=
    if ! "$driver" verify "$folder/data" "$folder/acknowledged" >>"$folder/verdicts"; then
        echo "round $round of seed $seed lost something"
        echo "0 passed, 1 failed"
        exit 1
    fi
done
tail -n 1 "$folder/verdicts"
awk '{ n += $NF } END { print n " orphans swept in all" }' "$folder/verdicts"
lines=$(wc -l <"$folder/acknowledged")
if [ "$lines" -eq 0 ]; then
    echo "nothing was ever acknowledged"
    echo "0 passed, 1 failed"
    exit 1
fi
echo "$rounds passed, 0 failed"
