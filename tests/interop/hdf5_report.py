"""What h5py reports of an HDF5 file, in ckptd's words: shared by the check and the maker of cases."""

import h5py
import numpy as np

ATOMS = {"f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16",
         "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
         "u8": "uint64", "b1": "bool", "c8": "complex64", "c16": "complex128"}


def dtype_of(dataset):
    """ckptd's name of a dataset's element type."""
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None:
        return "string"
    name = ATOMS.get(dtype.str[1:], "unknown") if dtype.kind in "fiubc" else "unknown"
    told = dataset.attrs.get("dtype")
    if isinstance(told, bytes):
        told = told.decode()
    return "bfloat16" if told == "bfloat16" and dtype.itemsize == 2 else name


def hard_links(group, prefix=""):
    """(path, object) of every hard link, groups walked once, in h5py's order."""
    seen = set()
    stack = [(prefix, group)]
    found = []
    while stack:
        path, here = stack.pop()
        key = h5py.h5o.get_info(here.id).addr
        if isinstance(here, h5py.Group):
            if key in seen:
                continue
            seen.add(key)
            inner = []
            for name in here:
                if isinstance(here.get(name, getlink=True), h5py.HardLink):
                    inner.append((f"{path}/{name}" if path else name, here[name]))
            stack.extend(reversed(inner))
        elif isinstance(here, h5py.Dataset):
            found.append((path, here))
    return found


def tensors(group, under=""):
    """Rows of {name, dtype, shape}, sorted bytewise by name; null datasets apart."""
    rows, empty = [], []
    for path, dataset in hard_links(group):
        if dataset.shape is None:
            empty.append(path)
        else:
            rows.append({"name": path, "dtype": dtype_of(dataset), "shape": list(dataset.shape)})
    key = lambda n: n.encode("utf-8", "surrogateescape")
    return sorted(rows, key=lambda r: key(r["name"])), sorted(empty, key=key)


def offset_of(dataset):
    """The byte at which a dataset's data begin, or None where they have no byte range."""
    plain = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    return dataset.id.get_offset() if plain and dataset.dtype.kind in "fiubc" else None
