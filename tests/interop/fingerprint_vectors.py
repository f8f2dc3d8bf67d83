"""Writes tests/cases/fingerprint/vectors.json: the three fingerprints, computed a second time.

The rules are those of common/structure/fingerprint.h, written down again here, recursively and without
a thought for speed, so that the vectors do not come from the code that they test. Needs Python alone:

    python3 tests/interop/fingerprint_vectors.py > tests/cases/fingerprint/vectors.json
"""

import hashlib
import json
import sys

WRAPPERS = {
    "module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
    "_fpw_module",
}
# leaf: (least rank, greatest rank, last two dimensions equal)
BENIGN = {
    "num_batches_tracked": (0, 0, False), "position_ids": (1, 2, False), "inv_freq": (1, 1, False),
    "freqs": (1, 1, False), "masked_bias": (0, 0, False), "bias": (4, 4, True), "mask": (2, 4, True),
    "tril": (2, 2, True), "attn_mask": (2, 4, True), "causal_mask": (2, 4, True),
    "relative_position_index": (2, 2, True), "relative_coords_table": (4, 4, False),
    "attention_bias_idxs": (2, 2, True), "cos_cached": (2, 4, False), "sin_cached": (2, 4, False),
    "total_ops": (0, 1, False), "total_params": (0, 1, False),
}


def sha(data):
    return hashlib.sha256(data).digest()


def is_benign(name, shape):
    rule = BENIGN.get(name.rsplit(".", 1)[-1])
    if rule is None or not rule[0] <= len(shape) <= rule[1]:
        return False
    return not rule[2] or shape[-1] == shape[-2]


def dims(shape):
    return ",".join(str(d) for d in shape)


def lines_digest(header, lines):
    return sha(header + b"".join(sorted(lines)))


def structure1(tensors):
    return lines_digest(b"ckptd structure1\n", [
        f"{len(n.encode())}:{n} {d} {dims(s)}\n".encode() for n, d, s in tensors])


def strip(name):
    *path, leaf = name.split(".")
    return ".".join([p for p in path if p not in WRAPPERS] + [leaf])


def architecture1(tensors):
    names = {n: strip(n) for n, _, _ in tensors}
    if len(set(names.values())) < len(names):
        names = {n: n for n in names}
    return lines_digest(b"ckptd architecture1\n", [
        f"{len(names[n].encode())}:{names[n]} {dims(s)}\n".encode()
        for n, _, s in tensors if not is_benign(n, s)])


def is_number(segment):
    return segment == "0" or (segment.isascii() and segment.isdigit() and segment[0] != "0")


def skeleton_of(children):
    """children: (segment, hash) pairs of one module."""
    if len(children) == 1:
        return children[0][1]
    if children and all(is_number(s) for s, _ in children):
        numbers = sorted(int(s) for s, _ in children)
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            ordered = sorted(children, key=lambda c: int(c[0]))
            return sha(b"seq\n" + b"".join(h for _, h in ordered))
    return sha(b"set\n" + b"".join(sorted(h for _, h in children)))


def module_hash(leaves):
    """leaves: (path segments below this module, shape)."""
    children, below = [], {}
    for path, shape in leaves:
        if len(path) == 1:
            children.append((path[0], sha(f"leaf {dims(shape)}\n".encode())))
        else:
            below.setdefault(path[0], []).append((path[1:], shape))
    children += [(segment, module_hash(rest)) for segment, rest in below.items()]
    return skeleton_of(children)


def skeleton1(tensors):
    leaves = [(n.split("."), s) for n, _, s in tensors if not is_benign(n, s)]
    return sha(b"ckptd skeleton1\n" + module_hash(leaves))


def renamed(tensors, change):
    return [[change(n), d, s] for n, d, s in tensors]


def block(prefix, width):
    return [
        [f"{prefix}conv1.weight", "float32", [width, width, 3, 3]],
        [f"{prefix}bn1.weight", "float32", [width]], [f"{prefix}bn1.bias", "float32", [width]],
        [f"{prefix}bn1.running_mean", "float32", [width]],
        [f"{prefix}bn1.running_var", "float32", [width]],
        [f"{prefix}bn1.num_batches_tracked", "int64", []],
    ]


def cases():
    small = [["conv1.weight", "float32", [64, 3, 7, 7]], ["fc.bias", "float32", [1000]],
             ["fc.weight", "float32", [1000, 64]]]
    yield "no tensors", []
    yield "one tensor", [["weight", "float32", [2, 3]]]
    yield "one scalar", [["scale", "float32", []]]
    yield "a small net", small
    yield "the same under module.", renamed(small, lambda n: "module." + n)
    yield "the same in stacked wrappers", renamed(small, lambda n: "_orig_mod.module.module." + n)
    yield "the same wrapped mid-path", renamed(small, lambda n: n.replace("fc.", "fc._fsdp_wrapped_module."))
    yield "the same in half precision", [[n, "bfloat16", s] for n, _, s in small]
    yield "the same renamed", renamed(small, lambda n: n.replace("conv1", "stem").replace("fc", "head"))
    yield "the same below one more module", renamed(small, lambda n: "backbone." + n)
    yield "wrappers whose removal would collide", [
        ["module.a.weight", "float32", [2]], ["a.weight", "float32", [3]], ["module.b", "float32", [4]]]
    yield "a tensor that is called module", [["net.module", "float32", [2]], ["module", "float32", [3]]]
    blocks = [t for i in range(12) for t in block(f"layer.{i}.", 8 + i)]
    yield "twelve numbered blocks, so that 10 sorts before 2", blocks
    yield "the blocks without their counters", [t for t in blocks if t[2] != []]
    yield "the blocks numbered from 1", [t for i in range(12) for t in block(f"layer.{i + 1}.", 8 + i)]
    yield "the blocks in another order", [t for i in range(12) for t in block(f"layer.{11 - i}.", 8 + i)]
    yield "numbers with a gap", [["m.0.w", "float32", [1]], ["m.2.w", "float32", [2]], ["m.5.w", "float32", [3]]]
    yield "numbers with a gap, other order", [["m.0.w", "float32", [3]], ["m.2.w", "float32", [1]], ["m.5.w", "float32", [2]]]
    yield "numbers with leading zeros are names", [["m.00.w", "float32", [1]], ["m.01.w", "float32", [2]]]
    yield "benign by name and shape", [
        ["h.attn.bias", "bool", [1, 1, 8, 8]], ["h.attn.masked_bias", "float32", []],
        ["emb.position_ids", "int64", [1, 512]], ["rope.inv_freq", "float32", [32]],
        ["h.attn.c_attn.bias", "float32", [24]], ["h.attn.c_attn.weight", "float32", [8, 24]]]
    yield "like benign, but by name alone", [
        ["pos.bias", "float32", [1, 1, 8, 9]], ["scale.masked_bias", "float32", [4]],
        ["emb.position_ids", "int64", [2, 3, 4]], ["num_batches_tracked.weight", "float32", [2]]]
    yield "a tensor and a module of one name", [
        ["a", "float32", [2]], ["a.b", "float32", [3]], ["a.c", "float32", [4]], ["a!", "float32", [5]]]
    yield "odd names", [["", "float32", [1]], [".", "float32", [2]], ["a..b", "float32", [3]],
                        ["with space", "float32", [4]], ["caf\u00e9.\U0001f600", "float32", [5]],
                        ["line\nbreak", "float32", [6]]]
    yield "large and empty dimensions", [
        ["a", "uint8", [9223372036854775807]], ["b", "float8_e4m3fn", [0, 3]], ["c", "qint8", [1] * 64]]
    yield "deep", [[".".join("abcdefghijklmnopqrstuvwxyz") + ".w", "float32", [7]],
                   [".".join("abcdefghijklm") + ".v", "float32", [8]]]


def main():
    rows = []
    for title, tensors in cases():
        tensors = sorted(tensors, key=lambda t: t[0].encode())
        rows.append(json.dumps({
            "title": title,
            "structure": "structure1:" + structure1(tensors).hex(),
            "architecture": "architecture1:" + architecture1(tensors).hex(),
            "skeleton": "skeleton1:" + skeleton1(tensors).hex(),
            "tensors": tensors,
        }, ensure_ascii=False))
    sys.stdout.write("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
