"""Holds `ckptd inspect --json` against GGUFReader on random files that GGUFWriter wrote.

    python3 tests/interop/check_gguf.py [--ckptd build/dev/ckptd] [--files 100] [--seed 1]

Names, dtypes, shapes, bytes, the order of the tensors' offsets, and the keys with their values must be
what the gguf package says, in both byte orders. Needs gguf.
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import gguf
import numpy

from make_gguf_cases import dtype

TYPES = [t for t in gguf.GGMLQuantizationType if t.name != "Q8_1"] # it has 36 bytes, not 40
NUMBERS = {"UINT8": (0, 255), "INT8": (-128, 127), "UINT16": (0, 65535), "INT16": (-32768, 32767),
           "UINT32": (0, 2**32 - 1), "INT32": (-2**31, 2**31 - 1), "UINT64": (0, 2**64 - 1),
           "INT64": (-2**63, 2**63 - 1)}
WORDS = ["llama", "größe", "", "a\nb", "x" * 300, "日本", "\"quoted\"", "\\"]


def scalar(rng, kind):
    if kind.name in NUMBERS:
        return rng.choice([*NUMBERS[kind.name], rng.randint(*NUMBERS[kind.name])])
    if kind == gguf.GGUFValueType.BOOL:
        return rng.random() < 0.5
    if kind == gguf.GGUFValueType.STRING:
        return rng.choice(WORDS)
    return rng.choice([0.0, 1e-5, rng.uniform(-1e6, 1e6), rng.random(), 1e-38])


def random_keys(rng, w):
    kinds = [k for k in gguf.GGUFValueType if k != gguf.GGUFValueType.ARRAY]
    for i in range(rng.randrange(30)):
        key = f"{rng.choice(['general', 'llama', 'tokenizer.ggml'])}.k{i}"
        kind = rng.choice(kinds)
        if rng.random() < 0.3:
            items = [scalar(rng, kind) for _ in range(rng.choice([1, 3, 64, 65, 500]))]
            w.add_key_value(key, items, gguf.GGUFValueType.ARRAY, sub_type=kind)
        else:
            w.add_key_value(key, scalar(rng, kind), kind)


def random_tensors(rng, w, count):
    for i in range(count):
        kind = rng.choice(TYPES) if rng.random() < 0.5 else gguf.GGMLQuantizationType.F32
        elements, octets = gguf.GGML_QUANT_SIZES[kind]
        shape = [rng.choice([1, 2, 3, 5]) for _ in range(rng.randrange(1, 5))]
        shape[-1] *= octets
        w.add_tensor(f"blk.{i}.{rng.choice(['weight', 'größe', 'a b'])}",
                     numpy.zeros(shape, numpy.uint8), raw_dtype=kind)


def write(rng, path):
    endian = rng.choice(list(gguf.GGUFEndian))
    w = gguf.GGUFWriter(path, "llama", endianess=endian)
    if rng.random() < 0.3:
        w.add_custom_alignment(rng.choice([8, 16, 64, 256]))
    random_keys(rng, w)
    random_tensors(rng, w, rng.randrange(1, 30))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def wanted_value(field):
    if field.types[0] == gguf.GGUFValueType.ARRAY and len(field.data) > 64:
        return {"type": field.types[-1].name.lower(), "count": len(field.data)}
    return field.contents()


def same(a, b, is_float32):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, is_float32) for x, y in zip(a, b))
    if isinstance(a, float) or isinstance(b, float):
        return numpy.float32(a) == numpy.float32(b) if is_float32 else math.isclose(a, b, rel_tol=0)
    return type(a) is type(b) and a == b


def differences(path, found):
    reader = gguf.GGUFReader(path)
    tensors = sorted(reader.tensors, key=lambda t: t.name.encode())
    wanted = [{"name": t.name, "dtype": dtype(t.tensor_type), "bytes": int(t.n_bytes),
               "shape": [int(d) for d in reversed(t.shape)]} for t in tensors]
    if wanted != found["tensors"]:
        yield f"tensors: {wanted} {found['tensors']}"
    fields = {k: f for k, f in reader.fields.items()
              if not k.startswith("GGUF.") or k == "GGUF.version"}
    if list(fields) != list(found["metadata"]):
        yield f"keys: {list(fields)} {list(found['metadata'])}"
    for key, field in fields.items():
        want, have = wanted_value(field), found["metadata"].get(key)
        if not same(want, have, gguf.GGUFValueType.FLOAT32 in field.types):
            yield f"{key}: {want!r} {have!r}"
    if found["safety"] != "clean":
        yield f"safety: {found['safety']} {found['findings']}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ckptd", default="build/dev/ckptd")
    p.add_argument("--files", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(a.files):
            path = pathlib.Path(folder) / f"{i}.gguf"
            write(random.Random(f"{a.seed}/{i}"), path)
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
