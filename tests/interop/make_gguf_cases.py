"""Writes tests/cases/gguf/<case>/input.gguf and expect.json (made with the gguf package 0.19.0).

    python3 tests/interop/make_gguf_cases.py

Files that the package can write are written by it, and the rows of their tensors are what its GGUFReader
says. Old versions, forks' types and hostile files are built byte by byte; what is expected of them is
written down by hand. expect.json is as in make_torch_zip_cases.py.
"""

import json
import pathlib
import struct
import tempfile

import gguf
import numpy

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases" / "gguf"
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8",
          "I16": "int16", "I32": "int32", "I64": "int64"}
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
         I64: "q", F64: "d"}
ARCHITECTURE = ("general.architecture", STRING, "llama")
CASE_NAMES = set()


def dtype(kind):
    return DTYPES.get(kind.name, "ggml_" + kind.name.lower())


def rows(path):
    """The tensors as the package reads them, as `ckptd inspect --json` prints them."""
    tensors = gguf.GGUFReader(path).tensors
    return [{"name": t.name, "dtype": dtype(t.tensor_type), "bytes": int(t.n_bytes),
             "shape": [int(d) for d in reversed(t.shape)]}
            for t in sorted(tensors, key=lambda t: t.name.encode())]


def case(name, data, **expect):
    assert name not in CASE_NAMES, name
    CASE_NAMES.add(name)
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.gguf").write_bytes(data)
    text = json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "expect.json").write_text(text + "\n")


def written(name, fill, endian=gguf.GGUFEndian.LITTLE, arch="llama", **expect):
    """A file of the package's, of which it says what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.gguf"
        w = gguf.GGUFWriter(path, arch, endianess=endian)
        fill(w)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()
        expect.setdefault("tensors", rows(path))
        expect.setdefault("safety", "clean")
        expect.setdefault("weights_only", None)
        case(name, path.read_bytes(), **expect)


class Builder:
    """A file byte by byte."""

    def __init__(self, version=3, big=False):
        self.order = ">" if big else "<"
        self.version = version
        self.size_code = "I" if version == 1 else "Q"

    def pack(self, code, value):
        return struct.pack(self.order + code, value)

    def size(self, value):
        return self.pack(self.size_code, value)

    def text(self, value):
        value = value.encode() if isinstance(value, str) else value
        return self.size(len(value)) + value

    def value(self, kind, value):
        if kind == STRING:
            return self.text(value)
        if kind == ARRAY:
            inner, items = value
            return (self.pack("I", inner) + self.size(len(items)) +
                    b"".join(self.value(inner, v) for v in items))
        return self.pack(CODES[kind], value)

    def key(self, name, kind, value):
        return self.text(name) + self.pack("I", kind) + self.value(kind, value)

    def tensor(self, name, dims, kind, offset):
        return (self.text(name) + self.pack("I", len(dims)) + b"".join(map(self.size, dims)) +
                self.pack("I", kind) + self.pack("Q", offset))

    def file(self, keys=(ARCHITECTURE,), tensors=(), data=b"", counts=None, alignment=32):
        table = (b"".join(self.key(*k) for k in keys) + b"".join(self.tensor(*t) for t in tensors))
        counts = counts or (len(tensors), len(keys))
        head = (b"GGUF" + self.pack("I", self.version) + self.size(counts[0]) +
                self.size(counts[1]) + table)
        return head + bytes(-len(head) % alignment) + data


def row(name, kind, *shape):
    return {"name": name, "dtype": kind, "shape": list(shape)}


def finding(identifier, severity, subject=""):
    return {"id": identifier, "severity": severity, "subject": subject}


MISSING = finding("file.odd-header", "warning", "general.architecture")


def plain_tensors(w):
    w.add_tensor("token_embd.weight", numpy.zeros((4, 8), numpy.float32))
    w.add_tensor("blk.0.attn_norm.weight", numpy.zeros(8, numpy.float32))
    w.add_tensor("output.weight", numpy.zeros((4, 8), numpy.float16))


def all_types(w):
    for kind in gguf.GGMLQuantizationType:
        if kind.name == "Q8_1": # 36 bytes in ggml, 40 in this package
            continue
        elements, octets = gguf.GGML_QUANT_SIZES[kind]
        data = numpy.zeros((2, 3, octets), numpy.uint8)
        w.add_tensor(f"t.{kind.name}", data, raw_dtype=kind)


def described(w):
    w.add_name("A model")
    w.add_context_length(4096)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_quantization_version(2)
    w.add_file_type(7)
    w.add_bool("a.bool", True)
    w.add_int8("a.i8", -3)
    w.add_int16("a.i16", -300)
    w.add_int32("a.i32", -70000)
    w.add_key_value("a.i64", -(1 << 62), gguf.GGUFValueType.INT64)
    w.add_uint8("a.u8", 255)
    w.add_uint16("a.u16", 65535)
    w.add_uint64("a.u64", 1 << 63)
    w.add_float64("a.f64", 0.1)
    w.add_float32("a.nan", float("nan"))
    w.add_array("a.floats", [0.5, 0.1])
    w.add_array("a.texts", ["x", "größe"])
    w.add_array("tokenizer.ggml.tokens", [f"t{i}" for i in range(100)])
    w.add_array("tokenizer.ggml.scores", [0.0] * 100)
    w.add_string("tokenizer.chat_template", "x" * 9000)
    plain_tensors(w)


DESCRIBED = {
    "GGUF.version": 3, "general.architecture": "llama", "general.name": "A model",
    "llama.context_length": 4096, "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "general.quantization_version": 2, "general.file_type": 7, "a.bool": True, "a.i8": -3,
    "a.i16": -300, "a.i32": -70000, "a.i64": -(1 << 62), "a.u8": 255, "a.u16": 65535,
    "a.u64": 1 << 63, "a.f64": 0.1, "a.nan": None, "a.floats": [0.5, 0.1],
    "a.texts": ["x", "größe"], "tokenizer.ggml.tokens": {"type": "string", "count": 100},
    "tokenizer.ggml.scores": {"type": "float32", "count": 100},
    "tokenizer.chat_template": {"type": "string", "bytes": 9000},
}


def quantized(w):
    w.add_tensor("blk.0.ffn_up.weight", numpy.zeros((4, 144), numpy.uint8),
                 raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    w.add_tensor("blk.0.ffn_norm.weight", numpy.zeros(256, numpy.float32))


def adapter(w):
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 16.0)
    w.add_tensor("blk.0.attn_q.weight.lora_a", numpy.zeros((2, 8), numpy.float32))
    w.add_tensor("blk.0.attn_q.weight.lora_b", numpy.zeros((8, 2), numpy.float32))


def vocabulary(w):
    w.add_array("tokenizer.ggml.tokens", ["a", "b"])


def kinds(kind, count, path=""):
    return [{"path": path, "kind": kind, "tensors": count}]


def write_real():
    written("plain", plain_tensors, findings=[], containers=kinds("weights", 3),
            state_dicts={"": {"order": ["token_embd.weight", "blk.0.attn_norm.weight",
                                        "output.weight"]}})
    written("big-endian", plain_tensors, endian=gguf.GGUFEndian.BIG, findings=[],
            metadata={"GGUF.version": 3, "general.architecture": "llama"},
            state_dicts={"": {"places": [{"big_endian": True}] * 3}})
    written("all-types", all_types, containers=kinds("quantized", len(gguf.GGMLQuantizationType) - 1))
    written("metadata", described, metadata=DESCRIBED)
    written("metadata-big-endian", described, endian=gguf.GGUFEndian.BIG, metadata=DESCRIBED)
    written("quantized", quantized, containers=kinds("quantized", 2),
            findings=[finding("weights.quantized", "info")])
    written("adapter", adapter, containers=kinds("adapter", 2), findings=[])
    written("vocabulary", vocabulary, containers=kinds("weights", 0), container=None, tensors=[],
            findings=[finding("file.no-tensors", "info")])
    written("alignment-64", lambda w: (w.add_custom_alignment(64), plain_tensors(w)), findings=[])
    written("mmproj", lambda w: (w.add_type("mmproj"), plain_tensors(w)), arch="clip",
            containers=kinds("weights", 3), findings=[])


def split(number, count, tensors):
    return [ARCHITECTURE, ("split.no", U16, number), ("split.count", U16, count),
            ("split.tensors.count", I32, tensors)]


def write_built():
    b = Builder()
    two = [("a", [8], 0, 0), ("b", [8], 0, 32)]
    rows_two = [row("a", "float32", 8), row("b", "float32", 8)]
    for version in 1, 2:
        case(f"version-{version}", Builder(version).file(tensors=two, data=bytes(64)),
             tensors=rows_two, findings=[], safety="clean",
             metadata={"GGUF.version": version, "general.architecture": "llama"})
    case("version-2-big-endian", Builder(2, big=True).file(tensors=two, data=bytes(64)),
         tensors=rows_two, findings=[finding("file.odd-header", "warning")], safety="clean")
    case("version-4", Builder(4).file(tensors=two, data=bytes(64)), error="unsupported-input")
    case("version-0", Builder(0).file(tensors=two, data=bytes(64)), error="unsupported-input")
    case("shard", b.file(split(1, 5, 9), two, bytes(64)), tensors=rows_two, safety="clean",
         containers=kinds("fragment", 2), findings=[finding("fragment.part", "info")])
    case("shard-first-is-empty", b.file(split(0, 5, 9)), tensors=[], safety="clean",
         findings=[finding("fragment.part", "info"), finding("file.no-tensors", "info")])
    case("shard-beyond-count", b.file(split(5, 5, 9), two, bytes(64)), tensors=rows_two,
         safety="malformed", findings=[finding("file.malformed-header", "error", "split.no")])
    case("shard-of-one", b.file(split(0, 1, 2), two, bytes(64)), findings=[], safety="clean",
         containers=kinds("weights", 2))
    case("no-architecture", b.file([], two, bytes(64)), findings=[MISSING], safety="clean")
    case("scalar", b.file(tensors=[("s", [], 0, 0)], data=bytes(32)), findings=[],
         tensors=[row("s", "float32")])
    case("zero-size", b.file(tensors=[("z", [0, 7], 0, 0), ("a", [8], 0, 0)], data=bytes(32)),
         findings=[], tensors=[row("a", "float32", 8), row("z", "float32", 7, 0)])
    case("reversed-dims", b.file(tensors=[("t", [2, 3, 4], 24, 0)], data=bytes(32)), findings=[],
         tensors=[row("t", "int8", 4, 3, 2)])
    case("adapter-by-names", b.file(tensors=[("x.lora_a", [8], 0, 0), ("x.lora_b", [8], 0, 32)],
                                    data=bytes(64)), containers=kinds("adapter", 2), findings=[])
    case("last-padding-left-out", b.file(tensors=[("a", [1], 0, 0)], data=bytes(4)), findings=[],
         safety="clean")
    write_types(b)
    write_keys(b, two, rows_two)
    write_places(b, two, rows_two)
    write_counts(b, two, rows_two)


def write_types(b):
    odd = finding("tensor.unknown-dtype", "warning", "a")
    for name, kind in [("removed", 4), ("removed-packed", 31), ("removed-last", 38),
                       ("unknown", 120), ("unknown-gap", 43), ("unknown-far", 0xffffffff)]:
        case(f"type-{name}", b.file(tensors=[("a", [32], kind, 0)], data=bytes(64)),
             tensors=[{**row("a", "unknown", 32), "bytes": 0}], findings=[odd], safety="clean")
    case("type-q8-1", b.file(tensors=[("a", [32], 9, 0)], data=bytes(64)), safety="clean",
         tensors=[{**row("a", "ggml_q8_1", 32), "bytes": 36}])
    case("type-q2-0", b.file(tensors=[("a", [128], 42, 0)], data=bytes(64)), safety="clean",
         tensors=[{**row("a", "ggml_q2_0", 128), "bytes": 36}])
    broken = finding("tensor.malformed", "error", "a")
    quantized_note = finding("weights.quantized", "info")
    case("rows-not-whole-blocks", b.file(tensors=[("a", [16, 2], 2, 0)], data=bytes(32)),
         tensors=[row("a", "ggml_q4_0", 2, 16)], findings=[broken, quantized_note],
         safety="malformed")
    for name, dims in [("product", [1 << 32, 1 << 32]), ("wraps-to-zero", [1 << 63, 2]),
                       ("dimension", [1 << 63]), ("hidden-by-zero", [1 << 40, 1 << 40, 0]),
                       ("bytes", [1 << 62])]:
        case(f"overflow-{name}", b.file(tensors=[("a", dims, 0, 0), ("b", [8], 0, 0)],
                                        data=bytes(32)),
             tensors=[row("b", "float32", 8)], findings=[broken], safety="malformed")
    case("five-dimensions", b.file(tensors=[("a", [1, 2, 1, 2, 2], 0, 0)], data=bytes(32)),
         tensors=[row("a", "float32", 2, 2, 1, 2, 1)], safety="clean",
         findings=[finding("tensor.odd", "warning", "a")])
    case("many-dimensions", b.file(tensors=[("a", [1] * 65, 0, 0)], data=bytes(32)), tensors=[],
         findings=[finding("file.malformed-header", "error")], safety="malformed")


def write_keys(b, two, rows_two):
    data = bytes(64)

    def bad(name, keys, subject, **expect):
        expect.setdefault("tensors", rows_two)
        case(name, b.file([ARCHITECTURE, *keys], two, data), safety="malformed",
             findings=[finding("file.malformed-header", "error", subject)], **expect)

    bad("key-twice", [("k", U32, 1), ("k", U32, 2)], "k",
        metadata={"GGUF.version": 3, "general.architecture": "llama", "k": 1})
    bad("key-of-the-reader", [("GGUF.version", U32, 9)], "GGUF.version",
        metadata={"GGUF.version": 3, "general.architecture": "llama"})
    bad("key-empty", [("", U32, 1)], "")
    bad("bool-of-two", [("k", BOOL, 2)], "k")
    bad("alignment-0", [("general.alignment", U32, 0)], "general.alignment",
        state_dicts={"": {"places": []}})
    bad("alignment-3", [("general.alignment", U32, 3)], "general.alignment",
        state_dicts={"": {"places": []}})
    bad("alignment-u64", [("general.alignment", U64, 32)], "general.alignment")
    case("alignment-4", b.file([ARCHITECTURE, ("general.alignment", U32, 4)], two, data,
                               alignment=4),
         tensors=rows_two, safety="clean",
         findings=[finding("file.odd-header", "warning", "general.alignment")])
    case("alignment-2-31", b.file([ARCHITECTURE, ("general.alignment", U32, 1 << 31)], two, data),
         tensors=rows_two, safety="malformed",
         findings=[finding("tensor.malformed", "error", "b"),
                   finding("tensor.outside-storage", "error", "a")])
    odd = finding("file.odd-header", "warning", "k")
    nested = ("k", ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["x"]), (ARRAY, [(F64, [0.5])])]))
    case("array-nested", b.file([ARCHITECTURE, nested], two, data), tensors=rows_two,
         findings=[odd], safety="clean",
         metadata={"GGUF.version": 3, "general.architecture": "llama",
                   "k": {"type": "array", "count": 3}})
    deep = (U8, [1])
    for _ in range(9):
        deep = (ARRAY, [deep])
    stop = finding("file.malformed-header", "error")
    case("array-nested-too-deep", b.file([ARCHITECTURE, ("k", ARRAY, deep)], two, data), tensors=[],
         findings=[odd, stop], safety="malformed")
    case("array-empty", b.file([ARCHITECTURE, ("k", ARRAY, (U32, []))], two, data), findings=[],
         metadata={"GGUF.version": 3, "general.architecture": "llama", "k": []})
    raw = b.text("k") + b.pack("I", ARRAY) + b.pack("I", U8)
    for name, count in [("2-63", 1 << 63), ("2-64", (1 << 64) - 1), ("past-end", 10000)]:
        broken = b.file([ARCHITECTURE]) # the second key is put in by hand
        head = bytearray(broken[:24 + len(b.key(*ARCHITECTURE))])
        head[16] = 2
        case(f"array-count-{name}", bytes(head) + raw + b.pack("Q", count) + bytes(64), tensors=[],
             findings=[stop], safety="malformed",
             metadata={"GGUF.version": 3, "general.architecture": "llama"})
        wide = b.text("k") + b.pack("I", ARRAY) + b.pack("I", U64)
        case(f"array-of-u64-count-{name}", bytes(head) + wide + b.pack("Q", count) + bytes(64),
             tensors=[], findings=[stop], safety="malformed")
    for name, text in [("unknown-type", b.text("k") + b.pack("I", 13)),
                       ("array-of-unknown", b.text("k") + b.pack("I", 9) + b.pack("I", 13) +
                        b.pack("Q", 1)),
                       ("text-length-2-63", b.text("k") + b.pack("I", 8) + b.pack("Q", 1 << 63)),
                       ("name-length-2-64", b.pack("Q", (1 << 64) - 1)),
                       ("name-too-long", b.text("k" * 65536) + b.pack("I", 0) + b"x")]:
        head = bytearray(b.file([ARCHITECTURE])[:24 + len(b.key(*ARCHITECTURE))])
        head[16] = 2
        if name == "name-too-long": # it need not be there to be too long
            text = text[:64]
        case(f"key-{name}", bytes(head) + text + bytes(64), tensors=[], findings=[stop],
             safety="malformed", metadata={"GGUF.version": 3, "general.architecture": "llama"})
    case("key-not-text", b.file([ARCHITECTURE, (b"k\xff", U8, 1)], two, data), tensors=rows_two,
         findings=[{"id": "file.odd-header", "severity": "warning"}], safety="clean",
         metadata={"GGUF.version": 3, "general.architecture": "llama"})
    case("key-of-control-characters", b.file([ARCHITECTURE, (b"\1" * 65535, U8, 1)], two, data),
         tensors=rows_two, findings=[], safety="clean",
         metadata={"GGUF.version": 3, "general.architecture": "llama"})
    case("value-not-text", b.file([ARCHITECTURE, ("k", STRING, b"\xff\x00")], two, data),
         tensors=rows_two, findings=[], safety="clean",
         metadata={"GGUF.version": 3, "general.architecture": "llama",
                   "k": {"type": "string", "bytes": 2}})


def write_places(b, two, rows_two):
    data = bytes(64)
    placed = {"findings": [finding("tensor.outside-storage", "error", "b")], "safety": "malformed",
              "tensors": rows_two, "state_dicts": {"": {"places": [
                  {"name": "a", "has_bytes": True}, {"name": "b", "has_bytes": False}]}}}
    for name, offset in [("past-end", 64), ("2-63", 1 << 63), ("2-64", (1 << 64) - 32)]:
        case(f"offset-{name}", b.file(tensors=[two[0], ("b", [8], 0, offset)], data=data), **{
            **placed, "findings": placed["findings"]})
    case("cut-off", b.file(tensors=two, data=data[:40]), **placed)
    case("offset-not-aligned", b.file(tensors=[two[0], ("b", [8], 0, 33)], data=bytes(96)),
         tensors=rows_two, findings=[finding("tensor.malformed", "error", "b")],
         safety="malformed")
    case("overlap", b.file(tensors=[("a", [16], 0, 0), ("b", [8], 0, 32)], data=data),
         tensors=[row("a", "float32", 16), row("b", "float32", 8)], safety="malformed",
         findings=[finding("tensor.overlap", "warning", "b")])
    case("same-offset", b.file(tensors=[("a", [8], 0, 0), ("b", [8], 0, 0)], data=bytes(32)),
         tensors=rows_two, safety="malformed",
         findings=[finding("tensor.overlap", "warning", "b")])
    case("hole", b.file(tensors=[two[0], ("b", [8], 0, 64)], data=bytes(96)), tensors=rows_two,
         findings=[finding("file.odd-header", "warning", "b")], safety="clean")
    case("order", b.file(tensors=[("a", [8], 0, 32), ("b", [8], 0, 0)], data=data),
         tensors=rows_two, findings=[finding("file.odd-header", "warning", "b")], safety="clean")
    case("trailing", b.file(tensors=two, data=bytes(100)), tensors=rows_two, safety="clean",
         findings=[finding("file.trailing-bytes", "warning")])
    case("name-twice", b.file(tensors=[two[0], ("a", [8], 0, 32)], data=data),
         tensors=[row("a", "float32", 8)], safety="malformed",
         findings=[finding("state-dict.duplicate-key", "warning", "a")])
    case("name-empty", b.file(tensors=[("", [8], 0, 0)], data=bytes(32)), safety="clean",
         tensors=[row("", "float32", 8)], findings=[finding("state-dict.odd-key", "warning")])
    case("name-of-64", b.file(tensors=[("n" * 64, [8], 0, 0)], data=bytes(32)), safety="clean",
         findings=[finding("state-dict.odd-key", "warning", "n" * 64)])
    case("name-of-63", b.file(tensors=[("n" * 63, [8], 0, 0)], data=bytes(32)), findings=[])


def write_counts(b, two, rows_two):
    stop = finding("file.malformed-header", "error")
    case("name-too-long", b.file(tensors=[two[0], ("n" * 2000, [8], 0, 32)], data=bytes(64)),
         tensors=rows_two[:1], findings=[stop], safety="malformed",
         state_dicts={"": {"places": []}})
    for name, counts in [("2-63", (2, 1 << 63)), ("2-64", (2, (1 << 64) - 1))]:
        case(f"keys-{name}", b.file(tensors=two, data=bytes(64), counts=counts),
             safety="malformed", tensors=[])
    case("tensors-2-64", b.file(tensors=two, counts=((1 << 64) - 1, 1)), safety="malformed")
    case("one-tensor-more-than-there", b.file(tensors=two, counts=(3, 1)), safety="malformed")
    case("one-tensor-fewer-than-there", b.file(tensors=two, data=bytes(64), counts=(1, 1)),
         safety="clean", tensors=rows_two[:1],
         findings=[finding("file.trailing-bytes", "warning")])
    case("header-only", b"GGUF" + struct.pack("<IQQ", 3, 0, 0), safety="clean",
         findings=[MISSING, finding("file.no-tensors", "info")])
    case("header-cut", b"GGUF" + struct.pack("<IQ", 3, 0), error="truncated-input")
    case("keys-cut", b"GGUF" + struct.pack("<IQQ", 3, 0, 1), error="truncated-input")
    for name, magic in [("ggml", b"lmgg"), ("ggmf", b"fmgg"), ("ggjt", b"tjgg"), ("ggla", b"algg")]:
        case(f"before-gguf-{name}", magic + struct.pack("<I", 1) + bytes(64),
             error="unsupported-input")


if __name__ == "__main__":
    write_real()
    write_built()
    print(f"{len(CASE_NAMES)} cases in tests/cases/gguf")
