"""Writes tests/cases/numpy/<case>/input.np[yz] and expect.json with a real NumPy (made with 2.4.6).

    python3 tests/interop/make_numpy_cases.py

The rows of arrays that NumPy can load are what it says of them; hostile and old headers are built byte by
byte, and what is expected of them is written down by hand. expect.json is as in
make_torch_zip_cases.py.
"""

import io
import json
import pathlib
import pickle
import struct
import zipfile

import numpy

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases" / "numpy"
NAMES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
         "float32", "float64", "complex64", "complex128"}
CASE_NAMES = set()


def row(name, a):
    """An array as `ckptd inspect --json` prints it."""
    plain = a.dtype.name in NAMES
    dtype = a.dtype.name if plain else "string" if a.dtype.kind in "SU" else "unknown"
    result = {"name": name, "dtype": dtype, "shape": list(a.shape), "bytes": a.nbytes if plain else 0}
    if a.size > 0 and not a.flags.c_contiguous:
        result["strides"] = [s // a.itemsize for s in a.strides]
    return result


def case(name, suffix, data, **expect):
    assert name not in CASE_NAMES, name
    CASE_NAMES.add(name)
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"input.{suffix}").write_bytes(data)
    text = json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "expect.json").write_text(text + "\n")


def saved(array, **arguments):
    out = io.BytesIO()
    numpy.save(out, array, **arguments)
    return out.getvalue()


def finding(identifier, severity, subject="the array"):
    return {"id": identifier, "severity": severity, "subject": subject}


ODD_TYPE = finding("tensor.unknown-dtype", "warning")
SHORT = finding("storage.truncated", "error")
NO_TENSORS = finding("file.no-tensors", "info", "")


def array(name, a, findings=(), **expect):
    data = saved(a)
    case(name, "npy", data, tensors=[row("", numpy.load(io.BytesIO(data)))], weights_only=None,
         findings=list(findings), safety="clean",
         containers=[{"path": "", "kind": "fragment", "tensors": 1}], **expect)


def archive(name, arrays, save=numpy.savez, findings=(), **expect):
    out = io.BytesIO()
    save(out, **arrays)
    with numpy.load(io.BytesIO(out.getvalue())) as loaded:
        rows = [row(k, loaded[k]) for k in sorted(loaded.files, key=str.encode)]
    case(name, "npz", out.getvalue(), tensors=rows, findings=list(findings), safety="clean",
         containers=[{"path": "", "kind": "weights", "tensors": len(rows)}], **expect)


def write_real():
    for kind in sorted(NAMES):
        array(f"dtype-{kind}", numpy.zeros((2, 3), kind))
    array("big-endian", numpy.zeros((2, 3), ">f4"),
          state_dicts={"": {"places": [{"big_endian": True, "has_bytes": True, "offset": 128}]}})
    array("big-endian-bytes", numpy.zeros((2, 3), ">i1"),
          state_dicts={"": {"places": [{"big_endian": False}]}})
    array("scalar", numpy.float32(7))
    array("zero-size", numpy.zeros((0, 3), numpy.float32))
    array("fortran", numpy.asfortranarray(numpy.zeros((2, 3, 4), numpy.float32)))
    array("fortran-vector", numpy.asfortranarray(numpy.zeros(4, numpy.float32)))
    array("thirty-dimensions", numpy.zeros((1,) * 30, numpy.float32))
    array("texts", numpy.array(["ab", "c"]))
    array("bytes", numpy.array([b"ab", b"c"]))
    array("dates", numpy.zeros(3, "M8[ns]"), [ODD_TYPE])
    array("durations", numpy.zeros(3, "m8[25s]"), [ODD_TYPE])
    array("void", numpy.zeros(3, "V7"), [ODD_TYPE])
    array("long-double", numpy.zeros(3, numpy.longdouble), [ODD_TYPE])
    array("structured", numpy.zeros(3, [("a", "<f4"), ("b", ">i2", (2, 3))]), [ODD_TYPE])
    array("structured-nested", numpy.zeros(2, [("a", [("x", "<f4"), ("y", "|b1")]),
                                               (("title", "name"), "<U3")]), [ODD_TYPE])
    array("structured-aligned", numpy.zeros(2, numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
          [ODD_TYPE])
    array("structured-unicode", numpy.zeros(2, [("größe", "<f4"), ("Ω", "<f4")]), [ODD_TYPE])
    fields = [(f"field{i:05}", "<f4") for i in range(300)]
    array("structured-version-1-long", numpy.zeros(1, fields), [ODD_TYPE])
    state = {"conv.weight": numpy.zeros((2, 3), numpy.float32), "conv.bias": numpy.zeros(2),
             "a/b/c": numpy.zeros(1, numpy.int64), "scalar": numpy.float16(1)}
    archive("npz", state, metadata={}, state_dicts={"": {
        "order": ["conv.weight", "conv.bias", "a/b/c", "scalar"],
        "places": [{"has_bytes": True, "compression": "none"}] * 4}})
    archive("npz-compressed", state, numpy.savez_compressed,
            [finding("storage.compressed", "info", f"{k}.npy") for k in state],
            state_dicts={"": {"places": []}})
    archive("npz-positional", {}, lambda out: numpy.savez(out, numpy.zeros(2), numpy.zeros(3)))
    archive("npz-large-compressed", {"z": numpy.zeros(1 << 20, numpy.float32)},
            numpy.savez_compressed, [finding("storage.compressed", "info", "z.npy")])
    archive("npz-names-of-two-cases", {"W": numpy.zeros(2), "w": numpy.ones((1, 3))})


def header(text, version=1, length=None):
    text = text.encode() if isinstance(text, str) else text
    length = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I",
                                                             length) + text


def literal(descr="'<f4'", order="False", shape="(2,)"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n" % (descr, order, shape)


def write_headers():
    good = {"tensors": [{"name": "", "dtype": "float32", "shape": [2]}], "findings": [],
            "safety": "clean"}
    for name, text in [
            ("any-order", "{'shape': (2,), 'descr': '<f4', 'fortran_order': False}"),
            ("double-quotes", '{"descr": "<f4", "fortran_order": False, "shape": (2,)}'),
            ("long-suffix", "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }"),
            ("unicode-prefix", "{u'descr': u'<f4', u'fortran_order': False, u'shape': (2,), }"),
            ("native-order", literal("'=f4'")), ("named-type", literal("'float32'")),
            ("no-space", "{'descr':'<f4','fortran_order':False,'shape':(2,)}"),
            ("line-breaks", "{'descr': '<f4',\n 'fortran_order': False,\n 'shape': (2,)}\n"),
            ("padded-to-16", literal() + " " * 9 + "\n")]:
        case(f"header-{name}", "npy", header(text) + bytes(8), **good)
    for version in 2, 3:
        case(f"version-{version}", "npy", header(literal(), version) + bytes(8), **good)
    most = literal().strip()
    case("header-of-10000", "npy", header(most + " " * (9999 - len(most)) + "\n") + bytes(8), **good)
    case("header-of-10001", "npy", header(most + " " * (10000 - len(most)) + "\n") + bytes(8),
         error="limit-exceeded")
    case("header-length-4-gib", "npy", header(literal(), 2, 0xffffffff) + bytes(8),
         error="limit-exceeded")
    case("header-beyond-the-file", "npy", header(literal(), 1, 500), error="truncated-input")
    case("version-4", "npy", header(literal(), 4) + bytes(8), error="unsupported-input")
    case("version-0", "npy", header(literal(), 0) + bytes(8), error="unsupported-input")
    for name, text in [
            ("empty", ""), ("no-dict", "[1]"), ("unclosed", "{'descr': '<f4'"),
            ("key-twice", "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"),
            ("key-missing", "{'descr': '<f4', 'shape': (2,)}"),
            ("key-unknown", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}"),
            ("text-after", literal() + "x"), ("order-number", literal(order="0")),
            ("order-text", literal(order="'False'")), ("order-unknown", literal(order="false")),
            ("shape-number", literal(shape="2")), ("shape-no-tuple", literal(shape="(2)")),
            ("shape-list", literal(shape="[2]")), ("shape-negative", literal(shape="(-2,)")),
            ("shape-float", literal(shape="(2.0,)")), ("shape-bool", literal(shape="(True,)")),
            ("shape-commas", literal(shape="(2,,3)")), ("shape-comma-first", literal(shape="(,)")),
            ("shape-2-64", literal(shape="(18446744073709551616,)")),
            ("shape-65", literal(shape="(" + "1," * 65 + ")")),
            ("call", "{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': ()}"),
            ("descr-number", literal("4")), ("descr-none", literal("None")),
            ("descr-empty-tuple", literal("()")), ("descr-field-alone", literal("[('a',)]")),
            ("descr-field-text", literal("['a']")), ("descr-mixed-brackets", literal("[('a', '<f4'])")),
            ("descr-overflow", literal("[('a', '<f4', (4611686018427387904, 16))]")),
            ("descr-deep", literal("[('a', " * 40 + "'<f4'" + ")]" * 40)),
            ("text-unclosed", "{'descr': '<f4, }"), ("nul", "{'descr'\0: '<f4'}")]:
        case(f"header-wrong-{name}", "npy", header(text) + bytes(8), error="malformed-input")
    case("header-not-utf-8", "npy", header(literal("[('\xff', '<f4')]").encode("latin-1"), 3) +
         bytes(8), error="malformed-input")
    case("header-latin-1", "npy", header(literal("[('\xff', '<f4')]").encode("latin-1")) + bytes(8),
         safety="clean", findings=[ODD_TYPE])
    case("descr-tuple", "npy", header(literal("('<f4', (2, 3))")) + bytes(48), safety="clean",
         findings=[ODD_TYPE])
    for name, descr in [("nonsense", "'zz'"), ("empty", "''"), ("only-order", "'<'"),
                        ("no-size", "'<f'"), ("huge", "'<f99999999999999999999'")]:
        case(f"descr-{name}", "npy", header(literal(descr)) + bytes(8), safety="malformed",
             tensors=[{"name": "", "dtype": "unknown", "shape": [2]}],
             findings=[finding("file.malformed-header", "error"), ODD_TYPE])
    write_sizes()


def write_sizes():
    bad = {"safety": "malformed", "containers": [{"path": "", "kind": "fragment", "tensors": 1}],
           "findings": [SHORT], "state_dicts": {"": {"places": []}}}
    case("cut-off", "npy", header(literal()) + bytes(7), **bad)
    case("shape-beyond", "npy", header(literal(shape="(1000000, 1000000)")) + bytes(7), **bad)
    case("item-huge", "npy", header(literal("'|V9223372036854775807'", shape="(4,)")) + bytes(7),
         **{**bad, "findings": [ODD_TYPE, SHORT]})
    overflow = {"safety": "malformed", "tensors": [],
                "findings": [finding("tensor.malformed", "error"), NO_TENSORS]}
    case("shape-bytes", "npy", header(literal(shape="(4611686018427387904,)")) + bytes(7),
         **overflow)
    case("shape-product", "npy", header(literal(shape="(4294967296, 4294967296)")) + bytes(8),
         **overflow)
    case("shape-hidden-by-zero", "npy",
         header(literal(shape="(4294967296, 4294967296, 0)")) + bytes(8), **overflow)
    case("shape-2-63", "npy", header(literal("'|b1'", shape="(9223372036854775808,)")) + bytes(8),
         **overflow)
    case("trailing", "npy", saved(numpy.zeros(2)) + b"more", safety="clean",
         findings=[finding("file.trailing-bytes", "warning")])
    case("two-arrays", "npy", saved(numpy.zeros(2)) * 2, safety="clean",
         findings=[finding("file.trailing-bytes", "warning")])


class Evil:
    def __reduce__(self):
        return (__import__("os").system, ("true",))


def objects(name, data, safety, **expect):
    case(name, "npy", data, container=None, tensors=[], safety=safety, weights_only=None,
         state_dicts={"": {"kind": "fragment", "tensors": []}}, **expect)


def zipped(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            z.writestr(info, data)
    return out.getvalue()


def write_objects():
    evil = saved(numpy.array([Evil()], dtype=object))
    objects("objects", saved(numpy.array([{"a": 1}, None], dtype=object)), "unlisted")
    objects("objects-evil", evil, "dangerous")
    # What numpy.dtype takes for objects though NumPy never writes it so.
    for name, descr in [("by-name", "'object'"), ("escaped", r"'\x4f'"), ("counted", "'2O'"),
                        ("among-others", "'i4,O'"), ("in-a-field", "[('a', 'i4,O')]")]:
        assert numpy.dtype(eval(descr)).hasobject
        case(f"objects-evil-{name}", "npy", header(literal(descr, shape="(1,)")) + pickle.dumps(Evil(), 2),
             safety="dangerous")
    objects("objects-structured", header(literal("[('a', '<f4'), ('b', '|O')]")) +
            pickle.dumps([1, 2], 2), "clean",
            findings=[finding("pickle.nested", "warning"), NO_TENSORS])
    objects("objects-cut", saved(numpy.array([1, None], dtype=object))[:-5], "malformed")
    objects("objects-without-pickle", header(literal("'|O'")), "malformed")
    objects("objects-then-more", header(literal("'|O'")) + pickle.dumps([1], 2) + b"more", "clean",
            findings=[finding("pickle.nested", "warning"),
                      finding("pickle.trailing-bytes", "warning"), NO_TENSORS])
    one = saved(numpy.zeros(2, numpy.float32))
    for method, suffix in (zipfile.ZIP_STORED, ""), (zipfile.ZIP_DEFLATED, "-deflated"):
        case(f"npz-objects-evil{suffix}", "npz", zipped([("a.npy", one), ("b.npy", evil)], method),
             safety="dangerous", entries=[{"name": "b", "kind": "object", "type": "numpy.ndarray"}])
        case(f"npz-pickle-beside{suffix}", "npz",
             zipped([("a.npy", one), ("notes", pickle.dumps(Evil(), 2))], method),
             safety="dangerous", entries=[{"name": "notes", "kind": "bytes", "type": "bytes"}])


def write_archives():
    one = saved(numpy.zeros(2, numpy.float32))
    row_a = {"name": "a", "dtype": "float32", "shape": [2]}
    broken = finding("file.malformed-header", "error", "b.npy")
    entry = [{"name": "b", "kind": "object", "type": "numpy.ndarray"}]
    other = finding("file.other", "info", "readme.txt")
    case("npz-other-member", "npz", zipped([("a.npy", one), ("readme.txt", b"hello")]),
         tensors=[row_a], findings=[other], safety="clean",
         entries=[{"name": "readme.txt", "kind": "bytes", "type": "bytes"}])
    case("npz-name-without-npy", "npz", zipped([("a", one)]), tensors=[row_a], findings=[],
         safety="clean")
    case("npz-member-broken", "npz", zipped([("a.npy", one), ("b.npy", b"\x93NUMPY\1\0")]),
         tensors=[row_a], findings=[broken], safety="malformed", entries=entry)
    case("npz-member-no-array", "npz", zipped([("a.npy", one), ("b.npy", b"hello")]),
         tensors=[row_a], findings=[broken], safety="malformed", entries=entry)
    case("npz-member-empty", "npz", zipped([("a.npy", one), ("b.npy", b"")]), tensors=[row_a],
         findings=[broken], safety="malformed", entries=entry)
    case("npz-member-cut", "npz", zipped([("a.npy", one), ("b.npy", one[:-1])]),
         findings=[finding("storage.truncated", "error", "b.npy")], safety="malformed")
    case("npz-header-of-10001", "npz",
         zipped([("a.npy", one), ("b.npy", header(literal() + " " * 9999))]), tensors=[row_a],
         findings=[broken], safety="malformed", entries=entry)
    long_header = header(literal() + " " * 5000) + bytes(8)
    case("npz-header-of-5000-deflated", "npz", zipped([("a.npy", long_header)],
                                                      zipfile.ZIP_DEFLATED),
         tensors=[row_a], safety="clean", findings=[finding("storage.compressed", "info", "a.npy")])
    case("npz-two-of-a-name", "npz", zipped([("a.npy", one), ("a", one)]), tensors=[row_a],
         findings=[finding("state-dict.duplicate-key", "warning", "a")], safety="malformed")
    case("npz-folder", "npz", zipped([("x/", b""), ("x/a.npy", one)]), findings=[],
         tensors=[{**row_a, "name": "x/a"}], safety="clean")
    case("npz-cut-off", "npz", zipped([("a.npy", one)])[:-30], error="truncated-input")


if __name__ == "__main__":
    write_real()
    write_headers()
    write_objects()
    write_archives()
    print(f"{len(CASE_NAMES)} cases in tests/cases/numpy")
