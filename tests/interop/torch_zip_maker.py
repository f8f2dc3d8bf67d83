"""Makes torch.save's zip container byte by byte, so that a test can falsify any part of it.

    records = pack({"w": torch.zeros(2)})             # data.pkl, data/0, version, byteorder
    data = archive(records, root="model")             # as PyTorch's writer lays it out
    data = archive([Member("data.pkl", b"...", crc=1)], root="model")
"""

import io
import pickle
import struct
import zlib

import torch


class Member:
    """A zip member. What is None is told as it is; anything else is told instead."""

    def __init__(self, name, data, *, root=None, method=0, flags=0x0808, crc=None, local_name=None,
                 told_size=None, told_stored=None, local_sizes=None, shift=0, zip64=False):
        self.name = name
        self.data = data
        self.root = root  # None: the archive's; "": none at all
        self.method = method
        self.flags = flags
        self.crc = crc
        self.local_name = local_name
        self.told_size = told_size
        self.told_stored = told_stored
        self.local_sizes = local_sizes
        self.shift = shift
        self.zip64 = zip64


def storages_of(obj, protocol=2, key="{}".format, pickler=pickle._Pickler, told=None):
    """(data.pkl, {key: bytes}) of an object, as torch.save would pickle it."""
    out = io.BytesIO()
    keys = {}
    data = {}

    class Pickler(pickler):
        def persistent_id(self, value):
            if isinstance(value, torch.storage.TypedStorage):
                storage, count = value._untyped_storage, value._size()
                cls = getattr(torch, value._pickle_storage_type())
            elif isinstance(value, torch.UntypedStorage):
                storage, cls, count = value, torch.UntypedStorage, value.nbytes()
            else:
                return None
            number = keys.setdefault(storage._cdata, len(keys))
            data[key(number)] = bytes(storage.tolist()) if storage.nbytes() else b""
            if told is not None:
                count = told(count)
            return ("storage", cls, key(number), "cpu", count)

    Pickler(out, protocol).dump(obj)
    return out.getvalue(), data


def pack(obj, byteorder=b"little", version=b"3\n", **arguments):
    """The members of an object's archive, in the order of PyTorch's writer."""
    text, data = storages_of(obj, **arguments)
    members = [Member("data.pkl", text)]
    if byteorder is not None:
        members.append(Member("byteorder", byteorder))
    members += [Member("data/" + k, v) for k, v in data.items()]
    if version is not None:
        members.append(Member("version", version))
    return members


def deflate(data):
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def archive(members, root="archive", align=64, prefix=b"", trailing=b"", zip64=False, comment=b""):
    """The archive's bytes. Alignment pads in the local extra field, as PyTorch does."""
    out = bytearray(prefix)
    entries = []
    for m in members:
        folder = root if m.root is None else m.root
        name = ((folder + "/" if folder else "") + m.name).encode("utf-8", "surrogateescape")
        local_name = name if m.local_name is None else m.local_name.encode()
        payload = deflate(m.data) if m.method == 8 else m.data
        crc = zlib.crc32(m.data) if m.crc is None else m.crc
        stored = len(payload) if m.told_stored is None else m.told_stored
        size = len(m.data) if m.told_size is None else m.told_size
        offset = len(out)
        extra = b""
        if align > 1 and m.method == 0:
            at = offset + 30 + len(local_name) + 4
            pad = -at % align
            extra = struct.pack("<2sH", b"FB", pad) + b"Z" * pad
        told = (0, 0) if m.flags & 8 else (stored & 0xffffffff, size & 0xffffffff)
        local_stored, local_size = told if m.local_sizes is None else m.local_sizes
        out += struct.pack("<4sHHHIIIIHH", b"PK\3\4", 20, m.flags, m.method, 0, 0, local_stored,
                           local_size, len(local_name), len(extra))
        out += local_name + extra + payload
        if m.flags & 8:
            out += struct.pack("<4sIII", b"PK\7\x08", crc, stored & 0xffffffff, size & 0xffffffff)
        entries.append((m, name, crc, stored, size, offset + m.shift))
    directory = len(out)
    for m, name, crc, stored, size, offset in entries:
        extra = b""
        if m.zip64:
            extra = struct.pack("<HHQQQ", 1, 24, size, stored, offset)
            stored = size = offset = 0xffffffff
        out += struct.pack("<4sHHHHIIIIHHHHHII", b"PK\1\2", 20, 20, m.flags, m.method, 0, crc,
                           stored, size, len(name), len(extra), 0, 0, 0, 0, offset)
        out += name + extra
    length = len(out) - directory
    if zip64:
        end = len(out)
        out += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, len(entries), len(entries),
                           length, directory)
        out += struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
        out += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff,
                           len(comment))
    else:
        out += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(entries), len(entries), length,
                           directory, len(comment))
    return bytes(out + comment + trailing)


# Pickles by hand: what no pickler writes any more, or never did.

def text(s):
    raw = s.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(n):
    return b"J" + struct.pack("<i", n) if -1 << 31 <= n < 1 << 31 else b"\x8a\x09" + n.to_bytes(
        9, "little", signed=True)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def numbers(values):
    return b"(" + b"".join(number(v) for v in values) + b"t"


def storage(key="0", count=6, cls="FloatStorage", location="cpu"):
    return (b"(" + text("storage") + name("torch", cls) + text(key) + text(location) +
            number(count) + b"tQ")


def tensor(size, stride, offset=0, **arguments):
    """A call of _rebuild_tensor_v2."""
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage(**arguments) +
            number(offset) + numbers(size) + numbers(stride) + b"\x89" +
            name("collections", "OrderedDict") + b")RtR")


def dictionary(pairs):
    """A dict of texts to values that are pickled already."""
    return b"}(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def pickled(body):
    return b"\x80\x02" + body + b"."
