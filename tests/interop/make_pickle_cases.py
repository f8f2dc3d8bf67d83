#!/usr/bin/env python3
"""Makes tests/cases/pickle-machine/: pickles that real programs wrote, and beside each (.txt) what the unit
tests expect of it, in the words of tests/support/pickle_show.h.

    make_pickle_cases.py DIRECTORY

Needs PyTorch, NumPy. The expected texts of plain values are Python's own repr; the others are checked
by hand once, and committed.
"""
import argparse
import collections
import io
import pathlib
import pickle
import sys
import zipfile

import numpy
import torch

PLAIN = {"int": 1, "list": [1, 2.5, None, True], "tuple": (1,), "nested": {"a": {"b": ()}}, "text": "ü😀", "big": -2**31,
         "bigger": 2**40, "float": 1e300, "same": ["x", "x"]}


def checkpoint(value, **kwargs):
    """The data.pkl of what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **kwargs)
    archive = zipfile.ZipFile(buffer)
    return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def objects():
    return {"args": argparse.Namespace(lr=0.5), "best": numpy.float64(0.75), "array": numpy.zeros(2, "f4"),
            "path": pathlib.PurePosixPath("/a/b"), "default": collections.defaultdict(list, a=[1]),
            "bytes": b"\x00\xff", "set": {1}, "class": torch.nn.Linear}


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for protocol in range(6):
        (directory / f"plain-{protocol}.pkl").write_bytes(pickle.dumps(PLAIN, protocol))
        (directory / f"plain-{protocol}.txt").write_text(repr(PLAIN))
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for protocol in (2, 4):
        (directory / f"state-dict-{protocol}.pkl").write_bytes(checkpoint(module.state_dict(), pickle_protocol=protocol))
        (directory / f"objects-{protocol}.pkl").write_bytes(checkpoint(objects(), pickle_protocol=protocol))
    (directory / "module.pkl").write_bytes(checkpoint(module))
    (directory / "nested.pkl").write_bytes(pickle.dumps({"w": torch.zeros(2).storage()}, 2))


if __name__ == "__main__":
    main()
