#!/bin/sh
# Includes go one way, and each foreign library has its one place (design.md §2).
. "$(dirname "$0")/lib.sh"

# <folder>: <folders of ours that it may include, besides itself>. "common" is all of common/.
ours() {
    cat <<'END'
common/base:
common/structure:  common/base
common/formats:    common/base common/structure
common/compat:     common/base common/structure
common/render:     common/base common/structure common/formats common/compat
common/export:     common/base common/structure common/formats common/compat
server/work:       common/base
server/http:       common/base server/work
server/store:      common server/work
server/blobs:      common/base server/work
server/inspector:  common server/work
server/jobs:       common server/work server/http server/store server/blobs server/inspector
server/api:        common/base common/structure common/compat common/render common/export server/work server/http server/store server/blobs server/dashboard
server/dashboard:  common/base
server/cli:        common server/work server/inspector
server:            common server
END
}

# <header>: <where it may stand>, as prefixes of paths. What is in no row here and not among the
# system's headers below may stand nowhere.
foreign() {
    cat <<'END'
microhttpd.h:   server/http/
sqlite3.h:      server/store/
libpq-fe.h:     server/store/
jansson.h:      server/http/ server/api/
zip.h:          common/formats/zip.c
zlib.h:         common/formats/gzip.c
yaml.h:         common/compat/
seccomp.h:      server/inspector/
openssl/:       common/base/hash.c server/store/ server/blobs/
ini.h:          server/
linux/:         server/
sys/:           common/formats/source.c server/
check.h:        tests/
END
}

# Of ISO C and POSIX, for everybody …
iso='assert ctype errno float inttypes limits math setjmp signal stdalign stdarg stdatomic stdbool
stddef stdint stdio stdlib string time malloc'
# … and for the server, the tests and those few of common that open files.
posix='arpa/inet dirent dlfcn fcntl ftw getopt glob grp netdb netinet/in netinet/tcp poll pthread pwd sched
semaphore spawn strings syslog termios threads unistd locale regex fnmatch'
opens_files='common/formats/source.c'

sources common server tests -- '*.c' '*.h' | xargs -r grep -n '^[[:space:]]*#[[:space:]]*include' /dev/null |
    awk -v OURS="$(ours)" -v FOREIGN="$(foreign)" -v ISO="$iso" -v POSIX="$posix" \
        -v OPENS="$opens_files" '
function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
function starts(text, prefix) { return substr(text, 1, length(prefix)) == prefix }
function say(why) { print file ":" line ": " why }
BEGIN {
    n = split(OURS, rows, "\n")
    for (i = 1; i <= n; i++) {
        m = split(rows[i], words, /[: ]+/)
        known[words[1]] = 1
        may[words[1], words[1]] = 1
        for (k = 2; k <= m; k++)
            may[words[1], words[k]] = 1
    }
    headers = split(FOREIGN, rows, "\n")
    for (i = 1; i <= headers; i++) {
        split(rows[i], words, /:/)
        header[i] = words[1]
        places[i] = words[2]
    }
    n = split(ISO, words, /[ \n]+/)
    for (i = 1; i <= n; i++) is_iso[words[i] ".h"] = 1
    n = split(POSIX, words, /[ \n]+/)
    for (i = 1; i <= n; i++) is_posix[words[i] ".h"] = 1
    n = split(OPENS, words, /[ \n]+/)
    for (i = 1; i <= n; i++) opens[words[i]] = 1
}
{
    split($0, parts, ":")
    file = parts[1]; line = parts[2]
    name = $0
    is_own = name ~ /include[ \t]*"/
    sub(/^[^"<]*["<]/, "", name)
    sub(/[">].*$/, "", name)
    from = folder(file)
    in_tests = starts(file, "tests/")
    if (is_own) {
        to = folder(name)
        if (name !~ /^(common|server|tests)\//) {
            if (!starts(name, "generated/"))
                say("\"" name "\" is not written from the root")
        } else if (starts(name, "tests/") && !in_tests)
            say("sources do not include tests: \"" name "\"")
        else if (!in_tests) {
            if (!(from in known))
                say("the folder " from " is not in the table of layers.sh")
            else if (to == "server" && from != "server")
                say(from " may not include \"" name "\"")
            else if (!((from, to) in may) && !((from, "common") in may && starts(to, "common/")) &&
                     !((from, "server") in may && starts(to, "server/")))
                say(from " may not include \"" name "\"")
        }
        next
    }
    if (name in is_iso)
        next
    if (name in is_posix) {
        if (starts(file, "common/") && !(file in opens))
            say("common/ does no input or output: <" name ">")
        next
    }
    found = 0
    for (i = 1; i <= headers; i++) {
        if (name != header[i] && !(header[i] ~ /\/$/ && starts(name, header[i])))
            continue
        found = 1
        is_right = in_tests
        n = split(places[i], words, " ")
        for (k = 1; k <= n; k++)
            is_right = is_right || starts(file, words[k])
        if (!is_right)
            say("<" name "> may stand in" places[i] " only")
    }
    if (!found && !in_tests)
        say("<" name "> is in no row of layers.sh")
}' >>"$FINDINGS"

yaml=$(sources common -- '*.c' '*.h' | xargs -r grep -l '<yaml.h>' /dev/null | wc -l)
[ "$yaml" -le 1 ] || complain "<yaml.h> stands in $yaml files; one is allowed"

finish
