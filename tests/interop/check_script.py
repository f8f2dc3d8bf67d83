"""Holds what ckptd reads of TorchScript's and torch.export's archives against PyTorch itself.

    python3 tests/interop/check_script.py --ckptd build/dev/ckptd --seed 1 --files 100

Random modules are scripted, traced or exported, saved by PyTorch, and loaded by it again: names, dtypes,
shapes, strides, order of aliases, module versions and constants must be what torch.jit.load(f) and
torch.export.load(f) give.
"""

import argparse
import json
import logging
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import torch
from torch import nn

from make_torch_zip_cases import rows
from make_torchscript_cases import aliases

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128]
EXPORT_DTYPES = DTYPES + [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16]


class Leaf(nn.Module):
    """Holds tensors of every kind, and passes on what it is given."""

    def __init__(self, rng, dtypes, is_exported):
        super().__init__()
        base = torch.zeros(60)
        for i in range(rng.randrange(4)):
            shape = [rng.randrange(4) for _ in range(rng.randrange(4))]
            value = torch.zeros(shape, dtype=rng.choice(dtypes))
            if rng.random() < 0.3:
                value = base[rng.randrange(30):][:30].view(5, 6).t() if rng.random() < 0.5 else base[:20]
            if value.is_floating_point() and value.dtype.itemsize > 1 and rng.random() < 0.5:
                self.register_parameter(f"p{i}", nn.Parameter(value.clone()))
            else:
                self.register_buffer(f"b{i}", value, persistent=rng.random() < 0.8)
        if rng.random() < 0.3:
            self.register_buffer("none", None)
            self.register_parameter("absent", None)
        if not is_exported and rng.random() < 0.5:
            self.plain = torch.zeros(rng.randrange(5))
            self.listed = [torch.zeros(2)]

    def forward(self, x):
        return x


def layer(rng, dtypes, is_exported, depth):
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return nn.Linear(rng.randrange(1, 5), rng.randrange(1, 5), bias=rng.random() < 0.7)
    if kind == 1:
        return nn.Conv2d(rng.randrange(1, 4), rng.randrange(1, 4), rng.randrange(1, 4))
    if kind == 2:
        return nn.BatchNorm2d(rng.randrange(1, 4), affine=rng.random() < 0.7,
                              track_running_stats=rng.random() < 0.7)
    if kind == 3:
        return nn.Embedding(3, rng.randrange(1, 4))
    if kind == 4:
        return Leaf(rng, dtypes, is_exported)
    return Tree(rng, dtypes, is_exported, depth + 1)


class Tree(nn.Module):
    def __init__(self, rng, dtypes, is_exported, depth=0):
        super().__init__()
        for i in range(rng.randrange(1, 5)):
            self.add_module(rng.choice(["layer{}", "block_{}", "x{}", "m{}"]).format(i),
                            layer(rng, dtypes, is_exported, depth))
        children = list(self.children())
        if rng.random() < 0.2:
            self.shared = rng.choice(children)
        linear = [c for c in children if isinstance(c, nn.Linear)]
        if linear and rng.random() < 0.5:
            self.tied = nn.Linear(linear[0].in_features, linear[0].out_features, bias=False)
            self.tied.weight = linear[0].weight

    def forward(self, x):
        return x


class Reads(nn.Module):
    """For torch.export, which drops what a program does not use only from its graph."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.constant = torch.ones(2)

    def forward(self, x):
        return x + self.constant[0]


def inspected(ckptd, path):
    answer = subprocess.run([ckptd, "inspect", "--json", path], capture_output=True, check=False)
    if answer.returncode != 0:
        return {"error": answer.stderr.decode()}
    result = json.loads(answer.stdout)
    # One tensor without elements at two places is one to ckptd; PyTorch cannot tell.
    sizes = {t["name"]: t["bytes"] for t in result["tensors"]}
    result["aliases"] = [g for g in result["aliases"] if sizes[g["names"][0]] > 0]
    return result


def differences(found, wanted):
    """What is not as wanted; lists whole, of their objects what is given."""
    result = []
    for key, value in wanted.items():
        if key == "tensors":
            given = [{k: row.get(k) for k in want} for row, want in zip(found.get(key, []), value)]
            if given != value or len(found.get(key, [])) != len(value):
                result.append((key, value, found.get(key)))
        elif found.get(key) != value:
            result.append((key, value, found.get(key)))
    return result


def check_script(rng, folder, ckptd):
    module = Tree(rng, DTYPES, False).eval()
    traced = rng.random() < 0.4
    made = torch.jit.trace(module, torch.ones(1)) if traced else torch.jit.script(module)
    path = os.path.join(folder, "file.pt")
    torch.jit.save(made, path, _extra_files={"note": "x"} if rng.random() < 0.3 else {})
    state = torch.jit.load(path).state_dict()
    return differences(inspected(ckptd, path), {
        "format": "torchscript", "container": "" if state else None, "tensors": rows(state),
        "aliases": named(aliases(state)), "safety": "unlisted"})


def check_export(rng, folder, ckptd):
    module = Reads(Tree(rng, EXPORT_DTYPES, True)).eval()
    path = os.path.join(folder, "file.pt2")
    torch.export.save(torch.export.export(module, (torch.ones(2),)), path)
    state = torch.export.load(path).state_dict
    return differences(inspected(ckptd, path), {
        "format": "torch-export", "container": "" if state else None, "tensors": rows(state),
        "aliases": named(aliases(state)), "safety": "clean"})


def named(groups):
    return [{"tied": g["tied"], "names": g["names"]} for g in groups]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=100)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    passed = failed = 0
    ckptd = str(pathlib.Path(arguments.ckptd).resolve())
    with tempfile.TemporaryDirectory() as folder:
        for i in range(arguments.files):
            rng = random.Random(f"{arguments.seed} {i}")
            torch.manual_seed(i)
            problems = (check_script if i % 2 == 0 else check_export)(rng, folder, ckptd)
            passed += not problems
            failed += bool(problems)
            for key, wanted, found in problems:
                print(f"seed {arguments.seed}, file {i}: {key}: PyTorch has {wanted}, ckptd {found}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
