"""Holds the remaps that `ckptd compat` offers against PyTorch.

    python3 tests/interop/check_remaps.py [--ckptd build/dev/ckptd] [--only PART_OF_A_NAME]

Real models are wrapped, renamed and saved in the ways people do; each report's remap is applied by a
few lines of Python that know only its rules. Whenever the verdict is strict_after_remap,
load_state_dict(strict=True) must take the result, with the very values; each case says which verdict
it must be, and, where a person would have written one, the remap's lines. Needs torch.
"""

import argparse
import collections
import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Block(nn.Module):
    def __init__(self, width, shrinks):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if shrinks:
            self.downsample = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))


class Resnet(nn.Module):
    def __init__(self, depths=(2, 3), classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        for i, depth in enumerate(depths):
            layer = nn.Sequential(*[Block(8 << i, k == 0) for k in range(depth)])
            setattr(self, f"layer{i + 1}", layer)
        self.fc = nn.Linear(8 << (len(depths) - 1), classes)


class Body(Resnet):
    def __init__(self):
        super().__init__()
        del self.fc


class Named(nn.Module):
    """A module under other names."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Transformer(nn.Module):
    def __init__(self, attention="attn", layers=3):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        block = lambda: Named(**{attention: nn.MultiheadAttention(16, 2), "fc1": nn.Linear(16, 32),
                                 "fc2": nn.Linear(32, 16), "norm": nn.LayerNorm(16)})
        self.layers = nn.ModuleList(block() for _ in range(layers))


# --- the remap language, by itself: what the report's remap says, done in Python -----------------


def number(text, bound):
    """{i}, {i+1}, {(k-1)/3}: the value, or None where it is no number of the language."""
    value = eval(re.sub(r"/", "//", text), {"__builtins__": {}}, bound)  # of our own report
    return value if value >= 0 else None


def pattern(text):
    """A regular expression for a pattern of whole segments."""
    out, names = "", []
    for piece in re.split(r"(\{\{|\}\}|\{[^}]*\})", text):
        if piece in ("{{", "}}"):
            out += re.escape(piece[0])
        elif piece == "{*}":
            out += "(?P<rest>.+)"
        elif re.fullmatch(r"\{[A-Za-z]\}", piece):
            out += f"(?P<{piece[1]}>0|[1-9][0-9]*)"
        elif piece.startswith("{"):
            out += f"(?P<{piece[1:-1]}>[^.]*)"
        else:
            out += re.escape(piece)
    return re.compile(out + r"\Z")


def fill(template, match):
    bound = {k: int(v) for k, v in match.groupdict().items() if len(k) == 1}
    out = ""
    for piece in re.split(r"(\{\{|\}\}|\{[^}]*\})", template):
        if piece in ("{{", "}}"):
            out += piece[0]
        elif piece == "{*}":
            out += match["rest"]
        elif re.fullmatch(r"\{[a-z0-9_]{2,}\}", piece):
            out += match[piece[1:-1]]
        elif piece.startswith("{"):
            value = number(piece[1:-1], bound)
            if value is None:
                return None
            out += str(value)
        else:
            out += piece
    return out


def apply_keys(rules, state):
    out = {}
    for key, value in state.items():
        new = key
        for rule in rules:
            match = pattern(rule["from"]).match(key)
            if match:
                assert "op" not in rule, "the inference gives no ops yet"
                new = None if rule.get("drop") else fill(rule["to"], match)
                break
        if new is not None:
            assert new not in out, f"{new} twice"
            out[new] = value
    return out


def apply_segments(rules, state):
    out = {}
    for key, value in state.items():
        segments, made, at = key.split("."), [], 0
        while at < len(segments):
            for rule in rules:
                length = rule["from"].count(".") + 1
                match = pattern(rule["from"]).match(".".join(segments[at:at + length]))
                if match and at + length <= len(segments):
                    made += [] if rule["to"] is None else [fill(rule["to"], match)]
                    at += length
                    break
            else:
                made.append(segments[at])
                at += 1
        assert ".".join(made) not in out
        out[".".join(made)] = value
    return out


def apply(remap, loaded):
    for name in (remap["container"] or "").split("."):
        if name:
            loaded = loaded[int(name) if isinstance(loaded, (list, tuple)) else name]
    if not remap["passes"]:
        return loaded
    metadata = getattr(loaded, "_metadata", None)
    assert "metadata" not in remap or metadata is not None
    for one in remap["passes"]:
        loaded = apply_keys(one["keys"], loaded) if "keys" in one else apply_segments(one["segments"], loaded)
    return loaded


# --- the cases ----------------------------------------------------------------------------------


def prefixed(prefix, state):
    return {prefix + k: v for k, v in state.items()}


def compiled(model):
    """torch.compile wraps without compiling anything yet."""
    return torch.compile(model)


def with_average():
    live, average = Resnet(), Resnet()
    return {**prefixed("model.", live.state_dict()), **prefixed("ema.", average.state_dict())}


def lightning(model, prefix="model."):
    return {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.5",
            "state_dict": prefixed(prefix, model.state_dict()), "optimizer_states": [{"lr": 0.1}]}


def checkpointed(model):
    model.layer1[0] = checkpoint_wrapper(model.layer1[0])
    model.layer2[1] = checkpoint_wrapper(model.layer2[1])
    return model


def wrapped_save(how):
    """activation checkpointing hides its segment by a hook: what a save without the hook has."""
    state = how.state_dict()
    names = {id(v): k for k, v in list(how.named_parameters()) + list(how.named_buffers())}
    kept = how.state_dict(keep_vars=True)
    return {names[id(v)]: state[k] for k, v in kept.items()}


def moco():
    query, key = Resnet(), Resnet()
    return {"state_dict": {**prefixed("module.encoder_q.", query.state_dict()),
                           **prefixed("module.encoder_k.", key.state_dict()),
                           "module.queue": torch.zeros(16, 99), "module.queue_ptr": torch.zeros(1)}}


Case = collections.namedtuple("Case", "name saved model verdict lines")


def cases():
    after, strict = "strict_after_remap", "strict"
    yield Case("plain", Resnet().state_dict(), Resnet(), strict, None)
    yield Case("DataParallel", nn.DataParallel(Resnet()).state_dict(), Resnet(), after, ["module.{*} -> {*}"])
    yield Case("torch.compile", compiled(Resnet()).state_dict(), Resnet(), after, ["_orig_mod.{*} -> {*}"])
    yield Case("compile of DataParallel", compiled(nn.DataParallel(Resnet())).state_dict(), Resnet(), after,
               ["_orig_mod.module.{*} -> {*}"])
    yield Case("DataParallel of compile", nn.DataParallel(compiled(Resnet())).state_dict(), Resnet(), after,
               ["module._orig_mod.{*} -> {*}"])
    yield Case("into DataParallel", Resnet().state_dict(), nn.DataParallel(Resnet()), after,
               ["{*} -> module.{*}"])
    yield Case("into torch.compile", nn.DataParallel(Resnet()).state_dict(), compiled(Resnet()), after,
               ["module.{*} -> _orig_mod.{*}"])
    yield Case("compiled part", Named(net=compiled(Resnet()), head=nn.Linear(4, 3)).state_dict(),
               Named(net=Resnet(), head=nn.Linear(4, 3)), after, ["net._orig_mod.{*} -> net.{*}"])
    yield Case("two compiled parts", Named(a=compiled(Resnet()), b=compiled(Transformer())).state_dict(),
               Named(a=Resnet(), b=Transformer()), after, ["/_orig_mod/ -> //"])
    yield Case("Lightning", lightning(Resnet()), Resnet(), after,
               ["container state_dict", "model.{*} -> {*}"])
    yield Case("Lightning of torch.compile", lightning(compiled(Resnet())), Resnet(), after,
               ["container state_dict", "model._orig_mod.{*} -> {*}"])
    yield Case("Lightning with a criterion",
               {"state_dict": {**prefixed("model.", Resnet().state_dict()), "criterion.weight": torch.zeros(10)}},
               Resnet(), after, ["container state_dict", "criterion.{*} -> (drop)", "model.{*} -> {*}"])
    yield Case("only a container", {"model": Resnet().state_dict(), "epoch": 1}, Resnet(), after,
               ["container model"])
    yield Case("prefix added", Body().state_dict(), Named(backbone=Body()), after, ["{*} -> backbone.{*}"])
    yield Case("backbone to feature_extractor", Named(backbone=Body()).state_dict(),
               Named(feature_extractor=Body()), after, ["backbone.{*} -> feature_extractor.{*}"])
    yield Case("backbone and head", Resnet().state_dict(), Named(backbone=Body(), head=Named(fc=nn.Linear(16, 10))),
               after, ["fc.{*} -> head.fc.{*}", "{*} -> backbone.{*}"])
    yield Case("two subtrees", Named(vision=Body(), text=Transformer()).state_dict(),
               Named(image_encoder=Body(), text_encoder=Transformer()), after,
               ["text.{*} -> text_encoder.{*}", "vision.{*} -> image_encoder.{*}"])
    yield Case("classifier renamed", Named(body=Body(), fc=nn.Linear(4, 3)).state_dict(),
               Named(body=Body(), classifier=nn.Linear(4, 3)), after, ["fc.{*} -> classifier.{*}"])
    yield Case("attention renamed", Transformer("attn").state_dict(), Transformer("self_attn"), after,
               ["/attn/ -> /self_attn/"])
    yield Case("activation checkpointing", wrapped_save(checkpointed(Resnet())), Resnet(), after,
               ["/_checkpoint_wrapped_module/ -> //"])
    yield Case("activation checkpointing under DataParallel",
               wrapped_save(nn.DataParallel(checkpointed(Resnet()))), Resnet(), after,
               ["/_checkpoint_wrapped_module/ -> //", "---", "module.{*} -> {*}"])
    yield Case("EMA beside the live weights", with_average(), Resnet(), after,
               ["ema.{*} -> (drop)", "model.{*} -> {*}"])
    yield Case("EMA container", {"state_dict": Resnet().state_dict(), "state_dict_ema": Resnet().state_dict()},
               Resnet(), after, ["container state_dict"])
    yield Case("MoCo: which encoder?", moco(), Resnet(), "unknown", None)
    yield Case("averaged model", torch.optim.swa_utils.AveragedModel(Resnet()).state_dict(), Resnet(), after,
               ["n_averaged -> (drop)", "module.{*} -> {*}"])
    yield Case("half precision", nn.DataParallel(Resnet().half()).state_dict(), Resnet(), after,
               ["module.{*} -> {*}"])
    yield Case("other classes", nn.DataParallel(Resnet(classes=7)).state_dict(), Resnet(), "partial",
               ["module.{*} -> {*}"])
    yield Case("without head", nn.DataParallel(Body()).state_dict(), Resnet(), "non_strict",
               ["module.{*} -> {*}"])
    yield Case("with a head too many", Resnet().state_dict(), Body(), after, ["fc.{*} -> (drop)"])
    yield Case("deeper", Resnet((2, 5)).state_dict(), Resnet(), "incompatible", None)
    yield Case("deeper and wrapped", nn.DataParallel(Resnet((4, 3))).state_dict(), Resnet(), "incompatible", None)
    yield Case("shallower", Resnet((2, 2)).state_dict(), Resnet(), "incompatible", None)
    yield Case("another network", Transformer().state_dict(), Resnet(), "incompatible", None)
    yield Case("twins", Named(encoder=Transformer(), decoder=Transformer()).state_dict(),
               Named(x=Transformer(), y=Transformer()), "unknown", None)


def ask(ckptd, folder, case, manifest_tool):
    path, manifest = folder / "checkpoint.pt", folder / "manifest.json"
    torch.save(case.saved, path)
    manifest.write_text(manifest_tool(case.model))
    done = subprocess.run([ckptd, "compat", path, manifest, "--format", "json", "--mapping"],
                          capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 1, 2):
        raise SystemExit(f"{case.name}: exit {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def lines_of(remap):
    out = [] if remap["container"] is None else [f"container {remap['container']}"]
    for i, one in enumerate(remap["passes"]):
        out += ["---"] if i else []
        for rule in one.get("keys", []):
            out.append(f"{rule['from']} -> {'(drop)' if rule.get('drop') else rule['to']}")
        for rule in one.get("segments", []):
            out.append(f"/{rule['from']}/ -> /{rule['to'] or ''}/")
    return out


def complaint(case, report):
    """What is wrong with a report, or None."""
    if report["verdict"] != case.verdict:
        return f"verdict {report['verdict']}, not {case.verdict}: {report['summary']}"
    if case.lines is not None and lines_of(report["remap"]) != case.lines:
        return f"remap {lines_of(report['remap'])}, not {case.lines}"
    if report["remap"] is None:
        return None
    made = apply(report["remap"], copy.deepcopy(case.saved))
    for row in report["mapping"]:
        if row["to"] not in made:
            return f"the mapping fills {row['to']}, the remap does not"
    if case.verdict != "strict_after_remap":
        return None
    model = copy.deepcopy(case.model)
    model.load_state_dict(made, strict=True)
    for key, value in model.state_dict().items():
        if key in made and not torch.equal(value, made[key].to(value.dtype)):
            return f"{key} was not loaded"
    return None


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--ckptd", default=str(ROOT / "build/dev/ckptd"))
    options.add_argument("--only", default="", help="part of a case's name")
    given = options.parse_args()
    sys.path.insert(0, str(ROOT / "deploy/client"))
    import ckptd

    tools = {"with modules": lambda m: ckptd.dump(ckptd.manifest(m)),
             "bare": lambda m: json.dumps({k: list(v.shape) for k, v in m.state_dict().items()})}
    bad = count = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            for tool in tools if given.only in case.name else ():
                torch.manual_seed(0)
                report = ask(given.ckptd, pathlib.Path(folder), case, tools[tool])
                try:
                    why = complaint(case, report)
                except RuntimeError as refused:
                    why = f"PyTorch refuses: {refused}"
                count += 1
                bad += why is not None
                if why:
                    print(f"{case.name} ({tool}): {why}")
    print(f"{count - bad} passed, {bad} failed")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
