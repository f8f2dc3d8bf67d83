#!/bin/sh
# Runs the tests.
#
#   sh tests/run.sh          the core suites, in a few minutes; installs what they need (Debian), if missing
#   sh tests/run.sh --all    and sanitizers, static analysis, real PyTorch, faults, services, browser
#   sh tests/run.sh --deep   all, with the full counts
#   sh tests/run.sh --only NAME…   these suites, whatever their level
#   sh tests/run.sh --list   what there is
#
# Each suite is a row of the table below. To add one, add a row:
#
#   name     what it is called; its log is build/run/<name>.log
#   lane     0 runs before all others, and they do not run if it fails; 1 and 2 run side by side, each
#            from top to bottom: put what needs a build below that build, in its lane
#   level    core, all or deep
#   seconds  it may take; then it is killed and has failed
#   command  shell, run from the root of the tree; it may use the helpers that follow the table
#
# A command says how much it did: by ctest's totals, by check's, or by lines "N passed, N failed". One
# that did nothing has failed. Random cases take their seed from $CKPTD_SEED, which is the commit's, and
# their number from $CKPTD_LEVEL (core, all, deep). What needs Python packages has them in $CKPTD_PYTHON
# after the suite venv.
set -eu
cd "$(dirname "$0")/.."

suites() {
    cat <<'END'
build        0  core   600  build dev
unit         1  core   300  tests dev unit
corpus       1  core   120  tests dev fuzz
http         1  core   240  tests dev api
asan-build   1  all    600  build asan
asan         1  all    600  tests asan 'unit|fuzz|api'
asan-cli     1  all    120  sh tests/api/cli.sh build/asan/ckptd
asan-api     1  all    900  system_python tests/api/run.py --daemon build/asan/ckptd
tsan-build   1  all    600  build tsan
tsan         1  all    600  tests tsan 'unit|api' common
tsan-api     1  all    900  system_python tests/api/run.py --daemon build/tsan/ckptd
tidy         1  all   1800  tidy_sources
fuzz-build   1  all    600  build fuzz
fuzz         1  all    900  search_inputs
quickstart   1  all    300  quickstart_demo
lint         2  core   240  tests dev lint
cli          2  core   120  sh tests/api/cli.sh build/dev/ckptd
api          2  core   400  system_python tests/api/run.py --daemon build/dev/ckptd
kill         2  all    300  sh tests/fault/kill.sh build/dev/tests/fault/kill_driver 50
sync         2  all    300  sh tests/fault/sync.sh build/dev/tests/fault/kill_driver "$PWD/build/dev/tests/fault/libsync_fails.so" 40
valgrind     2  all   1500  valgrind_units
cppcheck     2  all    300  cppcheck_sources
venv         2  all    900  python_venv
weights-only 2  all    300  weights_only_answers
tables       2  all     60  "$CKPTD_PYTHON" tests/interop/check_tables.py
inspect      2  all    400  files_of_pytorch
scripts      2  all    300  files_of script 60
gguf         2  all    120  files_of gguf 60
numpy        2  all    120  files_of numpy 60
onnx         2  all    120  files_of onnx 60
hdf5         2  all    200  files_of keras_hdf5 40
pickles      2  all    120  files_of pickle 60
sets         2  all    300  files_of sets 30
scanners     2  all    300  "$CKPTD_PYTHON" tests/interop/check_scanners.py --ckptd build/dev/ckptd
packages     2  all    300  weights_of_packages
pairs        2  all    900  pairs_with_pytorch
remaps       2  all    120  remaps_in_pytorch
client       2  all    120  "$CKPTD_PYTHON" tests/interop/check_client.py
contract     2  all    300  lint_contract
conform      2  all    500  generated_requests
END
}

# ---- helpers for the commands ----

# build PRESET
build() {
    cmake --preset "$1" && cmake --build --preset "$1" -j "$JOBS" && echo "1 passed, 0 failed"
}

# What torch.load(weights_only=True) answers to a thousand files, and what ckptd says that it would.
weights_only_answers() {
    cmake --build --preset dev -j "$JOBS" --target ckptd >&2 &&
        "$CKPTD_PYTHON" tests/interop/check_weights_only.py build/dev/ckptd --seed "$CKPTD_SEED" &&
        "$CKPTD_PYTHON" tests/interop/check_tables.py .
}

# Random models and checkpoints, loaded by PyTorch and judged by ckptd.
pairs_with_pytorch() {
    cmake --build --preset dev -j "$JOBS" --target judge_cases ckptd >&2
    case $CKPTD_LEVEL in
    deep) "$CKPTD_PYTHON" tests/interop/pairs.py --build build/dev --deep ;;
    *) "$CKPTD_PYTHON" tests/interop/pairs.py --build build/dev ;;
    esac
}

# Debian's own Python, whose packages apt-get installed, whichever comes first in the path.
system_python() {
    if [ -x /usr/bin/python3 ]; then
        /usr/bin/python3 "$@"
    else
        python3 "$@"
    fi
}

# Random files that torch.save wrote, read by ckptd and by torch.load.
files_of_pytorch() {
    case $CKPTD_LEVEL in
    deep) files=2000 ;;
    *) files=150 ;;
    esac
    "$CKPTD_PYTHON" tests/interop/check_inspect.py --ckptd build/dev/ckptd --files "$files" \
        --seed "$CKPTD_SEED"
}

# files_of NAME COUNT: random files that a format's own library wrote, as it reads them and as ckptd does.
files_of() {
    case $CKPTD_LEVEL in
    deep) files=$(($2 * 20)) ;;
    *) files=$2 ;;
    esac
    "$CKPTD_PYTHON" "tests/interop/check_$1.py" --ckptd build/dev/ckptd --files "$files" --seed "$CKPTD_SEED"
}

# Trained weights that packages ship; at the deep level the large ones, too.
weights_of_packages() {
    case $CKPTD_LEVEL in
    deep) "$CKPTD_PYTHON" tests/interop/check_packages.py --ckptd build/dev/ckptd --deep ;;
    *) "$CKPTD_PYTHON" tests/interop/check_packages.py --ckptd build/dev/ckptd ;;
    esac
}

# Models wrapped and renamed as people do: PyTorch must take what the remaps make of them.
remaps_in_pytorch() {
    cmake --build --preset dev -j "$JOBS" --target ckptd >&2 &&
        "$CKPTD_PYTHON" tests/interop/check_remaps.py --ckptd build/dev/ckptd
}

# The README's first command, as far as it goes without a person.
quickstart_demo() {
    port=$(system_python -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    CKPTD_LISTEN=127.0.0.1:$port CKPTD_DATA=build/run/quickstart sh deploy/quickstart.sh --demo &&
        echo "1 passed, 0 failed"
}

# tests PRESET LABELS [BUT]: what ctest has under those labels, but for the names that match BUT; both are
# regular expressions. (Of common/ nothing knows threads.)
tests() {
    ctest --preset "$1" -L "^($2)\$" -E "${3:-^$}" --no-tests=error --output-on-failure
}

# Each unit test program under memcheck: no leak, no use of what was not written.
valgrind_units() {
    find build/dev/tests/unit -name 'unit_*' -type f -perm -u+x | sort | {
        passed=0 failed=0
        while read -r program; do
            if CK_FORK=no CKPTD_VALGRIND=1 valgrind --quiet --error-exitcode=99 --leak-check=full \
                --errors-for-leak-kinds=definite,indirect "$program" </dev/null; then
                passed=$((passed + 1))
            else
                failed=$((failed + 1))
                echo "not ok: $program"
            fi
        done
        echo "$passed passed, $failed failed"
        [ "$failed" -eq 0 ]
    }
}

cppcheck_sources() {
    files=$(find common server -name '*.c' | wc -l)
    cppcheck --quiet --enable=warning,style,performance,portability --std=c11 --inline-suppr \
        --suppressions-list=tests/lint/cppcheck.txt --error-exitcode=1 -j 1 -I . -D_GNU_SOURCE \
        -D__linux__ common server && echo "$files passed, 0 failed"
}

# One file a process: version 14's check of va_lists is led astray by several in one. How each finding
# comes about is long, and stands in build/run/tidy.notes.
tidy_sources() {
    status=0
    find common server -name '*.c' | sort >build/run/tidy.files
    xargs -P "$JOBS" -n 1 clang-tidy-14 -p build/asan --quiet <build/run/tidy.files \
        >build/run/tidy.notes 2>build/run/tidy.errors || status=$?
    grep ': error: ' build/run/tidy.notes | sort -u
    [ "$status" -eq 0 ] || return "$status"
    echo "$(wc -l <build/run/tidy.files) passed, 0 failed"
}

search_inputs() {
    case $CKPTD_LEVEL in
    deep) CKPTD_FUZZ_SECONDS=600 ;;
    *) CKPTD_FUZZ_SECONDS=8 ;;
    esac
    export CKPTD_FUZZ_SECONDS
    ctest --preset fuzz -L '^fuzz$' --no-tests=error --output-on-failure
}

# An environment of Python's own with real PyTorch; kept under build/.
python_venv() {
    wanted='torch==2.13.0 numpy safetensors pyyaml jsonschema schemathesis==4.32.5 onnx gguf h5py keras
        transformers peft picklescan fickling modelscan'
    if [ "$(cat build/venv/wanted 2>/dev/null)" != "$wanted" ]; then
        rm -rf build/venv
        python3 -m venv build/venv || return 1
        # The words are the packages.
        # shellcheck disable=SC2086
        build/venv/bin/pip install --quiet --disable-pip-version-check $wanted || return 1
        echo "$wanted" >build/venv/wanted
    fi
    build/venv/bin/python -c 'import torch; print("torch", torch.__version__)' && echo "1 passed, 0 failed"
}

# openapi.yaml by Redocly's rules; version 1 runs on Debian's Node.
lint_contract() {
    redocly=build/redocly/node_modules/.bin/redocly
    [ -x "$redocly" ] || npm install --prefix build/redocly --no-save --ignore-scripts --no-audit \
        --no-fund @redocly/cli@1.34.5 || return 1
    REDOCLY_TELEMETRY=off "$redocly" lint --config tests/lint/redocly.yaml openapi.yaml &&
        echo "1 passed, 0 failed"
}

# Requests that Schemathesis makes of openapi.yaml, to the daemon under sanitizers.
generated_requests() {
    case $CKPTD_LEVEL in
    deep) seconds=420 ;;
    *) seconds=120 ;;
    esac
    "$CKPTD_PYTHON" tests/api/conform.py --daemon build/asan/ckptd --seconds $seconds
}

# ---- what must be installed ----

packages() {
    echo build-essential cmake ninja-build pkg-config git curl python3 python3-yaml python3-jsonschema check libmicrohttpd-dev \
        libsqlite3-dev libjansson-dev libssl-dev libzip-dev zlib1g-dev libyaml-dev libinih-dev libseccomp-dev
    [ "$CKPTD_LEVEL" = core ] ||
        echo clang-14 libclang-rt-14-dev llvm-14 clang-tidy-14 clang-format-14 cppcheck valgrind \
            shellcheck python3-venv "$(command -v npm >/dev/null || echo nodejs npm)"
}

install_packages() {
    if ! command -v dpkg-query >/dev/null; then
        echo "no Debian here: it is up to you that these are installed: $(packages | tr '\n' ' ')"
        return 0
    fi
    missing=
    for package in $(packages); do
        case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing:$missing; install them as root: apt-get install$missing"
            return 1
        }
        as_root=sudo
    fi
    echo "installing:$missing"
    # The words are the packages.
    # shellcheck disable=SC2086
    {
        $as_root apt-get update -q &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
    } >build/run/install.log 2>&1 </dev/null || {
        tail -n 30 build/run/install.log
        echo "the packages could not be installed; all of it is in build/run/install.log"
        return 1
    }
}

# ---- running ----

JOBS=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
CKPTD_LEVEL=${CKPTD_LEVEL:-core}
only=
# The seed of this commit: another commit tries other cases, the same commit the same ones.
CKPTD_SEED=${CKPTD_SEED:-$(printf '%d' "0x$(git rev-parse --short=7 HEAD 2>/dev/null || echo 1)")}
CKPTD_PYTHON=$PWD/build/venv/bin/python
CMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER:-$(command -v ccache || true)}
[ -n "$CMAKE_C_COMPILER_LAUNCHER" ] || unset CMAKE_C_COMPILER_LAUNCHER
export JOBS CKPTD_LEVEL CKPTD_SEED CKPTD_PYTHON
[ -z "${CMAKE_C_COMPILER_LAUNCHER:-}" ] || export CMAKE_C_COMPILER_LAUNCHER

case ${1:-} in
'') ;;
--all) CKPTD_LEVEL=all ;;
--deep) CKPTD_LEVEL=deep ;;
--list)
    suites
    exit 0
    ;;
--only)
    shift
    only=" $* "
    CKPTD_LEVEL=all
    ;;
--command) # a row's command, in a process of its own
    eval "$2"
    exit
    ;;
*)
    sed -n '2,/^set -eu/p' "$0" | sed -n 's/^# \{0,1\}//p'
    exit 2
    ;;
esac

run=build/run
rm -rf "$run"
mkdir -p "$run"

# Sums of what a log tells: "passed failed". ctest counts what was skipped as passed; we do not.
count() {
    awk '
    / tests passed, [0-9]+ tests failed out of [0-9]+/ {
        for (i = 1; i <= NF; i++)
            if ($i == "of") { total = $(i + 1); bad = $(i - 4) }
        passed += total - bad; failed += bad
    }
    /\*\*\*Skipped/ { passed-- }
    /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
    END { print passed + 0, failed + 0 }' "$1"
}

# suite NAME SECONDS COMMAND
suite() {
    log=$run/$1.log
    status=0
    start=$(date +%s)
    timeout -k 10 "$2" sh tests/run.sh --command "$3" >"$log" 2>&1 </dev/null || status=$?
    took=$(($(date +%s) - start))
    # shellcheck disable=SC2046
    set -- "$1" "$2" $(count "$log")
    passed=$3 failed=$4 why=
    case $status in
    0) ;;
    124 | 137) why="killed after $2 seconds" ;;
    *) why="exit code $status" ;;
    esac
    [ "$((passed + failed))" -gt 0 ] || why=${why:-it ran nothing}
    [ -z "$why" ] || [ "$failed" -gt 0 ] || failed=1
    echo "$passed $failed" >"$run/$1.count"
    if [ "$failed" -eq 0 ]; then
        printf 'ok      %-12s %5d passed              %4d/%d s\n' "$1" "$passed" "$took" "$2"
    else
        {
            tail -n 300 "$log"
            printf 'FAILED  %-12s %5d passed, %d failed    %4d/%d s  %s  (%s)\n' "$1" "$passed" "$failed" \
                "$took" "$2" "$why" "$log"
        } >"$run/$1.told"
        cat "$run/$1.told"
        return 1
    fi
}

is_wanted() { # NAME LEVEL
    if [ -n "$only" ]; then
        case $only in *" $1 "*) return 0 ;; esac
        return 1
    fi
    case $CKPTD_LEVEL/$2 in
    */core | all/all | deep/*) return 0 ;;
    esac
    return 1
}

lane() {
    result=0
    suites >"$run/lane$1"
    while read -r name number level seconds command; do
        if [ "$number" = "$1" ] && is_wanted "$name" "$level"; then
            suite "$name" "$seconds" "$command" || result=1
        fi
    done <"$run/lane$1"
    return $result
}

total() {
    passed=0 failed=0
    for file in "$run"/*.count; do
        [ -f "$file" ] || continue
        read -r p f <"$file"
        passed=$((passed + p)) failed=$((failed + f))
    done
    [ "$((passed + failed))" -gt 0 ] || failed=1
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

echo "level $CKPTD_LEVEL, seed $CKPTD_SEED, $JOBS processors"
if install_packages && lane 0; then
    lane 1 &
    first=$!
    lane 2 &
    second=$!
    trap 'kill $first $second 2>/dev/null; exit 130' INT TERM
    wait $first || true
    wait $second || true
else
    echo "0 1" >"$run/start.count"
fi
total
