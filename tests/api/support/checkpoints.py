"""Checkpoints and manifests for the tests, made without PyTorch."""

import glob
import json
import os
import struct

from support.contract import ROOT

BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "U8": 8, "BOOL": 8}
SMALL = {"fc.weight": [4, 3], "fc.bias": [4]}


def safetensors(shapes, fill=0, dtype="F32", metadata=None):
    """shapes: {name: [dims]} or {name: ("F16", [dims])}."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, shape in shapes.items():
        kind = dtype
        if isinstance(shape, tuple):
            kind, shape = shape
        size = BITS[kind] // 8
        for dim in shape:
            size *= dim
        header[name] = {"dtype": kind, "shape": list(shape),
                        "data_offsets": [len(data), len(data) + size]}
        data += bytes([fill % 256]) * size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def small(fill=0):
    """A tiny checkpoint; each fill gives other bytes of the same structure."""
    return safetensors(SMALL, fill % 251, metadata={"fill": str(fill)})


def prefixed(shapes, prefix):
    return {prefix + name: shape for name, shape in shapes.items()}


def manifest(shapes, **members):
    return json.dumps({"schema": "ckptd/manifest/1",
                       "tensors": {name: {"shape": shape} for name, shape in shapes.items()},
                       **members}).encode()


def torch_zips():
    """The files that real PyTorch wrote: {case's name: path}."""
    found = glob.glob(os.path.join(ROOT, "tests", "cases", "torch-zip", "*", "input.pt"))
    return {os.path.basename(os.path.dirname(path)): path for path in sorted(found)}
