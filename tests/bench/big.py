"""Writes a sparse zip64 checkpoint of 20 GB: torch's own pickle, holes where the weights would be.

    python big.py PATH
"""

import io
import pickle
import struct
import sys
import zlib

import torch

ROWS = 160  # tensors, each of 128 MiB


class Pickler(pickle.Pickler):
    """torch.save's persistent ids, for storages that are never made."""

    def persistent_id(self, thing):
        if isinstance(thing, tuple) and thing and thing[0] == "storage-of":
            return ("storage", torch.FloatStorage, thing[1], "cpu", thing[2])
        return None


class Tensor:
    def __init__(self, key, shape):
        self.key, self.shape = key, shape

    def __reduce__(self):
        rows, columns = self.shape
        return (
            torch._utils._rebuild_tensor_v2,
            (("storage-of", self.key, rows * columns), 0, self.shape, (columns, 1), False,
             __import__("collections").OrderedDict()),
        )


def local_header(name, size, pad):
    zip64 = struct.pack("<HHQQ", 1, 16, size, size) if size >= 0xFFFFFFFF else b""
    extra = zip64 + struct.pack("<HH", 0x4246, pad) + b"Z" * pad
    small = min(size, 0xFFFFFFFF)
    return struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, small, small, len(name),
                       len(extra)) + name + extra


def main(path):
    shape = (8192, 4096)
    state = {f"layers.{i}.weight": Tensor(str(i), shape) for i in range(ROWS)}
    data = io.BytesIO()
    Pickler(data, protocol=2).dump(state)
    members = [("data.pkl", data.getvalue(), None), ("byteorder", b"little", None)]
    members += [(f"data/{i}", None, shape[0] * shape[1] * 4) for i in range(ROWS)]
    members += [("version", b"3\n", None)]
    central = b""
    with open(path, "wb") as out:
        for name, content, size in members:
            name = f"big/{name}".encode()
            size = len(content) if content is not None else size
            offset = out.tell()
            pad = -(offset + 30 + len(name) + 4) % 64
            out.write(local_header(name, size, pad))
            if content is not None:
                out.write(content)
            else:
                out.seek(size, io.SEEK_CUR)
            crc = zlib.crc32(content) if content is not None else 0
            extra = struct.pack("<HHQ", 1, 8, offset) if offset >= 0xFFFFFFFF else b""
            central += struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, size, size, len(name),
                len(extra), 0, 0, 0, 0, min(offset, 0xFFFFFFFF)) + name + extra
        start = out.tell()
        out.write(central)
        end = out.tell()
        count = len(members)
        out.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count,
                              len(central), start))
        out.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
        out.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(central),
                              min(start, 0xFFFFFFFF), 0))


if __name__ == "__main__":
    main(sys.argv[1])
