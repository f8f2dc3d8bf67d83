"""Holds `ckptd inspect --json` against torch.load on random files that torch.save wrote.

    python3 tests/interop/check_inspect.py [--ckptd build/dev/ckptd] [--files 100] [--seed 1]

Zip archives, and streams of the format before them. Names, dtypes, shapes, strides, layouts, the groups of tensors that share a storage, the types of the
other entries, and whether weights_only takes the file must be what PyTorch says. Needs torch.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import torch

from make_torch_zip_cases import row, usual_strides

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
          torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64]
ENTRIES = [None, True, 7, 1 << 80, 2.5, "text", b"bytes", bytearray(b"x"), [1, 2], (1,), {1, 2},
           {"a": 1}, collections.OrderedDict(a=1), collections.Counter("aab"), torch.Size([1]),
           torch.device("cpu"), torch.float16, 1j]


def kind_of(value):
    """Python's name of the type, as ckptd spells it."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def dense(rng):
    shape = [rng.choice([0, 1, 1, 2, 3, 5]) for _ in range(rng.randrange(5))]
    t = torch.zeros(shape, dtype=rng.choice(DTYPES))
    view = rng.randrange(7)
    if view == 0 and t.dim() >= 2:
        return t.transpose(0, rng.randrange(1, t.dim()))
    if view == 1:
        return t.unsqueeze(0).expand(4, *t.shape)
    if view == 2 and t.dim() >= 1 and t.shape[0] > 1:
        return t[1:]
    if view == 3 and t.dim() >= 1 and t.shape[-1] > 2:
        return t[..., ::2]
    if view == 4 and t.dim() >= 1 and t.shape[0] > 0:
        return t[-1]
    if view == 5 and t.is_floating_point():
        return torch.nn.Parameter(t, requires_grad=rng.random() < 0.5)
    return t


def special(rng):
    t = torch.eye(4) * rng.random()
    return rng.choice([
        lambda: t.to_sparse(), lambda: t.to_sparse_csr(), lambda: t.to_sparse_csc(),
        lambda: t.to_sparse_bsr((2, 2)), lambda: t.to_sparse_bsc((2, 2)),
        lambda: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        lambda: torch.quantize_per_channel(t, torch.ones(4), torch.zeros(4), 1, torch.quint8),
        lambda: torch.empty(2, 3, device="meta", dtype=rng.choice(DTYPES)),
    ])()


def state_dict(rng):
    state = collections.OrderedDict() if rng.random() < 0.7 else {}
    for i in range(rng.randrange(1, 25)):
        name = ".".join(rng.choice(["layer", "conv", "bn", "weight", "0", "1", "größe", "a b"])
                        for _ in range(rng.randrange(1, 4))) + f".{i}"
        tensors = [v for v in state.values() if isinstance(v, torch.Tensor)]
        plain = [v for v in tensors if v.layout == torch.strided and not v.is_quantized
                 and v.device.type == "cpu"]
        choice = rng.random()
        if choice < 0.15 and tensors:
            state[name] = rng.choice(tensors)
        elif choice < 0.25 and plain:
            state[name] = rng.choice(plain).detach().reshape(-1)
        elif choice < 0.35:
            state[name] = special(rng)
        elif choice < 0.45:
            state[name] = rng.choice(ENTRIES)
        else:
            state[name] = dense(rng)
    if isinstance(state, collections.OrderedDict):
        state._metadata = collections.OrderedDict({"": {"version": 1}})
    state["last"] = torch.zeros(3) # one tensor at least
    return state


def checkpoint(rng):
    state = state_dict(rng)
    wrapper = rng.choice([None, "state_dict", "model", "model_state_dict", "net"])
    if wrapper is None:
        return "", state, state
    outer = {"epoch": rng.randrange(100), wrapper: state}
    if rng.random() < 0.5:
        weight = torch.nn.Parameter(torch.zeros(3))
        weight.grad = torch.ones(3)
        optimizer = torch.optim.Adam([weight])
        optimizer.step()
        outer["optimizer"] = optimizer.state_dict()
    return wrapper, state, outer


def groups(state):
    """The sets of names that share a storage, and whether all of a set are the same view."""
    shared = collections.defaultdict(list)
    for name in sorted(state, key=lambda n: n.encode()):
        t = state[name]
        if not isinstance(t, torch.Tensor):
            continue
        has_storage = t.layout == torch.strided and t.device.type != "meta"
        shared[t.untyped_storage()._cdata if has_storage else id(t)].append(name)
    result = []
    for names in shared.values():
        views = {view(state[n]) for n in names}
        if len(names) > 1:
            result.append({"tied": len(views) == 1, "names": names})
    return sorted(result, key=lambda g: g["names"][0].encode())


def view(t):
    if t.layout != torch.strided:
        return id(t)
    return t.dtype, tuple(t.shape), t.stride(), t.storage_offset()


def wanted(state):
    tensors = {n: t for n, t in state.items() if isinstance(t, torch.Tensor)}
    return {
        "tensors": [row(n, tensors[n]) for n in sorted(tensors, key=lambda n: n.encode())],
        "entries": [{"name": n, "type": kind_of(state[n])}
                    for n in sorted(state.keys() - tensors.keys(), key=lambda n: n.encode())],
        "aliases": groups(state),
    }


def found(report):
    tensors = []
    for t in report["tensors"]:
        t = {k: v for k, v in t.items() if k != "bytes"}
        if t.get("strides") == usual_strides(t["shape"]):
            del t["strides"]
        tensors.append(t)
    return {
        "tensors": tensors,
        "entries": [{"name": e["name"], "type": e["type"]} for e in report["entries"]],
        "aliases": report["aliases"],
    }


def without_strides_of_parts(rows):
    """Quantized tensors by channel have no bytes of their own, so ckptd tells no strides."""
    return [{k: v for k, v in r.items() if not ("layout" in r and k == "strides")} for r in rows]


def weights_only_takes(path):
    try:
        torch.load(path, weights_only=True)
        return True
    except Exception:  # what it raises says more than that; here only that it raises counts
        return False


def check(arguments, rng, folder, i):
    container, _, outer = checkpoint(rng)
    path = folder / f"{i}.pt"
    is_zip = rng.random() < 0.6
    protocol = rng.choice([2, 2, 2, 3, 4, 5])
    try:
        torch.save(outer, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
        loaded = torch.load(path, weights_only=False)
    except (RuntimeError, AttributeError):
        # The old format has one dtype for each storage; and PyTorch 2.13 writes untyped storages there
        # that it cannot read.
        if is_zip:
            raise
        is_zip = True
        torch.save(outer, path, pickle_protocol=protocol)
        loaded = torch.load(path, weights_only=False)
    state = loaded if container == "" else loaded[container]
    run = subprocess.run([arguments.ckptd, "inspect", "--json", path], capture_output=True, text=True)
    if run.returncode != 0:
        return f"exit {run.returncode}: {run.stderr}"
    report = json.loads(run.stdout)
    if report["format"] != ("torch-zip" if is_zip else "torch-legacy"):
        return f"format {report['format']}"
    if report["container"] != container:
        return f"container {report['container']!r}, not {container!r}"
    want, have = wanted(state), found(report)
    for part in ("tensors", "entries", "aliases"):
        a, b = want[part], have[part]
        if part == "tensors":
            a, b = without_strides_of_parts(a), without_strides_of_parts(b)
        if a != b:
            differences = [(x, y) for x, y in zip(a, b) if x != y] or [(len(a), len(b))]
            return f"{part}: PyTorch has {differences[0][0]}, ckptd {differences[0][1]}"
    takes = weights_only_takes(path)
    if report["weights_only"]["loads"] != takes:
        return f"weights_only: PyTorch {takes}, ckptd {report['weights_only']}"
    return None


def check_case(ckptd, path):
    """Of the cases, hostile ones too: whether weights_only takes the file."""
    run = subprocess.run([ckptd, "inspect", "--json", path], capture_output=True, text=True)
    loads = run.returncode == 0 and json.loads(run.stdout)["weights_only"]["loads"]
    takes = weights_only_takes(path)
    return None if loads == takes else f"weights_only: PyTorch {takes}, ckptd {loads}"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", default=os.environ.get("CKPTD", root / "build/dev/ckptd"))
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(arguments.files):
            seed = arguments.seed * 1000003 + i
            torch.manual_seed(seed)
            problem = check(arguments, random.Random(seed), pathlib.Path(folder), i)
            if problem:
                failed += 1
                print(f"file {i}: {problem}")
            (pathlib.Path(folder) / f"{i}.pt").unlink(missing_ok=True)
    cases = sorted((root / "tests/cases").glob("torch-*/*/input.pt")) + sorted(
        (root / "tests/cases").glob("pickle/*/input.pkl"))
    for path in cases:
        problem = check_case(arguments.ckptd, path)
        if problem:
            failed += 1
            print(f"case {path.parent.name}: {problem}")
    print(f"{arguments.files + len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
