#!/usr/bin/env python3
"""Random pairs of a model and a checkpoint, judged by PyTorch and by ckptd.

With the manifest that ckptd.py makes, our answer must be PyTorch's: strict, non_strict, missing,
unexpected, shape mismatches, non-tensors and errors. Without its "modules" we must never say strict
where PyTorch raises, unless a warning names the guess.

    pairs.py --build build/dev               500 pairs, CKPTD_SEED or 1
    pairs.py --build build/dev --deep        5,000 pairs
    pairs.py --build build/dev --sample DIR  write tests/cases/compat, a sample of every rule

Each pair is judged by tests/support/judge_cases from a description of the state; every pair that can
be saved also by `ckptd compat` from a real file, where the binary is built.
"""
import argparse
import collections
import copy
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings

import safetensors.torch
import torch
import torch.nn.utils.prune
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "deploy", "client"))
import ckptd  # noqa: E402

warnings.simplefilter("ignore")
old_weight_norm = torch.nn.utils.weight_norm
old_spectral_norm = torch.nn.utils.spectral_norm
new = torch.nn.utils.parametrizations

# ---- Models --------------------------------------------------------------------------------------


class Scalar(nn.Module):
    """0-dim and zero-length parameters, a buffer that is not saved, one that is None."""

    def __init__(self, size):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.one = nn.Parameter(torch.ones(1))
        self.none = nn.Parameter(torch.ones(0))
        self.register_buffer("count", torch.tensor(size))
        self.register_buffer("cache", torch.ones(size), persistent=False)
        self.register_buffer("absent", None)
        self.register_parameter("off", None)


class Extra(nn.Module):
    """Saves and takes extra state; takes it only; saves it only."""

    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))

    def get_extra_state(self):
        return {"size": 1}

    def set_extra_state(self, state):
        self.seen = state


class ExtraTaken(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))

    def set_extra_state(self, state):
        pass


class ExtraGiven(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))

    def get_extra_state(self):
        return torch.ones(2)


class Renaming(nn.Module):
    """Overrides _load_from_state_dict: takes its parameter under an older name as well."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if prefix + "gamma" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "gamma")
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Tied(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.embed = nn.Embedding(7, size)
        self.head = nn.Linear(size, 7, bias=False)
        self.head.weight = self.embed.weight


class MyNorm(nn.BatchNorm1d):
    pass


class MyInstanceNorm(nn.InstanceNorm2d):
    pass


def hooked(size):
    module = nn.Linear(size, 2)
    module.register_load_state_dict_pre_hook(rename_hook)
    return module


def rename_hook(module, state_dict, prefix, *rest):
    if prefix + "kernel" in state_dict:
        state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")


def post_hooked(size):
    module = nn.Linear(size, 2)
    module.register_load_state_dict_post_hook(forgiving_hook)
    return module


def forgiving_hook(module, incompatible):
    incompatible.missing_keys.clear()


def untracked(size):
    """track_running_stats switched off after the buffers were made."""
    module = nn.BatchNorm1d(size)
    module.track_running_stats = False
    return module


def unparametrized(size):
    """The hook of weight_norm outlives the parametrization."""
    module = new.weight_norm(nn.Linear(size, 3))
    torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    return module


def with_none(size):
    module = nn.Sequential(nn.Linear(size, 2))
    module.register_module("downsample", None)
    return module


def meta_only_stats(size):
    module = nn.BatchNorm2d(size)
    module.num_batches_tracked = None
    return module


def pruned(size):
    module = nn.Linear(size, 3)
    torch.nn.utils.prune.l1_unstructured(module, "weight", 0.5)
    return module


def lazy_linear(size):
    return nn.LazyLinear(size)


BUILDERS = {
    "linear": lambda n: nn.Linear(n, 3),
    "linear_nobias": lambda n: nn.Linear(n, 3, bias=False),
    "conv": lambda n: nn.Conv2d(n, 2, 3),
    "conv_transpose": lambda n: nn.ConvTranspose2d(n, 2, 3),
    "embedding": lambda n: nn.Embedding(5, n),
    "embedding_bag": lambda n: nn.EmbeddingBag(5, n),
    "layer_norm": lambda n: nn.LayerNorm(n),
    "group_norm": lambda n: nn.GroupNorm(1, n),
    "batch_norm": lambda n: nn.BatchNorm2d(n),
    "batch_norm_1d": lambda n: nn.BatchNorm1d(n, affine=False),
    "batch_norm_no_stats": lambda n: nn.BatchNorm2d(n, track_running_stats=False),
    "sync_batch_norm": lambda n: nn.SyncBatchNorm(n),
    "my_norm": MyNorm,
    "untracked": untracked,
    "meta_only_stats": meta_only_stats,
    "instance_norm": lambda n: nn.InstanceNorm2d(n),
    "instance_norm_affine": lambda n: nn.InstanceNorm1d(n, affine=True),
    "instance_norm_stats": lambda n: nn.InstanceNorm2d(n, track_running_stats=True, affine=True),
    "my_instance_norm": MyInstanceNorm,
    "lstm": lambda n: nn.LSTM(n, 2, bidirectional=True),
    "gru": lambda n: nn.GRU(n, 2),
    "attention": lambda n: nn.MultiheadAttention(2 * n, 2),
    "attention_kv": lambda n: nn.MultiheadAttention(2 * n, 2, kdim=3, vdim=3, add_bias_kv=True),
    "encoder": lambda n: nn.TransformerEncoderLayer(2 * n, 2, 4),
    "prelu": lambda n: nn.PReLU(n),
    "bilinear": lambda n: nn.Bilinear(n, 2, 2),
    "parameter_list": lambda n: nn.ParameterList([torch.ones(n), torch.ones(2)]),
    "parameter_dict": lambda n: nn.ParameterDict({"a": torch.ones(n)}),
    "weight_norm": lambda n: new.weight_norm(nn.Conv1d(n, 2, 3)),
    "weight_norm_linear": lambda n: new.weight_norm(nn.Linear(n, 3)),
    "old_weight_norm": lambda n: old_weight_norm(nn.Linear(n, 3)),
    "unparametrized": unparametrized,
    "spectral_norm": lambda n: new.spectral_norm(nn.Linear(n, 3)),
    "old_spectral_norm": lambda n: old_spectral_norm(nn.Linear(n, 3)),
    "old_spectral_conv": lambda n: old_spectral_norm(nn.ConvTranspose2d(n, 2, 3)),
    "orthogonal": lambda n: new.orthogonal(nn.Linear(n, n)),
    "pruned": pruned,
    "lazy_linear": lazy_linear,
    "lazy_conv": lambda n: nn.LazyConv2d(n, 3),
    "lazy_batch_norm": lambda n: nn.LazyBatchNorm2d(),
    "lazy_instance_norm": lambda n: nn.LazyInstanceNorm2d(affine=True),
    "scalar": Scalar,
    "extra": Extra,
    "extra_taken": ExtraTaken,
    "extra_given": ExtraGiven,
    "renaming": Renaming,
    "hooked": hooked,
    "post_hooked": post_hooked,
    "tied": Tied,
    "with_none": with_none,
    "half": lambda n: nn.Linear(n, 2).half(),
    "int_buffer": lambda n: buffered(torch.arange(n)),
    "bool_buffer": lambda n: buffered(torch.zeros(n, dtype=torch.bool)),
    "complex_buffer": lambda n: buffered(torch.zeros(n, dtype=torch.complex64)),
    "shared": lambda n: nn.ModuleList([nn.BatchNorm1d(n)] * 2),
    "identity": lambda n: nn.Identity(),
    "data_parallel": lambda n: nn.DataParallel(nn.Sequential(nn.Linear(n, 2), nn.BatchNorm1d(2))),
}


def buffered(value):
    module = nn.Module()
    module.register_buffer("table", value)
    return module


class Net(nn.Module):
    """Some of these, at the root and deeper down."""

    def __init__(self, plan):
        super().__init__()
        for name, kind, size in plan:
            self.place(name, BUILDERS[kind](size))

    def place(self, path, module):
        home = self
        *outer, leaf = path.split(".")
        for part in outer:
            if part not in home._modules:
                home.add_module(part, nn.Module())
            home = home._modules[part]
        home.add_module(leaf, module)


def make_plan(rng):
    kinds = rng.sample(sorted(BUILDERS), rng.choice([1, 1, 2, 3, 5]))
    return [
        (rng.choice(["%s", "net.%s", "net.inner.%s"]) % ("m%d" % i), kind, rng.choice([1, 2, 3, 4]))
        for i, kind in enumerate(kinds)
    ]


def maker(rng, plan):
    """What makes the model: a new one for each time it is loaded into."""
    if len(plan) == 1 and rng.random() < 0.4:
        return functools.partial(BUILDERS[plan[0][1]], plan[0][2])  # the rules hold at the root too
    return functools.partial(Net, plan)


# ---- Checkpoints ---------------------------------------------------------------------------------


def tensors_of(state):
    return [
        key
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and not nn.parameter.is_lazy(value)
    ]


def pick(rng, state):
    keys = tensors_of(state)
    return rng.choice(keys) if keys else None


def plain(value):
    return value.detach().clone()


def delete(rng, state, model):
    if state:
        del state[rng.choice(list(state))]


def add_tensor(rng, state, model):
    key = pick(rng, state) or "a"
    state[rng.choice(["extra.weight", key + "_2", key + ".foo", key.split(".")[0], "zz", key + "."])] = torch.ones(2)


def add_below_module(rng, state, model):
    paths = [path for path, _ in model.named_modules() if path] or ["x"]
    state[rng.choice(paths) + rng.choice([".ghost", ".ghost.weight", ".weight.x", "._extra_state"])] = torch.ones(1)


def reshape(rng, state, model):
    key = pick(rng, state)
    if key is not None:
        shape = rng.choice([(3, 5), (1,), (), (0,), (1, 1), (2,), (7, 2, 1)])
        state[key] = torch.ones(shape, dtype=state[key].dtype)


def to_vector(rng, state, model):
    """A scalar as a vector, the way PyTorch 0.3 saved it; or of another length."""
    keys = [key for key in tensors_of(state) if state[key].dim() == 0]
    if keys:
        state[rng.choice(keys)] = torch.ones(rng.choice([0, 1, 1, 1, 3]))


def recast(rng, state, model):
    key = pick(rng, state)
    if key is not None:
        kinds = [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool, torch.complex64]
        state[key] = plain(state[key]).to(rng.choice(kinds + [torch.float8_e4m3fn, torch.uint16]))


def cast_all(rng, state, model):
    for key in tensors_of(state):
        if state[key].is_floating_point():
            state[key] = plain(state[key]).half()


def odd_dtype(rng, state, model):
    key = pick(rng, state)
    if key is not None:
        kinds = [torch.bits8, torch.uint4, torch.int3, torch.float4_e2m1fn_x2]
        state[key] = torch.empty(tuple(state[key].shape), dtype=rng.choice(kinds))


def to_sparse(rng, state, model):
    key = pick(rng, state)
    if key is not None:
        value = plain(state[key])
        if value.dim() == 2 and rng.random() < 0.4 and 0 not in value.shape:
            state[key] = value.to_sparse_csr()
        elif value.dim() > 0:
            state[key] = value.to_sparse()
        else:
            state[key] = value.reshape(1).to_sparse()


def to_quantized(rng, state, model):
    key = pick(rng, state)
    if key is not None and state[key].is_floating_point():
        value = plain(state[key]).float()
        state[key] = torch.quantize_per_tensor(value, 0.1, 0, rng.choice([torch.qint8, torch.quint8]))


def to_meta(rng, state, model):
    key = pick(rng, state)
    if key is not None:
        state[key] = plain(state[key]).to("meta")


def not_a_tensor(rng, state, model):
    if state:
        state[rng.choice(list(state))] = rng.choice([3, 2.5, "text", None, [1, 2], {"a": 1}, True, b"x"])


def add_entry(rng, state, model):
    state[rng.choice(["epoch", "optimizer", "net.step", "_extra_state", "m0._extra_state"])] = rng.choice(
        [3, {"lr": 0.1}, None, "adam"]
    )


def prefix(rng, state, model):
    for key in list(state):
        state["module." + key] = state.pop(key)


def strip(rng, state, model):
    for key in list(state):
        if key.startswith("net."):
            state[key[4:]] = state.pop(key)


def no_batches_tracked(rng, state, model):
    for key in list(state):
        if key.endswith("num_batches_tracked"):
            del state[key]


def add_running_stats(rng, state, model):
    """What an InstanceNorm saved before 0.4."""
    for path, module in model.named_modules():
        if isinstance(module, (nn.InstanceNorm1d, nn.InstanceNorm2d)) or rng.random() < 0.1:
            for name in rng.choice([("running_mean",), ("running_var",), ("running_mean", "running_var")]):
                key = path + "." + name if path else name
                state.setdefault(key, torch.ones(2))


def old_weight_names(rng, state, model):
    """As the older weight_norm named them; sometimes only half, sometimes beside the new."""
    keep, only = rng.random() < 0.2, rng.choice([None, None, None, "original0", "original1"])
    for key in list(state):
        for number, suffix in (("original0", "_g"), ("original1", "_v")):
            if key.endswith("parametrizations.weight." + number) and number != only:
                name = key[: -len("parametrizations.weight." + number)] + "weight" + suffix
                state[name] = state[key]
                if not keep:
                    del state[key]


def new_weight_names(rng, state, model):
    for key in list(state):
        for number, suffix in (("original0", "weight_g"), ("original1", "weight_v")):
            if key.endswith(suffix):
                state[key[: -len(suffix)] + "parametrizations.weight." + number] = state.pop(key)


def add_weight_pair(rng, state, model):
    for path, module in model.named_modules():
        if "weight_norm" in str(getattr(module, "_load_state_dict_pre_hooks", "")):
            for suffix in ("weight_g", "weight_v"):
                state[path + "." + suffix if path else suffix] = torch.ones(2, 2)


def old_spectral(rng, state, model):
    """As spectral_norm saved it before version 1: weight beside weight_orig and weight_u, no v."""
    for key in list(state):
        if key.endswith("weight_orig") and isinstance(state[key], torch.Tensor):
            home = key[: -len("weight_orig")]
            if rng.random() < 0.8:
                state[home + "weight"] = plain(state[key]) if rng.random() < 0.8 else torch.ones(2, 5)
            if rng.random() < 0.6:
                state.pop(home + "weight_v", None)
            if rng.random() < 0.2:
                state.pop(rng.choice([home + "weight_u", key]), None)
            if rng.random() < 0.15:
                state[home + "weight_u"] = torch.ones(rng.choice([(5,), (1, 3)]))


def initialized(rng, state, model):
    for key, value in list(state.items()):
        if nn.parameter.is_lazy(value):
            state[key] = torch.ones(rng.choice([(3,), (2, 3), (), (4, 1, 3, 3)]))


def uninitialized(rng, state, model):
    key = pick(rng, state)
    if key is not None:
        state[key] = nn.parameter.UninitializedParameter()


def old_names(rng, state, model):
    for key in list(state):
        if key.endswith("weight") and rng.random() < 0.5:
            state[key[:-6] + rng.choice(["gamma", "kernel"])] = state.pop(key)


def one_of_tied(rng, state, model):
    for key in list(state):
        if key.endswith(("head.weight", "embed.weight")) and rng.random() < 0.5:
            del state[key]


def below_none(rng, state, model):
    for path, module in model.named_modules():
        for name, child in module._modules.items():
            if child is None:
                state[(path + "." if path else "") + name + rng.choice([".weight", "._extra_state", ".a.b"])] = torch.ones(1)


def shuffle(rng, state, model):
    keys = list(state)
    rng.shuffle(keys)
    for key in keys:
        state.move_to_end(key)


def drop_metadata(rng, state, model):
    if hasattr(state, "_metadata"):
        del state._metadata


def edit_metadata(rng, state, model):
    metadata = getattr(state, "_metadata", None)
    if not metadata:
        return
    path = rng.choice(list(metadata))
    what = rng.choice(["drop", "one", "two", "none", "empty", "spectral", "spectral0"])
    row = metadata[path]
    if what == "drop":
        del metadata[path]
    elif what in ("one", "two", "none"):
        row["version"] = {"one": 1, "two": 2, "none": None}[what]
    elif what == "empty":
        row.clear()
    elif what == "spectral":
        row["spectral_norm"] = {"weight.version": 1}
    else:
        row["spectral_norm"] = rng.choice([{}, {"weight.version": 0}])


MUTATIONS = [
    delete, delete, add_tensor, add_tensor, add_below_module, reshape, reshape, to_vector, recast, cast_all,
    odd_dtype, to_sparse, to_quantized, to_meta, not_a_tensor, not_a_tensor, add_entry, prefix, strip,
    no_batches_tracked, no_batches_tracked, add_running_stats, add_running_stats, old_weight_names,
    old_weight_names, new_weight_names, add_weight_pair, old_spectral, old_spectral, initialized,
    initialized, uninitialized, old_names, one_of_tied, below_none, shuffle, drop_metadata, drop_metadata,
    drop_metadata, edit_metadata, edit_metadata,
]  # fmt: skip


def checkpoint(rng, model, plan):
    """What the model itself saves, or one of other sizes, changed in a few ways."""
    torch.manual_seed(rng.randrange(1 << 30))
    if rng.random() < 0.15 and isinstance(model, Net):
        plan = [(name, kind, rng.choice([size, 2])) for name, kind, size in plan]
        source = Net(plan)
    else:
        source = model
    saved = source.state_dict()
    state = collections.OrderedDict((key, value) for key, value in saved.items())
    state._metadata = copy.deepcopy(saved._metadata)
    done = []
    for mutate in rng.sample(MUTATIONS, rng.choice([0, 1, 1, 2, 2, 3, 4])):
        before = describe(state)
        try:
            mutate(rng, state, model)
        except RuntimeError:
            continue  # torch itself cannot make such a tensor of this one (a sparse float8 …)
        if describe(state) != before:
            done.append(mutate.__name__)
    return state, done


# ---- What PyTorch says ---------------------------------------------------------------------------


def messages(error):
    text = str(error)
    if not isinstance(error, RuntimeError) or not text.startswith("Error(s) in loading state_dict for "):
        return None
    return [line.strip() for line in text.split("\n")[1:]]


def quoted(text):
    return text.split('"')[1::2]


def torch_answer(make, state, loader):
    """Both modes, each on a new model; the lists from the messages and from what strict=False returns."""
    answer = {"direct": None, "missing": [], "unexpected": [], "shape_mismatch": [], "not_a_tensor": [], "errors": []}
    for mode in (True, False):
        name = "strict" if mode else "non_strict"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = load(make(), state, mode, loader)
            answer[name] = True
            if not mode and result is not None:
                answer["missing"], answer["unexpected"] = list(result[0]), list(result[1])
        except Exception as error:
            answer[name] = False
            lines = messages(error)
            if lines is None:
                answer["direct"] = "%s: %s" % (type(error).__name__, str(error).split("\n")[0][:120])
                continue
            read_messages(answer, lines)
    for key in ("missing", "unexpected", "shape_mismatch", "not_a_tensor", "errors"):
        answer[key] = None if answer["direct"] else sorted(set(answer[key]))
    if loader == "safetensors" and not answer["non_strict"]:
        answer["missing"] = answer["unexpected"] = None  # load_model raises before it tells them
    return answer


def read_messages(answer, lines):
    for line in lines:
        if line.startswith("Missing key(s)"):
            answer["missing"] += quoted(line)
        elif line.startswith("Unexpected key(s)"):
            answer["unexpected"] += quoted(line)
        elif line.startswith("size mismatch for "):
            answer["shape_mismatch"].append(line[len("size mismatch for ") :].split(": copying")[0])
        elif line.startswith("Unexpected running stats"):
            answer["errors"] += quoted(line)
        elif "expected torch.Tensor" in line:
            answer["not_a_tensor"].append(quoted(line)[0])
        elif line.startswith(("While copying", "While swapping")):
            answer["errors"].append(quoted(line)[0])


def load(model, state, strict, loader):
    if loader == "safetensors":
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.safetensors")
            save(state, path, loader)
            return safetensors.torch.load_model(model, path, strict=strict)
    return model.load_state_dict(state, strict=strict)


def save(state, path, loader):
    if loader == "safetensors":
        safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)


# ---- What ckptd is told --------------------------------------------------------------------------

LAYOUTS = {
    torch.strided: "strided",
    torch.sparse_coo: "sparse_coo",
    torch.sparse_csr: "sparse_csr",
    torch.sparse_csc: "sparse_csc",
}


def describe(state, has_metadata=True):
    keys = {}
    for key, value in state.items():
        if isinstance(value, torch.Tensor) and not nn.parameter.is_lazy(value):
            layout = LAYOUTS[value.layout]
            layout = "quantized" if value.is_quantized else "meta" if value.is_meta else layout
            dtype = str(value.dtype).replace("torch.", "")
            keys[key] = {"dtype": dtype, "shape": list(value.shape), "layout": layout}
        else:
            kind = type(value)
            home = "" if kind.__module__ == "builtins" else kind.__module__ + "."
            keys[key] = {"entry": "object", "type": home + kind.__qualname__}
    metadata = getattr(state, "_metadata", None) if has_metadata else None
    if metadata is not None:
        metadata = {path: describe_row(row) for path, row in metadata.items()}
    return {"metadata": metadata, "keys": keys}


def describe_row(row):
    told = {"version": row.get("version")}
    for name, version in row.get("spectral_norm", {}).items():
        told["spectral_norm." + name[: -len(".version")]] = version
    return told


# ---- Comparing -----------------------------------------------------------------------------------


def has_custom(manifest):
    return any(row.get("custom_load") or row.get("post_hook") for row in manifest["modules"].values())


def compare(case, ours):
    """The ways in which our answer with modules differs from PyTorch's."""
    theirs, wrong = case["torch"], []
    if ours["unknown"]:
        return [] if has_custom(case["manifest"]) else ["unknown without a hook"]
    for key in ("strict", "non_strict"):
        if ours[key] != theirs[key]:
            wrong.append("%s: ours %s, PyTorch's %s" % (key, ours[key], theirs[key]))
    if theirs["direct"]:
        return wrong
    for key in ("missing", "unexpected", "not_a_tensor"):
        if theirs[key] is not None and sorted(set(ours[key])) != theirs[key]:
            wrong.append("%s: ours %s, PyTorch's %s" % (key, ours[key], theirs[key]))
    mismatched = sorted(set(ours["shape_mismatch"]) | set(ours["errors"]))
    if mismatched != sorted(set(theirs["shape_mismatch"]) | set(theirs["errors"])):
        wrong.append("errors: ours %s, PyTorch's %s" % (mismatched, theirs["shape_mismatch"] + theirs["errors"]))
    return wrong


def unsound(case, ours):
    """Without modules: strict where PyTorch raises, and no guess named."""
    if ours["strict"] and not case["torch"]["strict"]:
        if not any(warning.startswith("Guessed") for warning in ours["warnings"]):
            return ["strict without modules, but PyTorch raises"]
    return []


def without_modules(case):
    bare = dict(case, manifest=dict(case["manifest"]))
    del bare["manifest"]["modules"]
    return bare


def run_driver(driver, cases):
    text = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([driver], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("judge_cases failed: " + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_ckptd(binary, folder, case, state, is_wrapped):
    """From a real file; None where torch cannot save it. Wrapped, it is as Lightning keeps it."""
    path, manifest = os.path.join(folder, "state"), os.path.join(folder, "manifest.json")
    loader = "lightning" if is_wrapped else case["loader"]
    try:
        save({"epoch": 3, "state_dict": state} if is_wrapped else state, path, loader)
    except Exception:
        return None
    with open(manifest, "w", encoding="utf-8") as out:
        out.write(ckptd.dump(case["manifest"]))
    command = [binary, "compat", path, manifest, "--format", "json", "--infer", "none", "--limit", "100000"]
    command += ["--loader", loader]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1, 2):
        return {"failed": done.stderr}
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"failed": done.stdout[:200] + done.stderr}
    as_is = report["as_is"]
    if as_is is None:
        return {"failed": "no as_is: " + done.stdout[:300]}
    return {
        "strict": as_is["strict"],
        "non_strict": as_is["non_strict"],
        "unknown": report["verdict"] == "unknown",
        "missing": as_is["missing"],
        "unexpected": as_is["unexpected"],
        "shape_mismatch": [row["key"] for row in as_is["shape_mismatch"]],
        "not_a_tensor": [row["key"] if isinstance(row, dict) else row for row in as_is["not_a_tensor"]],
        "errors": [name for text in as_is["errors"] for name in quoted(text)],
        "warnings": report["warnings"],
    }


# ---- The suite -----------------------------------------------------------------------------------


def make_case(seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    plan = make_plan(rng)
    make = maker(rng, plan)
    model = make()
    state, mutations = checkpoint(rng, model, plan)
    loader = "torch"
    if rng.random() < 0.12 and can_safetensors(model, state):
        loader = "safetensors"
        state = collections.OrderedDict((key, value) for key, value in state.items())
    name = "%d: %s; %s" % (seed, "+".join(kind for _, kind, _ in plan), ",".join(mutations) or "as saved")
    case = {
        "name": name,
        "loader": loader,
        "manifest": ckptd.manifest(model),
        "state": describe(state),
        "torch": torch_answer(make, state, loader),
    }
    return case, state


def can_safetensors(model, state):
    """What save_file takes: plain tensors that share nothing. And a model whose tied parameters are one
    and the same, as the manifest's "tied" tells."""
    if any(nn.parameter.is_lazy(p) for p in model.state_dict().values()) or not state:
        return False
    seen = set()
    for value in state.values():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized:
            return False
        if value.is_meta or nn.parameter.is_lazy(value) or value.dtype not in SAFE or not value.numel():
            return False
        if value.untyped_storage().data_ptr() in seen:
            return False
        seen.add(value.untyped_storage().data_ptr())
    return True


SAFE = {torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.bool}


def report_failures(failures):
    for name, source, wrong in failures[:20]:
        print("%s (%s)" % (name, source))
        for line in wrong:
            print("    " + line)


def run(options):
    driver = os.path.join(options.build, "tests", "judge_cases")
    binary = os.path.join(options.build, "ckptd")
    binary = binary if os.path.exists(binary) and not options.no_ckptd else None
    made = [make_case(options.seed * 1000003 + i) for i in range(options.pairs)]
    cases = [case for case, _ in made]
    failures, unknown, from_files, raised = [], 0, 0, 0
    rng = random.Random(options.seed)
    ours, guessed = run_driver(driver, cases), run_driver(driver, [without_modules(case) for case in cases])
    with tempfile.TemporaryDirectory() as folder:
        for (case, state), mine, guess in zip(made, ours, guessed):
            checks = [("judge", compare(case, mine)), ("without modules", unsound(case, guess))]
            if binary is not None:
                is_wrapped = case["loader"] == "torch" and tensors_of(state) and rng.random() < 0.15
                answer = run_ckptd(binary, folder, case, state, is_wrapped)
                if answer is not None:
                    from_files += 1
                    failed = answer.get("failed")
                    checks.append(("ckptd compat", [failed] if failed else compare(case, answer)))
            failures += [(case["name"], source, wrong) for source, wrong in checks if wrong]
            unknown += mine["unknown"]
            raised += not case["torch"]["strict"]
    report_failures(failures)
    print(
        "%d pairs, seed %d: PyTorch raises on %d; %d judged from real files; %d unknown for hooks; %d differ"
        % (len(cases), options.seed, raised, from_files, unknown, len(failures))
    )
    wrong = len({name for name, _, _ in failures})
    print("%d passed, %d failed" % (len(cases) - wrong, wrong))
    return 1 if failures else 0


def rules_of(case):
    """What a case shows: for choosing a sample in which every rule occurs."""
    name = case["name"].split(": ", 1)[1]
    kinds, mutations = name.split("; ")
    outcome = ("S" if case["torch"]["strict"] else "") + ("N" if case["torch"]["non_strict"] else "")
    outcome += "D" if case["torch"]["direct"] else ""
    rules = {"loader " + case["loader"] + outcome}
    rules |= {"kind %s %s" % (kind, outcome) for kind in kinds.split("+")}
    rules |= {"mutation %s %s" % (mutation, outcome) for mutation in mutations.split(",")}
    return rules


def write_sample(options):
    """Small cases, greedily, until nothing new is shown; one file, a case a line."""
    cases = [make_case(options.seed * 1000003 + i)[0] for i in range(options.pairs)]
    cases.sort(key=lambda case: (len(json.dumps(case)), case["name"]))
    seen, chosen = set(), []
    for case in cases:
        rules = rules_of(case)
        if rules - seen:
            seen |= rules
            chosen.append(case)
    os.makedirs(options.sample, exist_ok=True)
    with open(os.path.join(options.sample, "pairs.json"), "w", encoding="utf-8", newline="\n") as out:
        lines = ",\n".join(json.dumps(case, sort_keys=False) for case in chosen)
        out.write('{"torch": %s, "cases": [\n%s\n]}\n' % (json.dumps(torch.__version__), lines))
    print("%d cases of %d" % (len(chosen), len(cases)))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/dev", help="where the driver and ckptd were built")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CKPTD_SEED", "1")))
    parser.add_argument("--no-ckptd", action="store_true", help="by the driver alone")
    parser.add_argument("--sample", metavar="DIR")
    parser.add_argument("--one", type=int, metavar="SEED", help="print one pair and both answers")
    options = parser.parse_args()
    options.pairs = options.pairs or (5000 if options.deep else 500)
    if options.one is not None:
        case, _ = make_case(options.one)
        driver = os.path.join(options.build, "tests", "judge_cases")
        print(json.dumps(case, indent=1))
        print(json.dumps(run_driver(driver, [case, without_modules(case)]), indent=1))
        return 0
    return write_sample(options) if options.sample else run(options)


if __name__ == "__main__":
    sys.exit(main())
