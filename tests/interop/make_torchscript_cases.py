"""Writes tests/cases/torchscript/<case>/input.pt and expect.json with a real PyTorch (made with 2.13).

    python3 tests/interop/make_torchscript_cases.py

What torch.jit.save wrote is laid out anew without code/….debug_pkl, which quote the paths of whoever
made them; torch.jit.load takes it so. Rows, order and versions are torch.jit.load(f).state_dict()'s
wherever it can load the file. No installable PyTorch writes model.json (1.0 to 1.2), or reads it: those
cases are built byte by byte from caffe2/proto/torch.proto of 1.0, their expectations by hand.
"""

import io
import json
import pathlib
import sys
import zipfile

import torch
from torch import nn

import torch_zip_maker as mk
from make_torch_zip_cases import finding, row, rows, usual_strides
from torch_zip_maker import Member, archive, dictionary, number, pickled, text

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases" / "torchscript"
NAMES = set()
CODE = finding("file.code", "code/")
FORBIDDEN = [b"/tmp", b"/root", b"/work", b"/home"]


def case(name, data, **expect):
    assert name not in NAMES, name
    NAMES.add(name)
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.pt").write_bytes(data)
    (folder / "expect.json").write_text(
        json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def members(data):
    """What torch.jit.save wrote, as members for archive()."""
    result = []
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        for info in z.infolist():
            name = info.filename.split("/", 1)[1]
            if name.endswith(".debug_pkl") or name == "callstack_debug_map.pkl":
                continue
            text = z.read(info)
            assert not any(word in text for word in FORBIDDEN), (name, text)
            result.append(Member(name, text, method=info.compress_type))
    return result


def saved(module, **arguments):
    out = io.BytesIO()
    torch.jit.save(module, out, **arguments)
    return members(out.getvalue())


def changed(parts, name, change):
    """The same members, one of them with other bytes."""
    return [Member(m.name, change(m.data), method=m.method) if m.name == name else m for m in parts]


def aliases(state):
    groups = {}
    for name, t in state.items():
        storage = t.untyped_storage()
        if storage.nbytes() > 0:
            groups.setdefault(storage.data_ptr(), []).append((name.encode(), t))
    result = []
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda pair: pair[0])
            views = {(t.dtype, t.storage_offset(), t.shape, t.stride()) for _, t in group}
            result.append({"names": [n.decode() for n, _ in group], "tied": len(views) == 1})
    return sorted(result, key=lambda g: g["names"][0].encode())


def loaded(name, parts, root="archive", **expect):
    """A case that PyTorch loads."""
    data = archive(parts, root=root)
    state = torch.jit.load(io.BytesIO(data)).state_dict()
    expect.setdefault("format", "torchscript")
    expect.setdefault("safety", "unlisted")
    expect.setdefault("findings", [CODE])
    expect.setdefault("container", "" if state else None)
    expect.setdefault("tensors", rows(state))
    expect.setdefault("aliases", aliases(state))
    expect.setdefault("state_dicts", {}).setdefault("", {
        "has_metadata": True, "order": list(state),
        "versions": [{"module": n, "version": v["version"]}
                     for n, v in sorted(state._metadata.items(), key=lambda kv: kv[0].encode())]})
    expect.setdefault("weights_only", {"loads": False, "needs": []})
    case(name, data, **expect)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.register_buffer("scale", torch.ones(2, dtype=torch.float64))
        self.register_buffer("transient", torch.ones(2), persistent=False)
        self.register_parameter("absent", None)
        self.plain = torch.ones(5)
        self.listed = [torch.ones(1), torch.ones(2)]
        self.named = {"a": torch.ones(3)}
        self.pair = (torch.ones(6), 7)

    def forward(self, x):
        y = self.fc(x) + self.scale[0] + self.plain[0] + self.transient[0]
        return y + self.listed[0] + self.named["a"][0] + self.pair[0][0]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.second = Block()
        self.stack = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.others = nn.ModuleList([nn.Linear(2, 2)])
        self.tied = nn.Linear(3, 4)
        self.tied.weight = self.first.fc.weight
        self.again = self.first.fc
        self.register_buffer("view", self.second.fc.weight.detach()[1:3, 1:].t())

    def forward(self, x):
        return self.first(x) + self.second(x) + self.tied(x) + self.again(x) + self.view[0, 0]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        return self.fc(x) - self.mean


class Quantized(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.conv = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(self.conv(self.quant(x)))


class Files(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, path: str):
        return torch.from_file(path, False, 2, dtype=torch.float) + self.w


def small():
    torch.manual_seed(0)
    return torch.jit.script(Small())


# ---- what torch.jit.save writes ----

def written():
    torch.manual_seed(0)
    network = torch.jit.script(Network())
    loaded("scripted", saved(network), root="network", containers=[
        {"path": "", "kind": "weights", "tensors": 22},
        {"path": "attributes", "kind": "weights", "tensors": 10}])
    example = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    loaded("traced", saved(torch.jit.trace(example, torch.ones(3, 2))))
    # A list of words may begin like a pickle.
    extra = saved(small(), _extra_files={"labels.txt": "cat\ndog\n", "a/b": "c"})
    loaded("extra-files", extra, metadata={"classes": 2, "devices": ["cpu"], "extra_files": [
        m.name.removeprefix("extra/") for m in extra if m.name.startswith("extra/")]})
    loaded("frozen", saved(torch.jit.freeze(small().eval())), tensors=[],
           findings=[finding("file.no-tensors"), CODE],
           containers=[{"path": "constants", "kind": "weights", "tensors": 3}],
           state_dicts={"constants": {"kind": "weights", "tensors": [
               {"name": "c0", "dtype": "float32", "shape": [2, 2], "bytes": 16},
               {"name": "c1", "dtype": "float32", "shape": [2], "bytes": 8},
               {"name": "c2", "dtype": "float32", "shape": [2], "bytes": 8}]}})
    half = small().half()
    loaded("half", saved(half))
    out = io.BytesIO(small()._save_to_buffer_for_lite_interpreter())
    loaded("mobile", members(out.getvalue()),
           metadata={"classes": 2, "devices": ["cpu"], "has_bytecode": True})
    files = saved(torch.jit.script(Files()))
    loaded("reads-files", files)


def quantized():
    module = Quantized().eval()
    torch.manual_seed(0)
    module.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    torch.ao.quantization.prepare(module, inplace=True)
    module(torch.randn(1, 1, 6, 6))
    torch.ao.quantization.convert(module, inplace=True)
    loaded("packed-parameters", saved(torch.jit.script(module)),
           findings=[CODE, finding("weights.quantized", "attributes")], containers=[
        {"path": "", "kind": "weights", "tensors": 2},
        {"path": "attributes", "kind": "quantized", "tensors": 4}],
        state_dicts={"attributes": {"kind": "quantized", "tensors": [
            {"name": "conv.10", "dtype": "qint8", "shape": [2, 1, 3, 3], "layout": "quantized"},
            {"name": "conv.11", "dtype": "float32", "shape": [2]},
            {"name": "fc._packed_params._packed_params.0", "dtype": "qint8", "shape": [4, 4],
             "layout": "quantized"},
            {"name": "fc._packed_params._packed_params.1", "dtype": "float32", "shape": [4]}]}})


def linear_of(parts):
    """The class of the linear layer: its name depends on what was scripted before."""
    code = [m.name for m in parts if m.name.startswith("code/") and "linear" in m.name]
    assert len(code) == 1
    return code[0].removeprefix("code/").removesuffix(".py").replace("/", ".") + ".Linear"


def archives():
    parts = saved(small())
    loaded("deflated", [Member(m.name, m.data, method=8) for m in parts], findings=[
        finding("storage.compressed", f"archive/data/{i}") for i in range(3)] + [CODE])
    loaded("big-endian", [Member(m.name, b"big" if m.name == "byteorder" else m.data, method=m.method)
                          for m in parts])
    loaded("old-without-byteorder", [m for m in parts if m.name not in (
        "byteorder", ".data/serialization_id")])
    without_buffers = [Member(m.name, b"\n".join(
        line for line in m.data.split(b"\n") if b"__buffers__" not in line), method=m.method)
        if m.name.endswith(".py") else m for m in parts]
    loaded("before-buffers-were-listed", without_buffers, findings=[finding("file.odd-header"), CODE],
           containers=[{"path": "", "kind": "weights", "tensors": 2},
                       {"path": "attributes", "kind": "weights", "tensors": 1}])
    case("record-missing", archive([m for m in parts if m.name != "data/1"]),
         tensors=rows(torch.jit.script(Small()).state_dict()),
         findings=[finding("storage.missing", "1"), CODE])
    case("code-missing", archive([m for m in parts if not m.name.endswith(".py")]), safety="malformed",
         container=None, findings=[
             finding("torch.record", "__torch__.Small"), finding("torch.record", linear_of(parts)),
             finding("file.no-tensors"), CODE])
    case("list-spelled-oddly", archive(changed(parts, "code/__torch__.py", lambda b: b.replace(
        b'["mean", ]', b'["me\\141n", ]'))), safety="malformed",
         findings=[finding("file.odd-header", "archive/code/__torch__.py"), CODE])
    case("list-of-no-class", archive(changed(parts, "code/__torch__.py", lambda b:
                                             b'  __parameters__ = ["x", ]\n' + b)), safety="malformed",
         findings=[finding("file.odd-header", "archive/code/__torch__.py"), CODE])
    case("list-without-end", archive(changed(parts, "code/__torch__.py", lambda b: b.replace(
        b'["mean", ]', b'["mean'))), safety="malformed",
         findings=[finding("file.odd-header", "archive/code/__torch__.py"), CODE])
    # PyTorch takes "data" for the root, and finds no data.pkl in it.
    case("no-root", archive([Member(m.name, m.data, root="") for m in parts]), format="torch-zip",
         safety="malformed", container=None)
    case("version-missing", archive([m for m in parts if m.name != "version"]),
         findings=[finding("torch.record", "version"), CODE])


# ---- hostile ones ----

EVIL = mk.name("os", "system") + text("true") + b"\x85R"


def script_object(class_name, attributes):
    return (mk.name("__torch__", class_name) + b")\x81" + dictionary(attributes) + b"b")


CLASS_M = Member("code/__torch__.py", b'class M(Module):\n  __parameters__ = ["w", ]\n  __buffers__ = []\n'
                 b'  w : Tensor\n')
DATA_0 = Member("data/0", b"\0" * 24)
VERSION = Member("version", b"3\n")
NO_CONSTANTS = Member("constants.pkl", pickled(b")"))
W = [{"name": "w", "dtype": "float32", "shape": [2, 3], "bytes": 24}]


def by_hand(attributes, code=CLASS_M, constants=NO_CONSTANTS, more=()):
    return archive([Member("data.pkl", pickled(script_object("M", attributes))), constants, code, DATA_0,
                    VERSION, *more])


def hostile():
    w = ("w", mk.tensor([2, 3], [3, 1]))
    dangerous = finding("pickle.global-dangerous", "os.system")
    case("evil-attribute", by_hand([w, ("x", EVIL)]), safety="dangerous", tensors=W,
         findings=[dangerous, CODE])
    case("evil-constant", by_hand([w], constants=Member("constants.pkl", pickled(b"(" + EVIL + b"t"))),
         safety="dangerous", tensors=W, findings=[dangerous, CODE])
    case("evil-debug", by_hand([w], more=[Member("code/__torch__.py.debug_pkl", pickled(EVIL))]),
         safety="dangerous", tensors=W, findings=[dangerous, CODE])
    nested = archive([Member("data.pkl", pickled(EVIL)), VERSION], root="inner")
    case("evil-archive-within", by_hand([w], more=[Member("extra/sample.pt", nested)]),
         safety="dangerous", tensors=W, findings=[dangerous, CODE])
    case("evil-archive-within-deflated", by_hand([w], more=[Member("extra/sample.pt", nested, method=8)]),
         safety="dangerous", tensors=W, findings=[dangerous, CODE])
    case("archive-within-cut", by_hand([w], more=[Member("extra/sample.pt", nested[:-40])]),
         safety="malformed", tensors=W, findings=[finding("zip.malformed", "archive/extra/sample.pt"), CODE])
    case("strange-pickle", by_hand([w], more=[Member("extra/x.pkl", pickled(b"}"))]), safety="unlisted",
         tensors=W, findings=[finding("pickle.extra-member", "archive/extra/x.pkl"), CODE])
    case("python-class", by_hand([w, ("x", mk.name("my.module", "Thing") + b")\x81")]), safety="unlisted",
         tensors=W, findings=[finding("pickle.global-unlisted", "my.module.Thing"), CODE])
    calls = (CLASS_M.data + b"  def forward(self: __torch__.M) -> None:\n"
             b'    torch.save(self.w, "x")\n    _0 = ops.evil.run(ops.prim.tolist(self.w))\n'
             b"    _1 = ops.aten.from_file(self.w)\n    _2 = ops.quantized.add(_1, noops.other.x(_1))\n")
    code = dict(CODE, message="it holds TorchScript code, among it calls of aten::save, evil::run, "
                "aten::from_file, which torch.jit.load compiles and may run: it cannot run Python, but it "
                "can read and write files. Load it where you trust its author, or save "
                "torch.jit.load(f).state_dict() with torch.save")
    case("operators-named", by_hand([w], code=Member(CLASS_M.name, calls)), safety="unlisted", tensors=W,
         findings=[code])
    # A module that is its own child, and one that stands in 2^30 places.
    itself = (mk.name("__torch__", "M") + b")\x81q\1}(" + text("w") + mk.tensor([2, 3], [3, 1]) +
              text("this_module_that_is_its_own_child") + b"h\1ub")
    case("itself-within", archive([Member("data.pkl", pickled(itself)), NO_CONSTANTS, CLASS_M, DATA_0,
                                   VERSION]),
         findings=[finding("file.too-many-state-dicts"), CODE])
    body = script_object("M", [w]) + b"q\1"
    for level in range(2, 32):
        body += b"0" + mk.name("__torch__", "M") + b")\x81}(" + text("a") + bytes([0x68, level - 1]) + \
            text("b") + bytes([0x68, level - 1]) + b"ub" + bytes([0x71, level])
    case("doubled-thirty-times", archive([Member("data.pkl", pickled(body)), NO_CONSTANTS, CLASS_M, DATA_0,
                                          VERSION]), error="limit-exceeded")
    case("tensor-outside", by_hand([("w", mk.tensor([2, 3], [3, 1], offset=1))]),
         findings=[finding("tensor.outside-storage", "w"), CODE])
    case("two-data-pkl", archive([Member("data.pkl", pickled(script_object("M", [w]))), NO_CONSTANTS,
                                  CLASS_M, DATA_0, VERSION, Member("DATA.PKL", pickled(EVIL))]),
         safety="dangerous", container=None)
    state = (mk.name("__torch__.torch.classes.quantized", "LinearPackedParamsBase") + b")\x81(" +
             mk.tensor([2, 3], [3, 1]) + b"Ntb")
    kinds = by_hand([w, ("packed", state),
                     ("list", mk.name("torch.jit._pickle", "build_tensorlist") + b"]" +
                      mk.tensor([2], [1]) + b"a\x85R"),
                     ("ints", mk.name("torch.jit._pickle", "build_intlist") + b"](" + number(1) + b"e\x85R"),
                     ("dict", mk.name("torch.jit._pickle", "restore_type_tag") + dictionary(
                         [("k", mk.tensor([3], [1]))]) + text("Dict[str, Tensor]") + b"\x86R"),
                     ("id", mk.name("torch.jit._pickle", "build_tensor_from_id") + number(0) + b"\x85R")])
    case("helpers", kinds, safety="unlisted", tensors=W, findings=[CODE],
         state_dicts={"attributes": {"tensors": [
             {"name": "dict.k", "shape": [3]}, {"name": "list.0", "shape": [2]},
             {"name": "packed.0", "shape": [2, 3]}]}})
    package = archive([Member(".data/version", b"6\n"), Member(".data/extern_modules", b"os\n"),
                       Member("model/model.pkl", pickled(EVIL)), Member("thing.py", b"x = 1\n")], root="p")
    case("torch-package", package, format="torch-zip", container=None, safety="dangerous",
         findings=[finding("pickle.extra-member", "p/model/model.pkl"), dangerous,
                   finding("file.unreadable"), finding("file.code")])


# ---- PyTorch 1.0 to 1.2 ----

def model_json(tensors=None, modules=None, **more):
    model = {
        "protoVersion": "2",
        "mainModule": modules if modules is not None else {
            "submodules": [
                {"parameters": [{"isBuffer": True, "tensorId": "2", "name": "mean"},
                                {"isBuffer": False, "tensorId": "0", "name": "weight"},
                                {"tensorId": "1", "name": "bias"}], "name": "fc", "optimize": True},
                {"submodules": [{"parameters": [{"isBuffer": True, "tensorId": "3", "name": "n"}],
                                 "name": "inner"}],
                 "parameters": [{"isBuffer": False, "name": "weight"}], "name": "tied"}],
            "torchscriptArena": {"key": "code/m.py"},
            "parameters": [{"isBuffer": True, "tensorId": "2", "name": "top"}], "name": "m"},
        "producerName": "pytorch", "producerVersion": "1.0",
        "tensors": tensors if tensors is not None else [
            {"dims": ["2", "3"], "offset": "0", "strides": ["1", "2"], "requiresGrad": True,
             "dataType": "FLOAT", "data": {"key": "tensors/0"}, "device": "cpu"},
            {"dims": ["3"], "offset": "1", "strides": ["1"], "dataType": "FLOAT",
             "data": {"key": "tensors/1"}},
            {"dims": [2], "strides": [1], "dataType": 13, "data": {"key": "tensors/2"}},
            {"dataType": "INT64", "data": {"key": "tensors/3"}}],
    }
    model.update(more)
    return json.dumps(model).encode()


def old(model, more=()):
    records = {"tensors/0": 24, "tensors/1": 16, "tensors/2": 16, "tensors/3": 8}
    code = b"op_version_set = 0\ndef forward(self,\n    x: Tensor) -> Tensor:\n  return x\n"
    return archive([Member("version", b"1\n"), Member("code/m.py", code)] +
                   [Member(k, b"\0" * n) for k, n in records.items()] +
                   [Member("model.json", model), *more], root="m")


def one_tensor(**changes):
    tensor = {"dims": ["2"], "strides": ["1"], "dataType": "FLOAT", "data": {"key": "tensors/0"}}
    tensor.update(changes)
    return model_json([{k: v for k, v in tensor.items() if v is not None}],
                      {"parameters": [{"tensorId": "0", "name": "w"}], "name": "m"})


def old_ones():
    expected = [
        {"name": "fc.bias", "dtype": "float32", "shape": [3]},
        {"name": "fc.mean", "dtype": "float64", "shape": [2]},
        {"name": "fc.weight", "dtype": "float32", "shape": [2, 3], "strides": [1, 2]},
        {"name": "tied.inner.n", "dtype": "int64", "shape": []},
        {"name": "tied.weight", "dtype": "float32", "shape": [2, 3], "strides": [1, 2]},
        {"name": "top", "dtype": "float64", "shape": [2]}]
    case("1.0", old(model_json()), format="torchscript", safety="unlisted", container="",
         tensors=expected, findings=[CODE], metadata={"classes": 0, "producer": "pytorch 1.0"},
         aliases=[{"names": ["fc.mean", "top"], "tied": True},
                  {"names": ["fc.weight", "tied.weight"], "tied": True}],
         state_dicts={"": {"has_metadata": True, "order": [
             "top", "fc.weight", "fc.bias", "fc.mean", "tied.weight", "tied.inner.n"],
             "versions": [{"module": m, "version": 1} for m in ("", "fc", "tied", "tied.inner")]}})
    case("1.1", old(model_json(), [Member("attributes.pkl", pickled(
        b"](" + mk.name("torch.jit._pickle", "build_intlist") + b"]\x85R" + number(3) + b"e"))]),
        safety="unlisted", tensors=expected, findings=[CODE])
    case("1.1-evil-attribute", old(model_json(), [Member("attributes.pkl", pickled(EVIL))]),
         safety="dangerous", tensors=expected,
         findings=[finding("pickle.global-dangerous", "os.system"), CODE])
    case("1.0-with-data-pkl", old(model_json(), [Member("data.pkl", pickled(EVIL)), NO_CONSTANTS]),
         safety="dangerous", tensors=expected)
    case("model-json-beside-data-pkl", old(model_json(), [Member("data.pkl", pickled(b"}"))]),
         format="torch-zip", safety="clean", weights_only={"loads": True, "needs": []})
    malformed = finding("file.malformed-header", "m/model.json")
    for name, model in {
        "not-json": b"{\"mainModule\": {",
        "dimension-negative": one_tensor(dims=["-1"]),
        "dimension-no-number": one_tensor(dims=["two"]),
        "offset-negative": one_tensor(offset="-1"),
        "modules-no-list": model_json(modules={"submodules": {}}),
        "modules-sixty-deep": model_json(modules=json.loads(
            '{"submodules": [' * 40 + '{"name": "x"}' + "]}" * 40)),
        "rank-70": one_tensor(dims=["1"] * 70, strides=["1"] * 70),
    }.items():
        case(f"1.0-{name}", old(model), safety="malformed", container=None, findings=[malformed, CODE])
    for name, model, found in (
        ("tensor-number-too-high", model_json(modules={"parameters": [{"tensorId": "9", "name": "w"}]}),
         "tensor.malformed"),
        ("tensor-number-negative", model_json(modules={"parameters": [{"tensorId": "-1", "name": "w"}]}),
         "tensor.malformed"),
        ("stride-missing", one_tensor(strides=[]), "tensor.malformed"),
        ("stride-negative", one_tensor(strides=["-1"]), "tensor.malformed"),
        ("no-data-type", one_tensor(dataType=None), "tensor.malformed"),
        ("unknown-data-type", one_tensor(dataType="STRING"), "tensor.malformed"),
        ("size-overflows", one_tensor(dims=[str(1 << 62), "8"], strides=["8", "1"]), "tensor.malformed"),
    ):
        case(f"1.0-{name}", old(model), container=None,
             findings=[finding(found, "w"), finding("file.no-tensors"), CODE])
    w = [{"name": "w", "dtype": "float32", "shape": [2]}]
    case("1.0-record-missing", old(one_tensor(data={"key": "tensors/9"})), tensors=w,
         findings=[finding("storage.missing", "w"), CODE])
    case("1.0-beyond-the-record", old(one_tensor(offset="5")), tensors=w,
         findings=[finding("tensor.outside-storage", "w"), CODE])
    case("1.0-offset-near-2-63", old(one_tensor(offset=str((1 << 63) - 1))), tensors=w,
         findings=[finding("tensor.outside-storage", "w"), CODE])
    case("1.0-stride-near-2-63", old(one_tensor(dims=["3"], strides=[str((1 << 63) - 1)])),
         findings=[finding("tensor.outside-storage", "w"), CODE])


def main():
    for make in (written, quantized, archives, hostile, old_ones):
        make()
    for folder in CASES.iterdir():
        if folder.name not in NAMES:
            print("no longer made:", folder.name, file=sys.stderr)
    size = sum(f.stat().st_size for f in CASES.rglob("*") if f.is_file())
    print(f"{len(NAMES)} cases, {size // 1024} KiB")


if __name__ == "__main__":
    main()
