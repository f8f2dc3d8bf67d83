"""Holds `ckptd inspect --json` against numpy.load on random arrays and archives that NumPy wrote.

    python3 tests/interop/check_numpy.py [--ckptd build/dev/ckptd] [--files 100] [--seed 1]

Names, dtypes, shapes, bytes and strides must be what NumPy says; arrays of objects must be entries.
Needs numpy.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import numpy

from make_numpy_cases import NAMES, row

OTHERS = ["U3", "S5", "M8[ns]", "m8[3D]", "V7", [("a", "<f4"), ("b", ">i2", (2,))],
          [("größe", [("x", "?"), ("y", "U2")])], "longdouble"]


def random_array(rng):
    shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randrange(5))]
    if rng.random() < 0.1:
        return numpy.full(shape, None, dtype=object)
    kind = numpy.dtype(rng.choice(sorted(NAMES)) if rng.random() < 0.7 else rng.choice(OTHERS))
    if rng.random() < 0.3:
        kind = kind.newbyteorder(">")
    order = rng.choice(["C", "F"])
    array = numpy.zeros(shape, kind, order)
    return array[..., ::2] if rng.random() < 0.2 and shape else array


def write(rng, folder, i):
    if rng.random() < 0.5:
        path = folder / f"{i}.npy"
        numpy.save(path, random_array(rng))
        return path
    path = folder / f"{i}.npz"
    arrays = {f"{rng.choice(['layer', 'a/b', 'größe', 'x y'])}.{k}": random_array(rng)
              for k in range(rng.randrange(1, 20))}
    rng.choice([numpy.savez, numpy.savez_compressed])(path, **arrays)
    return path


def load(path):
    if path.suffix == ".npy":
        return {"": numpy.load(path, allow_pickle=True)}
    with numpy.load(path, allow_pickle=True) as z:
        return dict(z)


def wanted_row(name, array, is_compressed):
    result = row(name, array)
    if is_compressed or array.dtype.name not in NAMES: # without a byte range, strides say nothing
        result.pop("strides", None)
    return result


def differences(path, found):
    arrays = load(path)
    names = sorted(arrays, key=str.encode)
    is_compressed = "storage.compressed" in {f["id"] for f in found["findings"]}
    wanted = [wanted_row(n, arrays[n], is_compressed) for n in names
              if arrays[n].dtype.kind != "O"]
    if wanted != found["tensors"]:
        yield f"tensors: {wanted} {found['tensors']}"
    objects = [n for n in names if arrays[n].dtype.kind == "O"]
    if wanted and objects != [e["name"] for e in found["entries"]]:
        yield f"entries: {objects} {found['entries']}"
    if not objects and found["safety"] != "clean":
        yield f"safety: {found['safety']} {found['findings']}"
    if objects and found["safety"] not in ("clean", "unlisted"):
        yield f"safety: {found['safety']} {found['findings']}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ckptd", default="build/dev/ckptd")
    p.add_argument("--files", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(a.files):
            path = write(random.Random(f"{a.seed}/{i}"), pathlib.Path(folder), i)
            run = subprocess.run([a.ckptd, "inspect", "--json", path], capture_output=True,
                                 check=False)
            wrong = ([run.stderr.decode()] if run.returncode != 0
                     else list(differences(path, json.loads(run.stdout))))
            if wrong:
                failed += 1
                print(f"seed {a.seed}, file {i}:", *wrong, sep="\n  ")
            path.unlink()
    print(f"{a.files - failed} passed, {failed} failed")
    sys.exit(1 if failed > 0 else 0)


if __name__ == "__main__":
    main()
