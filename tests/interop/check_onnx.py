"""Holds `ckptd inspect --json` against onnx's own parser, on random models, on broken copies of them, and
on every model that the onnx package ships.

    python3 tests/interop/check_onnx.py [--ckptd build/dev/ckptd] [--files 100] [--seed 1]

Names, dtypes, shapes and what the model says of itself must be what onnx says; a well-formed model must be
clean; and what onnx's parser refuses must never be. Needs onnx.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

import onnx_oracle

BROKEN = 4  # copies of each random model
BITS = {TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4, TensorProto.UINT2: 2,
        TensorProto.INT2: 2, TensorProto.FLOAT6E2M3: 6, TensorProto.FLOAT6E3M2: 6}

# ---- random models ----


def name_of(rng, i):
    return rng.choice(["layer.weight", "größe", "a/b", "conv_", "::x", "a b"]) + f".{i}"


def dense(rng, name):
    kind = rng.choice(list(onnx_oracle.DTYPES))
    shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randrange(5))]
    count = 1
    for d in shape:
        count *= d
    if kind == TensorProto.STRING:
        return helper.make_tensor(name, kind, shape, ["s"] * count)
    if rng.random() < 0.5:
        return helper.make_tensor(name, kind, shape, [0] * count)
    bits = BITS.get(kind) or 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize
    return helper.make_tensor(name, kind, shape, b"\0" * -(-count * bits // 8), raw=True)


def sparse(rng, name):
    n = rng.randrange(1, 4)
    return helper.make_sparse_tensor(helper.make_tensor(name, TensorProto.FLOAT, [n], [1.0] * n),
                                     helper.make_tensor("", TensorProto.INT64, [n], range(n)), [2, 3])


def external(rng, name):
    t = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", rng.choice(["w.bin", "parts/w.bin"])), ("offset", "0"), ("length", "8")):
        t.external_data.add(key=key, value=value)
    return t


class Maker:
    def __init__(self, rng):
        self.rng, self.values = rng, 0

    def value(self):
        self.values += 1
        return f"v{self.values}"

    def node(self, depth):
        rng = self.rng
        n = helper.make_node("Op", ["x"], [self.value()] if rng.random() < 0.8 else [self.value(), ""],
                             name=rng.choice(["", "named"]), domain=rng.choice(["", "my.domain"]))
        for i in range(rng.randrange(4)):
            n.attribute.append(helper.make_attribute(f"a{i}", self.attribute(depth)))
        return n

    def attribute(self, depth):
        rng = self.rng
        choices = [lambda: 1, lambda: 2.5, lambda: [1, 2], lambda: "text", lambda: dense(rng, "t"),
                   lambda: sparse(rng, "s"), lambda: [dense(rng, "p"), dense(rng, "q")],
                   lambda: [sparse(rng, "p"), sparse(rng, "q")], lambda: [1.5], lambda: ["a", "b"]]
        if depth < 4:
            choices += [lambda: self.graph(depth + 1), lambda: [self.graph(depth + 1), self.graph(depth + 1)]]
        return rng.choice(choices)()

    def info(self, name):
        shape = self.rng.choice([None, [], [2, "n", None], ["batch", 3]])
        return helper.make_tensor_value_info(name, self.rng.choice(list(onnx_oracle.DTYPES)), shape)

    def graph(self, depth):
        rng = self.rng
        tensors = [dense(rng, name_of(rng, i)) for i in range(rng.randrange(6))]
        coo = [sparse(rng, name_of(rng, 100 + i)) for i in range(rng.randrange(2))]
        return helper.make_graph([self.node(depth) for _ in range(rng.randrange(4))], f"g{depth}",
                                 [self.info(self.value())], [self.info(self.value())], tensors,
                                 doc_string="about", sparse_initializer=coo,
                                 value_info=[self.info(self.value())])

    def model(self):
        rng = self.rng
        functions = [helper.make_function("my.domain", f"F{i}", ["x"], ["y"],
                                          [self.node(1) for _ in range(rng.randrange(3))],
                                          [helper.make_opsetid("", 21)]) for i in range(rng.randrange(3))]
        g = self.graph(0)
        g.initializer.extend(external(rng, f"ext{i}") for i in range(rng.choice([0, 0, 0, 3])))
        m = helper.make_model(g, producer_name=rng.choice(["", "check"]), functions=functions,
                              opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("my.domain", 1)])
        helper.set_model_props(m, {f"key{i}": "välue" for i in range(rng.randrange(3))})
        for _ in range(rng.choice([0, 0, 2])):
            m.training_info.append(helper.make_training_info(self.graph(2), [("a", "b")], self.graph(2), []))
        return m


# ---- what ckptd says ----


def inspect(ckptd, path):
    """The report, or None where ckptd refuses the file."""
    run = subprocess.run([ckptd, "inspect", "--json", path], capture_output=True, text=True)
    if run.returncode not in (0, 1):
        raise SystemExit(f"{path}: exit {run.returncode}: {run.stderr}")
    return json.loads(run.stdout) if run.returncode == 0 else None


def rows(report):
    return [{k: v for k, v in t.items() if k in ("name", "dtype", "shape", "layout")}
            for t in report["tensors"]]


def differs(model, report, findings=()):
    """What onnx and ckptd say differently of a well-formed model."""
    if report is None:
        return "refused"
    if report["format"] != "onnx":
        return f"read as {report['format']}"
    if report["safety"] != "clean":
        return f"{report['safety']}: {report['findings']}"
    told = onnx_oracle.found_in(model)
    for c in report["containers"]:
        if len(told.get(c["path"], ())) != c["tensors"]:
            return f"{c['tensors']} tensors in {c['path']!r}, onnx has {len(told.get(c['path'], ()))}"
    if {c["path"] for c in report["containers"]} != set(told):
        return f"containers {report['containers']}, onnx has {list(told)}"
    if report["container"] is not None:
        want = told[report["container"]]
        if rows(report) != want:
            return next(f"onnx has {a}, ckptd {b}" for a, b in zip(want, rows(report)) if a != b)
    for key, want in onnx_oracle.metadata_of(model).items():
        if report["metadata"].get(key) != want:
            return f"{key}: onnx has {want}, ckptd {report['metadata'].get(key)}"
    extra = {f["id"] for f in report["findings"]} - set(findings)
    return f"findings {extra}" if extra else None


# ---- the checks ----

USUAL = ("file.no-tensors", "external.missing", "weights.quantized")


def check_random(ckptd, rng, path):
    m = Maker(rng).model()
    data = m.SerializeToString()
    path.write_bytes(data)
    problem = differs(onnx.load_from_string(data), inspect(ckptd, path), USUAL)
    if problem:
        return problem
    for _ in range(BROKEN):
        problem = check_broken(ckptd, rng, data, path)
        if problem:
            return problem
    return None


def check_broken(ckptd, rng, data, path):
    """What onnx's parser refuses is refused, or malformed."""
    broken = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(broken))
        change = rng.randrange(4)
        if change == 0:
            broken[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            broken[at] = rng.choice([0, 0x7f, 0x80, 0xff, rng.randrange(256)])
        elif change == 2:
            del broken[at:at + rng.randrange(1, 4)]
        else:
            broken[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 4)))
        if not broken:
            return None
    path.write_bytes(bytes(broken))
    report = inspect(ckptd, path)
    try:
        onnx.load_from_string(bytes(broken))
    except DecodeError as e:
        if report is not None and report["safety"] not in ("malformed", "dangerous"):
            path.with_suffix(".kept").write_bytes(bytes(broken))
            return f"onnx refuses a broken copy ({e}), ckptd says {report['safety']}"
    return None


def check_written(ckptd, folder, with_data):
    """A folder as onnx.save leaves it, the model and its data; or the model alone."""
    tensors = [helper.make_tensor(f"w{i}", TensorProto.FLOAT, [64], b"\0" * 256, raw=True) for i in range(3)]
    g = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [], tensors)
    folder.mkdir()
    onnx.save(helper.make_model(g), folder / "model.onnx", save_as_external_data=True,
              location="model.onnx.data", size_threshold=0)
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    if with_data:
        if not (folder / "model.onnx.data").is_file():
            return "onnx.save wrote no data beside the model"
        return differs(model, inspect(ckptd, folder))
    (folder / "model.onnx.data").unlink()
    report = inspect(ckptd, folder / "model.onnx")
    if [f["subject"] for f in report["findings"] if f["id"] == "external.missing"] != ["model.onnx.data"]:
        return f"missing data is not told: {report['findings']}"
    return differs(model, report, USUAL)


def shipped():
    """Models that installed packages ship: onnx's own, and trained ones where they are there."""
    return sorted(pathlib.Path(onnx.__file__).parent.parent.rglob("*.onnx"))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", default=os.environ.get("CKPTD", root / "build/dev/ckptd"))
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    passed = failed = 0
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for i in range(arguments.files):
            rng = random.Random(arguments.seed * 1000003 + i)
            problems.append((f"file {i}", check_random(arguments.ckptd, rng, folder / "m.onnx")))
        for with_data in (True, False):
            problems.append(("external", check_written(arguments.ckptd, folder / str(with_data), with_data)))
    for path in shipped():
        model = onnx.load(path, load_external_data=False)
        problems.append((path, differs(model, inspect(arguments.ckptd, path), USUAL)))
    for subject, problem in problems:
        if problem:
            failed += 1
            print(f"{subject}: {problem}")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
