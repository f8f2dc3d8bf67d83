"""Writes tests/cases/torch-legacy/ and tests/cases/torch-tar/ with a real PyTorch (made with 2.13).

    python3 tests/interop/make_torch_legacy_cases.py

Streams come from torch.save(_use_new_zipfile_serialization=False) where it can write them. What it does
not write any more (views of storages), and what is wrong, is put together byte by byte. No program that
can be installed writes the tar of PyTorch 0.1: all of those are made here, with pickle and struct, and
PyTorch itself, which still reads them, says what is in them. expect.json is as make_torch_zip_cases.py
tells.
"""

import collections
import io
import json
import pathlib
import pickle
import struct
import tempfile
import warnings

import torch

from make_torch_zip_cases import finding, network, rows, trained
from torch_zip_maker import dictionary, name, number, numbers, pickled, storages_of, text

ROOT = pathlib.Path(__file__).resolve().parent.parent / "cases"
MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
VERSION = b"\x80\x02M\xe9\x03."
SYSTEM = {"protocol_version": 1001, "little_endian": True,
          "type_sizes": {"short": 2, "int": 4, "long": 4}}
SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.arange(2.0)}
warnings.simplefilter("ignore")


def load(data):
    """What torch.load gives; tar archives it reads from named files only."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return torch.load(file.name, weights_only=False)


def takes(data, weights_only):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            torch.load(file.name, weights_only=weights_only)
            return True
        except Exception:  # what it raises does not matter
            return False


def case(form, title, data, **expect):
    folder = ROOT / form / title
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.pt").write_bytes(data)
    if "error" not in expect:
        expect.setdefault("format", form)
        expect["weights_only"] = {"loads": takes(data, True)} | expect.get("weights_only", {})
    text = json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "expect.json").write_text(text + "\n")


def legacy(title, data, **expect):
    case("torch-legacy", title, data, **expect)


def state(form, title, data, **expect):
    """The top is a state dict that PyTorch loads: its rows are PyTorch's."""
    expect.setdefault("container", "")
    expect.setdefault("tensors", rows(load(data)))
    case(form, title, data, **expect)


def saved(obj, **arguments):
    out = io.BytesIO()
    torch.save(obj, out, _use_new_zipfile_serialization=False, **arguments)
    return fixed_keys(out.getvalue())


def fixed_keys(data):
    """torch.save's keys are addresses: make them the same each time."""
    keys = []
    pickle_machine = io.BytesIO(data)
    for _ in range(3):
        pickle.load(pickle_machine)

    class Keys(pickle.Unpickler):
        def persistent_load(self, pid):
            if pid[0] == "storage" and pid[2] not in keys:
                keys.append(pid[2])
            return None if pid[0] == "storage" else pid[1]

        def find_class(self, module, attribute):
            return dict if "rebuild" in attribute else lambda *_: Nothing()

    class Nothing:
        def __setstate__(self, _):
            pass

        def __setitem__(self, *_):
            pass

    try:
        Keys(pickle_machine).load()
    except Exception:  # the keys are all that matters
        pass
    for i, key in enumerate(keys):
        data = data.replace(key.encode(), str(10 ** (len(key) - 1) + i).encode())
    return data


def raw(count, data):
    return struct.pack("<q", count) + data


def stream(obj, keys, storages, magic=MAGIC, version=VERSION, system=None, trailing=b""):
    """A stream of parts: the fourth pickle's bytes, the list of keys, the storages with their heads."""
    return (magic + version + pickle.dumps(SYSTEM if system is None else system, 2) + obj +
            (keys if isinstance(keys, bytes) else pickle.dumps(keys, 2)) + b"".join(storages) + trailing)


def storage(key, count, cls="FloatStorage", view=b"N", location="cpu"):
    return (b"(" + text("storage") + name("torch", cls) + text(key) + text(location) +
            number(count) + view + b"tQ")


def view_of(key, offset, count):
    return text(key) + number(offset) + number(count) + b"\x87"


def tensor(store, size, stride, offset=0):
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + store + number(offset) + numbers(size) +
            numbers(stride) + b"\x89" + name("collections", "OrderedDict") + b")RtR")


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


TWO = pickled(dictionary([("a", tensor(storage("7", 6), [2, 3], [3, 1])),
                          ("b", tensor(storage("3", 2), [2], [1]))]))
SIX = raw(6, floats(0, 1, 2, 3, 4, 5))
PAIR = raw(2, floats(8, 9))


def written():
    for protocol in range(1, 6):
        state("torch-legacy", f"protocol-{protocol}", saved(SMALL, pickle_protocol=protocol),
              safety="clean", findings=[])
    # PyTorch writes this and cannot read it: the ids become texts.
    legacy("protocol-0", saved(SMALL, pickle_protocol=0), safety="malformed")
    net, optimizer = trained()
    data = saved({"epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()})
    legacy("wrapped", data, container="state_dict", tensors=rows(net.state_dict()), safety="clean",
           containers=[{"path": "state_dict", "kind": "weights"},
                       {"path": "optimizer", "kind": "optimizer"}],
           metadata={"epoch": 3, "has_optimizer": True, "devices": ["cpu"]}, findings=[])
    tied = torch.arange(6.0)
    state("torch-legacy", "tied-and-viewed", saved({"a": tied, "b": tied, "c": tied[2:], "d": tied.reshape(2, 3).t()}),
          aliases=[{"tied": False, "names": ["a", "b", "c", "d"]}], findings=[])
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool,
             torch.complex64]
    state("torch-legacy", "dtypes", saved({str(d).removeprefix("torch."): torch.zeros(3, dtype=d) for d in kinds}),
          safety="clean", findings=[])
    # PyTorch 2.13 writes these and fails to read them.
    untyped = {"a": torch.zeros(3, dtype=torch.float8_e4m3fn), "b": torch.zeros(3, dtype=torch.uint16)}
    legacy("dtypes-untyped", saved(untyped), tensors=rows(untyped), safety="clean")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Sequential(torch.nn.Linear(3, 1)))
    legacy("whole-module", without_source(saved(module)), container="", tensors=rows(module.state_dict()),
           containers=[{"path": "", "kind": "module", "tensors": 4}],
           metadata={"devices": ["cpu"], "module_classes": [
               "torch.nn.modules.container.Sequential", "torch.nn.modules.linear.Linear"]},
           safety="unlisted")
    legacy("one-tensor", saved(torch.zeros(2, 3)), container="",
           tensors=[{"name": "", "dtype": "float32", "shape": [2, 3]}])
    legacy("no-tensors", saved({"epoch": 1}), metadata={"epoch": 1}, safety="clean",
           findings=[finding("file.no-tensors")])


def without_source(data):
    """The source of a class is PyTorch's own text: a word stands in its place."""
    import re
    result = b""
    while True:
        m = re.search(rb"X(....)(/[^\n]*?\.py)q(.)X(....)", data, re.S)
        if m is None:
            return result + data
        length = struct.unpack("<I", m[4])[0]
        source = b"class C: pass\n"
        result += (data[:m.start()] + b"X" + struct.pack("<I", 4) + b"c.py" + b"q" + m[3] + b"X" +
                   struct.pack("<I", len(source)) + source)
        data = data[m.end() + length:]


def by_hand():
    state("torch-legacy", "list-in-another-order", stream(TWO, ["3", "7"], [PAIR, SIX]), findings=[],
          state_dicts={"": {"places": [
              {"name": "a", "has_bytes": True, "offset": len(stream(TWO, ["3", "7"], [PAIR])) + 8},
              {"name": "b", "has_bytes": True, "offset": len(stream(TWO, ["3", "7"], [])) + 8}]}})
    viewed = pickled(dictionary([
        ("all", tensor(storage("7", 6), [2, 3], [3, 1])),
        ("part", tensor(storage("7", 6, view=view_of("8", 2, 3)), [2], [1], 1)),
        ("same", tensor(storage("7", 6, view=view_of("8", 2, 3)), [3], [1]))]))
    data = stream(viewed, ["7"], [SIX])
    state("torch-legacy", "views", data, aliases=[{"tied": False, "names": ["all", "part", "same"]}],
          findings=[], state_dicts={"": {"places": [
              {"name": "all", "first_element": 0}, {"name": "part", "first_element": 3},
              {"name": "same", "first_element": 2}]}})
    assert load(data)["part"].tolist() == [3, 4]
    beyond = pickled(dictionary([("a", tensor(storage("7", 6, view=view_of("8", 2, 3)), [4], [1]))]))
    legacy("view-too-short", stream(beyond, ["7"], [SIX]), findings=[finding("tensor.outside-storage", "a")])
    past = pickled(dictionary([("a", tensor(storage("7", 6, view=view_of("8", 7, 3)), [1], [1]))]))
    legacy("view-past-the-end", stream(past, ["7"], [SIX]), findings=[finding("tensor.outside-storage", "a")])
    huge = pickled(dictionary([("a", tensor(storage("7", 6, view=view_of("8", 2**62, 2**62)), [1], [1]))]))
    legacy("view-overflow", stream(huge, ["7"], [SIX]), findings=[
        finding("tensor.malformed", "a"), finding("tensor.malformed", "a"), finding("file.no-tensors")])
    two_views = pickled(dictionary([
        ("a", tensor(storage("7", 6, view=view_of("8", 2, 3)), [3], [1])),
        ("b", tensor(storage("7", 6, view=view_of("8", 0, 3)), [3], [1]))]))
    legacy("view-key-twice", stream(two_views, ["7"], [SIX]), findings=[finding("tensor.odd", "8")])
    big = dict(SYSTEM, little_endian=False)
    state("torch-legacy", "big-endian-machine", stream(TWO, ["3", "7"], [PAIR, SIX], system=big),
          findings=[finding("file.odd-header", "little_endian")], safety="clean",
          state_dicts={"": {"places": [{"big_endian": False}, {"big_endian": False}]}})
    state("torch-legacy", "system-no-dict", stream(TWO, ["3", "7"], [PAIR, SIX], system=7),
          findings=[finding("file.odd-header", "the system's properties")])
    legacy("version-unknown", stream(TWO, ["3", "7"], [PAIR, SIX], version=b"\x80\x02M\xea\x03."),
           findings=[finding("file.malformed-header", "the version")], safety="malformed")
    legacy("key-of-no-tensor", stream(TWO, ["3", "5", "7"], [PAIR, PAIR, SIX]), safety="malformed",
           findings=[finding("file.malformed-header", "5"), finding("storage.truncated", "7")])
    state("torch-legacy", "key-not-listed", stream(TWO, ["3"], [PAIR]),
          findings=[finding("storage.missing", "7")],
          state_dicts={"": {"places": [{"name": "a", "has_bytes": False}, {"name": "b", "has_bytes": True}]}})
    legacy("keys-no-list", stream(TWO, 5, [PAIR, SIX]), safety="malformed",
           findings=[finding("file.malformed-header", "the storages' keys"),
                     finding("storage.truncated", "7"), finding("storage.truncated", "3")])
    legacy("keys-no-texts", stream(TWO, [3, 7], [PAIR, SIX]), safety="malformed")
    state("torch-legacy", "key-listed-twice", stream(TWO, ["3", "3", "7"], [PAIR, PAIR, SIX]),
          findings=[finding("tensor.odd", "3")])
    for count in (5, 7, 0, -1, 2**62, -(2**63)):
        legacy(f"count-{count}", stream(TWO, ["3", "7"], [PAIR, raw(count, floats(0, 1, 2, 3, 4, 5))]),
               safety="malformed", findings=[finding("file.malformed-header", "7"),
                                             finding("storage.truncated", "7")])
    for count in (2**61, 2**62, 2**63 - 1):
        data = pickled(dictionary([("a", tensor(storage("7", count), [2], [1]))]))
        legacy(f"elements-{count}", stream(data, ["7"], [raw(count, floats(0, 1))]),
               safety="clean" if count < 2**62 else "malformed")
    legacy("cut-storage", stream(TWO, ["3", "7"], [PAIR, SIX])[:-5], safety="clean",
           findings=[finding("storage.truncated", "7")],
           tensors=rows({"a": torch.zeros(2, 3), "b": torch.zeros(2)}))
    legacy("cut-count", stream(TWO, ["3", "7"], [PAIR, SIX])[:-28], safety="clean",
           findings=[finding("storage.truncated", "7")])
    legacy("cut-object", stream(TWO, [], [])[:200], safety="malformed")
    state("torch-legacy", "trailing", stream(TWO, ["3", "7"], [PAIR, SIX], trailing=b"rest"),
          findings=[finding("file.trailing-bytes")], safety="clean")
    state("torch-legacy", "zip-behind", stream(TWO, ["3", "7"], [PAIR, SIX], trailing=b"PK\5\6" + bytes(18)),
          findings=[finding("file.trailing-bytes"), finding("file.polyglot")], safety="malformed")
    once = stream(TWO, ["3", "7"], [PAIR, SIX])
    state("torch-legacy", "two-streams", once + once, findings=[finding("file.trailing-bytes")], safety="clean")
    evil = b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R."
    state("torch-legacy", "evil-second-stream", once + stream(evil, [], []), safety="dangerous")
    state("torch-legacy", "evil-behind", once + evil, safety="dangerous")
    for place in range(1, 5):
        parts = [MAGIC, VERSION, pickle.dumps(SYSTEM, 2), TWO, pickle.dumps(["3", "7"], 2)]
        call = b"cos\nsystem\nX\x04\0\0\0true\x85R0"
        parts[place] = b"\x80\x02" + call + parts[place][2:]
        legacy(f"evil-pickle-{place + 1}", b"".join(parts) + PAIR + SIX, safety="dangerous",
               tensors=rows({"a": torch.zeros(2, 3), "b": torch.zeros(2)}))
    # GHSA-97f8-7cmv-76j2: the number is computed.
    computed = b"\x80\x02c__builtin__\neval\nX\x1a\0\0\0" + b"0x1950a86a20f9469cfc6c     " [:26] + b"\x85R."
    case("pickle", "magic-by-eval", stream(TWO, ["3", "7"], [PAIR, SIX], magic=computed), safety="dangerous")
    state("torch-legacy", "magic-after-none",
          stream(TWO, ["3", "7"], [PAIR, SIX], magic=b"\x80\x02N" + MAGIC[2:]), safety="malformed")
    other = pickled(dictionary([("a", tensor(storage("7", 6), [2, 3], [3, 1])),
                                ("b", tensor(storage("7", 8), [7], [1]))]))
    legacy("two-sizes", stream(other, ["7"], [SIX]),
           findings=[finding("tensor.odd", "7"), finding("tensor.outside-storage", "b")])
    many = {f"layer.{i}": torch.zeros(1) for i in range(40)}
    state("torch-legacy", "many", saved(many), findings=[])
    source = (b"(" + text("module") + name("torch.nn.modules.linear", "Linear") + text("c.py") +
              text("class Linear:\n") + b"tQ")
    legacy("source", stream(pickled(dictionary([("c", source), ("a", tensor(storage("7", 6), [6], [1]))])), ["7"], [SIX]),
           findings=[finding("pickle.global-unlisted", "torch.nn.modules.linear.Linear"),
                     finding("file.code", "torch.nn.modules.linear.Linear")], safety="unlisted")


# ---- PyTorch 0.1's tar ----

class Id:
    def __init__(self, value):
        self.value = value


class Pickler(pickle._Pickler):
    def persistent_id(self, obj):
        return obj.value if isinstance(obj, Id) else None


def dumped(obj):
    out = io.BytesIO()
    Pickler(out, 2).dump(obj)
    return out.getvalue()


def member(title, data, kind=b"0", size=None, magic=b"ustar\x0000", checksum=None, prefix=b""):
    head = bytearray(512)
    head[0:len(title)] = title
    head[100:108] = b"0000644\0"
    head[108:124] = b"0000000\0" * 2
    size = len(data) if size is None else size
    head[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    head[136:148] = b"00000000000\0"
    head[148:156] = b" " * 8
    head[156:157] = kind
    head[257:257 + len(magic)] = magic
    head[345:345 + len(prefix)] = prefix
    head[148:156] = b"%06o\0 " % sum(head) if checksum is None else checksum
    return bytes(head) + data + bytes(-len(data) % 512)


def storages(items, views=(), count=None):
    return (dumped(len(items) if count is None else count) + b"".join(
        dumped_class(key, "cpu", cls) + raw(n, data) for key, cls, n, data in items) + dumped(list(views)))


def dumped_class(first, second, cls):
    put = (lambda v: number(v) if isinstance(v, int) else text(v))
    return pickled(put(first) + put(second) + name("torch", cls) + b"\x87")


def tensors(items, count=None):
    out = dumped(len(items) if count is None else count)
    for key, store, cls, size, stride, offset in items:
        out += dumped_class(key, store, cls) + struct.pack("<i", len(size)) + b"\xcd" * 4
        out += struct.pack(f"<{2 * len(size) + 1}q", *size, *stride, offset)
    return out


STORAGES = [(11, "FloatStorage", 6, floats(0, 1, 2, 3, 4, 5)), (12, "LongStorage", 2, struct.pack("<2q", 7, 8))]
TENSORS = [(21, 11, "FloatTensor", [2, 3], [3, 1], 0), (22, 12, "LongTensor", [2], [1], 0)]
OBJECT = collections.OrderedDict([("a", Id("21")), ("b", Id("22"))])


def tar(storages_=None, tensors_=None, obj=None, members=None, end=bytes(1024), **arguments):
    parts = {"sys_info": dumped(SYSTEM), "pickle": dumped(OBJECT) if obj is None else obj,
             "tensors": tensors(TENSORS) if tensors_ is None else tensors_,
             "storages": storages(STORAGES) if storages_ is None else storages_}
    parts.update(members or {})
    return b"".join(member(k.encode(), v, **arguments) for k, v in parts.items() if v is not None) + end


def record(key, value):
    """One of pax's, in an archive's member."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


class Evil:
    def __reduce__(self):
        return print, ("torch.load called what a tar archive hides",)


def hiding(form, told):
    """Archives in which Python's tarfile finds other members than some readers do."""
    plain, evil = tar(end=b""), pickle.dumps({"evil": Evil()}, 0)
    archives = {f"type-{kind.decode()}": member(b"x", plain + bytes(1024), kind=kind) + tar(obj=evil) for kind in (b"Z", b"S")}
    archives["folder-by-slash"] = member(b"x/", tar(obj=evil), kind=b"\0") + tar()
    for title, data, kind in (("pax-global", record(b"path", b"pickle"), b"g"),
                              ("pax-sparse", record(b"GNU.sparse.name", b"pickle"), b"x")):
        archives[title] = plain + member(b"pax", data, kind=kind) + member(b"other", evil) + bytes(1024)
    archives["names-two"] = plain + member(b"././@LongLink", b"pickle\0", kind=b"L") + member(
        b"pax", record(b"path", b"other"), kind=b"x") + member(b"other", evil) + bytes(1024)
    archives["pax-size"] = plain + member(b"pax", record(b"size", b" 0"), kind=b"x") + member(
        b"other", b"", size=1024) + member(b"pickle", evil) + bytes(1024)
    for title, data in archives.items():
        assert load(data) == {"evil": None}, title
        if data.startswith(b"x"):  # nothing before it
            case(form, title, data, error="unrecognized-input")
        else:
            case(form, title, data, safety="malformed", findings=[told])
    slash = plain + member(b"pax", record(b"path", b"pickle/"), kind=b"x") + member(b"other", evil) + bytes(1024)
    assert load(slash) == {"evil": None}
    case(form, "pax-slash", slash, safety="malformed")


def tars():
    form = "torch-tar"
    state(form, "plain", tar(), safety="clean", findings=[],
          weights_only={"reason": "Cannot use ``weights_only=True`` with files saved in the legacy .tar format"})
    state(form, "v7", tar(magic=b""), safety="clean", findings=[])
    views = storages(STORAGES, [(31, 11, 2, 3)])
    data = tar(views, tensors(TENSORS + [(23, 31, "FloatTensor", [2], [1], 1)]),
               dumped({"a": Id("21"), "b": Id("22"), "c": Id("23"), "d": Id("21")}))
    assert load(data)["c"].tolist() == [3, 4]
    state(form, "views", data, findings=[], aliases=[{"tied": False, "names": ["a", "c", "d"]}],
          state_dicts={"": {"places": [{"name": "a", "first_element": 0}, {"name": "b"},
                                       {"name": "c", "first_element": 3}, {"name": "d"}]}})
    state(form, "number-ids", tar(obj=dumped({"a": Id(21), "b": Id(22)})), findings=[])
    state(form, "strides", tar(None, tensors([(21, 11, "FloatTensor", [3, 2], [1, 3], 0), TENSORS[1]])), findings=[])
    state(form, "no-end", tar(end=b""), findings=[])
    state(form, "binary-size", b"".join(
            member(k, v, size=b"\x80" + len(v).to_bytes(11, "big")) for k, v in
            [(b"pickle", dumped(OBJECT)), (b"tensors", tensors(TENSORS)), (b"storages", storages(STORAGES))]) + bytes(1024),
          findings=[])
    long_name = b"x" * 150
    state(form, "long-name", member(b"././@LongLink", long_name + b"\0", kind=b"L") + member(b"x" * 100, b"?") + tar(), findings=[])
    pax = b"path=%s\n" % long_name
    pax = b"%d " % (len(pax) + 4) + pax
    state(form, "pax-name", member(b"pax", pax, kind=b"x") + member(b"x" * 100, b"?") + tar(), findings=[])
    path = b"path=pickle\n"
    path = b"%d " % (len(path) + 3) + path
    state(form, "pax-renames", member(b"pax", path, kind=b"x") + member(b"other", dumped(OBJECT)) +
          tar(members={"pickle": None}), findings=[])
    optimizer = {"epoch": 4, "state_dict": OBJECT, "best_prec1": 70.5}
    case(form, "wrapped", tar(obj=dumped(optimizer)), container="state_dict",
         tensors=rows(load(tar())), metadata={"epoch": 4, "best_prec1": 70.5, "devices": ["cpu"]}, findings=[])
    head = "file.malformed-header"
    case(form, "other-archive", member(b"readme", b"hello") + bytes(1024), error="unrecognized-input")
    case(form, "no-storages", tar(members={"storages": None}), safety="malformed")
    case(form, "no-tensors-member", tar(members={"tensors": None}), safety="malformed")
    case(form, "no-pickle", tar(members={"pickle": None}), safety="malformed")
    case(form, "pickle-twice", tar() [:-1024] + member(b"pickle", dumped({"a": Id("21")})) + bytes(1024),
         safety="malformed", findings=[finding(head, "pickle"), finding("pickle.extra-member", "pickle")],
         tensors=rows({"a": torch.zeros(2, 3)}))
    case(form, "link", tar(members={"pickle": None})[:-1024] + member(b"pickle", b"", kind=b"2") + bytes(1024),
         safety="malformed", findings=[finding(head, "pickle")])
    case(form, "checksum-wrong", tar()[:-1024] + member(b"x", b"y", checksum=b"0000001\0") + bytes(1024),
         safety="malformed", findings=[finding(head, "tar")])
    case(form, "size-no-number", tar()[:-1024] + member(b"x", b"y", size=b"12345z789012") + bytes(1024),
         safety="malformed", findings=[finding(head, "tar")])
    case(form, "size-beyond", tar()[:-1024] + member(b"x", b"y", size=2**33 - 1), safety="malformed",
         findings=[finding(head, "tar")])
    case(form, "size-huge", tar()[:-1024] + member(b"x", b"y", size=b"\x80" + b"\xff" * 11), safety="malformed",
         findings=[finding(head, "tar")])
    hiding(form, finding(head, "tar"))
    for count in (-1, 3, 2**40):
        case(form, f"storages-{count}", tar(storages(STORAGES, count=count)), safety="malformed")
        case(form, f"tensors-{count}", tar(None, tensors(TENSORS, count=count)), safety="malformed")
    case(form, "storages-text", tar(dumped("two")), safety="malformed")
    for count in (-1, 7, 2**62, 2**61):
        short = [(11, "FloatStorage", count, floats(0, 1, 2, 3, 4, 5)), STORAGES[1]]
        case(form, f"count-{count}", tar(storages(short), members={"storages": storages(short)}))
    case(form, "view-of-nothing", tar(storages(STORAGES, [(31, 99, 2, 3)])), safety="malformed",
         findings=[finding(head, "storages")])
    case(form, "view-overflow", tar(storages(STORAGES, [(31, 11, 2**62, 2**62)]),
                                    tensors(TENSORS + [(23, 31, "FloatTensor", [1], [1], 0)]),
                                    dumped({"a": Id("23")})))
    case(form, "tensor-of-nothing", tar(None, tensors([(21, 99, "FloatTensor", [1], [1], 0), TENSORS[1]])),
         safety="malformed")
    for size, stride, offset, title in (([-1, 3], [3, 1], 0, "size-negative"), ([2, 3], [-3, 1], 0, "stride-negative"),
                                        ([2, 3], [3, 1], -1, "offset-negative"), ([2, 3], [3, 1], 1, "outside"),
                                        ([2**62, 4], [4, 1], 0, "size-overflow"), ([2**62, 2], [2**62, 2], 0, "stride-overflow")):
        case(form, title, tar(None, tensors([(21, 11, "FloatTensor", size, stride, offset), TENSORS[1]])),
             containers=[{"path": "", "kind": "weights"}])
    rank = dumped(1) + dumped_class(21, 11, "FloatTensor") + struct.pack("<ii", 2**31 - 1, 0)
    case(form, "rank-huge", tar(None, rank), safety="malformed")
    case(form, "rank-negative", tar(None, dumped(1) + dumped_class(21, 11, "FloatTensor") + struct.pack("<ii", -1, 0)),
         safety="malformed")
    evil = b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."
    case(form, "evil-pickle", tar(obj=evil), safety="dangerous")
    case(form, "evil-storages", tar(evil), safety="dangerous")
    case(form, "evil-tensors", tar(None, evil), safety="dangerous")
    case(form, "evil-sys-info", tar(members={"sys_info": evil}), safety="dangerous")
    case(form, "evil-beside", tar(members={"other": evil}), safety="dangerous",
         findings=[finding("pickle.extra-member", "other"), finding("pickle.global-dangerous", "os.system")])
    case(form, "pickle-too", member(b"\x80\x02N.", b"") + tar(), safety="malformed",
         findings=[finding("file.polyglot")])
    module = b"(" + name("torch.nn.modules.linear", "Linear") + text("c.py") + text("class") + b"tQ)\x81"
    params = dictionary([("weight", text("21") + b"Q")])
    module += dictionary([("_parameters", params), ("_buffers", b"}"), ("_modules", b"}")]) + b"b"
    case(form, "whole-module", tar(obj=pickled(module)), containers=[{"path": "", "kind": "module", "tensors": 1}],
         metadata={"devices": ["cpu"], "module_classes": ["torch.nn.modules.linear.Linear"]}, safety="unlisted")


if __name__ == "__main__":
    torch.manual_seed(0)
    written()
    by_hand()
    tars()
