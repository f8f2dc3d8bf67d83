"""Writes tests/cases/keras-hdf5: real files of h5py and Keras, and files with one thing wrong.

    python3 tests/interop/make_keras_hdf5_cases.py [tests/cases/keras-hdf5]

What is expected of a real file is what h5py reports of it. Hostile files are real ones with bytes
changed, of the old version, which has no checksums. The old
files of Keras 1 and 2 are built with h5py as those releases wrote them. Needs h5py and Keras.
"""

import base64
import json
import marshal
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import numpy as np

from hdf5_report import hard_links, offset_of, tensors

SCRATCH = pathlib.Path(tempfile.mkdtemp())
CASES = {}


def case(function):
    """Register a case by its function's name; the function gives (bytes, suffix, expectation)."""
    CASES[function.__name__.strip("_").replace("_", "-")] = function
    return function


# ---- files and what is expected of them ----

def written(fill, **options):
    path = SCRATCH / "x.h5"
    path.unlink(missing_ok=True)
    with h5py.File(path, "w", **options) as f:
        fill(f)
    return path.read_bytes()


def told(data, container="", kind="weights", path=None, clean=True, **more):
    """What h5py reports of a file, or of one group of it."""
    file = SCRATCH / "told.h5"
    file.write_bytes(data)
    with h5py.File(file) as f:
        group = f[container] if container else f
        rows, _ = tensors(group)
        places = [{"name": n, "has_bytes": True, "offset": offset_of(d), "big_endian": d.dtype.byteorder == ">"}
                  for n, d in hard_links(group) if offset_of(d) is not None]
    places.sort(key=lambda p: p["name"].encode())
    have = {p["name"] for p in places}
    state = {"kind": kind, "tensors": rows}
    if len(have) == len(rows):
        state["places"] = places
    result = {"format": "keras-hdf5", "container": container, "state_dicts": {container: state}}
    if clean:
        result["safety"] = "clean"
    return {**result, **more}


def finding(id, **more):
    return {"findings": [{"id": id, **more}]}


def small(f):
    f["dense/kernel"] = np.zeros((4, 3), "<f4")
    f["dense/bias"] = np.zeros(3, "<f4")


def flat(f):
    f["kernel"] = np.zeros((4, 3), "<f4")
    f["bias"] = np.zeros(3, "<f4")


def every_dtype(f):
    for i, dtype in enumerate(["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "i1", "<i2", "<i4", "<i8",
                               ">i2", "u1", "<u2", "<u4", "<u8", ">u8", "?", "<c8", ">c16"]):
        f[f"{i}"] = np.zeros((2, 1), dtype)


def for_version(name, libver, fill=small, **options):
    def make():
        data = written(fill, libver=libver, **options)
        return data, ".h5", told(data)
    CASES[name] = make


for version in ("earliest", "v110", "latest"):
    for_version(f"small-{version}", version)
for_version("every-dtype", "earliest", every_dtype)
for_version("every-dtype-latest", "latest", every_dtype)


@case
def scalars_and_empty_shapes():
    def fill(f):
        f["scalar"] = np.float32(1)
        f["none"] = np.zeros((0, 3), "<f4")
        f["nothing"] = h5py.Empty("f4")
    data = written(fill)
    want = told(data)
    want["entries"] = [{"name": "nothing", "type": "h5py.Empty"}]
    del want["state_dicts"][""]["tensors"][0]  # none has no place: places are compared by hand
    want["state_dicts"][""] = {"kind": "weights", "tensors": tensors_of(data)}
    return data, ".h5", want


def tensors_of(data):
    file = SCRATCH / "told.h5"
    file.write_bytes(data)
    with h5py.File(file) as f:
        return tensors(f)[0]


@case
def creation_order():
    def fill(f):
        for name in ("z", "a", "m"):
            f[name] = np.zeros(2, "<f4")
    data = written(fill, libver="latest", track_order=True)
    want = told(data)
    want["state_dicts"][""]["order"] = ["z", "a", "m"]
    return data, ".h5", want


@case
def dense_creation_order():
    names = [f"w{(i * 7) % 18}" for i in range(18)]
    data = written(lambda f: [f.create_dataset(n, data=np.float32(0)) for n in names],
                   libver="latest", track_order=True)
    want = told(data)
    want["state_dicts"][""]["order"] = names
    return data, ".h5", want


@case
def order_of_numbers():
    """Without a tracked order, numbers count as numbers: Keras' own order of vars."""
    data = written(lambda f: [f.create_dataset(f"vars/{i}", data=np.float32(i)) for i in range(11)],
                   libver="latest")
    want = told(data)
    want["state_dicts"][""]["order"] = [f"vars/{i}" for i in range(11)]
    return data, ".h5", want


@case
def userblock():
    data = bytearray(written(flat, userblock_size=512))
    data[:4] = b"text"
    return bytes(data), ".h5", told(bytes(data), **finding("file.polyglot"),
                                    metadata={"hdf5": {"userblock": 512}})


@case
def userblock_added():
    """A file moved behind 512 bytes, its base address left as it was: the library reads it."""
    data = bytes(512) + written(flat)
    return data, ".h5", told(data)


@case
def chunked_and_compressed():
    def fill(f):
        f.create_dataset("a", data=np.zeros((4, 4)), chunks=(2, 2), compression="gzip")
        f["b"] = np.zeros(3, "<f4")
    data = written(fill)
    return data, ".h5", told(data, **finding("storage.compressed"))


@case
def never_written():
    data = written(lambda f: f.create_dataset("a", (3,), "f4"))
    return data, ".h5", told(data, **finding("tensor.odd", subject="a"))


@case
def hard_links_are_aliases():
    def fill(f):
        f["a"] = np.zeros(3, "<f4")
        f["b"] = f["a"]
        f["g/c"] = np.zeros(2, "<f4")
        f["h"] = f["g"]
    data = written(fill)
    return data, ".h5", told(data, aliases=[{"tied": True, "names": ["a", "b"]}],
                             findings=[{"id": "state-dict.odd-key", "subject": "h"}])


@case
def circle_of_groups():
    def fill(f):
        f["a/w"] = np.zeros(3, "<f4")
        f["a/b/up"] = f["a"]
    data = written(fill)
    return data, ".h5", told(data, **finding("state-dict.odd-key", subject="a/b/up"))


@case
def soft_link():
    def fill(f):
        flat(f)
        f["alias"] = h5py.SoftLink("/bias")
    data = written(fill)
    return data, ".h5", told(data, **finding("state-dict.odd-key", subject="alias"))


@case
def soft_link_latest():
    def fill(f):
        flat(f)
        f["alias"] = h5py.SoftLink("/bias")
    data = written(fill, libver="latest")
    return data, ".h5", told(data, **finding("state-dict.odd-key", subject="alias"))


def external_link_file(libver):
    def fill(f):
        flat(f)
        f["passwords"] = h5py.ExternalLink("other.h5", "/secret")
    data = written(fill, libver=libver)
    return data, ".h5", told(data, clean=False, safety="malformed",
                             **finding("hdf5.external", severity="error", subject="passwords"))


CASES["external-link"] = lambda: external_link_file("earliest")
CASES["external-link-latest"] = lambda: external_link_file("latest")


@case
def external_storage():
    """CVE-2026-1669: the data would be another file's bytes."""
    def fill(f):
        flat(f)
        f.create_dataset("w", (8,), "u1", external=[("hostname", 0, 8)])
    data = written(fill)
    return data, ".h5", {"safety": "malformed", **finding("hdf5.external", subject="w")}


@case
def virtual_dataset():
    def fill(f):
        flat(f)
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "d", (4,))
        f.create_virtual_dataset("w", layout)
    data = written(fill, libver="latest")
    return data, ".h5", {"safety": "malformed", **finding("hdf5.external", subject="w")}


@case
def shape_bomb():
    """GHSA-xfhx-r7ww-5995: 8 TiB declared, nothing stored."""
    data = written(lambda f: f.create_dataset("w", (1 << 20, 1 << 20), "f8"))
    return data, ".h5", {"safety": "malformed", "findings": [{"id": "tensor.odd", "subject": "w"}] * 2}


@case
def shape_bomb_in_chunks():
    data = written(lambda f: f.create_dataset("w", (1 << 20, 1 << 20), "f4", chunks=(1 << 10, 1),
                                              compression="gzip"))
    return data, ".h5", {"safety": "malformed", "findings": [{"id": "tensor.odd", "subject": "w"}] * 2}


@case
def foreign_types():
    def fill(f):
        f["compound"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
        f["texts"] = ["a", "b"]
        f["fixed"] = np.array([b"abc"])
        f.create_dataset("variable", (2,), h5py.vlen_dtype("f4"))
        f.create_dataset("reference", (2,), h5py.ref_dtype)
        f.create_dataset("opaque", data=np.zeros(2, "V5"))
        f.create_dataset("array", data=np.zeros(2, "(3,)f4,i4"))
        f.create_dataset("color", data=np.zeros(2, "u1"),
                         dtype=h5py.enum_dtype({"RED": 0, "GREEN": 1}, "u1"))
    data = written(fill)
    want = told(data, clean=False)
    return data, ".h5", want


@case
def named_type():
    def fill(f):
        f["type"] = np.dtype("<f8")
        f.create_dataset("w", (2,), dtype=f["type"], data=np.zeros(2))
    data = written(fill)
    return data, ".h5", told(data)


@case
def many_attributes():
    """Attributes in dense storage, one of them too large for its blocks."""
    def fill(f):
        flat(f)
        for i in range(20):
            f.attrs[f"a{i}"] = "text"
        f.attrs["keras_version"] = np.bytes_("2.4.0")
        f.attrs["backend"] = np.bytes_("tensorflow" + "\0" * 6000)
    data = written(fill, libver="latest")
    return data, ".h5", told(data, metadata={"keras_version": "2.4.0", "backend": "tensorflow"})


@case
def bfloat16():
    def fill(f):
        f["w"] = np.zeros(3, "<u2")
        f["w"].attrs["dtype"] = "bfloat16"
        f["v"] = np.zeros(3, "V2")
        f["v"].attrs["dtype"] = "bfloat16"
        f["u"] = np.zeros(3, "<u4")
        f["u"].attrs["dtype"] = "bfloat16"  # not of that size: it stays what it is
    data = written(fill)
    rows = [{"name": "u", "dtype": "uint32", "shape": [3]}, {"name": "v", "dtype": "bfloat16", "shape": [3]},
            {"name": "w", "dtype": "bfloat16", "shape": [3]}]
    return data, ".h5", {"safety": "clean", "tensors": rows}


@case
def odd_compact():
    def fill(f):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        made = h5py.h5d.create(f.id, b"c", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2,)), plist)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1.5, 2.5], "f4"))
    data = written(fill)
    return data, ".h5", {"safety": "clean", "state_dicts": {"": {"places": [
        {"name": "c", "has_bytes": True, "offset": data.index(np.array([1.5, 2.5], "<f4").tobytes())}]}}}


# ---- Keras ----

def model():
    keras.utils.set_random_seed(1)
    keras.backend.clear_session()
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.PReLU()], name="net")
    made.compile("sgd", "mse")
    made.optimizer.build(made.trainable_variables)
    return made


def saved(suffix, made=None):
    path = SCRATCH / f"m{suffix}"
    made = made or model()
    (made.save_weights if suffix == ".weights.h5" else made.save)(path)
    return path.read_bytes()


@case
def keras3_weights():
    data = saved(".weights.h5")
    want = told(data)
    rows = tensors_of(data)
    want["state_dicts"] = {
        "": {"kind": "weights", "tensors": [r for r in rows if not r["name"].startswith("optimizer/")]},
        "optimizer": {"kind": "optimizer", "tensors": [
            {**r, "name": r["name"][10:]} for r in rows if r["name"].startswith("optimizer/")]}}
    return data, ".weights.h5", want


@case
def keras3_whole_h5():
    keras.backend.clear_session()
    data = saved(".h5", tiny())
    order = ["dense/net/dense/kernel", "dense/net/dense/bias"]
    want = told(data, "model_weights", metadata={"keras_version": keras.__version__, "backend": "torch",
                                                "class_name": "Sequential", "name": "net", "layers": 2})
    want["state_dicts"]["model_weights"]["order"] = [n for n in order]
    want["containers"] = [{"path": "model_weights", "kind": "weights"}]
    return data, ".h5", want


def tiny():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="net")


def archive(members, method=zipfile.ZIP_STORED):
    path = SCRATCH / "x.zip"
    with zipfile.ZipFile(path, "w", method) as z:
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data, compress_type=method)
    return path.read_bytes()


def members_of(data):
    path = SCRATCH / "y.zip"
    path.write_bytes(data)
    with zipfile.ZipFile(path) as z:
        members = {n: z.read(n) for n in z.namelist()}
    members["metadata.json"] = b'{"keras_version": "3.15.1", "date_saved": "2024-01-01@00:00:00"}'
    return members


def archive_case(change=None, method=zipfile.ZIP_STORED, made=None, expect=None, clean=True):
    members = members_of(saved(".keras", made or tiny()))
    if change is not None:
        change(members)
    data = archive(members, method)
    rows = [r for r in tensors_of(members["model.weights.h5"]) if not r["name"].startswith("optimizer/")]
    want = {"format": "keras-hdf5", "container": "", "tensors": rows,
            "metadata": {"date_saved": "2024-01-01@00:00:00"}}
    if clean:
        want["safety"] = "clean"
    if method == zipfile.ZIP_STORED:
        shift = data.index(members["model.weights.h5"])
        file = SCRATCH / "told.h5"
        with h5py.File(file) as f:
            places = [{"name": n, "has_bytes": True, "offset": shift + offset_of(d)}
                      for n, d in sorted(hard_links(f)) if not n.startswith("optimizer/")]
        want["state_dicts"] = {"": {"places": places}}
    return data, ".keras", {**want, **(expect or {})}


CASES["archive-stored"] = archive_case
CASES["archive-deflated"] = lambda: archive_case(method=zipfile.ZIP_DEFLATED,
                                                 expect=finding("storage.compressed"))


@case
def archive_without_metadata():
    def change(members):
        del members["metadata.json"]
        members["model.weights.h5"] = written(flat)
    return archive_case(change, clean=False, expect={
        "metadata": {"class_name": "Sequential"}, "safety": "malformed",
        **finding("file.unreadable", subject="metadata.json")})


@case
def archive_of_arrays():
    def change(members):
        members["model.weights.npz"] = b"PK"
    data, suffix, _ = archive_case(change)
    members = members_of(data)
    del members["model.weights.h5"]
    return archive(members), suffix, {"error": "unsupported-input"}


@case
def archive_config_broken():
    def change(members):
        members["config.json"] = members["config.json"][:-2]
        members["model.weights.h5"] = written(flat)
    return archive_case(change, clean=False, expect={
        "safety": "malformed", **finding("file.malformed-header", subject="config.json")})


def lambda_model():
    code = compile("lambda x: x * 2", "model.py", "eval")
    return keras.Sequential([keras.Input((2,)), keras.layers.Lambda(eval(code)), keras.layers.Dense(1)],
                            name="net")


@case
def lambda_in_archive():
    def change(members):
        members["model.weights.h5"] = written(flat)
    return archive_case(change, made=lambda_model(), clean=False, expect={
        "safety": "dangerous", **finding("keras.code", severity="error", subject="__lambda__")})


@case
def lambda_in_h5():
    """CVE-2025-9905: load_model of an .h5 ignores safe_mode."""
    config = lambda_model().to_json()
    data = written(lambda f: legacy(f, {"d": {"w": (1,)}}, config, version=keras.__version__.encode()),
                   libver="latest")
    return data, ".h5", told(data, "model_weights", clean=False, safety="dangerous",
                             **finding("keras.code", subject="__lambda__"))


def config_with(layer):
    return json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": [layer]}})


def config_case(layer, safety, found=None):
    def change(members):
        members["config.json"] = config_with(layer).encode()
        members["model.weights.h5"] = written(flat)
    return archive_case(change, clean=False, expect={
        "safety": safety, "findings": [found] if found else []})


CONFIGS = {
    "config-os-system": ({"module": "os", "class_name": "function", "config": "system",
                          "registered_name": "system"}, "dangerous", {"id": "keras.code", "subject": "os.system"}),
    "config-builtins-eval": ({"module": "builtins", "class_name": "function", "config": "eval"},
                             "dangerous", {"id": "keras.code", "subject": "builtins.eval"}),
    "config-keras-get-file": ({"module": "keras.utils", "class_name": "function", "config": "get_file"},
                              "dangerous", {"id": "keras.code", "subject": "keras.utils.get_file"}),
    "config-subprocess-popen": ({"module": "subprocess", "class_name": "Popen", "config": {}},
                                "dangerous", {"id": "keras.code", "subject": "subprocess.Popen"}),
    "config-own-class": ({"module": "my.layers", "class_name": "Block", "config": {},
                          "registered_name": "Block"}, "unlisted",
                         {"id": "keras.class-unlisted", "subject": "my.layers.Block"}),
    "config-registered": ({"module": None, "class_name": "Block", "config": {},
                           "registered_name": "mine>Block"}, "unlisted",
                          {"id": "keras.class-unlisted", "subject": "mine>Block"}),
    "config-near-keras": ({"module": "kerasx.layers", "class_name": "Dense", "config": {}}, "unlisted",
                          {"id": "keras.class-unlisted", "subject": "kerasx.layers.Dense"}),
    "config-hub": ({"module": "keras_hub.src.layers", "class_name": "RotaryEmbedding", "config": {},
                    "registered_name": "keras_hub>RotaryEmbedding"}, "clean", None),
}
for name, (layer, safety, found) in CONFIGS.items():
    CASES[name] = lambda layer=layer, safety=safety, found=found: config_case(layer, safety, found)


# ---- Keras 1 and 2, as they wrote ----

def legacy(f, layers, config=None, version=b"2.4.0", split=False, group="model_weights"):
    g = f.create_group(group) if group else f
    if config is not None:
        f.attrs["model_config"] = np.bytes_(config)
    for target in {f.name: f, g.name: g}.values():
        target.attrs["keras_version"] = np.bytes_(version)
        target.attrs["backend"] = np.bytes_("tensorflow")
    names = [n.encode() for n in layers]
    if split:
        for i, part in enumerate(np.array_split(names, 2)):
            g.attrs[f"layer_names{i}"] = part
    else:
        g.attrs["layer_names"] = names
    for layer, weights in layers.items():
        inner = g.create_group(layer)
        inner.attrs["weight_names"] = [w.encode() for w in weights]
        for weight, shape in weights.items():
            inner.create_dataset(weight, data=np.zeros(shape, "<f4"))


NET = {"dense_2": {"kernel:0": (4, 3), "bias:0": (3,)}, "flatten_1": {}, "dense_1": {"kernel:0": (3, 2)}}
ORDER = ["dense_2/kernel:0", "dense_2/bias:0", "dense_1/kernel:0"]
DEEP = {"dense": {"dense/kernel:0": (2, 1)}}  # as Keras 2 names them in full


@case
def keras2_whole():
    def fill(f):
        legacy(f, DEEP, config_with({"class_name": "Dense", "config": {"name": "dense"}}))
        o = f.create_group("optimizer_weights")
        o.attrs["weight_names"] = [b"Adam/iterations:0"]
        o["Adam/iterations:0"] = np.int64(1)
    data = written(fill, libver="latest")
    want = told(data, "model_weights", metadata={"keras_version": "2.4.0", "backend": "tensorflow",
                                                "class_name": "Sequential", "layers": 1})
    want["state_dicts"]["model_weights"]["order"] = ["dense/dense/kernel:0"]
    want["state_dicts"]["optimizer_weights"] = {"kind": "optimizer", "tensors": [
        {"name": "Adam/iterations:0", "dtype": "int64", "shape": []}]}
    return data, ".h5", want


@case
def keras2_weights():
    data = written(lambda f: legacy(f, NET, group=""))
    want = told(data)
    want["state_dicts"][""]["order"] = ORDER
    return data, ".h5", want


@case
def keras2_split_names():
    data = written(lambda f: legacy(f, NET, split=True, group=""), libver="latest")
    want = told(data)
    want["state_dicts"][""]["order"] = ORDER
    return data, ".h5", want


@case
def keras2_weight_missing():
    def fill(f):
        legacy(f, NET, group="")
        del f["dense_1/kernel:0"]
    data = written(fill, libver="latest")
    return data, ".h5", told(data, clean=False, safety="malformed",
                             **finding("storage.missing", subject="kernel:0"))


@case
def keras2_lambda():
    code = base64.b64encode(marshal.dumps(compile("lambda x: x", "model.py", "eval"))).decode()
    layer = {"class_name": "Lambda", "config": {"name": "l", "function": [code, None, None],
                                                "function_type": "lambda", "module": "__main__"}}
    data = written(lambda f: legacy(f, {"d": {"w": (1,)}}, config_with(layer)), libver="latest")
    return data, ".h5", told(data, "model_weights", clean=False, safety="dangerous",
                             **finding("keras.code", subject="Lambda"))


@case
def keras1_whole():
    config = json.dumps({"class_name": "Sequential", "config": [
        {"class_name": "Dense", "config": {"name": "dense_2"}},
        {"class_name": "Dense", "config": {"name": "dense_1"}}]})
    data = written(lambda f: legacy(f, {"dense_2": {"dense_2_W": (1,)}}, config, version=b"1.2.2"))
    return data, ".h5", told(data, "model_weights", metadata={
        "keras_version": "1.2.2", "layers": 2, "layer_classes": {"Dense": 2}})


# ---- one thing wrong ----

def changed(name, change, want, base=None):
    def make():
        data = bytearray(base() if base else written(flat))
        data = change(data) or data
        return bytes(data), ".h5", want
    CASES[name] = make


def replace(old, new, count=1):
    def change(data):
        at = bytes(data).index(old)
        data[at:at + len(old)] = new
    return change


def new_style():
    return written(flat, libver="latest")


BAD = {"safety": "malformed"}
DAMAGED = {"safety": "malformed", **finding("tensor.malformed")}
EMPTIED = {"safety": "malformed", "findings": [{"id": "tensor.malformed"}, {"id": "file.no-tensors"}]}
changed("cut-in-half", lambda d: d[:len(d) // 2], BAD)
changed("cut-in-superblock", lambda d: d[:60], {"error": "truncated-input"})
changed("cut-by-one", lambda d: d[:-1], {"safety": "malformed", "findings": [
    {"id": "storage.truncated", "subject": ""}, {"id": "storage.truncated", "subject": "bias"}]})
changed("trailing-bytes", lambda d: d + b"more", {"safety": "clean", **finding("file.trailing-bytes")})
changed("superblock-version", lambda d: d.__setitem__(8, 9), {"error": "unsupported-input"})
changed("superblock-offset-size", lambda d: d.__setitem__(13, 3), {"error": "unsupported-input"})
changed("superblock-checksum", lambda d: d.__setitem__(44, d[44] ^ 1), DAMAGED, new_style)
changed("header-checksum", lambda d: d.__setitem__(bytes(d).rindex(b"OHDR") + 30, 0x55), DAMAGED, new_style)
changed("root-nowhere", lambda d: d.__setitem__(slice(64, 72), b"\xff" * 8), {"error": "malformed-input"})
changed("root-past-end", lambda d: d.__setitem__(slice(64, 72), struct.pack("<Q", 1 << 40)),
        {"error": "truncated-input"})
changed("heap-signature", replace(b"HEAP", b"HEAQ"), EMPTIED)
changed("tree-signature", replace(b"TREE", b"TREF"), EMPTIED)
changed("node-signature", replace(b"SNOD", b"SNOE"), EMPTIED)
changed("tree-level", lambda d: d.__setitem__(bytes(d).index(b"TREE") + 5, 7), EMPTIED)
changed("tree-in-circle", lambda d: (d.__setitem__(bytes(d).index(b"TREE") + 5, 1),
        d.__setitem__(slice(bytes(d).index(b"TREE") + 32, bytes(d).index(b"TREE") + 40),
                      struct.pack("<Q", bytes(d).index(b"TREE"))))[2:] or None, EMPTIED)
changed("symbols-too-many", lambda d: d.__setitem__(slice(bytes(d).index(b"SNOD") + 6,
        bytes(d).index(b"SNOD") + 8), b"\xff\xff"), EMPTIED)
changed("name-past-heap", lambda d: d.__setitem__(slice(bytes(d).index(b"SNOD") + 8,
        bytes(d).index(b"SNOD") + 16), struct.pack("<Q", 1 << 62)), EMPTIED)
changed("name-with-slash", replace(b"kernel\0", b"ker/el\0"), {"safety": "malformed", **finding("state-dict.odd-key")})
changed("names-twice", lambda d: replace(b"kernel\0", b"bias\0\0\0")(d),
        {"safety": "malformed", "findings": [{"id": "state-dict.duplicate-key"}, {"id": "state-dict.duplicate-key"}]})


def dims(data, old, new):
    """Change the dimensions (4, 3) of kernel."""
    packed = struct.pack("<QQ", *old)
    at = bytes(data).index(packed)
    data[at:at + 16] = struct.pack("<QQ", *new)


changed("dimensions-overflow", lambda d: dims(d, (4, 3), (1 << 62, 1 << 62)), DAMAGED)
changed("dimensions-overflow-bytes", lambda d: dims(d, (4, 3), ((1 << 62) + 1, 1)), BAD)
changed("dimension-near-2-63", lambda d: dims(d, (4, 3), ((1 << 63) - 1, 1)), BAD)
changed("dimensions-larger-than-data", lambda d: dims(d, (4, 3), (5, 3)),
        {"safety": "malformed", **finding("storage.truncated", subject="kernel")})


def move(data, name, where):
    """Point the data of a dataset elsewhere."""
    path = SCRATCH / "moved.h5"
    path.write_bytes(bytes(data))
    with h5py.File(path) as f:
        offset, other = f[name].id.get_offset(), f["bias"].id.get_offset()
    at = bytes(data).index(struct.pack("<BBQ", 3, 1, offset)) + 2
    data[at:at + 8] = struct.pack("<Q", where(offset, other))


changed("data-past-end", lambda d: move(d, "kernel", lambda a, b: 1 << 50),
        {"safety": "malformed", **finding("storage.truncated", subject="kernel")})
changed("data-near-2-64", lambda d: move(d, "kernel", lambda a, b: (1 << 64) - 4),
        {"safety": "malformed", **finding("storage.truncated", subject="kernel")})
changed("data-overlap", lambda d: move(d, "bias", lambda a, b: a - 4),
        {"safety": "malformed", **finding("tensor.overlap")})
changed("rank-of-200", lambda d: d.__setitem__(bytes(d).index(struct.pack("<QQ", 4, 3)) - 7, 200), DAMAGED)
changed("type-class-15", lambda d: d.__setitem__(bytes(d).index(b"\x11\x20\x1f\x00"), 0x1f), DAMAGED)
changed("type-of-no-size", lambda d: d.__setitem__(slice(bytes(d).index(b"\x11\x20\x1f\x00") + 4,
        bytes(d).index(b"\x11\x20\x1f\x00") + 8), bytes(4)), DAMAGED)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent / "cases/keras-hdf5"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root
    shutil.rmtree(folder, ignore_errors=True)
    for name, make in sorted(CASES.items()):
        data, suffix, expect = make()
        assert str(SCRATCH).encode() not in data, name
        (folder / name).mkdir(parents=True)
        (folder / name / f"input{suffix}").write_bytes(data)
        (folder / name / "expect.json").write_text(json.dumps(expect, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(SCRATCH)
    print(f"{len(CASES)} cases")


if __name__ == "__main__":
    main()
