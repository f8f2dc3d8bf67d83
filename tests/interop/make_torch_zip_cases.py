"""Writes tests/cases/torch-zip/<case>/input.pt and expect.json with a real PyTorch (made with 2.13).

    python3 tests/interop/make_torch_zip_cases.py

expect.json is part of what `ckptd inspect --json` prints, and "state_dicts": the same for containers
besides the default one, by path; or {"error": type} where the file must be refused. Tensors' rows come
from PyTorch itself wherever it can load the file; the rest is written down by hand. Lists must match
whole, of objects only the members that are given.
"""

import argparse
import collections
import io
import json
import pathlib
import sys
import types

import numpy
import torch

import torch_zip_maker as mk
from torch_zip_maker import Member, archive, pack, pickled

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases" / "torch-zip"
LAYOUTS = {torch.sparse_coo: "sparse_coo", torch.sparse_csr: "sparse_csr",
           torch.sparse_csc: "sparse_csc", torch.sparse_bsr: "sparse_bsr",
           torch.sparse_bsc: "sparse_bsc"}
CASE_NAMES = set()


def row(name, t):
    """A tensor as `ckptd inspect --json` prints it."""
    result = {"name": name, "dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)}
    if t.layout in LAYOUTS:
        result["layout"] = LAYOUTS[t.layout]
    elif t.is_quantized:
        result["layout"] = "quantized"
    elif t.device.type == "meta":
        result["layout"] = "meta"
    elif list(t.stride()) != usual_strides(t.shape):
        result["strides"] = list(t.stride())
    return result


def usual_strides(shape):
    strides, step = [], 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    return strides


def rows(state):
    return [row(k, v) for k, v in sorted(state.items(), key=lambda kv: kv[0].encode())
            if isinstance(v, torch.Tensor)]


def load(data):
    return torch.load(io.BytesIO(data), weights_only=False)


def saved(obj, **arguments):
    out = io.BytesIO()
    torch.save(obj, out, **arguments)
    return out.getvalue()


def case(name, data, **expect):
    assert name not in CASE_NAMES, name
    CASE_NAMES.add(name)
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.pt").write_bytes(data)
    text = json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "expect.json").write_text(text + "\n")


def state(name, data, **expect):
    """A case whose top is a state dict that PyTorch loads: its rows are PyTorch's."""
    expect.setdefault("container", "")
    expect.setdefault("tensors", rows(load(data)))
    case(name, data, **expect)


def finding(identifier, subject=""):
    return {"id": identifier, "subject": subject}


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
                               torch.nn.Linear(16, 2))


def trained():
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    return net, optimizer


SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.arange(2.0)}


# ---- what torch.save writes ----

def plain():
    net, optimizer = trained()
    names = [n for n, _ in net.named_modules()]
    state("state-dict", saved(net.state_dict()), safety="clean", findings=[], entries=[], aliases=[],
          containers=[{"path": "", "kind": "weights", "tensors": 9}],
          state_dicts={"": {"has_metadata": True, "versions": [
              {"module": n, "version": 2 if n == "1" else 1} for n in sorted(names)],
              "order": list(net.state_dict())}})
    state("rebuilt", saved(dict(net.state_dict())), findings=[],
          state_dicts={"": {"has_metadata": False, "versions": []}})

    # A hook's own version, inside a module's row of _metadata.
    torch.manual_seed(0)
    spectral = torch.nn.Sequential(torch.nn.utils.spectral_norm(torch.nn.Linear(2, 3)))
    state("spectral-norm", saved(spectral.state_dict()), findings=[],
          state_dicts={"": {"has_metadata": True, "versions": [
              {"module": "", "version": 1}, {"module": "0", "version": 1},
              {"module": "0:spectral_norm.weight", "version": 1}]}})

    optimizer_rows = []
    for index, values in optimizer.state_dict()["state"].items():
        optimizer_rows += [(f"state.{index}.{k}", v) for k, v in values.items()]
    checkpoint = {
        "epoch": 90, "arch": "resnet", "state_dict": net.state_dict(), "best_acc1": numpy.float64(0.75),
        "loss": 0.5, "optimizer": optimizer.state_dict(), "scheduler": {"last_epoch": 90},
        "args": argparse.Namespace(lr=0.1, milestones=[30, 60], name=None, data=pathlib.PurePosixPath(
            "/data/imagenet"), device=torch.device("cuda", 0), dtype=torch.float16, flag=True)}
    case("wrapped", saved(checkpoint), container="state_dict", tensors=rows(net.state_dict()),
         containers=[{"path": "state_dict", "kind": "weights"},
                     {"path": "optimizer", "kind": "optimizer", "tensors": 18}],
         metadata={"epoch": 90, "arch": "resnet", "best_acc1": 0.75, "loss": 0.5,
                   "has_optimizer": True, "has_scheduler": True, "devices": ["cpu"],
                   "args": {"lr": 0.1, "milestones": [30, 60], "name": None, "data": "/data/imagenet",
                            "device": "cuda:0", "dtype": "torch.float16", "flag": True}},
         state_dicts={"": {"kind": "outer", "tensors": [], "entries": [
             {"name": "arch", "kind": "str", "type": "str"},
             {"name": "args", "kind": "object", "type": "argparse.Namespace"},
             {"name": "best_acc1", "kind": "object", "type": "numpy.float64"},
             {"name": "epoch", "kind": "int", "type": "int"},
             {"name": "loss", "kind": "float", "type": "float"},
             {"name": "optimizer", "kind": "dict", "type": "dict"},
             {"name": "scheduler", "kind": "dict", "type": "dict"},
             {"name": "state_dict", "kind": "dict", "type": "collections.OrderedDict"}]},
             "optimizer": {"tensors": [row(k, v) for k, v in sorted(optimizer_rows)], "entries": [
                 {"name": "param_groups", "kind": "list"}, {"name": "state", "kind": "dict"}]}})


def modules():
    net, _ = trained()
    kinds = [{"path": "", "kind": "module", "tensors": 9}]
    case("whole-module", saved(net), container="", containers=kinds, tensors=rows(net.state_dict()),
         safety="unlisted",
         findings=[finding("pickle.global-unlisted", "torch.nn.modules." + n) for n in (
             "container.Sequential", "conv.Conv2d", "batchnorm.BatchNorm2d", "flatten.Flatten",
             "linear.Linear")] + [
                 finding("module.pickled", "torch.nn.modules.container.Sequential")])

    # As Ultralytics saves: modules of its own classes, in half precision, and an average.
    module = types.ModuleType("ultralytics.nn.tasks")

    class DetectionModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network()
            self.register_buffer("kept", torch.zeros(1))
            self.register_buffer("transient", torch.zeros(1), persistent=False)
            self.register_parameter("absent", None)
            self.shared = self.model[3]

    for name in ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks"):
        sys.modules[name] = module
    DetectionModel.__module__ = module.__name__
    DetectionModel.__qualname__ = "DetectionModel"
    module.DetectionModel = DetectionModel
    model, ema = DetectionModel().half(), DetectionModel().half()
    checkpoint = {"epoch": -1, "best_fitness": numpy.float32(0.5), "model": model, "ema": ema,
                  "optimizer": None, "train_args": {"imgsz": 640}, "date": "2026-01-01",
                  "version": "8.3.0"}
    case("ultralytics", saved(checkpoint), container="model", tensors=rows(model.state_dict()),
         containers=[{"path": "model", "kind": "module"}, {"path": "ema", "kind": "module"}],
         metadata={"epoch": -1, "best_fitness": 0.5, "train_args": {"imgsz": 640},
                   "version": "8.3.0", "date": "2026-01-01", "has_optimizer": True,
                   "devices": ["cpu"]})


def containers():
    net, optimizer = trained()
    sd = net.state_dict()
    average = {k: v.clone() for k, v in sd.items()}
    case("ema-first", saved({"state_dict_ema": average, "state_dict": sd}), container="state_dict",
         containers=[{"path": "state_dict_ema", "kind": "ema"}, {"path": "state_dict", "kind": "weights"}])
    case("ema-only", saved({"params_ema": average}), container="params_ema",
         containers=[{"path": "params_ema", "kind": "ema"}])
    case("adapter", saved({"base_model.model.q.lora_A.weight": torch.zeros(2, 8),
                           "base_model.model.q.lora_B.weight": torch.zeros(8, 2)}),
         container="", containers=[{"path": "", "kind": "adapter", "tensors": 2}])
    case("flat-shard", saved({"_fsdp_wrapped_module._flat_param": torch.zeros(10)}), container="",
         containers=[{"path": "", "kind": "fragment", "tensors": 1}])
    case("optimizer-alone", saved(optimizer.state_dict()), container=None,
         containers=[{"path": "", "kind": "optimizer", "tensors": 18}],
         findings=[finding("file.no-tensors")])
    case("lightning", saved({
        "epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.4.0", "state_dict": sd,
        "loops": {"fit_loop": {"epoch_progress": {"current": {"ready": 3}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [],
        "hparams_name": "kwargs", "hyper_parameters": {"lr": 0.1, "layers": [1, 2]}}),
        container="state_dict",
        containers=[{"path": "state_dict", "kind": "weights", "tensors": 9},
                    {"path": "callbacks.ModelCheckpoint{'monitor': None}", "tensors": 1},
                    {"path": "optimizer_states.0", "kind": "optimizer", "tensors": 18}],
        metadata={"epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.4.0",
                  "hyper_parameters": {"lr": 0.1, "layers": [1, 2]}, "has_optimizer": True,
                  "has_scheduler": True})
    case("one-path-twice", saved({"a": {"b": dict(SMALL)}, "a.b": {"w": torch.zeros(1)}, "": dict(SMALL)}),
         container="a.b", containers=[{"path": "a.b", "tensors": 1}],
         findings=[finding("state-dict.odd-key", ""), finding("state-dict.odd-key", "a.b")])
    case("random-state-beside", saved({"model": sd, "rng_state": torch.get_rng_state()[:64].clone(),
                                       "iteration": 7}),
         container="model", containers=[{"path": "", "kind": "weights", "tensors": 1},
                                        {"path": "model", "kind": "weights", "tensors": 9}])
    case("models-in-a-list", saved({"models": [sd, {"ema": average}]}), container="models.0",
         containers=[{"path": "models.0", "kind": "weights"}, {"path": "models.1.ema", "kind": "ema"}])
    case("tensors-in-a-list", saved([torch.zeros(2), torch.ones(3, dtype=torch.int8)]), container="",
         containers=[{"path": "", "kind": "fragment", "tensors": 2}],
         tensors=[{"name": "0", "dtype": "float32", "shape": [2]},
                  {"name": "1", "dtype": "int8", "shape": [3]}])
    case("one-tensor", saved(torch.zeros(2, 3)), container="",
         tensors=[{"name": "", "dtype": "float32", "shape": [2, 3]}])
    case("no-tensors", saved({"epoch": 1, "note": "nothing here"}), container=None, tensors=[],
         metadata={"epoch": 1, "note": "nothing here"}, findings=[finding("file.no-tensors")])
    case("hybrid", saved({**SMALL, "nested": {"inner": torch.zeros(1)}, "_extra_state": b"\1\2",
                          "count": 3, "none": None, "real": 0.5, "flag": True, "items": [1, 2],
                          "head._extra_state": {"a": 1}, 7: torch.zeros(2)}),
         container="", tensors=[{"name": "7"}, {"name": "bias"}, {"name": "weight"}],
         entries=[{"name": "_extra_state", "kind": "bytes", "type": "bytes"},
                  {"name": "count", "kind": "int", "type": "int"},
                  {"name": "flag", "kind": "bool", "type": "bool"},
                  {"name": "head._extra_state", "kind": "dict", "type": "dict"},
                  {"name": "items", "kind": "list", "type": "list"},
                  {"name": "nested", "kind": "dict", "type": "dict"},
                  {"name": "none", "kind": "none", "type": "NoneType"},
                  {"name": "real", "kind": "float", "type": "float"}],
         containers=[{"path": "", "tensors": 3}, {"path": "nested", "tensors": 1}],
         findings=[finding("state-dict.odd-key", "7")])


def aliases():
    weight = torch.arange(12.0).reshape(3, 4)
    data = saved({"embed": weight, "head": weight, "row": weight[1], "turned": weight.t(),
                  "other": torch.zeros(3, 4), "also": weight.view(3, 4)})
    state("tied-and-viewed", data, aliases=[
        {"tied": False, "names": ["also", "embed", "head", "row", "turned"]}])
    nothing, sparse = torch.zeros(0), torch.eye(2).to_sparse()
    state("tied-without-bytes", saved({"a": nothing, "b": torch.zeros(0), "c": nothing, "d": sparse,
                                       "e": sparse}),
          aliases=[{"tied": True, "names": ["a", "c"]}, {"tied": True, "names": ["d", "e"]}])
    state("tied", saved({"b": weight, "a": weight}), aliases=[{"tied": True, "names": ["a", "b"]}])


def dtypes():
    modern = [torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e5m2fnuz, torch.float8_e4m3fnuz,
              torch.float8_e8m0fnu, torch.uint16, torch.uint32, torch.uint64, torch.bfloat16,
              torch.float16, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64,
              torch.uint8, torch.bool, torch.complex64, torch.complex128]
    tensors = {str(d).removeprefix("torch."): torch.empty(3, dtype=torch.uint8).fill_(0).to(
        torch.float32).to(d) if d not in (torch.float8_e8m0fnu,) else torch.zeros(
            3, dtype=torch.uint8).view(d) for d in modern}
    tensors["complex32"] = torch.zeros(3, dtype=torch.complex64).to(torch.complex32)
    state("dtypes", saved(tensors), findings=[])
    part = torch.tensor([1 + 2j, 3 - 4j])
    case("conjugate", saved({"conj": part.conj(), "neg": torch.tensor([1j, 2j]).conj().imag,
                             "plain": torch.zeros(1)}), container="",
         tensors=[{"name": "conj", "dtype": "complex64", "shape": [2]},
                  {"name": "neg", "dtype": "float32", "shape": [2]}, {"name": "plain"}],
         findings=[finding("tensor.odd", "conj"), finding("tensor.odd", "neg")])
    quantized = {
        "by_tensor": torch.quantize_per_tensor(torch.ones(2, 2), 0.5, 1, torch.qint8),
        "by_channel": torch.quantize_per_channel(torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0,
                                                 torch.quint8),
        "packed": torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0,
                                             torch.quint4x2),
        "plain": torch.zeros(1)}
    state("quantized", saved(quantized), containers=[{"path": "", "kind": "quantized", "tensors": 4}])


def layouts():
    dense = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    state("sparse", saved({
        "coo": dense.to_sparse(), "csr": dense.to_sparse_csr(), "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((1, 1)), "bsc": dense.to_sparse_bsc((1, 1)),
        "dense": dense}), findings=[])
    state("meta", saved({"weight": torch.empty(3, 4, device="meta", dtype=torch.bfloat16)}))
    nested = torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(1, 3)])
    case("nested", saved({"ragged": nested}), container="",
         tensors=[{"name": "ragged", "dtype": "float32", "shape": [9], "layout": "nested"}])
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    parameter.note = "kept as state"
    state("parameters", saved({"plain": torch.nn.Parameter(torch.zeros(2), requires_grad=False),
                               "noted": parameter}), findings=[])
    # A 3-tuple, as before 2.0; a subclass's outline; XLA's array; what has no data at all.
    values = (mk.tensor([1], [1], key="1", count=1))
    indices = mk.tensor([2, 1], [1, 1], key="0", count=2, cls="LongStorage")
    sparse = (mk.name("torch._utils", "_rebuild_sparse_tensor") + b"(" +
              mk.name("torch.serialization", "_get_layout") + mk.text("torch.sparse_coo") +
              b"\x85R(" + indices + values + mk.name("torch", "Size") + mk.numbers([4, 5]) +
              b"\x85RttR")
    outline = (mk.name("torch._utils", "_rebuild_wrapper_subclass") + b"(" +
               mk.name("my.tensors", "Int4Tensor") + mk.name("torch", "bfloat16") +
               mk.numbers([6, 7]) + mk.numbers([7, 1]) + mk.number(0) +
               mk.name("torch.serialization", "_get_layout") + mk.text("torch.strided") +
               b"\x85R" + mk.name("torch", "device") + mk.text("cpu") + b"\x85R\x89tR")
    typed = (mk.name("torch._tensor", "_rebuild_from_type_v2") + b"(" +
             mk.name("torch._utils", "_rebuild_tensor_v2") + mk.name("my.tensors", "Named") + b"(" +
             mk.storage("2", 6) + mk.number(0) + mk.numbers([2, 3]) + mk.numbers([3, 1]) + b"\x89" +
             mk.name("collections", "OrderedDict") + b")Rt}tR")
    old = (mk.name("torch._utils", "_rebuild_tensor") + b"(" + mk.storage("2", 6) + mk.number(0) +
           mk.numbers([6]) + mk.numbers([1]) + b"tR")
    older = (mk.name("torch", "FloatTensor") + b")\x81(" + mk.storage("2", 6) + mk.number(2) +
             mk.numbers([2, 2]) + mk.numbers([2, 1]) + b"tb")
    moved = (mk.name("torch._utils", "_rebuild_device_tensor_from_cpu_tensor") + b"(" +
             mk.tensor([6], [1], key="2") + mk.name("torch", "float16") + mk.text("xla:0") + b"\x89tR")
    fastai = (mk.name("fastai.torch_core", "_fa_rebuild_tensor") + b"(" +
              mk.name("fastai.torch_core", "TensorBase") + mk.storage("2", 6) + mk.number(0) +
              mk.numbers([6]) + mk.numbers([1]) + b"\x89" + mk.name("collections", "OrderedDict") +
              b")RtR")
    members = [Member("data.pkl", pickled(mk.dictionary([
        ("coo", sparse), ("outline", outline), ("typed", typed), ("old", old), ("older", older),
        ("moved", moved), ("fastai", fastai)]))),
        Member("data/0", b"\0" * 16), Member("data/1", b"\0" * 4), Member("data/2", b"\0" * 24),
        Member("version", b"3\n")]
    case("rebuild-functions", archive(members), container="", tensors=[
        {"name": "coo", "dtype": "float32", "shape": [4, 5], "layout": "sparse_coo"},
        {"name": "fastai", "dtype": "float32", "shape": [6]},
        {"name": "moved", "dtype": "float16", "shape": [6]},
        {"name": "old", "dtype": "float32", "shape": [6]},
        {"name": "older", "dtype": "float32", "shape": [2, 2]},
        {"name": "outline", "dtype": "bfloat16", "shape": [6, 7], "layout": "wrapped"},
        {"name": "typed", "dtype": "float32", "shape": [2, 3]}])


def strides():
    base = torch.arange(24.0)
    state("strides", saved({
        "expanded": torch.zeros(1).expand(1000, 3), "turned": base.reshape(4, 6).t(),
        "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 5), "empty_end": base[24:],
        "slice": base[5:9], "stepped": base[::2], "last": base[23:], "one": torch.zeros(1, 1, 1),
        "channels_last": torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)}),
        findings=[])
    wrong = [
        ("end", mk.tensor([6], [1], offset=1), "tensor.outside-storage"),
        ("negative_size", mk.tensor([-1], [1]), "tensor.malformed"),
        ("negative_stride", mk.tensor([2], [-1]), "tensor.malformed"),
        ("negative_offset", mk.tensor([2], [1], offset=-1), "tensor.malformed"),
        ("overflow", mk.tensor([1 << 32, 1 << 32], [1, 1]), "tensor.malformed"),
        ("far", mk.tensor([2], [1 << 62]), "tensor.outside-storage"),
        ("too_far", mk.tensor([8, 8], [1 << 62, 1 << 62]), "tensor.outside-storage"),
        ("ranks", mk.tensor([2, 3], [1]), "tensor.malformed"),
        ("foreign", mk.tensor([2], [1], cls="StrangeStorage"), "tensor.malformed"),
        ("right", mk.tensor([6], [1]), None),
        ("empty_beyond", mk.tensor([0], [1], offset=7), None)]
    members = [Member("data.pkl", pickled(mk.dictionary([(n, v) for n, v, _ in wrong]))),
               Member("data/0", b"\0" * 24), Member("version", b"3\n")]
    kept = [n for n, _, f in wrong if f != "tensor.malformed"]
    found = [finding("pickle.global-unlisted", "torch.StrangeStorage")]
    for n, _, f in wrong:
        found += [finding(f, n)] if f else []
        found += [finding("tensor.malformed", n)] if n == "foreign" else []
    case("views-that-cannot-be", archive(members), container="",
         tensors=[{"name": n} for n in sorted(kept)],
         entries=[{"name": n, "kind": "object", "type": "torch.Tensor"}
                  for n in sorted({n for n, _, _ in wrong} - set(kept))], findings=found)


def storages():
    text, data = mk.storages_of(SMALL)
    rest = [Member("version", b"3\n")]
    case("record-too-short", archive([Member("data.pkl", text), Member("data/0", data["0"][:12]),
                                      Member("data/1", data["1"])] + rest),
         container="", tensors=[{"name": "bias"}, {"name": "weight"}],
         findings=[finding("storage.truncated", "archive/data/0")])
    case("record-too-long", archive([Member("data.pkl", text), Member("data/0", data["0"] * 4),
                                     Member("data/1", data["1"])] + rest),
         container="", tensors=[{"name": "bias"}, {"name": "weight"}],
         findings=[finding("storage.larger-than-told", "archive/data/0")])
    case("record-missing", archive([Member("data.pkl", text), Member("data/0", data["0"])] + rest),
         container="", tensors=[{"name": "bias"}, {"name": "weight"}],
         findings=[finding("storage.missing", "1")])
    four = mk.storages_of(SMALL, told=lambda n: n * 4)[0]
    case("four-times-told", archive([Member("data.pkl", four), Member("data/0", data["0"]),
                                     Member("data/1", data["1"])] + rest),
         container="", findings=[finding("storage.truncated", "archive/data/0"),
                                 finding("storage.truncated", "archive/data/1")])
    empty = mk.storages_of({"none": torch.zeros(0, 3)})[0]
    case("no-record-for-nothing", archive([Member("data.pkl", empty)] + rest), container="",
         tensors=[{"name": "none", "shape": [0, 3]}], findings=[finding("storage.missing", "0")])
    state("pointer-keys", archive(pack(SMALL, byteorder=None, key=lambda i: str(94120000000000 + i)),
                                  root="resnet50-19c8e357"), findings=[])
    swapped = {"weight": torch.arange(6.0).reshape(2, 3), "bytes": torch.arange(3, dtype=torch.uint8)}
    text, data = mk.storages_of(swapped)
    data["0"] = torch.arange(6.0).view(torch.uint8).reshape(6, 4).flip(1).numpy().tobytes()
    state("big-endian", archive([Member("data.pkl", text), Member("byteorder", b"big")] + [
        Member("data/" + k, v) for k, v in data.items()] + rest), findings=[],
        state_dicts={"": {"places": [{"name": "bytes", "big_endian": False},
                                     {"name": "weight", "big_endian": True}]}})
    case("byteorder-unknown", archive(pack(SMALL, byteorder=b"middle")), container="",
         findings=[finding("torch.record", "archive/byteorder")])
    case("version-missing", archive(pack(SMALL, version=None)), container="",
         findings=[finding("torch.record", "version")])
    case("version-unknown", archive(pack(SMALL, version=b"99\n")), container="",
         findings=[finding("torch.record", "archive/version")])
    config = torch.utils.serialization.config.save
    before, config.storage_alignment = config.storage_alignment, 4096
    data = saved(SMALL)
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    state("aligned-to-4096", data, findings=[], state_dicts={"": {"places": [
        {"name": "bias", "offset": reader.get_record_offset("data/1")},
        {"name": "weight", "offset": reader.get_record_offset("data/0")}]}})
    config.storage_alignment = before


# ---- zips that other tools, or nobody honest, write ----

def zips():
    members = pack(SMALL)
    state("deflated", archive([Member(m.name, m.data, method=8, flags=0) for m in members]),
          findings=[finding("storage.compressed", "archive/data/0"),
                    finding("storage.compressed", "archive/data/1")],
          state_dicts={"": {"places": [{"name": "bias", "compression": "deflate"},
                                       {"name": "weight", "compression": "deflate"}]}})
    small64 = [Member(m.name, m.data, zip64=True) for m in members]
    state("zip64", archive(small64, zip64=True), findings=[])
    torch.serialization.set_crc32_options(False)
    state("checksums-left-out", saved(SMALL))
    torch.serialization.set_crc32_options(True)

    def with_main(**changes):
        return [Member(m.name, m.data, **(changes if m.name == "data.pkl" else {})) for m in members]

    state("checksum-wrong", archive(with_main(crc=0)), findings=[finding("zip.crc", "archive/data.pkl")])
    for bit in (0x1, 0x20, 0x40):
        case(f"flag-bit-{bit:02x}", archive(with_main(flags=0x0808 | bit)), container="",
             tensors=rows(SMALL), findings=[finding("zip.flag-bits", "archive/data.pkl")])
    case("local-name-differs", archive(with_main(local_name="archive/datap.kl")), container="",
         tensors=rows(SMALL), findings=[finding("zip.names-differ", "archive/data.pkl")])
    case("local-sizes-lie", archive(with_main(local_sizes=(1, 1))), container="",
         tensors=rows(SMALL), findings=[finding("zip.local-differs", "archive/data.pkl")])
    case("stored-with-two-sizes", archive(with_main(told_size=1000)), container="",
         tensors=rows(SMALL), safety="malformed",
         findings=[finding("zip.malformed", "archive/data.pkl")])
    case("data-pkl-twice", archive([members[0]] + members), container=None, tensors=[],
         safety="malformed", findings=[finding("zip.duplicate-member", "archive/data.pkl"),
                                       finding("pickle.extra-member", "archive/data.pkl")])
    evil = b"cos\nsystem\n(S'true'\ntR."
    case("case-twin", archive(members + [Member("DATA.PKL", evil)]), container=None, tensors=[],
         safety="dangerous")
    case("storage-twice", archive(members + [Member("data/0", b"\0" * 24)]), container="",
         tensors=rows(SMALL), safety="malformed",
         findings=[finding("zip.duplicate-member", "archive/data/0")])
    case("two-roots", archive(members + [Member("data.pkl", evil, root="evil")]), container="",
         tensors=rows(SMALL), safety="dangerous")
    case("benign-root-first", archive([Member("data.pkl", pickled(b"}"), root="x")] + members),
         container=None, tensors=[])
    case("no-root", archive([Member(m.name, m.data, root="") for m in members]), container=None,
         tensors=[], safety="malformed")
    case("evil-beside", archive(members + [Member("notes.txt", evil)]), container="",
         tensors=rows(SMALL), safety="dangerous")
    case("evil-beside-deflated", archive(members + [Member("notes.txt", evil, method=8, flags=0)]),
         container="", tensors=rows(SMALL), safety="dangerous")
    case("evil-name-like", archive(members + [Member("evil_data.pkl", evil)]), container="",
         tensors=rows(SMALL), safety="dangerous")
    noise = {"weight": torch.frombuffer(bytearray(b"\x80\x02cnot\na pickle\xff\xfe." + b"\0" * 5),
                                        dtype=torch.uint8)}
    state("weights-like-a-pickle", saved(noise), findings=[], safety="clean")
    case("archive-within", archive(members + [Member("inner.pt", saved(SMALL))]), container="",
         tensors=rows(SMALL), findings=[finding("pickle.nested", "archive/inner.pt")])
    over = [Member("data.pkl", members[0].data)] + [
        Member(f"data/{i}", b"\0" * 24, shift=0) for i in range(3)]
    over[2].shift = -32
    case("overlap", archive(over + [Member("version", b"3\n")], align=1), container="",
         safety="malformed")
    case("ratio", archive([Member("data.pkl", pickled(b"}" + b"\0" * 200000), method=8, flags=0)]),
         error="limit-exceeded")
    case("outside-names", archive(members + [Member("../../etc/passwd", b"x"),
                                             Member("/abs", b"x", root=""),
                                             Member("a\\b", b"x")]),
         container="", tensors=rows(SMALL))
    case("comment-and-tail", archive(members, comment=b"made by hand", trailing=b"tail"),
         container="", tensors=rows(SMALL), findings=[finding("zip.trailing-bytes")])


def refused():
    case("other-zip", archive([Member("word/document.xml", b"<xml/>")], root="docx"),
         error="unrecognized-input")
    case("cut-off", saved(SMALL)[:-30], error="truncated-input")
    case("not-a-zip", b"PK\3\4 and nothing else that a zip archive would have", error="truncated-input")


# ---- pickles ----

def pickles():
    py2 = (mk.name("collections", "OrderedDict") + b"](]U\x06weight" + mk.tensor([2, 3], [3, 1]) +
           b"a]U\x04bi\xe4s" + mk.tensor([6], [1]) + b"a]U\x05bytesU\x03\xff\x00\x80aetR")
    py2 = (mk.name("collections", "OrderedDict") + b"(](](U\x06weight" + mk.tensor([2, 3], [3, 1]) +
           b"e](U\x04bias" + mk.tensor([6], [1]) + b"e](U\x05bytesU\x03\xff\x00\x80eetR")
    case("python-2", archive([Member("data.pkl", pickled(py2)), Member("data/0", b"\0" * 24),
                              Member("version", b"3\n")]), container="",
         tensors=[{"name": "bias", "shape": [6]}, {"name": "weight", "shape": [2, 3]}],
         entries=[{"name": "bytes"}])
    for protocol in range(6):
        state(f"protocol-{protocol}", archive(pack(SMALL, protocol=protocol))
              if protocol > 0 else archive(protocol_0()), safety="clean")
    wild = {
        **SMALL, "space": argparse.Namespace(a=1), "default": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("aab"), "path": pathlib.PurePosixPath("/a/b"),
        "scalar": numpy.float32(2.5), "count": numpy.int64(-7), "array": numpy.zeros((2, 2)),
        "set": {1, 2}, "size": torch.Size([1, 2]), "device": torch.device("cpu"),
        "dtype": torch.float16, "class": torch.nn.Linear, "complex": 1j, "bytearray": bytearray(b"x"),
        "range": range(3), "slice": slice(1, 2)}
    by_class = {**SMALL, "callbacks": {torch.nn.Linear: {"best": 1}}}
    case("wild-values", saved(wild), container="", tensors=rows(SMALL), entries=[
        {"name": n, "kind": k, "type": t} for n, k, t in [
            ("array", "object", "numpy.ndarray"), ("bytearray", "bytes", "bytearray"),
            ("class", "object", "type"), ("complex", "object", "complex"),
            ("count", "object", "numpy.int64"), ("counter", "dict", "collections.Counter"),
            ("default", "dict", "collections.defaultdict"), ("device", "object", "torch.device"),
            ("dtype", "object", "torch.dtype"), ("path", "object", "pathlib.PurePosixPath"),
            ("range", "object", "range"), ("scalar", "object", "numpy.float32"),
            ("set", "list", "set"), ("size", "list", "torch.Size"), ("slice", "object", "slice"),
            ("space", "object", "argparse.Namespace")]],
        metadata={"scalar": 2.5, "count": -7, "path": "/a/b", "device": "cpu"})
    deep = 0
    for _ in range(20):
        deep = {"d": deep}
    bounds = {"args": {"text": "ä" * 5000, "items": list(range(300)), "deep": deep, 1: "number",
                       "1": "text", "nan": float("nan"), "nul": "a\0b"}, "epoch": 1 << 70}
    shown = "dict"
    for _ in range(11):
        shown = {"d": shown}
    case("metadata-bounds", saved(bounds), container=None, metadata={
        "args": {"text": "ä" * 2048, "items": "list", "deep": shown, "1": "number", "nan": None,
                 "nul": "str"}})
    case("class-as-key", saved(by_class), container="", tensors=rows(SMALL),
         entries=[{"name": "callbacks", "kind": "dict", "type": "dict"}])
    core = pickled(mk.dictionary([("new", mk.name("numpy._core.multiarray", "scalar") +
                                   mk.name("numpy", "dtype") + mk.text("f8") + b"\x89\x88\x87R(" +
                                   mk.number(3) + mk.text("<") + b"NNN" + mk.number(-1) +
                                   mk.number(-1) + mk.number(0) + b"tbU\x08" +
                                   b"\0\0\0\0\0\0\xe8\x3f\x86R")]))
    case("numpy-core", archive([Member("data.pkl", core), Member("version", b"3\n")]), container=None,
         metadata={"new": 0.75})
    case("cut-pickle", archive([Member("data.pkl", pack(SMALL)[0].data[:-2])] + pack(SMALL)[1:]),
         container=None, tensors=[], safety="malformed")
    case("trailing-pickle", archive([Member("data.pkl", pack(SMALL)[0].data + b"more")] +
                                    pack(SMALL)[1:]),
         container="", tensors=rows(SMALL), findings=[finding("pickle.trailing-bytes", "data.pkl")])
    case("itself-within", archive([Member("data.pkl", pickled(
        b"}q\0(X\4\0\0\0selfh\0X\1\0\0\0t" + mk.tensor([6], [1]) + b"u")), Member("data/0", b"\0" * 24),
        Member("version", b"3\n")]), container="", tensors=[{"name": "t"}])
    bomb = b"}q\0X\1\0\0\0t" + mk.tensor([6], [1]) + b"s"
    for i in range(40):
        bomb += b"0](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
    case("doubled-forty-times", archive([Member("data.pkl", pickled(bomb)), Member("data/0", b"\0" * 24),
                                         Member("version", b"3\n")]),
         container=None, findings=[finding("file.too-many-state-dicts"), finding("file.no-tensors")])
    deep = b"".join(b"}X\1\0\0\0d" for _ in range(2000)) + mk.tensor([6], [1]) + b"s" * 2000
    case("two-thousand-deep", archive([Member("data.pkl", pickled(deep)), Member("data/0", b"\0" * 24),
                                       Member("version", b"3\n")]), container=None,
         findings=[finding("file.too-many-state-dicts"), finding("file.no-tensors")])
    case("many-state-dicts", archive(pack({f"m{i:03}": {"w": SMALL["bias"]} for i in range(70)})),
         container="m000", findings=[finding("file.too-many-state-dicts")])


def protocol_0():
    """torch's tensors cannot be pickled with protocol 0 by a persistent id of text: by hand."""
    text = (b"(dp0\nVweight\np1\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\n"
            b"V0\nVcpu\nI6\ntQI0\n(I2\nI3\nt(I3\nI1\ntI00\nccollections\nOrderedDict\n(tRtRs"
            b"Vbias\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\n"
            b"V1\nVcpu\nL2L\ntQI0\n(I2\nt(I1\ntI00\nccollections\nOrderedDict\n(tRtRs.")
    return [Member("data.pkl", text), Member("data/0", b"\0" * 24), Member("data/1", b"\0" * 8),
            Member("version", b"3\n")]


def main():
    for make in (plain, modules, containers, aliases, dtypes, layouts, strides, storages, zips, refused,
                 pickles):
        make()
    for folder in CASES.iterdir():
        if folder.name not in CASE_NAMES:
            print("no longer made:", folder.name, file=sys.stderr)
    size = sum(f.stat().st_size for f in CASES.rglob("*") if f.is_file())
    print(f"{len(CASE_NAMES)} cases, {size // 1024} KiB")


if __name__ == "__main__":
    main()
