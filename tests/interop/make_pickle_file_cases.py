"""Writes tests/cases/pickle/: bare pickles that hold weights, made by NumPy, PyTorch and joblib's layout.

    python3 tests/interop/make_pickle_file_cases.py

Rows of tensors come from the arrays and tensors themselves. expect.json is as make_torch_zip_cases.py
tells.
"""

import io
import json
import pathlib
import pickle
import struct

import numpy
import torch

from make_torch_zip_cases import finding, rows
from torch_zip_maker import dictionary, name, number, numbers, pickled, text

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases" / "pickle"
NAMES = {"f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32",
         "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool",
         "c8": "complex64", "c16": "complex128"}


def case(title, data, **expect):
    folder = CASES / title
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.pkl").write_bytes(data)
    if "error" not in expect:
        expect.setdefault("format", "pickle")
        expect.setdefault("weights_only", {"loads": False})
    text = json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "expect.json").write_text(text + "\n")


def array_row(title, a, has_place=True):
    """Of bytes that are written as a text, no strides are told: they have no place in the file."""
    result = {"name": title, "dtype": NAMES[a.dtype.str[1:]], "shape": list(a.shape)}
    if has_place and a.flags.f_contiguous and not a.flags.c_contiguous:
        result["strides"] = [s // a.itemsize for s in a.strides]
    return result


def array_rows(arrays, has_place=True):
    return [array_row(k, v, has_place) for k, v in sorted(arrays.items())]


def places(data, arrays):
    """Where an array's bytes stand, each only once in the file."""
    result = []
    for title, a in sorted(arrays.items()):
        raw = a.tobytes("A")
        row = {"name": title, "has_bytes": data.count(raw) == 1, "big_endian": a.dtype.str[0] == ">"}
        if row["has_bytes"]:
            row["offset"] = data.index(raw)
        result.append(row)
    return result


ARRAYS = {"conv.weight": numpy.arange(1, 25, dtype="f4").reshape(2, 3, 2, 2),
          "fortran": numpy.asfortranarray(numpy.arange(7, 13, dtype="f8").reshape(2, 3)),
          "big": numpy.arange(300, 305, dtype=">i4"), "long": numpy.arange(2500, dtype="i2")}


def arrays():
    zoo = {"model": ARRAYS, "__author__": "A. Person", "matching_heuristics": True}
    for protocol in range(6):
        data = pickle.dumps(zoo, protocol)
        case(f"detectron2-{protocol}", data, container="model", tensors=array_rows(ARRAYS, protocol >= 3), safety="clean",
             findings=[], metadata={"__author__": "A. Person", "matching_heuristics": True},
             containers=[{"path": "model", "kind": "weights", "tensors": 4}],
             **({"state_dicts": {"model": {"places": places(data, ARRAYS)}}} if protocol >= 3 else {}))
    blobs = {"blobs": {"conv1_w": ARRAYS["conv.weight"], "conv1_b": numpy.zeros(2, "f4"), "note": "x"}}
    case("blobs", pickle.dumps(blobs, 2), container="blobs", safety="clean",
         tensors=array_rows({k: v for k, v in blobs["blobs"].items() if k != "note"}),
         entries=[{"name": "note", "type": "str"}])
    kinds = {k: numpy.zeros(2, k) for k in NAMES}
    case("dtypes", pickle.dumps(kinds, 4), container="", tensors=array_rows(kinds), safety="clean")
    case("old-names", pickle.dumps(ARRAYS, 2).replace(b"numpy._core.", b"numpy.core."), container="",
         tensors=array_rows(ARRAYS, False), safety="clean")
    python_2 = pickled(dictionary([("w", name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") +
        b"K\0\x85U\1b\x87R(K\1K\2\x85" + name("numpy", "dtype") + b"U\2f4K\0K\1\x87R(K\3U\1<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\0tb\x89U\x08" + struct.pack("<2f", 1.5, -2) + b"tb")]))
    assert pickle.loads(python_2, encoding="latin1")["w"].tolist() == [1.5, -2]
    case("python-2", python_2, tensors=[{"name": "w", "dtype": "float32", "shape": [2]}], safety="clean",
         state_dicts={"": {"places": [{"has_bytes": True, "offset": python_2.index(struct.pack("<f", 1.5))}]}})
    same = numpy.arange(3.0)
    case("same-array-twice", pickle.dumps({"a": same, "b": same, "c": same[1:]}, 4),
         aliases=[{"tied": True, "names": ["a", "b"]}], safety="clean")
    others = {"w": numpy.zeros(2, "f4"), "text": numpy.array(["a", "bc"]), "time": numpy.zeros(2, "M8[s]"),
              "record": numpy.zeros(2, [("x", "f4")]), "object": numpy.array([1, "a"], dtype=object)}
    case("no-numbers", pickle.dumps(others, 4), tensors=array_rows({"w": others["w"]}),
         entries=[{"name": n, "type": "numpy.ndarray"} for n in ("object", "record", "text", "time")])
    case("scalars", pickle.dumps({"w": numpy.zeros((), "f4"), "best": numpy.float64(0.5), "none": numpy.zeros((0, 3))}, 4),
         tensors=[{"name": "none", "dtype": "float64", "shape": [0, 3]}, {"name": "w", "dtype": "float32", "shape": []}],
         metadata={"best": 0.5})
    case("list", pickle.dumps([numpy.zeros(2), numpy.zeros(3)], 4), container="")


def array(shape, data, dtype="f4", fortran=b"\x89", state=None):
    inner = name("numpy", "dtype") + text(dtype) + b"\x89\x88\x87R"
    whole = number(1) + shape + inner + fortran + data if state is None else state
    return (name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\0\x85C\1b\x87R(" +
            whole + b"tb")


def short_bytes(data):
    return b"C" + bytes([len(data)]) + data


def broken():
    def one(title, value, **expect):
        case(title, pickled(dictionary([("w", value), ("ok", array(numbers([2]), short_bytes(bytes(8))))])),
             tensors=[{"name": "ok", "dtype": "float32", "shape": [2]}], **expect)

    wrong = [finding("tensor.malformed", "w")]
    one("bytes-too-few", array(numbers([2, 3]), short_bytes(bytes(23))), findings=wrong)
    one("bytes-too-many", array(numbers([2, 3]), short_bytes(bytes(25))), findings=wrong)
    one("shape-negative", array(numbers([-2, 3]), short_bytes(bytes(24))), findings=wrong)
    one("shape-overflow", array(numbers([2**62, 8]), short_bytes(bytes(24))), findings=wrong)
    one("bytes-overflow", array(numbers([2**62]), short_bytes(bytes(24))), findings=wrong)
    one("shape-no-tuple", array(number(6), short_bytes(bytes(24))), findings=wrong)
    one("data-no-bytes", array(numbers([2]), number(1)), findings=wrong)
    rank = array(numbers([1] * 65), short_bytes(bytes(4)))
    case("rank-65", pickled(dictionary([("w", rank)])), error="limit-exceeded")
    one("dtype-unknown", array(numbers([2]), short_bytes(bytes(8)), dtype="q9"),
        entries=[{"name": "w", "type": "numpy.ndarray"}])
    one("state-short", array(b"", b"", state=number(1) + numbers([2])),
        entries=[{"name": "w", "type": "numpy.ndarray"}])


def magic_numbers(load, evil):
    """torch.load goes on behind a first pickle that equals the number, however it is made."""
    value = 119547037146038801333356
    spelled = {
        "padded": b"\x80\x02\x8a\x0b" + value.to_bytes(11, "little") + b".",
        "plus": b"L+%dL\n." % value,
        "hexadecimal": b"L%#xL\n." % value,
        "int": b"c__builtin__\nint\n(V%d\ntR." % value,
        "decimal": b"cdecimal\nDecimal\n(V%d\ntR." % value,
    }
    for title, first in spelled.items():
        assert pickle.loads(first) == value
        data = first + b"cos\nsystem\n(Vtrue\ntR."
        case(f"magic-{title}", pickled(load + b"B" + struct.pack("<I", len(data)) + data + b"\x85R"), safety="dangerous")
    case("magic-behind", spelled["padded"] + b"cos\nsystem\n(Vtrue\ntR.", format="torch-legacy", safety="dangerous")
    # A bytearray whose bytes are no longer what they were.
    quiet = b"\x80\x02N" + b"0N" * 20 + b"."
    changed = b"".join(b"K" + bytes([i]) + b"K" + bytes([b]) + b"s" for i, b in enumerate(evil) if quiet[i] != b)
    case("bytearray-changed", b"\x80\x05" + load + b"\x96" + struct.pack("<Q", len(quiet)) + quiet + changed + b"\x85R.",
         safety="malformed")


def nested():
    tensors = {"w": torch.arange(6.0).reshape(2, 3), "part": torch.arange(9.0)[2:5], "half": torch.zeros(4).half(),
               "big": torch.arange(1200.0)}
    tensors["view"] = tensors["w"].t()
    for protocol in (1, 2, 3, 4, 5):
        data = pickle.dumps(tensors, protocol)
        expect = {}
        if protocol > 2:
            expect["state_dicts"] = {"": {"places": [
                {"name": n, "has_bytes": True, "first_element": t.storage_offset(),
                 "offset": data.index(bytes(t.untyped_storage().tolist()))} if n in ("big", "part") else {}
                for n, t in sorted(tensors.items())]}}
        case(f"tensors-{protocol}", data, container="", safety="clean", findings=[],
             tensors=[{k: v for k, v in r.items() if protocol > 2 or k != "strides"} for r in rows(tensors)],
             aliases=[], **expect)  # each has its own copy of the storage, as pickle.loads gives it
    model = {"policy": {"net": torch.nn.Linear(2, 1).state_dict()}, "env": "x"}
    case("policy", pickle.dumps(model, 4), container="policy.net", safety="clean")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3))
    case("whole-module", pickle.dumps(module, 4), container="", tensors=rows(module.state_dict()), safety="unlisted",
         metadata={"devices": ["cpu"], "module_classes": [
             "torch.nn.modules.container.Sequential", "torch.nn.modules.linear.Linear"]})
    evil = b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R."
    load = name("torch.storage", "_load_from_bytes")
    case("evil-nested", pickled(load + short_bytes(evil) + b"\x85R"), safety="dangerous")
    long = b"\x80\x02B\0\x20\0\0" + bytes(8192) + b"0" + evil[2:]
    case("evil-nested-long", pickled(load + b"B" + struct.pack("<I", len(long)) + long + b"\x85R"),
         safety="dangerous")
    magic_numbers(load, evil)
    inner = evil
    for _ in range(6):
        inner = pickled(load + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85R")
    case("nested-too-deep", inner, safety="malformed")
    stream = io.BytesIO()
    torch.save(torch.zeros(4).untyped_storage(), stream, _use_new_zipfile_serialization=False)
    stream = stream.getvalue()
    for title, data in (("cut-in-storage", stream[:-5]), ("cut-in-count", stream[:-20]), ("cut-in-object", stream[:60]),
                        ("count-wrong", stream[:-24] + struct.pack("<q", 15) + stream[-16:]),
                        ("count-negative", stream[:-24] + struct.pack("<q", -16) + stream[-16:])):
        call = load + b"B" + struct.pack("<I", len(data)) + data + b"\x85R"
        value = (name("torch._utils", "_rebuild_tensor_v2") + b"(" + call + number(0) + numbers([16]) + numbers([1]) +
                 b"\x89" + name("collections", "OrderedDict") + b")RtR")
        case(f"nested-{title}", pickled(dictionary([("w", value)])), **(
            {"containers": [], "safety": "clean", "findings": [finding("tensor.malformed", "w"), finding("file.no-tensors")]}
            if "count-w" in title or "negative" in title else {}))


def other():
    case("plain", pickle.dumps({"a": 1, "b": [1, 2]}, 4), safety="clean", metadata={"a": 1},
         findings=[finding("file.no-tensors")])
    case("long-text", pickle.dumps({"args": {"t": "x" * 6000}, "b": 2, "w": numpy.zeros(2)}, 4), metadata={"b": 2})
    case("two-pickles", pickle.dumps({"w": numpy.zeros(2)}, 4) + pickle.dumps(2, 4), safety="clean",
         findings=[finding("file.trailing-bytes")])
    evil = b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R."
    case("evil", evil, safety="dangerous")
    case("evil-protocol-0", b"cos\nsystem\n(Vid\ntR.", safety="dangerous")
    case("evil-protocol-255", b"\x80\xff" + evil[2:], safety="dangerous")
    case("evil-second", pickle.dumps({"w": numpy.zeros(2)}, 4) + evil, safety="dangerous")
    case("evil-then-broken", evil[:-1] + b"\xff", safety="dangerous")
    case("no-stop", pickle.dumps({"w": numpy.zeros(2)}, 2)[:-1], safety="malformed")
    # A frame that a long run of bytes leaves: loaders differ.
    body = b"B\0\x20\0\0" + bytes(8192) + b"."
    case("frame-straddled", b"\x80\x04\x95" + struct.pack("<Q", 100) + body, safety="malformed")
    case("frame-whole", b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body, safety="clean")
    case("count-negative", b"\x80\x02T\xff\xff\xff\xff.", safety="malformed")
    case("count-huge", b"\x80\x04\x8e" + b"\xff" * 8 + b".", safety="malformed")
    case("text-in-brackets", b"(hello).", error="unrecognized-input")
    case("set-of-brackets", b"}{.", error="unrecognized-input")
    wrapper = (name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81" + dictionary([
        ("shape", numbers([2])), ("allow_mmap", b"\x88")]) + b"b")
    case("joblib", b"\x80\x02" + b"}(" + text("w") + wrapper + b"\xff" * 16 + b"u.", safety="malformed",
         weights_only={"loads": False})


if __name__ == "__main__":
    torch.manual_seed(0)
    arrays()
    broken()
    nested()
    other()
