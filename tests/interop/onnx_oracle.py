"""What onnx's own parser says of a model: names, dtypes and shapes, as ckptd should tell them."""

import onnx
from onnx import AttributeProto, TensorProto

DTYPES = {
    TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8", TensorProto.INT8: "int8",
    TensorProto.UINT16: "uint16", TensorProto.INT16: "int16", TensorProto.INT32: "int32",
    TensorProto.INT64: "int64", TensorProto.STRING: "string", TensorProto.BOOL: "bool",
    TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64", TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64", TensorProto.COMPLEX64: "complex64",
    TensorProto.COMPLEX128: "complex128", TensorProto.BFLOAT16: "bfloat16",
    TensorProto.FLOAT8E4M3FN: "float8_e4m3fn", TensorProto.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    TensorProto.FLOAT8E5M2: "float8_e5m2", TensorProto.FLOAT8E5M2FNUZ: "float8_e5m2fnuz",
    TensorProto.UINT4: "uint4x2", TensorProto.INT4: "int4x2", TensorProto.FLOAT4E2M1: "float4_e2m1x2",
    TensorProto.FLOAT8E8M0: "float8_e8m0fnu", TensorProto.UINT2: "uint2x4", TensorProto.INT2: "int2x4",
    TensorProto.FLOAT6E2M3: "float6_e2m3fn", TensorProto.FLOAT6E3M2: "float6_e3m2fn",
}


def dtype_of(number):
    return DTYPES.get(number, "unknown")


def row(name, data_type, dims, layout=None):
    made = {"name": name, "dtype": dtype_of(data_type), "shape": list(dims)}
    if layout:
        made["layout"] = layout
    return made


class Found:
    """The tensors of the three state dicts, in the file's order."""

    def __init__(self):
        self.weights, self.constants, self.training = [], [], []

    def dense(self, rows, name, t):
        rows.append(row(name, t.data_type, t.dims))

    def sparse(self, rows, name, s):
        rows.append(row(name, s.values.data_type, s.dims, "sparse_coo"))

    def attribute(self, rows, path, a):
        name = f"{path}:{a.name}"
        if a.HasField("t"):
            self.dense(rows, name, a.t)
        if a.HasField("sparse_tensor"):
            self.sparse(rows, name, a.sparse_tensor)
        for i, t in enumerate(a.tensors):
            self.dense(rows, f"{name}[{i}]", t)
        for i, s in enumerate(a.sparse_tensors):
            self.sparse(rows, f"{name}[{i}]", s)
        if a.HasField("g"):
            self.graph(rows, rows, f"{name}/", a.g)
        for i, g in enumerate(a.graphs):
            self.graph(rows, rows, f"{name}[{i}]/", g)

    def nodes(self, rows, prefix, nodes):
        for i, n in enumerate(nodes):
            output = next((o for o in n.output if o), "")
            for a in n.attribute:
                self.attribute(rows, prefix + (output or n.name or f"{n.op_type}_{i}"), a)

    def graph(self, initializers, constants, prefix, g):
        for t in g.initializer:
            self.dense(initializers, prefix + t.name, t)
        for s in g.sparse_initializer:
            self.sparse(initializers, prefix + s.values.name, s)
        self.nodes(constants, prefix, g.node)

    def model(self, m):
        self.graph(self.weights, self.constants, "", m.graph)
        for f in m.functions:
            path = (f"{f.domain}." if f.domain else "") + f.name + \
                (f".{f.overload}" if f.overload else "") + "/"
            self.nodes(self.constants, path, f.node)
            for a in f.attribute_proto:
                self.attribute(self.constants, path, a)
        for i, t in enumerate(m.training_info):
            if t.HasField("initialization"):
                self.graph(self.training, self.training, f"{i}/initialization/", t.initialization)
            if t.HasField("algorithm"):
                self.graph(self.training, self.training, f"{i}/algorithm/", t.algorithm)


def by_name(rows):
    """As a dict keeps them: of equal names the last."""
    return [r for _, r in sorted({r["name"]: r for r in rows}.items(), key=lambda e: e[0].encode())]


def found_in(model):
    """{container: rows} of those that ckptd tells."""
    f = Found()
    f.model(model)
    told = {"": by_name(f.weights)}
    if f.constants:
        told["constants"] = by_name(f.constants)
    if f.training:
        told["training"] = by_name(f.training)
    return told


def value_rows(values, but=()):
    rows = []
    for v in values:
        if v.name in but:
            continue
        made = {"name": v.name} if v.name else {}
        kind = v.type.WhichOneof("value")
        if kind in ("tensor_type", "sparse_tensor_type"):
            if kind == "sparse_tensor_type":
                made["kind"] = "sparse"
            t = getattr(v.type, kind)
            if t.elem_type:
                made["dtype"] = dtype_of(t.elem_type)
            if t.HasField("shape"):
                made["shape"] = [getattr(d, d.WhichOneof("value")) if d.WhichOneof("value") else None
                                 for d in t.shape.dim]
        elif kind:
            made["kind"] = kind.removesuffix("_type")
        rows.append(made)
    return rows


def metadata_of(model):
    initializers = {t.name for t in model.graph.initializer} | \
        {s.values.name for s in model.graph.sparse_initializer}
    made = {
        "ir_version": model.ir_version,
        "opset_import": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "nodes": len(model.graph.node),
        "inputs": value_rows(model.graph.input, initializers),
        "outputs": value_rows(model.graph.output, initializers),
    }
    for key, value in (("producer_name", model.producer_name), ("domain", model.domain),
                       ("producer_version", model.producer_version), ("graph", model.graph.name),
                       ("functions", len(model.functions)),
                       ("metadata_props", {p.key: p.value for p in model.metadata_props})):
        if value:
            made[key] = value
    return made
