#!/bin/sh
# sync.sh DRIVER SHIM [SYNCS]: let the first, second, third … sync of the disk fail, once. From then on nothing
# may be acknowledged (the uploader ends by itself), and what was acknowledged before is all there.
set -eu
driver=$1
shim=$2
syncs=${3:-40}
folder=$(mktemp -d "${TMPDIR:-/tmp}/ckptd-sync-XXXXXX")
trap 'rm -rf "$folder"' EXIT INT TERM

n=0
acknowledged=0
while [ "$n" -lt "$syncs" ]; do
    n=$((n + 1))
    rm -rf "$folder/data"
    mkdir "$folder/data"
    : >"$folder/acknowledged"
    # The database is made before: until it is there nothing can be acknowledged.
    "$driver" verify "$folder/data" "$folder/acknowledged" >"$folder/verdict"
    status=0
    CKPTD_FAIL_SYNC=$n LD_PRELOAD=$shim timeout 30 "$driver" upload "$folder/data" "$n" \
        >"$folder/acknowledged" 2>"$folder/complaints" || status=$?
    if [ "$status" -eq 124 ]; then
        echo "sync $n failed, and uploads went on"
        echo "$((n - 1)) passed, 1 failed"
        exit 1
    fi
    if ! grep -q '^kill_driver: ' "$folder/complaints"; then
        echo "sync $n failed, and nobody said so"
        echo "$((n - 1)) passed, 1 failed"
        exit 1
    fi
    "$driver" verify "$folder/data" "$folder/acknowledged" >"$folder/verdict"
    acknowledged=$((acknowledged + $(wc -l <"$folder/acknowledged")))
done
echo "$acknowledged uploads were acknowledged before the failures"
echo "$n passed, 0 failed"
