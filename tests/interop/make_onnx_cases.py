"""Writes tests/cases/onnx: models that the onnx package makes, and hostile ones built byte by byte.

    python3 tests/interop/make_onnx_cases.py

What is expected of the first is what onnx's own parser says of them (onnx_oracle.py), and where their
bytes lie. The others follow the wire format; what is wrong with each is said beside it. Needs onnx.
"""

import json
import pathlib
import shutil
import struct

import numpy
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

import onnx_oracle

ROOT = pathlib.Path(__file__).resolve().parent.parent / "cases/onnx"

# ---- what is written ----


def write(name, data, expect, siblings=()):
    folder = ROOT / name
    (folder / "input").mkdir(parents=True) if siblings else folder.mkdir(parents=True)
    if siblings:
        (folder / "input/model.onnx").write_bytes(data)
        for path, content in siblings:
            (folder / "input" / path).parent.mkdir(exist_ok=True)
            (folder / "input" / path).write_bytes(content)
    else:
        (folder / "input.onnx").write_bytes(data)
    (folder / "expect.json").write_text(json.dumps(expect, indent=1, sort_keys=True) + "\n")


def state_dicts(model, kind="weights"):
    kinds = {"": kind, "constants": "weights", "training": "optimizer"}
    return {path: {"kind": kinds[path], "tensors": rows}
            for path, rows in onnx_oracle.found_in(model).items()}


def real(name, model, kind="weights", siblings=(), findings=(), safety="clean"):
    """A model of the real writer, which must read it back as it was."""
    data = model.SerializeToString(deterministic=True)
    model = onnx.load_from_string(data)
    is_opened = name == "external-length-wrong" or not {"external.path", "tensor.malformed"} & set(findings)
    if siblings and not is_opened:
        findings = [*findings, "file.other"]  # it was not opened, so nobody knows what it is for
    write(name, data, {
        "format": "onnx", "safety": safety, "findings": [{"id": f} for f in findings],
        "metadata": onnx_oracle.metadata_of(model), "state_dicts": state_dicts(model, kind),
    }, siblings)


def hostile(name, data, safety="malformed", findings=(), told=None, siblings=(), error=None, **more):
    """A file built byte by byte; told: what tensors are told of it all the same."""
    if error:
        write(name, data, {"error": error}, siblings)
        return
    expect = {"format": "onnx", "safety": safety, "findings": [{"id": f} for f in findings]}
    if told is not None:
        expect["state_dicts"] = {"": {"tensors": told}}
    write(name, data, {**expect, **more}, siblings)


# ---- the wire ----


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def tag(number, wire):
    return varint(number << 3 | wire)


def number(field, n):
    return tag(field, 0) + varint(n)


def data(field, content):
    content = content.encode() if isinstance(content, str) else content
    return tag(field, 2) + varint(len(content)) + content


def dims(*sizes):
    return b"".join(number(1, d) for d in sizes)


def tensor(name, *parts, type=1):
    return number(2, type) + data(8, name) + b"".join(parts)


def graph_of(*tensors):
    return b"".join(data(5, t) for t in tensors)


def model_of(graph, after=b""):
    return number(1, 8) + data(7, graph) + data(8, number(2, 17)) + after


F2 = dims(2) + data(9, b"\0" * 8)  # two floats
GOOD = tensor("good", F2)


def f32(name, *shape):
    return {"name": name, "dtype": "float32", "shape": list(shape)}


# ---- models of the real library ----


def info(name, type=TensorProto.FLOAT, shape=(1,)):
    return helper.make_tensor_value_info(name, type, shape)


def model(nodes=(), initializers=(), functions=(), sparse=(), **more):
    nodes = nodes or [helper.make_node("Identity", ["x"], ["y"])]
    g = helper.make_graph(nodes, "g", [info("x", shape=("batch", 3, None))], [info("y")], initializers,
                          sparse_initializer=sparse)
    return helper.make_model(g, producer_name="case", ir_version=10, functions=functions,
                             opset_imports=[helper.make_opsetid("", 21)], **more)


def floats(name, *shape):
    return numpy_helper.from_array(numpy.zeros(shape, numpy.float32), name)


def all_dtypes(raw):
    made = []
    for number, name in onnx_oracle.DTYPES.items():
        if number == TensorProto.STRING:
            if not raw:
                made.append(helper.make_tensor("t.string", number, [3], ["a", "bc", ""]))
            continue
        count = 5
        bits = {"uint4x2": 4, "int4x2": 4, "float4_e2m1x2": 4, "uint2x4": 2, "int2x4": 2,
                "float6_e2m3fn": 6, "float6_e3m2fn": 6}.get(name)
        if raw:
            width = bits or 8 * numpy.dtype(helper.tensor_dtype_to_np_dtype(number)).itemsize
            made.append(helper.make_tensor(f"t.{name}", number, [count], b"\0" * -(-count * width // 8),
                                           raw=True))
        else:
            made.append(helper.make_tensor(f"t.{name}", number, [count], [0] * count))
    return made


def constant(output, value, name=""):
    return helper.make_node("Constant", [], [output], name=name, value=value)


def branch(name, *inner):
    nodes = [constant(f"{name}_c", floats("inner", 2)), *inner,
             helper.make_node("Identity", [f"{name}_w"], [f"{name}_o"])]
    return helper.make_graph(nodes, name, [], [info(f"{name}_o")], [floats(f"{name}_w", 3)])


def nested():
    deep = helper.make_node("If", ["c"], ["deep"], then_branch=branch("d1"), else_branch=branch("d2"))
    return helper.make_node("If", ["c"], ["chosen"], name="if", then_branch=branch("t", deep),
                            else_branch=branch("e"))


def coo(name):
    values = helper.make_tensor(name, TensorProto.FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("", TensorProto.INT64, [2], [1, 5])
    return helper.make_sparse_tensor(values, indices, [3, 4])


def listed():
    """Lists in attributes, which no standard operator has."""
    n = helper.make_node("Custom", [], ["", "second"], domain="my.domain")
    n.attribute.append(helper.make_attribute("ts", [floats("a", 1), floats("b", 2)]))
    n.attribute.append(helper.make_attribute("gs", [branch("p"), branch("q")]))
    n.attribute.append(helper.make_attribute("ss", [coo("s"), coo("t")]))
    n.attribute.append(helper.make_attribute("st", coo("u")))
    return n


def write_real():
    real("initializers", model(initializers=[floats("b.weight", 2, 3), floats("a.bias", 4), floats("s")]))
    real("dtypes-raw", model(initializers=all_dtypes(True)))
    real("dtypes-typed", model(initializers=all_dtypes(False)))
    real("zero-size", model(initializers=[floats("empty", 0, 7), floats("scalar")]))
    real("sparse", model(sparse=[coo("sparse")], initializers=[floats("dense", 2)]))
    real("constants", model([constant("c", floats("ignored", 2)), constant("", floats("x", 1), "named"),
                             constant("", floats("x", 1))]), findings=())
    real("nested-if", model([nested()], [floats("top", 1)]))
    real("listed", model([listed()], [floats("top", 1)]))
    function = helper.make_function("my.domain", "Twice", ["x"], ["y"], [
        constant("two", floats("v", 2)), helper.make_node("Mul", ["x", "two"], ["y"])],
        [helper.make_opsetid("", 21)])
    real("function", model([helper.make_node("Twice", ["x"], ["y"], domain="my.domain")],
                           [floats("w", 2)], [function]))
    trained = model(initializers=[floats("w", 2)])
    algorithm = helper.make_graph([constant("lr", floats("v", 1))], "a", [], [info("w2")],
                                  [floats("moment", 2)])
    start = helper.make_graph([helper.make_node("Identity", ["z"], ["w0"])], "i", [], [info("w0")],
                              [floats("z", 2)])
    trained.training_info.append(helper.make_training_info(algorithm, [("moment", "w2")], start,
                                                           [("w", "w0")]))
    real("training", trained)
    real("no-weights", model(), findings=["file.no-tensors"])
    real("quantized", model(
        [helper.make_node("DequantizeLinear", ["w_q", "w_s", "w_z"], ["w"])],
        [helper.make_tensor("w_q", TensorProto.INT8, [8, 8], b"\0" * 64, raw=True), floats("w_s", 8),
         helper.make_tensor("w_z", TensorProto.INT8, [8], b"\0" * 8, raw=True)]),
        kind="quantized", findings=["weights.quantized"])
    real("quantized-4-bit", model(
        [helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=64, N=4)],
        [helper.make_tensor("w", TensorProto.UINT8, [4, 2, 16], b"\0" * 128, raw=True), floats("s", 8)]),
        kind="quantized", findings=["weights.quantized"])
    real("int8-but-float", model(
        [helper.make_node("DequantizeLinear", ["w_q", "w_s"], ["w"])],
        [helper.make_tensor("w_q", TensorProto.INT8, [4], b"\0" * 4, raw=True), floats("w_s", 1),
         floats("rest", 16)]))
    described = model(initializers=[floats("w", 2)], doc_string="What it is.")
    helper.set_model_props(described, {"author": "größe", "epoch": "3"})
    described.graph.input.append(info("w", shape=(2,)))  # as models of before 2019 list it
    described.graph.input.append(helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, None))
    real("metadata", described)
    write_external()


def external(name, location, offset=None, length=None, shape=(2,), type=TensorProto.FLOAT):
    t = TensorProto(name=name, data_type=type, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            t.external_data.add(key=key, value=str(value))
    return t


def write_external():
    with_places = model(initializers=[floats("a", 2), floats("b", 3, 4), floats("small", 1)])
    for t in with_places.graph.initializer:
        t.raw_data = bytes(range(len(t.raw_data)))
    folder = ROOT / "external"
    (folder / "input").mkdir(parents=True)
    onnx.save(with_places, folder / "input/model.onnx", save_as_external_data=True, location="weights.bin",
              size_threshold=8)
    loaded = onnx.load(folder / "input/model.onnx", load_external_data=False)
    places = []
    for t in sorted(loaded.graph.initializer, key=lambda t: t.name):
        keys = {e.key: e.value for e in t.external_data}
        if keys:
            places.append({"name": t.name, "file": 1, "offset": int(keys["offset"])})
        else:
            places.append({"name": t.name, "file": 0})
    told = state_dicts(loaded)
    told[""]["places"] = places
    (folder / "expect.json").write_text(json.dumps(
        {"format": "onnx", "safety": "clean", "findings": [], "state_dicts": told}, indent=1,
        sort_keys=True) + "\n")
    real("external-in-folder", model(initializers=[external("w", "./parts//w.bin", 4, 8)]),
         siblings=[("parts/w.bin", b"\0" * 12)])
    real("external-missing", model(initializers=[external("w", "w.bin", 0, 8), external("v", "w.bin", 8, 8),
                                                 floats("here", 2)]), findings=["external.missing"])
    for name, shape, offset, length in (("external-past-end", (2,), 8, 8), ("external-offset-far", (2,), 2 ** 63, 8),
                                        ("external-cut", (4,), 0, 16)):
        real(name, model(initializers=[external("w", "w.bin", offset, length, shape)]),
             siblings=[("w.bin", b"\0" * 12)], findings=["storage.truncated"], safety="malformed")
    for name, offset, length in (("external-length-wrong", 0, 9), ("external-offset-negative", -1, 8),
                                 ("external-length-no-number", 0, "8x"), ("external-offset-huge", 2 ** 70, 8)):
        real(name, model(initializers=[external("w", "w.bin", offset, length)]),
             siblings=[("w.bin", b"\0" * 12)], findings=["tensor.malformed"], safety="malformed")
    real("external-no-length", model(initializers=[external("w", "w.bin")]), siblings=[("w.bin", b"\0" * 8)])
    real("external-no-length-more", model(initializers=[external("w", "w.bin")]),
         siblings=[("w.bin", b"\0" * 12)], findings=["storage.larger-than-told"])
    real("external-shared", model(initializers=[external("w", "w.bin", 0, 8), external("v", "w.bin", 0, 8)]),
         siblings=[("w.bin", b"\0" * 8)])
    real("external-overlap", model(initializers=[external("w", "w.bin", 0, 8), external("v", "w.bin", 4, 8)]),
         siblings=[("w.bin", b"\0" * 12)], findings=["tensor.overlap"])
    for name, location in (("parent", "../w.bin"), ("parent-within", "a/../../w.bin"), ("absolute", "/etc/passwd"),
                           ("backslash", "..\\w.bin"), ("drive", "C:w.bin"), ("empty", ""), ("control", "w.bin\1"),
                           ("parent-and-back", "a/../w.bin"), ("long", "a" * 1200)):
        real(f"external-path-{name}", model(initializers=[external("w", location, 0, 8)]),
             siblings=[("w.bin", b"\0" * 8)], findings=["external.path"], safety="malformed")
    real("external-itself", model(initializers=[external("w", "model.onnx", 0, 8)]),
         siblings=[("w.bin", b"\0" * 8)], findings=["external.path"], safety="malformed")
    texts = external("w", "w.bin", 0, 8, type=TensorProto.STRING)
    both = external("w", "w.bin", 0, 8)
    both.raw_data = b"\0" * 8
    twice = external("w", "w.bin", 0, 8)
    twice.external_data.add(key="location", value="v.bin")
    for name, t in (("texts", texts), ("and-raw", both), ("location-twice", twice)):
        real(f"external-{name}", model(initializers=[t]), siblings=[("w.bin", b"\0" * 8)],
             findings=["tensor.malformed"], safety="malformed")


# ---- hostile, or only unusual ----


def agreed(name, data, **more):
    """Unusual, but every parser reads it so: what it is, onnx's own says."""
    told = onnx_oracle.found_in(onnx.load_from_string(data))
    hostile(name, data, **{"safety": "clean", "told": told[""], **more})


def node(name, *attributes):
    return data(2, name) + data(4, "Constant") + b"".join(data(5, a) for a in attributes)


def deep(levels, inner=data(5, GOOD)):
    for _ in range(levels):
        inner = data(1, node("n", data(1, "g") + data(6, inner)))
    return model_of(inner)


def must_refuse(name, whole):
    try:
        onnx.load_from_string(whole)
    except DecodeError:
        return
    raise SystemExit(f"{name}: onnx takes it")


def write_wire():
    agreed("dims-packed", model_of(graph_of(number(2, 1) + data(1, varint(3) + varint(2)) + data(8, "w") +
                                            data(9, b"\0" * 24))))
    agreed("dims-mixed", model_of(graph_of(number(1, 3) + data(1, varint(2)) + tensor("w", data(9, b"\0" * 24)))))
    agreed("fields-backwards", data(8, number(2, 17)) + data(7, graph_of(
        data(9, b"\0" * 24) + data(8, "w") + number(2, 1) + dims(2, 3))) + number(1, 8))
    agreed("last-counts", model_of(graph_of(tensor("no", data(9, b""), dims(3), type=7) + tensor(
        "w", data(9, b"\0" * 12)))))
    agreed("data-mixed", model_of(graph_of(tensor("w", dims(3), data(4, b"\0" * 8), tag(4, 5) + b"\0" * 4))))
    agreed("varint-padded", model_of(graph_of(number(2, 1) + tag(1, 0) + b"\x82" + b"\x80" * 8 + b"\x00" +
                                              data(8, "w") + data(9, b"\0" * 8))))
    agreed("type-negative", model_of(graph_of(GOOD, tensor("w", F2, type=-1))), told=[f32("good", 2)],
           safety="malformed", findings=["tensor.malformed"])
    agreed("graph-twice", model_of(graph_of(GOOD), data(7, graph_of(tensor("more", F2)))),
           findings=["file.odd-header"])
    merged = data(1, "value") + data(5, dims(2) + number(2, 7)) + data(5, dims(3) + number(2, 1) + data(9, b"\0" * 24))
    agreed("tensor-merged", model_of(graph_of(GOOD) + data(1, node("c", merged))),
           state_dicts={"constants": {"tensors": [f32("c:value", 2, 3)]}})
    type1 = data(1, number(1, 7) + data(2, data(1, number(1, 2))))
    type2 = data(1, number(1, 1) + data(2, data(1, data(2, "n"))))
    agreed("types-merged", model_of(graph_of(GOOD) + data(11, data(1, "x") + data(2, type1) + data(2, type2))),
           metadata={"inputs": [{"name": "x", "dtype": "float32", "shape": [2, "n"]}]})
    other = data(2, data(4, data(1, type1)))
    agreed("type-replaced", model_of(graph_of(GOOD) + data(11, data(1, "x") + data(2, type1) + other)),
           metadata={"inputs": [{"name": "x", "kind": "sequence"}]})
    agreed("unknown-field", model_of(graph_of(GOOD), data(99, b"anything")), findings=["file.odd-header"])
    agreed("group", model_of(graph_of(GOOD), tag(50, 3) + number(1, 1) + tag(2, 3) + tag(2, 4) + tag(50, 4)),
           findings=["file.odd-header"])
    agreed("wire-type-wrong", model_of(graph_of(GOOD) + tag(5, 0) + b"\1"), safety="malformed",
           findings=["file.malformed-header"])
    agreed("nested-deep", deep(30), told=[])
    broken = {
        "field-0": b"\0\0", "wire-type-6": tag(2, 6), "wire-type-7": tag(2, 7),
        "group-open": tag(50, 3) + number(1, 1), "group-crossed": tag(50, 3) + tag(51, 4), "group-end": tag(50, 4),
        "groups-deep": tag(50, 3) * 200 + tag(50, 4) * 200, "varint-endless": tag(5, 0) + b"\x80" * 10 + b"\0",
        "varint-of-65-bits": tag(5, 0) + b"\xff" * 9 + b"\x02", "tag-padded": b"\xa8\x80\x80\x80\x80\x00\x01",
        "length-padded": tag(6, 2) + b"\x81\x80\x80\x80\x80\x00x", "length-of-64-bits": tag(6, 2) + b"\xff" * 9 + b"\1",
        "length-too-long": data(6, b"text")[:-1], "length-near-2-63": tag(6, 2) + varint(2 ** 63 - 1),
        "opset-broken": data(8, b"\x10"), "property-broken": data(14, b"\x0a\x05abc"),
        "type-broken": data(7, data(13, data(2, data(1, data(2, b"\x0a\x09"))))),
        "packed-cut": data(7, data(1, node("n", data(1, "i") + data(8, b"\x80")))),
        "packed-uneven": data(7, data(1, node("n", data(1, "f") + data(7, b"\0" * 5)))),
        "elements-cut": data(7, graph_of(tensor("v", dims(100), data(7, b"\x80" * 100), type=7))),
        "nested-too-deep": deep(40)[2:],
        "node-too-deep": deep(33, data(1, data(3, "n")))[2:],
    }
    for name, after in broken.items():
        whole = model_of(graph_of(GOOD), after)
        if name != "varint-of-65-bits":  # which onnx's parser takes, and others refuse
            must_refuse(name, whole)
        hostile(f"wire-{name}", whole, told=None if name.endswith("too-deep") else [f32("good", 2)],
                findings=(["file.odd-header"] if name in ("type-broken", "packed-cut", "packed-uneven",
                          "elements-cut", "nested-too-deep", "node-too-deep") else []) + ["file.malformed-header"])


def write_tensors():
    bad = {
        "dim-negative": tensor("w", dims(-1), data(9, b"")),
        "dims-overflow": tensor("w", dims(2 ** 32, 2 ** 32), data(9, b"")),
        "dims-overflow-with-zero": tensor("w", dims(0, 2 ** 62, 2 ** 62), data(9, b"")),
        "dim-near-2-63": tensor("w", dims(2 ** 63 - 1), data(9, b"")),
        "rank-65": tensor("w", dims(*[1] * 65), data(9, b"\0" * 4)),
        "type-0": tensor("w", F2, type=0),
        "type-missing": data(8, "w") + F2,
    }
    for name, t in bad.items():
        hostile(f"tensor-{name}", model_of(graph_of(GOOD, t)), findings=["tensor.malformed"], told=[f32("good", 2)])
    wrong = {
        "raw-short": tensor("w", dims(2), data(9, b"\0" * 7)), "raw-long": tensor("w", dims(2), data(9, b"\0" * 9)),
        "float-data-short": tensor("w", dims(2), data(4, b"\0" * 4)),
        "float-data-long": tensor("w", dims(2), data(4, b"\0" * 12)),
        "field-of-another-type": tensor("w", dims(2), data(7, b"\0\0")),
        "raw-and-float-data": tensor("w", F2, data(4, b"\0" * 8)),
        "two-fields": tensor("w", dims(2), data(4, b"\0" * 8), data(10, b"\0" * 16)),
        "segment": tensor("w", F2, data(3, number(1, 0) + number(2, 2))),
    }
    for name, t in wrong.items():
        hostile(f"tensor-{name}", model_of(graph_of(t)), findings=["tensor.malformed"], told=[f32("w", 2)])
    for name, t, dtype, shape in (
            ("int64-few", tensor("w", dims(3), data(7, b"\0\0"), type=7), "int64", [3]),
            ("int64-many", tensor("w", dims(1), data(7, b"\0" * 11), type=7), "int64", [1]),
            ("int4-short", tensor("w", dims(5), data(9, b"\0" * 2), type=22), "int4x2", [5]),
            ("int4-long", tensor("w", dims(5), data(9, b"\0" * 5), type=22), "int4x2", [5]),
            ("texts-raw", tensor("w", dims(1), data(9, b"a"), type=8), "string", [1]),
            ("texts-few", tensor("w", dims(2), data(6, b"a"), type=8), "string", [2])):
        hostile(f"tensor-{name}", model_of(graph_of(t)), findings=["tensor.malformed"],
                told=[{"name": "w", "dtype": dtype, "shape": shape}])
    hostile("tensor-no-elements", model_of(graph_of(tensor("w", dims(2)))), findings=["storage.missing"],
            told=[f32("w", 2)])
    hostile("tensor-type-unknown", model_of(graph_of(tensor("w", F2, type=99))), safety="clean",
            findings=["tensor.unknown-dtype"], told=[{"name": "w", "dtype": "unknown", "shape": [2]}])
    hostile("tensor-name-long", model_of(graph_of(GOOD, tensor("n" * 1200, F2))), safety="clean",
            findings=["state-dict.odd-key"], told=[f32("good", 2)])
    hostile("tensor-twice", model_of(graph_of(tensor("w", dims(1), data(9, b"\0" * 4)), tensor("w", F2))),
            findings=["state-dict.duplicate-key"], told=[f32("w", 2)])
    values = tensor("s", dims(2), data(4, b"\0" * 8))
    for name, indices, shape in (("uneven", dims(3) + data(7, b"\0\0\0"), (3, 4)),
                                 ("too-many", dims(2) + data(7, b"\0\0"), (1,)),
                                 ("indices-missing", b"", (3, 4))):
        sparse = data(1, values) + data(2, number(2, 7) + indices) + b"".join(number(3, d) for d in shape)
        hostile(f"sparse-{name}", model_of(graph_of(GOOD) + data(15, sparse)),
                findings=["tensor.malformed"] + (["storage.missing"] if indices == b"" else []),
                told=[f32("good", 2), {**f32("s", *shape), "layout": "sparse_coo"}])


def write_models():
    hostile("no-ir-version", number(1, 0) + model_of(graph_of(GOOD))[2:], error="unrecognized-input")
    hostile("no-graph", number(1, 8) + data(2, "pytorch"), error="unrecognized-input")
    hostile("no-opset", number(1, 8) + data(7, graph_of(GOOD)), safety="clean", findings=["file.odd-header"],
            told=[f32("good", 2)])
    hostile("cut-off", model_of(graph_of(GOOD, tensor("w", dims(9), data(9, b"\0" * 36))))[:60],
            findings=["file.malformed-header"], told=[f32("good", 2)])
    hostile("text", b'ir_version: 8\ngraph {\n  name: "g"\n}\n', error="unsupported-input")
    hostile("json", b'{\n  "irVersion": "8"\n}', error="unsupported-input")
    hostile("random", bytes(range(8, 250)), error="unrecognized-input")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    write_real()
    write_wire()
    write_tensors()
    write_models()


if __name__ == "__main__":
    main()
