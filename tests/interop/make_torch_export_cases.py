"""Writes tests/cases/torch-export/<case>/input.pt2 and expect.json with a real PyTorch (made with 2.13).

    python3 tests/interop/make_torch_export_cases.py

What torch.export.save wrote is laid out anew without the metadata of the program's nodes, which quote
the source and the paths of whoever made them, and with the program compressed, to be small;
torch.export.load takes it so. Rows and order are
torch.export.load(f).state_dict's wherever it can load the file. The generation before PyTorch 2.8 is
made of the parts that 2.13 still serializes, put into a plain zip as torch.export.save of 2.1 to 2.7
did; 2.13 loads it. The hostile ones are made byte by byte, their expectations by hand.
"""

import io
import json
import logging
import pathlib
import sys
import types
import zipfile

import torch
from torch import nn
from torch._export.serde import serialize
from torch._export.serde.schema import SCHEMA_VERSION
from torch.export.pt2_archive import _package
from torch.testing._internal.two_tensor import TwoTensor

import torch_zip_maker as mk
from make_torch_zip_cases import finding, rows
from make_torchscript_cases import EVIL, aliases
from torch_zip_maker import Member, archive, pickled

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases" / "torch-export"
NAMES = set()
FORBIDDEN = [b"/tmp", b"/root", b"/work", b"/home", b"/usr"]
CONFIG = "data/weights/model_weights_config.json"
PROGRAM = "models/model.json"


def case(name, data, **expect):
    assert name not in NAMES, name
    NAMES.add(name)
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.pt2").write_bytes(data)
    (folder / "expect.json").write_text(
        json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def without_metadata(value):
    if isinstance(value, dict):
        return {k: {} if k == "metadata" else without_metadata(v) for k, v in value.items()}
    return [without_metadata(v) for v in value] if isinstance(value, list) else value


def members(data):
    """What torch.export.save wrote, as members for archive()."""
    result = []
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        for info in z.infolist():
            name, text = info.filename.split("/", 1)[1], z.read(info)
            if name.startswith("models/"):
                text = json.dumps(without_metadata(json.loads(text))).encode()
            assert not any(word in text for word in FORBIDDEN), (name, text)
            result.append(Member(name, text, method=8 if name.startswith("models/") else 0))
    return result


def exported(module, *inputs, **arguments):
    return torch.export.export(module.eval(), inputs, **arguments)


def saved(program, **arguments):
    out = io.BytesIO()
    torch.export.save(program, out, **arguments)
    return members(out.getvalue())


def changed(parts, name, change):
    return [Member(m.name, change(m.data), method=m.method) if m.name == name else m for m in parts]


def lean(parts):
    """The same with less in it, so that many cases are small."""
    return [m for m in parts
            if m.name not in (".data/serialization_id", "data/sample_inputs/model.pt")]


def reconfigured(parts, change, name=CONFIG):
    """The same members, with another table of weights."""
    def edit(data):
        table = json.loads(data)
        change(table["config"])
        return json.dumps(table).encode()
    return changed(parts, name, edit)


def loaded(name, data, **expect):
    """A case that PyTorch loads."""
    program = torch.export.load(io.BytesIO(data))
    state = program.state_dict
    expect.setdefault("format", "torch-export")
    expect.setdefault("safety", "clean")
    expect.setdefault("findings", [])
    expect.setdefault("container", "" if state else None)
    expect.setdefault("tensors", rows(state))
    expect.setdefault("aliases", aliases(state))
    expect.setdefault("weights_only", {"loads": False, "needs": []})
    dicts = expect.setdefault("state_dicts", {})
    if state:
        dicts.setdefault("", {"has_metadata": False, "order": list(state)})
    tensors = {k: v for k, v in program.constants.items() if isinstance(v, torch.Tensor)}
    if tensors:
        dicts.setdefault("constants", {"order": list(tensors), "tensors": rows(tensors)})
    case(name, data, **expect)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.tied = nn.Linear(3, 4)
        self.tied.weight = self.fc.weight
        self.plain = torch.ones(3)
        base = torch.zeros(100)
        self.register_buffer("view", base[10:20])
        self.register_buffer("turned", base[:40].view(4, 10).t())
        self.register_buffer("transient", torch.ones(2), persistent=False)
        self.register_buffer("sixteen", torch.zeros(3, dtype=torch.float16))
        self.register_buffer("brain", torch.zeros(3, dtype=torch.bfloat16))
        self.register_buffer("eight", torch.zeros(3).to(torch.float8_e4m3fn))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("scalar", torch.tensor(3, dtype=torch.int64))
        self.register_buffer("pair", torch.zeros(2, dtype=torch.complex64))
        self.register_buffer("flag", torch.zeros(2, dtype=torch.bool))

    def forward(self, x):
        y = self.fc(x) + self.tied(x) + self.plain[0] + self.view[0] + self.turned[0, 0]
        y = y + self.transient[0] + self.sixteen[0] + self.brain[0] + self.eight.float()[0]
        return y + self.empty.sum() + self.scalar + self.pair[0].real + self.flag[0] + torch.tensor(2.0)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x, flag):
        return torch.cond(flag, lambda a: a + self.w, lambda a: a - self.w, (x,))


def linear():
    torch.manual_seed(0)
    return exported(nn.Linear(2, 2), torch.zeros(1, 2))


# ---- what torch.export.save writes ----

def written():
    torch.manual_seed(0)
    batch = torch.export.Dim("batch")
    network = exported(Network(), torch.ones(2, 3), dynamic_shapes=({0: batch},))
    loaded("network", archive(saved(network, extra_files={"note.txt": "hi"}), root="network"), metadata={
        "torch_version": torch.__version__, "schema_version": ".".join(map(str, SCHEMA_VERSION)),
        "opsets": ["aten 10"], "inputs": ["x"], "models": ["model"], "extra_files": ["note.txt"]})
    loaded("linear", archive([Member(m.name, m.data) for m in saved(linear())]))
    loaded("no-weights", archive(saved(exported(nn.ReLU(), torch.zeros(2)))),
           findings=[finding("file.no-tensors")])
    loaded("branches", archive(saved(exported(Inner(), torch.ones(2), torch.tensor(True)))))
    out = io.BytesIO()
    other = exported(nn.Linear(3, 1, bias=False), torch.zeros(1, 3))
    _package.package_pt2(out, exported_programs={"a": other, "model": linear(), "b": other})
    loaded("three-models", archive(members(out.getvalue())), containers=[
        {"path": "", "kind": "weights", "tensors": 2}, {"path": "a", "kind": "weights", "tensors": 1},
        {"path": "b", "kind": "weights", "tensors": 1}],
        state_dicts={"a": {"order": ["weight"], "tensors": rows(other.state_dict)},
                     "b": {"order": ["weight"], "tensors": rows(other.state_dict)}})
    out = io.BytesIO()
    _package.package_pt2(out, exported_programs={"encoder": linear()})
    case("one-model-of-another-name", archive(members(out.getvalue())), container="", safety="clean",
         tensors=rows(linear().state_dict), metadata={"models": ["encoder"]})


def tables():
    parts = saved(linear())
    # A class of somebody's own: PyTorch's tests as such are nothing that a file may name.
    sys.modules["my"] = types.ModuleType("my")
    sys.modules["my.tensors"] = types.SimpleNamespace(TwoTensor=TwoTensor)
    TwoTensor.__module__ = "my.tensors"
    two = TwoTensor(torch.ones(2, 2), torch.ones(2, 2))

    def pickle_weight(config):
        config["weight"].update(path_name="weight_9", use_pickle=True)
        config["bias"].update(path_name="weight_8", use_pickle=True)
    payloads = [Member("data/weights/weight_9", saved_tensor(nn.Parameter(torch.ones(2, 2)))),
                Member("data/weights/weight_8", saved_tensor(nn.Parameter(torch.ones(2))))]
    loaded("pickled-weights", archive(reconfigured(parts, pickle_weight) + payloads))
    case("pickled-subclass", archive(reconfigured(parts, pickle_weight) + [
        Member("data/weights/weight_9", saved_tensor(two)), payloads[1]]), safety="unlisted", tensors=[
            {"name": "bias", "dtype": "float32", "shape": [2]},
            {"name": "weight", "dtype": "float32", "shape": [2, 2], "layout": "wrapped"}])

    def same_payload(config):
        config["bias"].update(path_name="weight_0")
        config["bias"]["tensor_meta"].update(storage_offset={"as_int": 1}, strides=[{"as_int": 2}])
    loaded("shared-payload", archive(reconfigured(parts, same_payload)))

    def other_dtype(config):
        config["bias"].update(path_name="weight_0")
        config["bias"]["tensor_meta"].update(dtype=5)
    loaded("shared-payload-of-two-dtypes", archive(reconfigured(parts, other_dtype)),
           findings=[finding("tensor.odd", "bias")])
    loaded("without-values", archive([Member(m.name, b"") if m.name == "data/weights/weight_1" else m
                                      for m in parts]),
           findings=[finding("tensor.odd", "bias")], tensors=[
               {"name": "bias", "dtype": "float32", "shape": [2], "layout": "meta"},
               {"name": "weight", "dtype": "float32", "shape": [2, 2]}])
    # The first files of 2.8.
    state = io.BytesIO()
    torch.save(dict(linear().state_dict), state)
    constants = io.BytesIO()
    torch.save({"c": torch.ones(3)}, constants)
    legacy = [m for m in parts if not m.name.startswith(("data/weights/", "data/constants/"))] + [
        Member("data/weights/model.pt", state.getvalue()),
        Member("data/constants/model.pt", constants.getvalue())]
    case("weights-in-one-pickle", archive(legacy), container="", safety="clean", findings=[],
         tensors=rows(linear().state_dict),
         state_dicts={"constants": {"tensors": [{"name": "c", "dtype": "float32", "shape": [3]}]}})

    def symbolic(config):
        config["weight"]["tensor_meta"]["sizes"][0] = {
            "as_expr": {"expr_str": "s0", "hint": {"as_int": 2}}}
        config["bias"]["tensor_meta"]["sizes"][0] = {"as_expr": {"expr_str": "s0", "hint": None}}
    case("symbolic-sizes", archive(reconfigured(parts, symbolic)), tensors=[
        {"name": "weight", "dtype": "float32", "shape": [2, 2]}],
        findings=[finding("tensor.odd", "weight"), finding("tensor.malformed", "bias")])

    def old_names(config):
        for row in config.values():
            row["tensor_meta"].update(dtype="FLOAT", layout="Strided")
    case("dtypes-by-name", archive(reconfigured(parts, old_names)), findings=[], safety="clean",
         tensors=rows(linear().state_dict))


def saved_tensor(t):
    out = io.BytesIO()
    torch.save(t, out)
    return out.getvalue()


# ---- before PyTorch 2.8 ----

def old_parts(program):
    artifact = serialize.serialize(program)
    model = json.dumps(without_metadata(json.loads(artifact.exported_program))).encode()
    return [("version", ".".join(map(str, SCHEMA_VERSION)).encode()),
            ("serialized_exported_program.json", model),
            ("serialized_state_dict.pt", artifact.state_dict),
            ("serialized_constants.pt", artifact.constants),
            ("serialized_example_inputs.pt", artifact.example_inputs)]


def plain_zip(parts, method=0):
    return archive([Member(n, d, method=8 if len(d) > 10000 else method, flags=0) for n, d in parts],
                   root="", align=1)


def repacked(parts, method):
    """As Python's zipfile writes it, with its inputs in a method of compression that only it reads."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in parts:
            z.writestr(zipfile.ZipInfo(name), data, method if "inputs" in name else zipfile.ZIP_STORED)
    return out.getvalue()


def old():
    parts = old_parts(linear())
    loaded("2.1-linear", plain_zip(parts))
    torch.manual_seed(0)
    network = old_parts(exported(Network(), torch.ones(2, 3)))
    loaded("2.1-network", plain_zip(network + [("extra_files/note.txt", b"hi")]))
    loaded("2.1-deflated", plain_zip(parts, method=8))
    loaded("2.1-called-json", plain_zip([
        (n.replace("_dict.pt", "_dict.json").replace("_constants.pt", "_constants.json"), d)
        for n, d in parts]))
    case("2.1-without-state", plain_zip([p for p in parts if "state_dict" not in p[0]]), container=None,
         findings=[finding("torch.record")])
    case("2.1-empty-constants", plain_zip([(n, b"" if "constants" in n else d) for n, d in parts]),
         tensors=rows(linear().state_dict), findings=[], safety="clean")
    case("2.1-state-cut", plain_zip([(n, d[:-30] if "state_dict" in n else d) for n, d in parts]),
         container=None, safety="malformed",
         findings=[finding("zip.malformed", "serialized_state_dict.pt"), finding("file.no-tensors")])
    evil = archive([Member("data.pkl", pickled(EVIL)), Member("version", b"3\n")])
    case("2.1-evil-inputs", plain_zip([(n, evil if "inputs" in n else d) for n, d in parts]),
         safety="dangerous", tensors=rows(linear().state_dict),
         findings=[finding("pickle.global-dangerous", "os.system")])
    case("2.1-inputs-of-another-method", repacked([(n, evil if "inputs" in n else d) for n, d in parts],
                                                   zipfile.ZIP_BZIP2), safety="malformed")
    case("2.1-evil-state", plain_zip([(n, evil if "state_dict" in n else d) for n, d in parts]),
         safety="dangerous", container=None)


# ---- hostile ones ----

def hostile():
    whole = saved(linear())
    parts = lean(whole)
    w = rows(linear().state_dict)
    dangerous = finding("pickle.global-dangerous", "os.system")
    evil = archive([Member("data.pkl", pickled(EVIL)), Member("version", b"3\n")])
    case("evil-inputs", archive([Member(m.name, evil) if "sample_inputs" in m.name else m
                                 for m in whole]), safety="dangerous", tensors=w, findings=[dangerous])

    def pickle_weight(config):
        config["weight"].update(use_pickle=True)
    case("evil-weight", archive([Member(m.name, evil) if m.name == "data/weights/weight_0" else m
                                 for m in reconfigured(parts, pickle_weight)]),
         safety="dangerous", tensors=w[:1],
         findings=[dangerous, finding("tensor.malformed", "weight")])
    old = io.BytesIO()
    torch.save([], old, _use_new_zipfile_serialization=False)
    object_at = old.getvalue().rindex(b"\x80\x02]q\x00.")
    case("evil-inputs-of-the-old-format", archive([Member(
        m.name, old.getvalue()[:object_at] + pickled(EVIL)) if "sample_inputs" in m.name else m
        for m in whole]), safety="dangerous", tensors=w, findings=[dangerous])
    case("of-torch-save-at-once", archive([Member("data.pkl", pickled(b"}"))] + parts),
         safety="malformed", tensors=w, findings=[finding("pickle.extra-member", "archive/data.pkl"),
                                                  finding("file.odd-header", "archive/data.pkl")])
    case("evil-opaque-object", archive(parts + [Member("data/constants/opaque_obj_0", pickled(EVIL))]),
         safety="dangerous", tensors=w, findings=[dangerous])
    # Whatever it looks like: of protocol 0, or a tensor's bytes, too.
    alone = [("opaque", {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True,
                         "tensor_meta": None})]
    as_tensor = alone + [("raw", dict(alone[0][1], use_pickle=False, tensor_meta=dict(
        json.loads(dict((m.name, m.data) for m in parts)[CONFIG])["config"]["weight"]["tensor_meta"],
        dtype=2, sizes=[{"as_int": 4}], strides=[{"as_int": 1}])))]
    gadget = pickled(EVIL)
    for name, data, table in [("of-protocol-0", b"(lp0\ncos\nsystem\n(S'true'\ntRa.", alone),
                              ("as-tensor", gadget + b"more", as_tensor)]:
        config = json.dumps({"config": dict(table)}).encode()
        case(f"evil-opaque-object-{name}", archive(
            [Member(m.name, config) if m.name.endswith("model_constants_config.json") else m
             for m in parts] + [Member("data/constants/opaque_obj_0", data)]),
            safety="dangerous")
    case("evil-extra", archive(parts + [Member("extra/x.pkl", pickled(EVIL))]), safety="dangerous",
         tensors=w, findings=[finding("pickle.extra-member", "archive/extra/x.pkl"), dangerous])
    case("archive-in-archive-in-archive", archive(parts + [Member("extra/a", archive(
        [Member("data.pkl", pickled(b"}")), Member("x", evil)]))]), tensors=w,
        findings=[finding("pickle.nested", "archive/x")])
    case("machine-code", archive(parts + [Member("data/aotinductor/model/c.so", b"\x7fELF" + b"\0" * 60),
                                          Member("data/aotinductor/model/c.cpp", b"int x;")]),
         safety="unlisted", tensors=w,
         findings=[finding("file.native-code", "archive/data/aotinductor/model/c.so")])
    case("only-machine-code", archive([
        Member("archive_format", b"pt2"), Member("archive_version", b"0"), Member(".data/version", b"6\n"),
        Member("data/aotinductor/model/c.so", b"\x7fELF" + b"\0" * 60)]), safety="unlisted",
        container=None, findings=[finding("file.no-tensors"),
                                  finding("file.native-code", "archive/data/aotinductor/model/c.so")])

    def program(old, new):
        return archive(changed(parts, PROGRAM, lambda b: b.replace(old, new, 1)))
    target = b'"torch.ops.aten.linear.default"'
    assert target in dict((m.name, m.data) for m in parts)[PROGRAM]
    for name, stranger in (("hub", "torch.hub.load"), ("caller", "_operator.methodcaller"),
                           ("library", "torch.ops.evil.run"), ("os", "os.system"),
                           ("dunder", "torch.sym_max.__globals__"),
                           ("dunder-call", "_operator.__call__"),
                           ("dunder-loader", "math.__loader__.load_module"),
                           ("dunder-operator", "torch.ops.aten.__init__.__globals__"),
                           ("file", "torch.ops.aten.from_file.default")):
        case(f"target-{name}", program(target, b'"%s"' % stranger.encode()), safety="unlisted", tensors=w,
             findings=[finding("file.code", "archive/" + PROGRAM)])
    for name, expression, is_known in (
        ("sum", "2*s0 + Max(1, FloorDiv(s1, 2.5)) - Symbol('s77', positive=True)", True),
        ("eval", "eval(chr(111))", False), ("attribute", "s0.__class__", False),
        ("index", "s0[0]", False), ("text", "Symbol('a b')", False), ("lambda", "(lambda: 1)()", False),
        ("space-call", "exec (s0)", False)):
        made = changed(parts, PROGRAM, lambda b: b.replace(
            b'"range_constraints": {}', b'"range_constraints": {"x": {"expr_str": "%s"}}' %
            expression.encode(), 1))
        assert any(expression.encode() in m.data for m in made)
        case(f"expression-{name}", archive(made), safety="clean" if is_known else "unlisted", tensors=w,
             findings=[] if is_known else [finding("file.code", "archive/" + PROGRAM)])
    assert any(b'"guards_code": []' in m.data for m in parts)
    case("guards", archive(changed(parts, PROGRAM, lambda b: b.replace(
        b'"guards_code": []', b'"guards_code": ["L[\'x\'].size()[0] == 2"]', 1))), safety="unlisted",
        tensors=w, findings=[finding("file.code", "archive/" + PROGRAM)])
    case("program-not-json", archive(changed(parts, PROGRAM, lambda b: b[:-2])), safety="malformed",
         tensors=w, findings=[finding("file.malformed-header", "archive/" + PROGRAM)])
    case("format-unknown", archive(changed(parts, "archive_format", lambda b: b"pt3")), tensors=w,
         findings=[finding("torch.record", "archive_format")])
    case("version-unknown", archive(changed(parts, "archive_version", lambda b: b"1")), tensors=w,
         findings=[finding("torch.record", "archive_version")])


def wrong_tables():
    parts = lean(saved(linear()))
    w = rows(linear().state_dict)
    bias = w[:1]
    table = finding("file.malformed-header", "archive/" + CONFIG)
    case("table-missing", archive([m for m in parts if m.name != CONFIG]), container=None,
         findings=[finding("torch.record", "model")])
    case("table-not-json", archive(changed(parts, CONFIG, lambda b: b[:-3])), safety="malformed",
         findings=[table])
    case("payload-missing", archive([m for m in parts if m.name != "data/weights/weight_0"]), tensors=w,
         findings=[finding("storage.missing", "weight")])
    case("payload-short", archive([Member(m.name, m.data[:8]) if m.name == "data/weights/weight_0" else m
                                   for m in parts]), tensors=w,
         findings=[finding("tensor.outside-storage", "weight")])
    big, near = 1 << 62, (1 << 63) - 1
    ints = lambda *values: [{"as_int": v} for v in values]
    for name, change, found in (
        ("dtype-unknown", {"dtype": 99}, "tensor.malformed"),
        ("dtype-name-unknown", {"dtype": "LONGEST"}, "tensor.malformed"),
        ("size-negative", {"sizes": ints(-2, 2)}, "tensor.malformed"),
        ("size-without-value", {"sizes": [{}, {"as_int": 2}]}, "tensor.malformed"),
        ("size-overflows", {"sizes": ints(big, 8)}, "tensor.malformed"),
        ("stride-missing", {"strides": ints(1)}, "tensor.malformed"),
        ("stride-negative", {"strides": ints(-1, 1)}, "tensor.malformed"),
        ("offset-negative", {"storage_offset": {"as_int": -1}}, "tensor.malformed"),
    ):
        case(name, archive(reconfigured(parts, lambda c: c["weight"]["tensor_meta"].update(change))),
             tensors=bias, findings=[finding(found, "weight")])
    for name, change in (("offset-beyond", {"storage_offset": {"as_int": 9}}),
                         ("offset-near-2-63", {"storage_offset": {"as_int": near}}),
                         ("stride-near-2-63", {"strides": ints(near, 1)})):
        case(name, archive(reconfigured(parts, lambda c: c["weight"]["tensor_meta"].update(change))),
             findings=[finding("tensor.outside-storage", "weight")])
    case("size-beyond-2-63", archive(reconfigured(parts, lambda c: c["weight"]["tensor_meta"].update(
        {"sizes": ints(1 << 64, 2)}))), safety="malformed",
        findings=[table, finding("file.no-tensors")])
    case("meta-missing", archive(reconfigured(parts, lambda c: c["weight"].update(tensor_meta=None))),
         tensors=bias, findings=[finding("tensor.malformed", "weight")])
    case("sparse-layout", archive(reconfigured(parts, lambda c: c["weight"]["tensor_meta"].update(
        layout=1))), tensors=w, findings=[finding("tensor.odd", "weight")])
    case("path-upwards", archive(reconfigured(parts, lambda c: c["weight"].update(
        path_name="../../data/weights/weight_0"))), findings=[finding("storage.missing", "weight")])


def main():
    logging.disable(logging.CRITICAL)
    for make in (written, tables, old, hostile, wrong_tables):
        make()
    for folder in CASES.iterdir():
        if folder.name not in NAMES:
            print("no longer made:", folder.name, file=sys.stderr)
    size = sum(f.stat().st_size for f in CASES.rglob("*") if f.is_file())
    print(f"{len(NAMES)} cases, {size // 1024} KiB")


if __name__ == "__main__":
    main()
