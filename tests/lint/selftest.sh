#!/bin/sh
# Proves that each lint can fail: every script is run on a small tree that is good, and then on the same
# tree with one thing wrong.
# The bad lines are quoted so that nothing in them expands.
# shellcheck disable=SC2016
set -eu
LINT_DIR=$(cd "$(dirname "$0")" && pwd)
TREE=$(mktemp -d)
trap 'rm -rf "$TREE"' EXIT
passed=0
failed=0

count() { # count WHAT GOOD: GOOD is 0 where it went as it should
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok: $1"
    fi
}

# A tree that nobody can complain of.
plant() {
    rm -rf "${TREE:?}"/*
    mkdir -p "$TREE/common/base" "$TREE/common/compat" "$TREE/server/http" "$TREE/server/api" \
        "$TREE/tests/unit/common/base" "$TREE/tests/lint"
    cp "$LINT_DIR/../../.clang-format" "$TREE/.clang-format"
    cat >"$TREE/common/base/num.c" <<'END'
#include "common/base/num.h"

#include <stdlib.h>

/* Not code: strcpy(a, b); goto end; free(it); #include <zip.h> */
typedef enum status (*num_callback)(struct num *n);

int
num_twice(int value)
{
    return value * 2; /* "quoted" */
}
END
    printf '#pragma once\nint num_twice(int value);\n' >"$TREE/common/base/num.h"
    printf 'ERR(BUSY, 503, "busy", "Too much to do")\n' >"$TREE/common/base/err_table.h"
    cat >"$TREE/openapi.yaml" <<'END'
openapi: 3.1.0
paths:
  /things/{path}:
    get:
      operationId: things_get
      parameters:
        - {name: limit, in: query, schema: {type: integer}}
        - {name: allow, in: query, schema: {type: array}}
components:
  schemas:
    ProblemType: {enum: [/problems/busy]}
END
    cat >"$TREE/server/api/routes.c" <<'END'
#include "server/api/api.h"

#define THINGS "/things"

const struct route api_routes[] = {
    {.method = METHOD_GET,
     .pattern = THINGS "/{path...}",
     .name = "things_get",
     .handler = things_get,
     .query = "limit "
              "allow+"},
};
END
    printf '#include "common/base/num.h"\n' >"$TREE/tests/unit/common/base/test_num.c"
    printf 'ckptd_unit_tests(common_base SUITES num)\n' >"$TREE/tests/unit/common/base/CMakeLists.txt"
    echo 'server/api/routes.c tests/lint' >"$TREE/tests/lint/covered.txt"
    printf '#!/bin/sh\necho "$1"\n' >"$TREE/run.sh"
}

run() {
    sh "$LINT_DIR/$1.sh" "$TREE" >"$TREE/output" 2>&1
}

good() {
    result=0
    run "$1" || result=$?
    [ "$result" -ne 77 ] || result=0 # a tool is missing: nothing to prove
    [ "$result" -eq 0 ] || cat "$TREE/output"
    count "$1 passes a good tree" "$result"
}

# bad LINT WHAT: what was just planted must be found.
bad() {
    result=0
    run "$1" || result=$?
    case $result in
    1) count "$1 finds $2" 0 ;;
    77) echo "skipped: $1 finds $2" ;;
    *) count "$1 finds $2" 1 ;;
    esac
    plant
}

# A line of code in a function of its own, in a file of common/base.
code() {
    printf '\nint num_more(void);\nint\nnum_more(void)\n{\n    %s\n}\n' "$1" >>"$TREE/common/base/num.c"
}

plant
for lint in layers banned mirror sizes errors routes marks format shell; do
    good $lint
done

echo '#include "server/http/gate.h"' >>"$TREE/common/base/num.c"
bad layers "common that includes the server"
echo '#include "common/formats/format.h"' >"$TREE/common/compat/judge.c"
bad layers "a folder that includes its sister"
echo '#include "common/formats/format.h"' >"$TREE/server/api/check.c"
bad layers "an api that parses"
echo '#include "server/api/api.h"' >"$TREE/server/http/gate.c"
bad layers "http that includes api"
echo '#include <microhttpd.h>' >"$TREE/server/api/check.c"
bad layers "microhttpd outside http"
echo '#include <sqlite3.h>' >"$TREE/server/http/gate.c"
bad layers "sqlite outside the store"
echo '#include <openssl/evp.h>' >"$TREE/common/base/num.h"
bad layers "openssl outside the hash"
echo '#include <unistd.h>' >"$TREE/common/base/num.h"
bad layers "input and output in common"
echo '#include <curl/curl.h>' >"$TREE/server/http/gate.c"
bad layers "a library that is in no row"
echo '#include "num.h"' >>"$TREE/common/base/num.c"
bad layers "an include that is not from the root"
mkdir "$TREE/common/extra"
echo '#include "common/base/num.h"' >"$TREE/common/extra/extra.c"
bad layers "a folder that is in no row"
echo '#include <yaml.h>' | tee "$TREE/common/compat/a.c" >"$TREE/common/compat/b.c"
bad layers "yaml in two files"

for line in 'strcpy(a, b);' 'return atoi("1");' 'x = strtol (a, b, 10);' 'free(a);' '(void)strdup(a);' \
    'goto end;' 'exit(1);' 'printf("x");' 'sqlite3_bind_int64(s, 1, x);' 'typedef struct a b;' \
    'run("SELECT 1 FROM t");' 'system("ls");' 'typedef enum { A } letter;'; do
    code "$line"
    bad banned "$line"
done

rm "$TREE/tests/unit/common/base/test_num.c"
bad mirror "a source without a test"
echo 'common/base/num.c tests/unit' >>"$TREE/tests/lint/covered.txt"
bad mirror "a row that is out of date"
echo 'common/base/gone.c tests/unit' >>"$TREE/tests/lint/covered.txt"
bad mirror "a row for a source that is gone"
cp "$TREE/common/base/num.c" "$TREE/common/base/other.c"
echo 'common/base/other.c tests/api/gone.sh' >>"$TREE/tests/lint/covered.txt"
bad mirror "a row whose test is gone"
: >"$TREE/tests/unit/common/base/CMakeLists.txt"
bad mirror "a test that never runs"
: >"$TREE/tests/unit/common/base/test_gone.c"
bad mirror "a test of nothing"

awk 'BEGIN { for (i = 0; i < 901; i++) print "int a" i ";" }' >"$TREE/common/base/num.h"
bad sizes "a file of 901 lines"
awk 'BEGIN { print "int\nlong_one(void)\n{"; for (i = 0; i < 91; i++) print "    a();"; print "}" }' \
    >>"$TREE/common/base/num.c"
bad sizes "a function of 91 lines"

printf 'ERR(NEW, 500, "new-type", "New")\n' >>"$TREE/common/base/err_table.h"
bad errors "a problem type that the contract lacks"
printf 'ERR(NEW, 500, "new-type", "New")\n' >>"$TREE/common/base/err_table.h"
bad routes "a problem type that the contract's list lacks"
change() { # change FILE WHAT BY
    sed -i "s|$2|$3|" "$TREE/$1"
}
change openapi.yaml things_get things_read
bad routes "an operation of another name"
change openapi.yaml 'get:' 'put:'
bad routes "an operation that no route has"
change openapi.yaml 'name: limit' 'name: count'
bad routes "a query parameter of another name"
change openapi.yaml array string
bad routes "a query parameter that may not be repeated"
change server/api/routes.c 'things_get,' 'things_list,'
bad routes "a handler of another name"
change server/api/routes.c '/{path...}' '/{name}'
bad routes "a route that the contract lacks"
printf 'x = request_query(r, "colour");\n' >"$TREE/server/api/things.c"
bad routes "a handler that asks for what the gate refuses"
printf '/* TO''DO: more */\n' >>"$TREE/common/base/num.h"
bad marks "a mark"
printf 'int   a;\n' >>"$TREE/common/base/num.h"
bad format "a line laid out otherwise"
printf 'rm -rf $1/*\n' >>"$TREE/run.sh"
bad shell "an unquoted variable"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
