#!/bin/sh
# The command line as people use it: what each verb prints and its exit code.
#
#   sh tests/api/cli.sh build/dev/ckptd
set -u
cd "$(dirname "$0")/../.." || exit 1
ckptd=$(pwd)/${1:-build/dev/ckptd}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
demo=deploy/demo

# check NAME EXIT PATTERN COMMAND…: the exit code, and a line of the output that matches.
check() {
    name=$1 want=$2 pattern=$3
    shift 3
    "$@" >"$work/out" 2>&1 </dev/null
    got=$?
    if [ "$got" = "$want" ] && grep -q -e "$pattern" "$work/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok: $name: exit $got, wanted $want and a line like '$pattern'"
        sed 's/^/    /' "$work/out" | head -n 15
    fi
}

check 'no verb teaches' 3 'usage: ckptd VERB' "$ckptd"
check '--help teaches' 0 'inspect' "$ckptd" --help
check 'an unknown verb is named' 3 'no verb inspekt' "$ckptd" inspekt
check 'version' 0 '^ckptd [0-9]' "$ckptd" version
for verb in inspect scan compat serve; do
    check "$verb --help" 0 "usage: ckptd $verb" "$ckptd" "$verb" --help
done
check 'an option is corrected' 3 'did you mean --json' "$ckptd" inspect --jso x
check 'an option lacks its value' 3 'needs a value' "$ckptd" compat a b --format
check 'an argument lacks' 3 'an argument is missing' "$ckptd" compat a

printf '<!DOCTYPE html><html>404</html>' >"$work/page.pth"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' >"$work/pointer.pth"
: >"$work/empty.pth"
head -c 1000 $demo/checkpoint.pth >"$work/cut.pth"
printf '\010\0\0\0\0\0\0\0{}      ' >"$work/none.safetensors"
check 'inspect reads' 0 'state_dict (weights)' "$ckptd" inspect $demo/checkpoint.pth
check 'inspect as JSON' 0 '"format": "torch-zip"' "$ckptd" inspect --json $demo/checkpoint.pth
check 'flags may stand anywhere' 0 '"containers"' "$ckptd" inspect $demo/checkpoint.pth --json
check 'inspect of a page' 1 'HTML page' "$ckptd" inspect "$work/page.pth"
check 'inspect of a pointer' 1 'git-lfs pointer' "$ckptd" inspect "$work/pointer.pth"
check 'inspect of nothing' 1 'the file is empty' "$ckptd" inspect "$work/empty.pth"
check 'inspect of a cut file' 1 'cut.pth: ' "$ckptd" inspect "$work/cut.pth"
check 'inspect of no file' 3 'no such file' "$ckptd" inspect "$work/absent.pth"

# Directories: files below them, links to files, an index, and what is no checkpoint.
mkdir -p "$work/set/deep" "$work/blobs" "$work/plain"
cp $demo/checkpoint.pth "$work/blobs/sha"
ln -s ../blobs/sha "$work/set/model.pth"
ln -s . "$work/set/loop"
ln -s nowhere "$work/set/broken"
mkfifo "$work/set/pipe"
echo '{"a": 1}' >"$work/set/config.json"
echo 'notes' >"$work/set/deep/README"
cp $demo/checkpoint.pth "$work/plain/model.pth"
check 'inspect of a directory' 0 'state_dict (weights)' "$ckptd" inspect "$work/plain"
mkdir "$work/none"
check 'inspect of an empty directory' 1 'there is no file' "$ckptd" inspect "$work/none"
check 'scan of a directory' 0 '^clean  *[^ ]*set/model.pth$' "$ckptd" scan "$work/set"
check 'scan names what is no checkpoint' 0 'not a checkpoint .*set/config.json: it is a JSON' \
    "$ckptd" scan "$work/set/"
check 'scan goes below' 0 'not a checkpoint .*set/deep/README' "$ckptd" scan "$work/set"
check 'scan of a directory as JSON' 0 '"file": ".*set/model.pth"' "$ckptd" scan --json "$work/set"
cp "$work/out" "$work/scan.json"
check 'and it is an array of all' 0 '^3$' python3 -c \
    'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$work/scan.json"
mkdir "$work/forged"
: >"$work/forged/$(printf 'x\nclean             y\033[2K.pt')"
check 'scan shows a name that looks like a line as what it is' 0 'x.u{a}clean  *y.u{1b}\[2K.pt: ' \
    "$ckptd" scan "$work/forged"
check 'scan of an empty directory' 0 '^\[\]$' "$ckptd" scan --json "$work/none"
cp tests/cases/torch-zip/evil-beside/input.pt "$work/set/deep/evil.pt"
check 'the worst file is the exit code' 1 '^dangerous  *[^ ]*deep/evil.pt' "$ckptd" scan "$work/set"
rm "$work/set/deep/evil.pt"
head -c 1000 $demo/checkpoint.pth >"$work/set/deep/cut.pth"
check 'a cut file fails the scan' 1 '^malformed  *[^ ]*deep/cut.pth' "$ckptd" scan "$work/set"
cp $demo/checkpoint.pth "$work/plain/x.onnx"
check 'a model is read before its neighbours' 0 'state_dict' "$ckptd" inspect "$work/plain/x.onnx"
echo '{"weight_map": {"a": "model.pth", "b": "../set/model.pth", "c": "absent"}}' \
    >"$work/plain/m.index.json"
check 'inspect of an index' 0 'shard 3 of 3 is missing: absent' "$ckptd" inspect "$work/plain/m.index.json"
check 'an index leads nowhere else' 0 'outside its own folder' "$ckptd" inspect "$work/plain/m.index.json"
echo '{"b": 1}' >"$work/plain/n.index.json"
check 'inspect of an index that is none' 1 'JSON' "$ckptd" inspect "$work/plain/n.index.json"
check 'inspect of no index' 3 'no such file' "$ckptd" inspect "$work/plain/absent.index.json"
check 'compat of a model beside others' 0 'strict_after_remap' \
    "$ckptd" compat "$work/plain/x.onnx" $demo/manifest.json
i=0
mkdir "$work/deep"
at=$work/deep
while [ $i -lt 18 ]; do at=$at/d i=$((i + 1)); done
mkdir -p "$at"
check 'a directory that is too deep' 2 'folders deep' "$ckptd" scan "$work/deep"
check 'scan of a clean file' 0 'clean' "$ckptd" scan $demo/checkpoint.pth
check 'scan as JSON' 0 '"safety": "clean"' "$ckptd" scan --json $demo/checkpoint.pth
check 'scan of a page' 1 'malformed' "$ckptd" scan "$work/page.pth"
printf '# ours\ntorch.nn.modules.linear.Linear\n' >"$work/ours.txt"
printf 'my.Net\nos.system\n' >"$work/theirs.txt"
key=tests/cases/torch-zip/class-as-key/input.pt
check 'scan names what nobody vouches for' 1 '^safety  *unlisted' "$ckptd" scan --strict $key
check 'a site vouches for its own' 0 '^safety  *clean' \
    "$ckptd" scan --strict --inert-globals "$work/ours.txt" $key
check 'which stays an information' 0 '^info  *pickle.global-unlisted torch.nn.modules.linear.Linear' \
    "$ckptd" scan --inert-globals "$work/ours.txt" $key
check 'and PyTorch still needs it' 0 'add_safe_globals(\[torch.nn.modules.linear.Linear\])' \
    "$ckptd" scan --inert-globals "$work/ours.txt" $key
check 'inspect, too' 0 '"safety": "clean"' \
    "$ckptd" inspect --json --inert-globals "$work/ours.txt" $key
check 'of a directory, too' 1 '^clean  *tests/cases/torch-zip/class-as-key/input.pt' \
    "$ckptd" scan --inert-globals "$work/ours.txt" tests/cases/torch-zip
check 'nobody can vouch for a gadget' 3 'theirs.txt: line 2: nobody can vouch for os.system' \
    "$ckptd" scan --inert-globals "$work/theirs.txt" $key
check 'a list that is not there' 3 'no such file' \
    "$ckptd" scan --inert-globals "$work/absent.txt" $key
check 'a gadget stays one' 1 '^safety  *dangerous' \
    "$ckptd" scan --inert-globals "$work/ours.txt" tests/cases/torch-zip/evil-beside/input.pt
check 'scan of no file' 3 'no such file' "$ckptd" scan "$work/absent.pth"

check 'compat: it loads after a remap' 0 '^ckptd: .*strict_after_remap' \
    "$ckptd" compat $demo/checkpoint.pth $demo/manifest.json
check 'compat: but not as it is' 1 'need strict' \
    "$ckptd" compat $demo/checkpoint.pth $demo/manifest.json --require strict
check 'compat as JSON' 0 '"verdict": *"strict_after_remap"' \
    "$ckptd" compat $demo/checkpoint.pth $demo/manifest.json --format json
sed 's/"shape": \[3\]/"shape": [5]/; s/"shape": \[3, 32\]/"shape": [5, 32]/' $demo/manifest.json \
    >"$work/other-head.json"
check 'compat: another head' 1 'fc' "$ckptd" compat $demo/checkpoint.pth "$work/other-head.json"
check 'compat warns of a file that runs code' 0 'is dangerous' \
    "$ckptd" compat tests/cases/torch-zip/evil-beside/input.pt tests/cases/torch-zip/evil-beside/input.pt
check 'compat: a checkpoint is a manifest' 0 'strict' \
    "$ckptd" compat $demo/checkpoint.pth $demo/checkpoint.pth
check 'compat writes the remap' 0 'strict_after_remap' \
    "$ckptd" compat $demo/checkpoint.pth $demo/manifest.json --write-remap "$work/fix.remap"
check 'and it is the one that a person would write' 0 '^module.{\*} -> {\*}$' cat "$work/fix.remap"
check 'compat takes it back' 0 'strict_after_remap' \
    "$ckptd" compat $demo/checkpoint.pth $demo/manifest.json --remap "$work/fix.remap"
check 'compat of an unreadable file' 2 'HTML page' \
    "$ckptd" compat "$work/page.pth" $demo/manifest.json
check 'compat of no file' 3 'no such file' "$ckptd" compat "$work/absent" $demo/manifest.json
check 'compat with no manifest' 3 'no such file' "$ckptd" compat $demo/checkpoint.pth "$work/absent"
echo '{"a": [1], "a": [2]}' >"$work/twice.json"
check 'compat with a bad manifest' 3 'twice' \
    "$ckptd" compat $demo/checkpoint.pth "$work/twice.json"
check 'compat with a level that is none' 3 'require is strict' \
    "$ckptd" compat $demo/checkpoint.pth $demo/manifest.json --require perfect

check 'settings have defaults' 0 '^listen .*127.0.0.1:8420 .*(default)' "$ckptd" serve --print-config
check 'a flag wins' 0 '^data .*/flag .*(flag)' \
    env CKPTD_DATA=/environment "$ckptd" serve --data /flag --print-config
check 'the environment comes next' 0 '^data .*/environment .*(environment)' \
    env CKPTD_DATA=/environment "$ckptd" serve --print-config
printf 'data = /file\nreserve-bytes = 1GiB\n' >"$work/ckptd.ini"
check 'then the file' 0 '^data .*/file .*(file)' \
    "$ckptd" serve --config "$work/ckptd.ini" --print-config
echo 'dat = /file' >"$work/wrong.ini"
check 'a wrong line is named' 3 'unknown setting dat' \
    "$ckptd" serve --config "$work/wrong.ini" --print-config
check 'a wrong number is named' 3 '--uploads must be a number' \
    "$ckptd" serve --uploads many --data "$work/data"
check 'a wrong sandbox is named' 3 '--sandbox is best, require or off' \
    "$ckptd" serve --sandbox weak --data "$work/data"
check 'a gadget in the list of inert globals' 3 'theirs.txt: line 2: nobody can vouch' \
    "$ckptd" serve --inert-globals "$work/theirs.txt" --data "$work/data"
check 'a wrong address is named' 3 'not an address' \
    "$ckptd" serve --listen nowhere --data "$work/data"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
