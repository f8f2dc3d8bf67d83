#!/usr/bin/env python3
"""Whether torch.load(weights_only=True) takes a file: ckptd's answer against the real one's.

    check_weights_only.py PROGRAM [--keep DIR] [--seed N]

PROGRAM is `ckptd` (then each case is a whole checkpoint), or the test driver `pickle_verdict`, which is
given the bare pickle. For each case both answers must be equal; and where ckptd says that certain
globals are needed, allowing just these must make the real one load the file.

Needs PyTorch 2.13 and NumPy.
"""
import argparse
import collections
import datetime
import decimal
import importlib
import io
import json
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import types
import uuid
import warnings
import zipfile

import numpy
import torch

warnings.simplefilter("ignore")

cases = []  # (name, data.pkl, {storage key: bytes})


def case(name, pkl, records=None):
    cases.append((name, pkl, records or {}))


def saved(name, value, **kwargs):
    """What torch.save makes of a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **kwargs)
    archive = zipfile.ZipFile(buffer)
    root = archive.namelist()[0].split("/")[0]
    records = {n.split("/", 2)[2]: archive.read(n) for n in archive.namelist() if n.startswith(root + "/data/")}
    case(name, archive.read(root + "/data.pkl"), records)


def container(pkl, records):
    """A checkpoint of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pkl)
        archive.writestr("archive/byteorder", "little")
        for key, data in records.items():
            archive.writestr("archive/data/" + key, data)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


# A little assembler.
def text(s):
    b = s.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(b)) + b


def name(module, attribute):
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def small(n):
    return b"K" + bytes([n])


def raw(b):
    return b"U" + bytes([len(b)]) + b


def call(module, attribute, *arguments):
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def storage(key="0", elements=6, cls="FloatStorage", module="torch", location=None, first=None):
    return (b"(" + (first or text("storage")) + name(module, cls) + text(key) + (location or text("cpu"))
            + small(elements) + b"tQ")


def ints(*values):
    return b"(" + b"".join(small(v) for v in values) + b"t"


def tensor(store=None, function="_rebuild_tensor_v2", more=b""):
    return call("torch._utils", function, store or storage(), small(0), ints(2, 3), ints(3, 1), b"\x89",
                call("collections", "OrderedDict"), more)


P2 = b"\x80\x02"
SIX = {"0": bytes(24)}


def proper():
    """What programs save."""
    linear = torch.nn.Linear(3, 2)
    batch_norm = torch.nn.BatchNorm1d(4)
    optimizer = torch.optim.Adam(linear.parameters())
    linear(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved("state dict", linear.state_dict())
    saved("buffers", batch_norm.state_dict())
    saved("wrapped", {"state_dict": linear.state_dict(), "epoch": 3, "optimizer": optimizer.state_dict()})
    for protocol in range(2, 6):
        saved(f"protocol {protocol}", {"w": torch.ones(2)}, pickle_protocol=protocol)
    plain = {
        "none": None, "bools": [True, False], "ints": [0, 1, -1, 255, 256, 65536, -2**31, 2**31, 2**62, 2**70, -2**70],
        "floats": [0.5, -1e300, float("inf"), float("nan")], "str": "é😀", "bytes": b"\x00\xff", "tuple": (1, (2, (3, ()))),
        "set": {1, 2}, "frozenset": frozenset([1]), "bytearray": bytearray(b"abc"), "complex": 1 + 2j, "empty bytes": b"",
        "long tuple": tuple(range(20)), "slice": slice(1, 2), "range": range(3), "ellipsis": ..., "type": int,
        "class": torch.nn.Linear, "nonetype": type(None), "surrogate": "\ud800", "empty": [{}, [], (), set(), ""],
    }
    for key, value in plain.items():
        saved(key, value)
        saved(key + " in a dict", {"k": value, "w": torch.zeros(1)})
    recursive = []
    recursive.append(recursive)
    saved("list in itself", recursive)
    for dtype in ["float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool", "complex64",
                  "complex128", "uint16", "uint32", "uint64", "float8_e5m2", "float8_e4m3fn"]:
        saved(dtype, torch.zeros(2, 3, dtype=torch.uint8).to(getattr(torch, dtype)))
        saved(dtype + " itself", getattr(torch, dtype))
    saved("view", torch.arange(10.)[2:7])
    saved("expanded", torch.zeros(1).expand(5, 5))
    saved("empty tensor", torch.zeros(0, 3))
    saved("scalar", torch.tensor(1.5))
    saved("requires grad", torch.zeros(2, requires_grad=True))
    saved("parameter", torch.nn.Parameter(torch.zeros(2)))
    saved("parameter list", torch.nn.ParameterList([torch.zeros(2)]).state_dict())
    attributed = torch.nn.Parameter(torch.zeros(2))
    attributed.mark = "x"
    saved("parameter with state", attributed)
    saved("conj", torch.zeros(2, dtype=torch.complex64).conj())
    saved("sparse coo", torch.eye(3).to_sparse())
    saved("sparse csr", torch.eye(3).to_sparse_csr())
    saved("quantized", torch.quantize_per_tensor(torch.zeros(2, 3), .1, 0, torch.qint8))
    saved("quantized by channel", torch.quantize_per_channel(torch.zeros(2, 3), torch.ones(2), torch.zeros(2, dtype=torch.long), 0, torch.quint8))
    saved("meta", torch.zeros(2, 3, device="meta"))
    saved("nested", torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]))
    saved("jagged", torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged))
    saved("size", torch.Size([1, 2]))
    saved("device", torch.device("cuda", 0))
    saved("layout", torch.sparse_coo)
    saved("qscheme", torch.per_channel_affine)
    saved("generator state", torch.get_rng_state())
    saved("untyped storage", torch.zeros(3).untyped_storage())
    saved("typed storage", torch.zeros(3).storage())
    saved("OrderedDict", collections.OrderedDict(a=1, b=2))
    saved("Counter", collections.Counter("aab"))
    attributes = collections.OrderedDict(a=1)
    attributes.extra = 1
    saved("OrderedDict with an attribute", attributes)
    saved("defaultdict", collections.defaultdict(list, a=[1]))
    saved("empty defaultdict", collections.defaultdict(list))
    saved("deque", collections.deque([1, 2], 5))
    saved("empty deque", collections.deque())
    saved("Namespace", argparse.Namespace(lr=.1, nested=argparse.Namespace(a=1)))
    saved("SimpleNamespace", types.SimpleNamespace(a=1))
    saved("path", pathlib.PurePosixPath("/a/b"))
    saved("datetime", datetime.datetime(2024, 1, 1))
    saved("timedelta", datetime.timedelta(1))
    saved("Decimal", decimal.Decimal("1.5"))
    saved("UUID", uuid.UUID(int=5))
    for scalar in [numpy.float64(1), numpy.float32(1), numpy.int64(1), numpy.bool_(True), numpy.int32(2), numpy.uint8(2)]:
        saved("numpy " + type(scalar).__name__, {"best": scalar})
    for array in [numpy.zeros(3), numpy.zeros((2, 2), "i4"), numpy.array(["a", "bc"]), numpy.array([b"a"]), numpy.zeros(2, "c8")]:
        saved("numpy array " + str(array.dtype), array)
    saved("numpy dtype", numpy.dtype("f4"))
    saved("module", linear)
    saved("optimizer object", optimizer)
    saved("scheduler", torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict())


def assembled():
    """Opcodes by hand, well-formed and not."""
    bodies = {
        "none": b"N.", "no PROTO": b"]q\x00.", "PROTO twice": P2 + P2 + b"N.", "PROTO 1": b"\x80\x01N.", "PROTO 5": b"\x80\x05N.",
        "PROTO 9": b"\x80\x09N.", "PROTO late": b"N\x80\x02.", "two values": b"NN.", "no STOP": b"N", "only STOP": b".",
        "STOP under a mark": b"N(.", "STOP above a mark": b"(N.", "trailing": b"N.xyz", "unknown opcode": b"\xffN.",
        "POP": b"NN0.", "DUP": b"N2.", "INT": b"I1\n.", "LONG": b"L1L\n.", "LONG4": b"\x8b\x01\0\0\0\x01.", "FLOAT": b"F1.0\n.",
        "STRING": b"S'a'\n.", "UNICODE": b"Va\n.", "BINSTRING": b"T\x01\0\0\0a.", "SHORT_BINUNICODE": b"\x8c\x01a.",
        "BINBYTES": b"B\x01\0\0\0a.", "SHORT_BINBYTES": b"C\x01a.", "LIST": b"(N" + b"l.", "DICT": b"(" + small(1) + b"Nd.",
        "MEMOIZE": b"]\x94.", "FRAME": b"\x95\x02\0\0\0\0\0\0\0N.", "PUT": b"]p0\n.", "GET": b"]q\x00" + b"0g0\n.", "ADDITEMS": b"\x8f(K\x01\x90.",
        "EMPTY_SET": b"\x8f.", "FROZENSET": b"(\x91.", "STACK_GLOBAL": text("torch") + text("Size") + b"\x93.",
        "INST": b"(icollections\nOrderedDict\n.", "OBJ": b"(" + name("collections", "OrderedDict") + b"o.", "EXT1": b"\x82\x01.",
        "PERSID": b"Pabc\n.", "NEWOBJ_EX": name("collections", "OrderedDict") + b")}\x92.", "NEXT_BUFFER": b"\x97.",
        "LONG1": b"\x8a\x0a" + b"\xff" * 10 + b".", "LONG1 of none": b"\x8a\x00.", "BINGET unknown": b"h\x05.", "LONG_BINPUT far": b"Nr\xff\xff\xff\x7f.",
        "BINPUT on nothing": b"q\x00.", "BINPUT above a mark": b"N(q\x00.", "memo overwritten": b"Nq\x00]q\x00h\x00\x86.",
        "text not UTF-8": b"X\x01\0\0\0\xff.", "text overlong": b"X\x02\0\0\0\xc0\x80.", "surrogate": text("\ud800") + b".",
        "text cut off": b"X\x05\0\0\0ab", "raw ascii": raw(b"abc") + b".", "raw utf-8": raw("é".encode()) + b".", "raw latin-1": raw(b"\xff") + b".",
        # Targets.
        "APPEND to list": b"]Na.", "APPEND to tuple": b")Na.", "APPEND to dict": b"}Na.", "APPEND to OrderedDict": call("collections", "OrderedDict") + b"Na.",
        "APPEND to set": call("builtins", "set") + b"Na.", "APPENDS of none to list": b"](e.", "APPENDS of none to tuple": b")(e.",
        "APPENDS of none to dict": b"}(e.", "SETITEM on dict": b"}NNs.", "SETITEM on list": b"]Na" + small(0) + b"Ns.", "SETITEM on None": b"NNNs.",
        "SETITEMS of none on dict": b"}(u.", "SETITEMS of none on list": b"](u.", "SETITEMS of none on Counter": call("collections", "Counter") + b"(u.",
        "SETITEMS of three": b"}(NNNu.", "SETITEM on OrderedDict": call("collections", "OrderedDict") + b"NNs.",
        "SETITEM on Counter": call("collections", "Counter") + b"N" + small(1) + b"s.", "SETITEM on set": call("builtins", "set") + b"NNs.",
        "SETITEM on bytearray": call("builtins", "bytearray") + small(0) + small(1) + b"s.", "SETITEM on global": name("torch", "Size") + b"NNs.",
        "list as key": b"}]Ns.", "tuple with a list as key": b"}]\x85Ns.", "list as key of OrderedDict": call("collections", "OrderedDict") + b"]Ns.",
        "dtype as key": b"}" + name("torch", "float32") + b"Ns.",
        "BUILD on dict": b"}Nb.", "BUILD on list": b"]Nb.", "BUILD on None": b"N}b.", "BUILD on OrderedDict": call("collections", "OrderedDict") + b"}b.",
        "BUILD attributes": call("collections", "OrderedDict") + b"}" + text("a") + b"Nsb.", "BUILD None on OrderedDict": call("collections", "OrderedDict") + b"Nb.",
        "BUILD list on OrderedDict": call("collections", "OrderedDict") + b"]b.", "BUILD int on OrderedDict": call("collections", "OrderedDict") + small(1) + b"b.",
        "BUILD on Counter": call("collections", "Counter") + b"}b.", "BUILD attributes on Counter": call("collections", "Counter") + b"}" + text("a") + b"Nsb.",
        "BUILD on Size": call("torch", "Size", ints(1)) + b"}b.", "BUILD attributes on Size": call("torch", "Size", ints(1)) + b"}" + text("a") + b"Nsb.",
        "BUILD on set": call("builtins", "set") + b"Nb.", "BUILD on global": name("torch", "Tensor") + b"}b.", "BUILD on bytes": call("_codecs", "encode", text("a"), text("latin1")) + b"Nb.",
        "BUILD below nothing": b"}b.",
        # Calls.
        "REDUCE OrderedDict": call("collections", "OrderedDict") + b".", "OrderedDict of pairs": call("collections", "OrderedDict", b"]" + b"]NaNa" + b"a") + b".",
        "OrderedDict of dict": call("collections", "OrderedDict", b"}NNs") + b".", "OrderedDict of int": call("collections", "OrderedDict", small(1)) + b".",
        "OrderedDict of None": call("collections", "OrderedDict", b"N") + b".", "OrderedDict of two": call("collections", "OrderedDict", b"]", b"]") + b".",
        "OrderedDict of triples": call("collections", "OrderedDict", b"]" + b"]NaNaNa" + b"a") + b".", "OrderedDict called with a list": name("collections", "OrderedDict") + b"]R.",
        "OrderedDict called with None": name("collections", "OrderedDict") + b"NR.", "OrderedDict called with int": name("collections", "OrderedDict") + small(1) + b"R.",
        "NEWOBJ OrderedDict": name("collections", "OrderedDict") + b")\x81.", "NEWOBJ Size": name("torch", "Size") + ints(1) + b"\x85\x81.",
        "NEWOBJ function": name("torch._utils", "_rebuild_tensor_v2") + b")\x81.", "NEWOBJ dtype": name("torch", "float32") + b")\x81.",
        "REDUCE dtype": call("torch", "float32") + b".", "REDUCE storage class": call("torch", "FloatStorage") + b".", "REDUCE None": b"N)R.", "REDUCE int": small(1) + b")R.",
        "REDUCE a result": call("collections", "OrderedDict") + b")R.", "REDUCE nothing": b")R.", "Size of ints": call("torch", "Size", ints(1, 2)) + b".",
        "Size of none": call("torch", "Size") + b".", "Size of int": call("torch", "Size", small(1)) + b".", "set of list": call("builtins", "set", b"]Na") + b".",
        "set of int": call("builtins", "set", small(1)) + b".", "py2 set": call("__builtin__", "set", b"]") + b".", "complex": call("__builtin__", "complex", b"G\0\0\0\0\0\0\0\0", b"G\0\0\0\0\0\0\0\0") + b".",
        "encode": call("_codecs", "encode", text("a"), text("latin1")) + b".", "encode of int": call("_codecs", "encode", small(1), text("latin1")) + b".",
        "bytearray of text": call("builtins", "bytearray", text("a"), text("latin-1")) + b".", "bytearray of bare text": call("builtins", "bytearray", text("a")) + b".",
        "Counter of int": call("collections", "Counter", small(1)) + b".", "Counter of dict": call("collections", "Counter", b"}") + b".", "device": call("torch", "device", text("cpu")) + b".",
        "device of list": call("torch", "device", b"]") + b".", "layout": call("torch.serialization", "_get_layout", text("torch.strided")) + b".",
        "layout of int": call("torch.serialization", "_get_layout", small(1)) + b".", "Parameter of None": call("torch.nn.parameter", "Parameter") + b".", "Parameter of int": call("torch.nn.parameter", "Parameter", small(1)) + b".",
        # Names.
        "os.system": name("os", "system") + b".", "posix.system": name("posix", "system") + b".", "sys.exit": name("sys", "exit") + b".", "nt.system": name("nt", "system") + b".",
        "os.path.join": name("os.path", "join") + b".", "os with a carriage return": b"cos\r\nsystem\n.", "eval": name("__builtin__", "eval") + b".", "py3 eval": name("builtins", "eval") + b".",
        "called os.system": call("os", "system", text("true")) + b".", "called eval": call("builtins", "eval", text("1")) + b".", "popped": b"(" + call("os", "system", text("true")) + b"1N.",
        "dotted name": name("torch", "_utils._rebuild_tensor_v2") + b".", "dotted module": name("torch.nn", "parameter.Parameter") + b".", "Parameter by its short name": name("torch.nn", "Parameter") + b".",
        "unknown global": name("nowhere", "Thing") + b".", "getattr": name("builtins", "getattr") + b".", "py2 xrange": name("__builtin__", "xrange") + b".", "UserDict": name("UserDict", "UserDict") + b".",
        "copy_reg": name("copy_reg", "_reconstructor") + b".", "global without name": b"ctorch\n\n.", "global cut off": b"ctorch", "global not UTF-8": b"ct\xff\nx\n.", "torch.load": name("torch", "load") + b".",
        "TypedStorage": name("torch.storage", "TypedStorage") + b".", "_load_from_bytes": name("torch.storage", "_load_from_bytes") + b".", "torch.cuda.FloatTensor": name("torch.cuda", "FloatTensor") + b".",
        # The stack.
        "TUPLE without mark": b"Nt.", "TUPLE1": b"N\x85.", "TUPLE2 too few": b"N\x86.", "TUPLE3 under a mark": b"NN(N\x87.", "APPENDS without mark": b"]e.", "deep": b"(" * 500 + b"t" * 500 + b".",
        "BINPERSID of int": small(1) + b"Q.", "BINPERSID of text": text("storage") + b"Q.", "BINPERSID of nothing": b"Q.", "BINPERSID of empty": b")Q.",
    }
    for title, body in bodies.items():
        case("by hand: " + title, body)
        if not body.startswith(b"\x80"):
            case("by hand, protocol 2: " + title, P2 + body)
    tensors = {
        "v2": tensor(), "v2 with metadata": tensor(more=b"}"), "v2 with None": tensor(more=b"N"), "v2 of list": tensor(store=b"]"), "v2 too many": tensor(more=b"NNN"),
        "v1": call("torch._utils", "_rebuild_tensor", storage(), small(0), ints(2, 3), ints(3, 1)), "v2 too few": call("torch._utils", "_rebuild_tensor_v2", storage()),
        "storage alone": storage(), "storage by bytes": storage(first=raw(b"storage")), "storage misnamed": storage(first=text("module")), "untyped": storage(elements=24, cls="UntypedStorage", module="torch.storage"),
        "storage of no class": b"(" + text("storage") + b"N" + text("0") + text("cpu") + small(6) + b"tQ", "storage of four": b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"tQ",
        "storage of six": b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + small(6) + b"NtQ", "storage of OrderedDict": storage(cls="OrderedDict", module="collections"),
        "storage of list": b"]" + text("storage") + b"aQ", "location None": storage(location=b"N"), "py2 location": storage(location=raw(b"cpu")), "dtype as class": storage(cls="float32"),
        "parameter": call("torch._utils", "_rebuild_parameter", tensor(), b"\x88", call("collections", "OrderedDict")), "parameter of list": call("torch._utils", "_rebuild_parameter", b"]", b"\x88", b"N"),
        "NEWOBJ Parameter": name("torch.nn.parameter", "Parameter") + tensor() + b"\x85\x81", "meta": call("torch._utils", "_rebuild_meta_tensor_no_storage", name("torch", "float32"), ints(2), ints(1), b"\x89"),
        "from type": call("torch._tensor", "_rebuild_from_type_v2", name("torch._utils", "_rebuild_tensor_v2"), name("torch.nn.parameter", "Parameter"),
                          b"(" + storage() + small(0) + ints(2, 3) + ints(3, 1) + b"\x89" + call("collections", "OrderedDict") + b"t", b"}"),
    }
    for title, body in tensors.items():
        case("tensor: " + title, P2 + body + b".", SIX)


def damaged(seed):
    """A real pickle, cut off at each byte, and with single bytes changed at random."""
    whole = pickle.dumps({"epoch": 3, "lr": [.1, 2, None], "names": ("a", "b"), "big": 2**70, "x": collections.OrderedDict(a=True),
                          "s": {1}, "c": collections.Counter("ab")}, 2)
    for end in range(len(whole)):
        case(f"cut at {end}", whole[:end])
    dice = random.Random(seed)
    for i in range(400):
        changed = bytearray(whole)
        for _ in range(dice.choice([1, 1, 2, 4])):
            changed[dice.randrange(len(changed))] = dice.choice([dice.randrange(256), dice.choice(b"cRbaesu(t\x85\x86N)]}KXqh.0l")])
        case(f"changed {seed}.{i}", bytes(changed))


# What importing torch allows; saving some of the cases imports more, which allows more.
at_first = torch.serialization.get_safe_globals()


def damaged_tensors(seed):
    """The same of a real state dict: only who sees the whole archive can tell that a storage is not as
    the pickle says."""
    saved("state dict to be changed", {"w": torch.arange(6.).reshape(2, 3), "b": torch.nn.Parameter(torch.zeros(2)),
                                       "i": torch.zeros(3, dtype=torch.int64), "epoch": 3})
    _, whole, records = cases[-1]
    dice = random.Random(seed)
    for i in range(400):
        changed = bytearray(whole)
        for _ in range(dice.choice([1, 1, 2])):
            changed[dice.randrange(len(changed))] = dice.choice(
                [dice.randrange(256), dice.randrange(8), dice.choice(b"cRbaesu(t\x85\x86N)]}KXqh.0lQ\x89\x88")])
        case(f"changed tensors {seed}.{i}", bytes(changed), records)


def torch_loads(file, allowed=()):
    try:
        with torch.serialization.safe_globals(list(allowed)):
            torch.load(io.BytesIO(file), weights_only=True)
        return True, ""
    except Exception as error:  # noqa: BLE001: whatever it raises, it does not load
        return False, f"{type(error).__name__}: {error}"


def find(path):
    """The object of a dotted name, as add_safe_globals would be given it, under that very name."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                found = getattr(found, part)
            return found, path
        except (ImportError, AttributeError):
            continue
    return None


def ckptd_says(program, directory, files):
    whole = "pickle_verdict" not in os.path.basename(program)
    answers = {}
    if not whole:
        lines = subprocess.run([program, *files], capture_output=True, check=True).stdout.splitlines()
        return {json.loads(line)["file"]: json.loads(line) for line in lines}
    for file in files:
        done = subprocess.run([program, "inspect", "--json", file], capture_output=True, check=False)
        if done.returncode not in (0, 1):
            sys.exit(f"{program} inspect {file}: exit code {done.returncode}: {done.stderr.decode()}")
        try:
            answers[file] = json.loads(done.stdout)
        except ValueError:
            answers[file] = {"weights_only": {"loads": False, "needs": [], "reason": done.stderr.decode()}}
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--keep")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    proper()
    assembled()
    damaged(options.seed)
    whole = "pickle_verdict" not in os.path.basename(options.program)
    if whole:
        damaged_tensors(options.seed)
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(at_first)
    directory = options.keep or tempfile.mkdtemp()
    os.makedirs(directory, exist_ok=True)
    files, containers = [], []
    for number, (title, pkl, records) in enumerate(cases):
        containers.append(container(pkl, records))
        files.append(os.path.join(directory, f"{number:04}"))
        with open(files[-1], "wb") as out:
            out.write(containers[-1] if whole else pkl)
    answers = ckptd_says(options.program, directory, files)

    wrong = loaded = helped = 0
    for (title, _, _), file, held in zip(cases, files, containers):
        real, why = torch_loads(held)
        told = answers[file]["weights_only"]
        loaded += real
        if real != told["loads"]:
            wrong += 1
            print(f"{file} ({title}): PyTorch {'loads it' if real else 'refuses it: ' + why[:200]!r}; ckptd says {told}")
            continue
        if real or told.get("reason"):
            continue
        allowed = [find(need) for need in told["needs"]]
        if None in allowed:
            continue
        now, why = torch_loads(held, allowed)
        helped += now
        if not now:
            wrong += 1
            print(f"{file} ({title}): allowing {told['needs']} does not help: {why[:300]!r}")
    print(f"PyTorch {torch.__version__} loads {loaded} of {len(cases)} files, {helped} more with what ckptd names")
    print(f"{len(cases) - wrong} passed, {wrong} failed")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
