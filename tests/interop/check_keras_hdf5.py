"""Holds `ckptd inspect --json` against h5py and Keras on random files that they wrote.

    python3 tests/interop/check_keras_hdf5.py [--ckptd build/dev/ckptd] [--files 100] [--seed 1]

Names, dtypes and shapes of all datasets must be what h5py says, whatever the file's version, layouts
and order; of Keras models of every kind of file, the weights must be the model's. Needs h5py; Keras with
a backend is used where it is there.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import h5py
import numpy as np

from hdf5_report import tensors

os.environ.setdefault("KERAS_BACKEND", "torch")
try:
    import keras
except ImportError:
    keras = None

LIBVERS = ["earliest", "v108", "v110", "v112", "v114", "latest"]
DTYPES = ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "i1", "<i2", "<i4", "<i8", ">i4", "u1", "<u2",
          ">u8", "?", "<c8", "<c16", ">c8", "S5"]
WORDS = ["layer", "conv", "bn", "weight", "0", "1", "10", "größe", "a b", "kernel:0", "x" * 40]


def shape_of(rng):
    return tuple(rng.choice([0, 1, 1, 2, 3, 5]) for _ in range(rng.randrange(5)))


def add_dataset(rng, group, name):
    shape, dtype = shape_of(rng), rng.choice(DTYPES)
    kind = rng.randrange(12)
    data = np.zeros(shape, dtype)
    if kind == 0 and shape and 0 not in shape:
        group.create_dataset(name, data=data, chunks=True,
                             compression=rng.choice([None, "gzip", "lzf"]), shuffle=rng.random() < .5)
    elif kind == 1 and shape and 0 not in shape:
        group.create_dataset(name, data=data, maxshape=(None,) + shape[1:],
                             fletcher32=rng.random() < .5)
    elif kind == 2:
        group.create_dataset(name, shape, dtype)  # never written
    elif kind == 3:
        group[name] = h5py.Empty(rng.choice(["f", "i8"]))
    elif kind == 4:
        group.create_dataset(name, data=["a", "größe", ""], dtype=h5py.string_dtype())
    elif kind == 5:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
        kind_id = h5py.h5t.py_create(np.dtype(dtype), logical=True)
        made = h5py.h5d.create(group.id, name.encode(), kind_id, space, plist)
        if data.size:
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    elif kind == 6:
        group.create_dataset(name, data=np.zeros(3, [("a", "f4"), ("b", "S3"), ("c", "i2", (2,))]))
    elif kind == 7:
        d = group.create_dataset(name, data=np.zeros(shape, "<u2"))
        d.attrs["dtype"] = "bfloat16"
    elif kind == 8:
        group.create_dataset(name, (2,), dtype=rng.choice([h5py.vlen_dtype("f4"), h5py.ref_dtype,
                                                          np.dtype("V7")]))
    else:
        group[name] = data
    for i in range(rng.choice([0, 0, 0, 1, 3, 12])):
        group[name].attrs[f"attribute {i}"] = rng.choice(["text", 7, np.zeros(rng.choice([3, 900]))])


def plain_file(rng, path):
    """Groups and datasets of every kind; returns nothing: h5py is asked what is in it."""
    track = rng.random() < .4
    options = {"libver": rng.choice(LIBVERS), "track_order": track}
    if rng.random() < .3:
        options["userblock_size"] = 512 << rng.randrange(4)
    with h5py.File(path, "w", **options) as f:
        groups = [f]
        for i in range(rng.choice([1, 5, 20, 60])):
            group = rng.choice(groups)
            name = rng.choice(WORDS) + str(i)
            action = rng.random()
            if action < .2:
                groups.append(group.create_group(name, track_order=rng.choice([track, True, False])))
            elif action < .25:
                group[name] = h5py.SoftLink("/" + rng.choice(WORDS))
            elif action < .32 and group.keys():
                target = group.get(rng.choice(list(group.keys())))
                if isinstance(target, h5py.Dataset):
                    group[name] = target
            elif action < .35:
                group[name] = np.dtype("f4")  # a named type
                group.create_dataset(name + "d", (2,), dtype=group[name])
            else:
                add_dataset(rng, group, name)


def big_group(rng, path):
    """One group with very many links: B-trees of several levels, heaps of many blocks."""
    with h5py.File(path, "w", libver=rng.choice(LIBVERS), track_order=rng.random() < .5) as f:
        g = f.create_group("g", track_order=rng.random() < .5)
        for i in range(rng.choice([9, 200, 3000])):
            g[rng.choice(WORDS) + str(i)] = np.float32(i)


def inspect(ckptd, path, container=None):
    run = subprocess.run([ckptd, "inspect", "--json", path], capture_output=True, text=True)
    if run.returncode != 0:
        raise AssertionError(f"exit {run.returncode}: {run.stderr}")
    return json.loads(run.stdout)


def rows(report):
    return [{k: t[k] for k in ("name", "dtype", "shape")} for t in report["tensors"]]


def compare(want, have):
    if want == have:
        return
    differences = [(x, y) for x, y in zip(want, have) if x != y] or [(len(want), len(have))]
    raise AssertionError(f"the library has {differences[0][0]}, ckptd {differences[0][1]}")


def check_plain(arguments, rng, path):
    (big_group if rng.random() < .1 else plain_file)(rng, path)
    report = inspect(arguments.ckptd, path)
    with h5py.File(path) as f:
        want, empty = tensors(f)
    compare(want, rows(report))
    if want:  # of a file without weights no container is shown
        compare(empty, [e["name"] for e in report["entries"]])
    if report["safety"] != "clean":
        raise AssertionError(f"{report['safety']}: {report['findings']}")


def model(rng):
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for _ in range(rng.randrange(1, 4)):
        x = layers.Conv2D(rng.randrange(1, 5), 3, padding="same",
                          activation=rng.choice(["relu", "swish", None]))(x)
        x = rng.choice([layers.BatchNormalization, layers.LayerNormalization])()(x)
    x = layers.Flatten()(x)
    if rng.random() < .5:
        inner = keras.Sequential([layers.Dense(3), layers.Dropout(.5), layers.Dense(2)])
        x = inner(x)
    x = layers.Dense(rng.randrange(1, 4), dtype=rng.choice(["float32", "float16", "bfloat16"]))(x)
    made = keras.Model(inputs, x)
    if rng.random() < .5:
        made.compile(rng.choice(["adam", "sgd"]), "mse")
        made.optimizer.build(made.trainable_variables)
    return made


def check_model(arguments, rng, folder, i):
    made = model(rng)
    suffix = rng.choice([".keras", ".weights.h5", ".h5"])
    path = folder / f"{i}{suffix}"
    (made.save_weights if suffix == ".weights.h5" else made.save)(path)
    report = inspect(arguments.ckptd, path)
    path.unlink()
    # The legacy writer keeps bfloat16 as opaque bytes and does not say so.
    lost = "unknown" if suffix == ".h5" else "bfloat16"
    name = lambda v: keras.backend.standardize_dtype(v.dtype).replace("bfloat16", lost)
    want = sorted((name(v), list(v.shape)) for v in made.weights)
    compare(want, sorted((t["dtype"], t["shape"]) for t in rows(report)))
    if report["safety"] != "clean":
        raise AssertionError(f"{report['safety']}: {report['findings']}")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", default=os.environ.get("CKPTD", root / "build/dev/ckptd"))
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for i in range(arguments.files):
            rng = random.Random(arguments.seed * 1000003 + i)
            path = folder / "plain.h5"
            try:
                if keras is not None and i % 8 == 7:
                    check_model(arguments, rng, folder, i)
                else:
                    check_plain(arguments, rng, path)
            except AssertionError as problem:
                failed += 1
                print(f"file {i}: {problem}")
            path.unlink(missing_ok=True)
    print(f"{arguments.files - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
