"""Holds `ckptd inspect --json` against pickle.load on random bare pickles of arrays and tensors.

    python3 tests/interop/check_pickle.py [--ckptd build/dev/ckptd] [--files 100] [--seed 1]

Names, dtypes, shapes, strides where the bytes stand in the file as they are, and the other entries. Needs
NumPy and PyTorch.
"""

import argparse
import json
import os
import pathlib
import pickle
import random
import subprocess
import sys
import tempfile
import warnings

import numpy
import torch

KINDS = {"f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32",
         "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool",
         "c8": "complex64", "c16": "complex128"}
ENTRIES = [None, True, 7, 1.5, "text", b"bytes", [1, 2], {"a": 1}, numpy.float64(2), numpy.array(["a"]),
           numpy.array([None]), numpy.zeros(2, "M8[s]")]


def shape_of(rng):
    return [rng.choice([0, 1, 2, 3, 5, 40]) for _ in range(rng.randrange(4))]


def array(rng, protocol):
    a = numpy.asarray(numpy.random.default_rng(rng.randrange(1 << 30)).random(shape_of(rng)) * 100)
    kind = rng.choice(sorted(KINDS))
    a = a.astype(rng.choice("<>") + kind)
    if rng.random() < 0.3:
        a = numpy.asfortranarray(a)
    row = {"dtype": KINDS[kind], "shape": list(a.shape)}
    if protocol > 2 and a.ndim > 1 and a.flags.f_contiguous and not a.flags.c_contiguous:
        row["strides"] = [s // a.itemsize for s in a.strides]
    return a, row


def tensor(rng, protocol):
    dtype = rng.choice([torch.float32, torch.float16, torch.int64, torch.bool, torch.bfloat16])
    t = torch.zeros(shape_of(rng), dtype=dtype)
    if t.dim() > 1 and rng.random() < 0.3:
        t = t.transpose(0, 1)
    row = {"dtype": str(dtype).removeprefix("torch."), "shape": list(t.shape)}
    usual = list(torch.empty(t.shape).stride())
    if protocol > 2 and list(t.stride()) != usual and t.numel() > 0:
        row["strides"] = list(t.stride())
    return t, row


def check(ckptd, rng, path):
    protocol = rng.choice([1, 2, 3, 4, 4, 5])
    state, want = {}, {}
    for i in range(rng.randrange(1, 12)):
        title = rng.choice(["conv", "fc.weight", "gr\u00f6\u00dfe", "w"]) + f".{i}"
        choice = rng.random()
        if choice < 0.2:
            state[title] = rng.choice(ENTRIES)
        else:
            state[title], want[title] = (array if choice < 0.75 else tensor)(rng, protocol)
    state["last"], want["last"] = numpy.zeros(3, "f4"), {"dtype": "float32", "shape": [3]}
    wrapper = rng.choice(["", "model", "blobs", "state_dict"])
    path.write_bytes(pickle.dumps({wrapper: state, "__author__": "x"} if wrapper else state, protocol))
    run = subprocess.run([ckptd, "inspect", "--json", path], capture_output=True, text=True)
    if run.returncode != 0:
        return f"exit {run.returncode}: {run.stderr}"
    report = json.loads(run.stdout)
    if report["format"] != "pickle" or report["container"] != wrapper or report["safety"] == "dangerous":
        return f"{report['format']}, {report['container']!r}, {report['safety']}"
    have = {}
    for t in report["tensors"]:
        have[t["name"]] = {k: v for k, v in t.items() if k not in ("name", "bytes")}
        if have[t["name"]].get("strides") is not None and 0 in t["shape"]:
            del have[t["name"]]["strides"]
    for row in want.values():
        if 0 in row["shape"]:
            row.pop("strides", None)
    differences = [n for n in want.keys() | have.keys() if want.get(n) != have.get(n)]
    if differences:
        return f"{differences[0]}: pickle {want.get(differences[0])}, ckptd {have.get(differences[0])}"
    names = {e["name"] for e in report["entries"]}
    if names != state.keys() - want.keys():
        return f"entries {names}"
    return None


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
            problem = check(arguments.ckptd, random.Random(seed), pathlib.Path(folder) / "file.pkl")
            if problem:
                failed += 1
                print(f"file {i}: {problem}")
    print(f"{arguments.files - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
