#!/bin/sh
# ckptd in one command, on Debian 12: install what it needs, build it, start it, upload a real
# checkpoint, ask whether it loads, and serve until Ctrl-C.
#
#   sh deploy/quickstart.sh            and then leave it running
#   sh deploy/quickstart.sh --demo     end after the report
#
# A second start reuses the build and the data. CKPTD_LISTEN (127.0.0.1:8420) and CKPTD_DATA
# (./ckptd-data) move it elsewhere.
set -eu

packages='build-essential cmake ninja-build pkg-config curl ca-certificates
          libmicrohttpd-dev libsqlite3-dev libjansson-dev libzip-dev zlib1g-dev libssl-dev libyaml-dev
          libinih-dev libseccomp-dev'
needed_mib=400
listen=${CKPTD_LISTEN:-127.0.0.1:8420}
data=${CKPTD_DATA:-./ckptd-data}
demo_only=no
daemon=

say() { printf '\n== %s\n' "$*"; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

for word in "$@"; do
    case $word in
    --demo) demo_only=yes ;;
    -h | --help)
        sed -n '2,10s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) die "unknown option $word (there is only --demo)" ;;
    esac
done

cd "$(dirname "$0")/.."
[ -f CMakePresets.json ] || die "this is not a checkout of ckptd: $(pwd)"

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "packages are missing and this user is neither root nor has sudo; as root, run:
    apt-get install --no-install-recommends$missing"
    fi
}

install_packages() {
    command -v dpkg-query >/dev/null 2>&1 || die "this needs Debian's packages (no dpkg here)"
    missing=
    for package in $packages; do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
        case $status in
        *'ok installed') ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    as_root apt-get update -q >/dev/null || die "apt-get update failed: is there a network?"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        $missing >/dev/null || die "apt-get could not install:$missing"
}

check_space() {
    free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -ge $((needed_mib * 1024)) ] ||
        die "only $((free_kib / 1024)) MiB are free in $(pwd); building and trying it takes $needed_mib MiB"
}

build() {
    say "building (build/release)"
    [ -f build/release/build.ninja ] || cmake --preset release -DCKPTD_TESTS=OFF -DCKPTD_WERROR=OFF >build.log 2>&1 || {
        cat build.log >&2
        die "the build could not be configured"
    }
    cmake --build --preset release --target ckptd >build.log 2>&1 || {
        tail -n 40 build.log >&2
        die "the build failed"
    }
    rm -f build.log
}

stop() {
    trap - INT TERM EXIT
    if [ -n "$daemon" ] && kill "$daemon" 2>/dev/null; then
        wait "$daemon" || true
    fi
}

start() {
    say "starting ckptd serve --data $data --listen $listen"
    mkdir -p "$data" || die "$data cannot be made"
    build/release/ckptd serve --data "$data" --listen "$listen" 2>"$data/quickstart.log" &
    daemon=$!
    trap stop INT TERM EXIT
    tries=0
    until curl -fsS -o /dev/null "http://$listen/readyz" 2>/dev/null; do
        tries=$((tries + 1))
        if ! kill -0 "$daemon" 2>/dev/null; then
            cat "$data/quickstart.log" >&2
            die "it did not start. If $listen is taken, choose another: CKPTD_LISTEN=127.0.0.1:8421 sh deploy/quickstart.sh"
        fi
        [ "$tries" -lt 100 ] || die "it does not answer at http://$listen (its log: $data/quickstart.log)"
        sleep 0.1
    done
}

api() { curl --fail-with-body -sS --retry 5 --retry-connrefused "$@"; }

show() {
    version="http://$listen/v1/models/demo/shapenet/versions/epoch-6"
    say "uploading deploy/demo/checkpoint.pth, which a training script saved under DataParallel"
    echo "curl -T deploy/demo/checkpoint.pth '$version?filename=checkpoint.pth'"
    api -T deploy/demo/checkpoint.pth "$version?filename=checkpoint.pth" -o /dev/null
    say "would it load into the network of deploy/demo/shapes.py?"
    echo "curl --data-binary @deploy/demo/manifest.json '$version/compatibility?format=text'"
    echo
    api --data-binary @deploy/demo/manifest.json "$version/compatibility?format=text"
}

install_packages
check_space
build
start
show
if [ "$demo_only" = yes ]; then
    stop
    exit 0
fi
say "ckptd serves at http://$listen/ (data in $data); Ctrl-C ends it"
wait "$daemon" || true
