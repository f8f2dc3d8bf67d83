"""Hostile and benign files, as ckptd and three scanners see them: a table, and what must hold of ckptd.

    python3 tests/interop/check_scanners.py --ckptd build/dev/ckptd [--folder DIR]

No hostile file may be clean to ckptd; a known gadget must be dangerous; no benign file may be dangerous or
malformed. What picklescan, fickling and modelscan say stands beside it: "seen", "missed", "failed" (it gave
up with an error), or "-" where the package is not installed. The files are made here; nothing in them runs.
"""

import argparse
import collections
import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile

import numpy
import torch

import torch_zip_maker as mk
from torch_zip_maker import Member, archive, pack

SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.arange(2.0)}
DANGEROUS, FLAGGED, BENIGN = "dangerous", "flagged", "benign"


def text(s):
    raw = s.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def short(s):
    return b"\x8c" + bytes([len(s)]) + s.encode()


def call(module, name, *arguments):
    """module.name(*arguments), protocol 2."""
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(text(a) for a in arguments) + b"tR"


def two(body):
    return b"\x80\x02" + body + b"."


def four(body):
    return b"\x80\x04" + body + b"."


# Names that run code, open files or connections, or lead to what does (formats.md's list, and the
# advisories against scanners).
GADGETS = """os system;posix system;nt system;subprocess Popen;subprocess check_output;commands getoutput;
pty spawn;builtins eval;builtins exec;builtins compile;builtins __import__;builtins getattr;builtins open;
builtins breakpoint;__builtin__ eval;__builtin__ apply;runpy run_path;code InteractiveInterpreter;codeop
compile_command;pdb run;bdb Bdb;cProfile run;profile run;timeit timeit;trace Trace;doctest debug_script;
importlib import_module;pkgutil resolve_name;imp load_source;zipimport zipimporter;marshal loads;types
CodeType;types FunctionType;multiprocessing Process;asyncio.unix_events _UnixSubprocessTransport;asyncio
create_subprocess_shell;ctypes CDLL;cffi FFI;pip main;pip._internal main;ensurepip bootstrap;venv create;
pydoc pipepager;uuid _get_command_stdout;_osx_support _read_output;imaplib IMAP4_stream;idlelib.run
Executive;lib2to3.pgen2.pgen ParserGenerator;functools partial;operator attrgetter;operator methodcaller;
_operator itemgetter;shutil rmtree;io FileIO;_io FileIO;logging FileHandler;distutils.file_util write_file;
socket socket;ssl wrap_socket;http.client HTTPSConnection;httplib HTTPSConnection;urllib.request urlopen;
requests get;aiohttp ClientSession;smtplib SMTP;ftplib FTP;webbrowser open;numpy.f2py.crackfortran
getlincoef;numpy.testing._private.utils runstring;torch._inductor.codecache compile_file;
torch.utils.collect_env run;torch.jit.unsupported_tensor_ops execWrapper;torch.distributed.rpc rpc_sync;
torch._dynamo.guards GuardBuilder;torch.utils._config_module ConfigModule;sys exit""".replace("\n", " ")


def gadgets():
    for row in GADGETS.split(";"):
        module, name = row.split()
        yield f"gadget {module}.{name}", "pkl", two(call(module, name, "true")), DANGEROUS


def machine_tricks():
    """The same call by other opcodes, or hidden from who reads them in a line."""
    evil = text("true") + b"\x85"
    yield "INST", "pkl", b"(" + text("true") + b"ios\nsystem\n.", DANGEROUS
    yield "OBJ, popped", "pkl", two(b"(cos\nsystem\n" + text("true") + b"o0N"), DANGEROUS
    yield "NEWOBJ_EX", "pkl", four(short("os") + short("system") + b"\x93" + short("true") + b"\x85}\x92"), DANGEROUS
    yield "STACK_GLOBAL by memo", "pkl", four(short("os") + b"\x940" + short("system") + b"\x940h\x00h\x01\x93" +
                                              short("true") + b"\x85R"), DANGEROUS
    yield "STACK_GLOBAL by DUP", "pkl", four(short("os") + short("os") + b"2\x940" + short("x") + b"00" + short("os") +
                                             short("system") + b"\x93" + short("true") + b"\x85R"), DANGEROUS
    yield "dotted name", "pkl", four(short("torch") + short("serialization.os.system") + b"\x93" + short("true") +
                                     b"\x85R"), FLAGGED
    yield "EXT1", "pkl", two(b"\x82\x01" + evil + b"R"), FLAGGED
    yield "payload, then garbage", "pkl", b"\x80\x02" + call("os", "system", "true") + b"0\xff\xff", DANGEROUS
    yield "payload, no STOP", "pkl", b"\x80\x02" + call("os", "system", "true"), DANGEROUS
    yield "PROTO of nobody", "pkl", b"\x80\xff" + call("os", "system", "true") + b".", FLAGGED
    yield "protocol 0", "pkl", b"cos\nsystem\n(S'true'\ntR.", DANGEROUS
    yield "BUILD on a class", "pkl", two(b"ccollections\nOrderedDict\n}" + text("x") + b"K\x01sb"), FLAGGED
    inner = two(call("os", "system", "true"))
    nested = b"cpickle\nloads\n(B" + struct.pack("<I", len(inner)) + inner + b"tR"
    yield "pickle.loads of bytes", "pkl", b"\x80\x03" + nested + b".", DANGEROUS
    stream = io.BytesIO()
    torch.save(SMALL, stream, _use_new_zipfile_serialization=False)
    evil_stream = stream.getvalue()[:15] + two(b"M\xe9\x03") + two(b"}") + inner + two(b"]")
    yield "_load_from_bytes", "pkl", b"\x80\x03ctorch.storage\n_load_from_bytes\n(B" + struct.pack(
        "<I", len(evil_stream)) + evil_stream + b"tR.", DANGEROUS
    yield "legacy stream", "bin", evil_stream, DANGEROUS
    yield "legacy magic by eval", "bin", two(call("builtins", "eval", "0x1950a86a20f9469cfc6c")) + stream.getvalue()[15:], DANGEROUS
    yield "frame too short", "pkl", b"\x80\x04\x95\x02\0\0\0\0\0\0\0" + short("os") + short("system") + b"\x93" + short(
        "true") + b"\x85R.", DANGEROUS


def containers():
    evil = two(call("os", "system", "true"))
    members = pack(SMALL)
    main = members[0]
    bad = Member("data.pkl", evil)
    yield "zip", "pt", archive([bad] + members[1:]), DANGEROUS
    yield "zip, wrong checksum", "pt", archive([Member("data.pkl", evil, crc=1)] + members[1:]), DANGEROUS
    for bit in (1, 0x20, 0x40):
        yield f"zip, flag bit {bit:#x}", "pt", archive([Member("data.pkl", evil, flags=0x0808 | bit)] + members[1:]), DANGEROUS
    yield "zip, local name differs", "pt", archive([Member("data.pkl", evil, local_name="archive/datap.kl")] + members[1:]), DANGEROUS
    yield "zip, second root", "pt", archive(members + [Member("data.pkl", evil, root="evil")]), DANGEROUS
    yield "zip, benign first root", "pt", archive([Member("data.pkl", main.data, root="a")] + [Member("data.pkl", evil)]), DANGEROUS
    yield "zip, case twin", "pt", archive(members + [Member("DATA.PKL", evil)]), DANGEROUS
    yield "zip, twice", "pt", archive([main, bad] + members[1:]), DANGEROUS
    yield "zip, member without extension", "pt", archive(members + [Member("notes", evil)]), DANGEROUS
    yield "zip, member deflated", "pt", archive(members + [Member("notes.txt", evil, method=8, flags=0)]), DANGEROUS
    yield "zip, stored in storage's place", "pt", archive([main, Member("data/9", evil)] + members[1:]), DANGEROUS
    yield "zip, evil_data.pkl", "pt", archive(members + [Member("evil_data.pkl", evil)]), DANGEROUS
    yield "zip in zip", "pt", archive(members + [Member("inner.pt", archive([bad] + members[1:]))]), DANGEROUS
    inner = archive([bad] + members[1:])
    for _ in range(4):
        inner = archive(members + [Member("inner.pt", inner)])
    yield "zip in zip, five deep", "pt", inner, FLAGGED
    yield "zip, protocol 0 member", "pt", archive(members + [Member("x", b"cos\nsystem\n(S'true'\ntR.")]), DANGEROUS
    yield "zip with a .bin name", "bin", archive([bad] + members[1:]), DANGEROUS
    yield "7z", "bin", b"7z\xbc\xaf\x27\x1c\0\4" + b"\0" * 40, FLAGGED
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("sys_info", two(b"}")), ("pickle", evil), ("tensors", two(b"K\0")), ("storages", two(b"K\0"))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    yield "tar of PyTorch 0.1", "pt", out.getvalue(), DANGEROUS
    out = io.BytesIO()
    numpy.save(out, numpy.zeros(1))
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + evil
    yield "npy of objects", "npy", array, DANGEROUS
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("weights.npy", array)
    yield "npz of objects", "npz", out.getvalue(), DANGEROUS
    import gzip
    yield "gzip", "pkl.gz", gzip.compress(evil), DANGEROUS


class Scale(torch.nn.Module):
    def forward(self, x):
        return x * 2


def benign():
    def saved(obj, **arguments):
        out = io.BytesIO()
        torch.save(obj, out, **arguments)
        return out.getvalue()

    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(4, 3)).sum().backward()
    optimizer.step()
    yield "state dict", "pt", saved(net.state_dict()), BENIGN
    yield "legacy state dict", "pt", saved(net.state_dict(), _use_new_zipfile_serialization=False), BENIGN
    yield "checkpoint", "pt", saved({"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
                                     "best": numpy.float64(0.5), "args": argparse.Namespace(lr=0.1),
                                     "path": pathlib.PurePosixPath("/data"), "seen": collections.defaultdict(int)}), BENIGN
    yield "whole module", "pt", saved(net), BENIGN
    yield "protocol 5", "pt", saved(SMALL, pickle_protocol=5), BENIGN
    yield "numpy arrays", "pkl", pickle.dumps({"w": numpy.zeros((2, 3))}), BENIGN
    yield "plain pickle", "pkl", pickle.dumps({"a": [1, 2.5, "x", None, b"y", (1,), {2}]}), BENIGN
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(net), out)
    yield "TorchScript", "pt", out.getvalue(), BENIGN
    out = io.BytesIO()
    numpy.savez(out, a=numpy.zeros(2))
    yield "npz", "npz", out.getvalue(), BENIGN


# ---- who looks ----

def quiet(function):
    """What it returns, with all output thrown away; an exception is "failed"."""
    saved = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function()
    except BaseException:  # a scanner may even exit
        return "failed"
    finally:
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for fd in saved + (null,):
            os.close(fd)


def with_picklescan(path):
    from picklescan.scanner import scan_file_path
    result = scan_file_path(path)
    if result.scan_err:
        return "failed"
    return "seen" if result.issues_count else "missed"


def with_fickling(path):
    from fickling.fickle import StackedPickle
    from fickling.analysis import check_safety
    data = pathlib.Path(path).read_bytes()
    if data[:4] == b"PK\3\4":
        from fickling.pytorch import PyTorchModelWrapper
        pickled = PyTorchModelWrapper(pathlib.Path(path)).pickled
        return "missed" if check_safety(pickled).severity.value[0] == 0 else "seen"
    stack = StackedPickle.load(io.BytesIO(data))
    worst = max((check_safety(p).severity.value[0] for p in stack), default=0)
    return "seen" if worst > 0 else "missed"


def with_modelscan(path):
    from modelscan.modelscan import ModelScan
    scan = ModelScan()
    scan.scan(path)
    if scan.issues.all_issues:
        return "seen"
    return "failed" if scan.errors or scan._skipped else "missed"


SCANNERS = [("picklescan", with_picklescan), ("fickling", with_fickling), ("modelscan", with_modelscan)]


def ckptd_says(ckptd, path):
    done = subprocess.run([ckptd, "scan", "--json", path], capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 1):
        return f"exit {done.returncode}"
    return json.loads(done.stdout)["safety"]


def is_right(kind, safety):
    if kind == DANGEROUS:
        return safety == "dangerous"
    if kind == FLAGGED:
        return safety in ("dangerous", "malformed", "unlisted")
    return safety in ("clean", "unlisted")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", default="build/dev/ckptd")
    parser.add_argument("--folder", help="keep the files there")
    arguments = parser.parse_args()
    installed = []
    for name, run in SCANNERS:
        try:
            __import__(name)
            installed.append((name, run))
        except ImportError:
            installed.append((name, lambda path: "-"))
    passed = failed = 0
    seen = collections.Counter()
    hostile = 0
    print(f"{'file':44} {'ckptd':11}" + "".join(f"{name:12}" for name, _ in installed))
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or scratch
        os.makedirs(folder, exist_ok=True)
        rows = [*gadgets(), *machine_tricks(), *containers(), *benign()]
        for number, (title, extension, data, kind) in enumerate(rows):
            path = os.path.join(folder, f"{number:03}.{extension}")
            pathlib.Path(path).write_bytes(data)
            safety = ckptd_says(arguments.ckptd, path)
            others = [quiet(lambda run=run: run(path)) for _, run in installed]
            right = is_right(kind, safety)
            passed += right
            failed += not right
            if kind != BENIGN:
                hostile += 1
                seen["ckptd"] += safety != "clean"
                for (name, _), said in zip(installed, others):
                    seen[name] += said == "seen"
            else:
                title += " (benign)"
            print(f"{title[:44]:44} {safety:11}" + "".join(f"{said:12}" for said in others) +
                  ("" if right else f"  WRONG, should be {kind}"), flush=True)
    print(f"of {hostile} hostile files seen: " + ", ".join(f"{k} {v}" for k, v in seen.items()))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
