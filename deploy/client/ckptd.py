#!/usr/bin/env python3
"""ckptd's Python client: what an architecture expects, and whether a stored checkpoint loads into it.

    python ckptd.py manifest torchvision.models:resnet50 --kwargs '{"num_classes": 10}' > resnet50.json
    python ckptd.py manifest my.models:build --check resnet50.json
    python ckptd.py check resnet50.json vision/resnet50@production --server http://ckptd:8420

In a program:

    import ckptd
    text = ckptd.dump(ckptd.manifest(model))
    report = ckptd.check(model, "vision/resnet50@production", server="http://ckptd:8420")
    report["verdict"]

One file, the standard library, and torch 1.10 or newer (for manifests only; checking a manifest that
is a file needs no torch). No weights are made where the model can be built on the meta device.
"""
import argparse
import difflib
import importlib
import inspect
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SCHEMA = "ckptd/manifest/1"
LEVELS = ["strict", "strict_after_remap", "non_strict", "partial"]


class CkptdError(Exception):
    """What went wrong, in words for a person. `problem` is the server's problem+json, if it sent one."""

    def __init__(self, text, problem=None):
        super().__init__(text)
        self.problem = problem


# ---- What a model expects ------------------------------------------------------------------------


def manifest(model, name=None, source=None, loader=None):
    """The manifest of a torch.nn.Module, as a dict: names, shapes, dtypes of all that load_state_dict
    looks for, and the modules whose loading follows rules of their own."""
    torch = _torch()
    if not isinstance(model, torch.nn.Module):
        raise CkptdError(
            "a torch.nn.Module is needed, not %s" % type(model).__name__
        )
    tensors, modules, extra_state, values = {}, {}, [], {}
    custom = []
    for path, module in _walk(model, ""):
        row = _module_row(module, is_root=path == "")
        if row is not None:
            modules[path] = row
        if module is None:
            continue
        if row is not None and row.get("custom_load"):
            custom.append(path)
        if _has_extra_state(module):
            extra_state.append(_join(path, "_extra_state"))
        for leaf, value, kind in _own_state(module):
            key = _join(path, leaf)
            tensors[key] = _tensor_row(value, kind)
            values[key] = value
    if custom:
        _trust_state_dict(model, custom, tensors, values, extra_state)
    document = {"schema": SCHEMA}
    if name:
        document["name"] = name
    document["tensors"] = tensors
    document["modules"] = modules
    document["tied"] = _tied(values)
    document["extra_state"] = sorted(extra_state)
    if loader:
        document["load"] = {"loader": loader}
    if source:
        document["source"] = source
    return {key: value for key, value in document.items() if value or key in ("tensors", "modules")}


def dump(document):
    """A manifest as text: everything sorted, a tensor a line, nothing that changes from run to run."""
    lines = []
    for key, value in document.items():
        if key in ("tensors", "modules") and value:
            rows = ["    %s: %s" % (_line(k), _line(value[k])) for k in sorted(value, key=_bytes)]
            text = "{\n%s\n  }" % ",\n".join(rows)
        elif key == "tied" and value:
            text = "[\n%s\n  ]" % ",\n".join("    " + _line(group) for group in value)
        else:
            text = _line(value)
        lines.append("  %s: %s" % (_line(key), text))
    return "{\n%s\n}\n" % ",\n".join(lines)


def _line(value):
    return json.dumps(value, ensure_ascii=False)


def _bytes(text):
    return text.encode("utf-8", "surrogatepass")


def _torch():
    try:
        import torch
    except ImportError as why:
        raise CkptdError(
            "torch cannot be imported (%s): run this with the Python that your model runs with" % why
        )
    return torch


def _join(path, leaf):
    return path + "." + leaf if path else leaf


def _walk(module, path):
    """All modules by path as load_state_dict visits them: shared ones under each name, None ones too."""
    yield path, module
    if module is None:
        return
    for name, child in module._modules.items():
        yield from _walk(child, _join(path, name))


def _own_state(module):
    """What this very module expects: parameters and persistent buffers that are not None."""
    for leaf, value in module._parameters.items():
        if value is not None:
            yield leaf, value, "parameter"
    for leaf, value in module._buffers.items():
        if value is not None and leaf not in module._non_persistent_buffers_set:
            yield leaf, value, "buffer"


def _is_lazy(value):
    is_lazy = getattr(_torch().nn.parameter, "is_lazy", None)
    return is_lazy is not None and is_lazy(value)


def _tensor_row(value, kind):
    shape = None if _is_lazy(value) else [int(size) for size in value.shape]
    return {"shape": shape, "dtype": str(value.dtype).replace("torch.", ""), "kind": kind}


def _trust_state_dict(model, custom, tensors, values, extra_state):
    """Below a module with loading code of its own, what it saves is the best word on what it takes. What
    is no tensor there (packed parameters of a quantized module) is expected like extra state: any value
    will do."""
    torch = _torch()
    try:
        saved = model.state_dict(keep_vars=True)
    except Exception as why:
        _note("state_dict() raises (%s): keys below %s are its parameters and buffers" % (why, custom))
        return
    for key in [key for key in tensors if any(_is_below(key, path) for path in custom)]:
        if key not in saved:
            del tensors[key], values[key]
    for key, value in saved.items():
        if key in tensors or not any(_is_below(key, path) for path in custom):
            continue
        if key.endswith("_extra_state"):
            continue
        if not isinstance(value, torch.Tensor):
            extra_state.append(key)
        else:
            kind = "parameter" if isinstance(value, torch.nn.Parameter) else "buffer"
            tensors[key] = _tensor_row(value, kind)
            values[key] = value


def _is_below(key, path):
    return path == "" or key.startswith(path + ".")


def _tied(values):
    """Names of one and the same tensor."""
    groups = {}
    for key in sorted(values, key=_bytes):
        groups.setdefault(id(values[key]), []).append(key)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda g: _bytes(g[0]))


# ---- Modules whose loading follows rules of their own --------------------------------------------

# Classes whose _load_from_state_dict ckptd knows; all else that overrides it is custom.
_KNOWN = {
    "torch.nn.modules.batchnorm._NormBase",
    "torch.nn.modules.instancenorm._InstanceNorm",
    "torchvision.ops.misc.FrozenBatchNorm2d",
}


def _module_row(module, is_root):
    if module is None:
        return {"type": None}
    torch = _torch()
    cls = _plain_class(module)
    row = {"type": _class_name(cls)}
    hooks = []
    owner = _owner(type(module), "_load_from_state_dict")
    if "_load_from_state_dict" in vars(module) or _dotted(owner) not in _KNOWN | {
        "torch.nn.modules.module.Module"
    }:
        hooks.append(_dotted(owner) + "._load_from_state_dict")
    elif owner is not torch.nn.Module:
        _add_norm(row, module, cls, owner)
    version = getattr(module, "_version", 1)
    if version != 1:
        row["version"] = version
    _add_pre_hooks(row, module, hooks)
    if is_root and (
        "load_state_dict" in vars(module) or type(module).load_state_dict is not torch.nn.Module.load_state_dict
    ):
        hooks.append(_dotted(_owner(type(module), "load_state_dict")) + ".load_state_dict")
    if hooks:
        row["custom_load"] = True
    post_hooks = list(getattr(module, "_load_state_dict_post_hooks", {}).values())
    if post_hooks:
        row["post_hook"] = True
        hooks += [_hook_name(hook) for hook in post_hooks]
    if hooks:
        row["hooks"] = hooks
    if len(row) == 1 and not _has_extra_state(module) and not _is_parametrized(module):
        return None
    order = ["type", "base", "version", "lazy", "track_running_stats", "weight_norm", "spectral_norm"]
    order += ["custom_load", "post_hook", "hooks"]
    return {key: row[key] for key in order if key in row}


def _add_norm(row, module, cls, owner):
    """A subclass of a torch norm loads as that norm does; say so, and whether it tracks statistics
    where its buffers do not tell."""
    for base in cls.__mro__:
        if _class_name(base).startswith(("torch.nn.", "torchvision.ops.")):
            if base is not cls:
                row["base"] = _class_name(base)
            break
    if not hasattr(module, "track_running_stats"):
        return
    own = {leaf for leaf, _, _ in _own_state(module)}
    tracks = bool(module.track_running_stats)
    if tracks != bool(own & {"running_mean", "num_batches_tracked"}):
        row["track_running_stats"] = tracks


def _add_pre_hooks(row, module, hooks):
    for wrapped in getattr(module, "_load_state_dict_pre_hooks", {}).values():
        hook = getattr(wrapped, "hook", wrapped)
        home = getattr(hook, "__module__", None) or type(hook).__module__
        name = getattr(hook, "__qualname__", type(hook).__name__)
        if home == "torch.nn.modules.lazy" and name.endswith("_lazy_load_hook"):
            row["lazy"] = True
        elif home == "torch.nn.utils.parametrizations" and "weight_norm" in name:
            parameter = inspect.getclosurevars(hook).nonlocals["name"]
            row.setdefault("weight_norm", []).append(parameter)
        elif home == "torch.nn.utils.spectral_norm" and hasattr(hook, "fn"):
            row.setdefault("spectral_norm", {})[hook.fn.name] = hook.fn.dim
        else:
            hooks.append(_hook_name(wrapped))


def _hook_name(wrapped):
    hook = getattr(wrapped, "hook", wrapped)
    hook = getattr(hook, "func", hook)
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return "%s.%s" % (home, getattr(hook, "__qualname__", type(hook).__name__))


def _has_extra_state(module):
    base = getattr(_torch().nn.Module, "set_extra_state", None)
    return getattr(type(module), "set_extra_state", base) is not base


def _is_parametrized(module):
    parametrizations = getattr(module, "parametrizations", None)
    return isinstance(parametrizations, _torch().nn.ModuleDict) and len(parametrizations) > 0


def _plain_class(module):
    """The class that was written: parametrizing a module puts a class of its own in front."""
    cls = type(module)
    if _is_parametrized(module) and cls.__module__ == "torch.nn.utils.parametrize":
        return cls.__mro__[1]
    return cls


def _owner(cls, name):
    return next(base for base in cls.__mro__ if name in vars(base))


def _dotted(cls):
    return "%s.%s" % (cls.__module__, cls.__qualname__)


def _class_name(cls):
    """torch.nn.BatchNorm2d rather than torch.nn.modules.batchnorm.BatchNorm2d."""
    if cls.__module__.startswith("torch.nn.modules.") and getattr(_torch().nn, cls.__name__, None) is cls:
        return "torch.nn." + cls.__name__
    return _dotted(cls)


# ---- Building a model from an entry --------------------------------------------------------------


def build(entry, args=(), kwargs=None, device=None):
    """The module that an entry stands for: pkg.mod:build, timm:NAME, hf:DIR or lightning:pkg.mod:Class.
    device is "meta", "cpu", or None for meta first and the CPU where the constructor refuses."""
    torch = _torch()
    make = _maker(entry)
    kwargs = kwargs or {}
    can_meta = hasattr(torch.device, "__enter__")  # since 2.0
    if device == "meta" and not can_meta:
        raise CkptdError("torch %s cannot build on the meta device: leave --device out" % torch.__version__)
    if device != "cpu" and can_meta:
        try:
            with torch.device("meta"):
                return _module_of(entry, _call(entry, make, args, kwargs))
        except CkptdError:
            raise
        except Exception as why:
            if device == "meta":
                raise CkptdError("%s cannot be built on the meta device: %s" % (entry, _one_line(why)))
            _note("not on the meta device (%s): built on the CPU" % _one_line(why))
    try:
        return _module_of(entry, _call(entry, make, args, kwargs))
    except CkptdError:
        raise
    except Exception as why:
        raise CkptdError("%s raised %s" % (entry, _one_line(why)))


def _maker(entry):
    if entry.startswith("timm:"):
        timm = _library("timm", entry)
        return lambda *args, **kwargs: timm.create_model(entry[5:], *args, pretrained=False, **kwargs)
    if entry.startswith("hf:"):
        transformers = _library("transformers", entry)
        return lambda **kwargs: _transformers_model(transformers, entry[3:], kwargs)
    if entry.startswith("lightning:"):
        entry = entry[len("lightning:"):]
    return _imported(entry)


def _library(name, entry):
    try:
        return importlib.import_module(name)
    except ImportError as why:
        raise CkptdError("%s needs %s, which cannot be imported: %s" % (entry, name, why))


def _transformers_model(transformers, folder, kwargs):
    config = transformers.AutoConfig.from_pretrained(folder, **kwargs)
    for name in config.architectures or []:
        cls = getattr(transformers, name, None)
        if cls is not None:
            return cls(config)
    return transformers.AutoModel.from_config(config)


def _imported(entry):
    if ":" not in entry:
        raise CkptdError(
            "%r is no entry: write pkg.mod:build, where build is a class, a function or a module; "
            "timm:NAME; hf:DIR; or lightning:pkg.mod:Class" % entry
        )
    home, _, attribute = entry.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value = importlib.import_module(home)
    except ImportError as why:
        raise CkptdError(
            "cannot import %s: %s. Run this in the folder that holds it, or set PYTHONPATH" % (home, why)
        )
    for part in attribute.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, dir(value), 3)
            hint = "; did you mean %s?" % " or ".join(near) if near else ""
            raise CkptdError("%s has no %s%s" % (home, attribute, hint))
        value = getattr(value, part)
    return value


def _call(entry, make, args, kwargs):
    if isinstance(make, _torch().nn.Module):
        return make
    if not callable(make):
        raise CkptdError("%s is %s, not a class, a function or a module" % (entry, type(make).__name__))
    try:
        bound = inspect.signature(make)
    except (TypeError, ValueError):
        bound = None
    if bound is not None:
        try:
            bound.bind(*args, **kwargs)
        except TypeError as why:
            raise CkptdError("%s: %s. It takes %s; give them with --kwargs '{…}'" % (entry, why, bound))
    return make(*args, **kwargs)


def _module_of(entry, value):
    if not isinstance(value, _torch().nn.Module):
        raise CkptdError("%s gave %s, not a torch.nn.Module" % (entry, type(value).__name__))
    return value


def _one_line(why):
    text = " ".join(str(why).split())
    return "%s: %s" % (type(why).__name__, text[:200])


def _note(text):
    print("ckptd: " + text, file=sys.stderr)


# ---- Asking the registry -------------------------------------------------------------------------


def check(model, reference, server=None, token=None, timeout=120, **options):
    """Ask whether a stored version loads into a model: the report, as a dict. model is a
    torch.nn.Module, a manifest as a dict, or the text of one. reference is "ns/model@alias",
    "ns/model/label", "ns/model/v7" or "ns/model" for the latest. options are the endpoint's
    parameters: require="strict", loader=, container=, infer=, min_coverage=, allow_missing=[…] …"""
    _, body = _ask(_manifest_text(model), reference, server, token, timeout, options, "application/json")
    return json.loads(body.decode("utf-8"))


def _manifest_text(model):
    if isinstance(model, (str, bytes)):
        return model.encode("utf-8") if isinstance(model, str) else model
    return dump(model if isinstance(model, dict) else manifest(model)).encode("utf-8")


def _url(reference, server, options):
    server = (server or os.environ.get("CKPTD_SERVER") or "http://127.0.0.1:8420").rstrip("/")
    model, at, alias = reference.partition("@")
    parts = model.split("/")
    if at and len(parts) == 2 and alias:
        parts.append("@" + alias)
    elif not at and len(parts) == 2:
        parts.append("@latest")
    if len(parts) != 3 or not all(parts) or (at and len(parts[2]) == 1):
        raise CkptdError(
            "%r names no version: write ns/model@alias, ns/model/label, ns/model/v7 or ns/model" % reference
        )
    quoted = [urllib.parse.quote(part, safe="@:") for part in parts]
    pairs = []
    for key in sorted(options):
        values = options[key] if isinstance(options[key], (list, tuple)) else [options[key]]
        pairs += [(key, value) for value in values if value is not None]
    query = "?" + urllib.parse.urlencode(pairs) if pairs else ""
    return "%s/v1/models/%s/%s/versions/%s/compatibility%s" % ((server,) + tuple(quoted) + (query,))


def _ask(text, reference, server, token, timeout, options, accept):
    """The verdict's name and the body. A 503 is asked again until the time is over."""
    url = _url(reference, server, options)
    headers = {"Content-Type": "application/json", "Accept": accept}
    token = token or os.environ.get("CKPTD_TOKEN")
    if token:
        headers["Authorization"] = "Bearer " + token
    deadline = time.monotonic() + timeout
    while True:
        request = urllib.request.Request(url, data=text, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.headers.get("Ckptd-Verdict"), response.read()
        except urllib.error.HTTPError as reply:
            verdict, body = reply.headers.get("Ckptd-Verdict"), reply.read()
            if verdict:  # require= was not met: the report is there all the same
                return verdict, body
            wait = _seconds(reply.headers.get("Retry-After"))
            if reply.code == 503 and time.monotonic() + wait < deadline:
                time.sleep(wait)
                continue
            raise _problem(url, reply.code, body)
        except urllib.error.URLError as why:
            raise CkptdError(
                "no answer from %s: %s. Is the daemon up? Name it with --server or CKPTD_SERVER"
                % (url.split("/v1/")[0], why.reason)
            )
        except OSError as why:
            raise CkptdError("no answer from %s: %s" % (url.split("/v1/")[0], why))


def _seconds(text):
    try:
        return min(max(float(text), 0.1), 30.0)
    except (TypeError, ValueError):
        return 1.0


def _problem(url, code, body):
    try:
        problem = json.loads(body.decode("utf-8"))
        words = [str(problem[key]) for key in ("title", "detail") if problem.get(key)]
        return CkptdError("%d from %s: %s" % (code, url, ": ".join(words)), problem)
    except (ValueError, AttributeError):
        return CkptdError("%d from %s: %s" % (code, url, body[:200].decode("utf-8", "replace")))


# ---- The command line ----------------------------------------------------------------------------


def _json_option(text, flag, kind):
    try:
        value = json.loads(text)
    except ValueError as why:
        raise CkptdError("%s is not JSON (%s): write for example %s '{\"num_classes\": 10}'" % (flag, why, flag))
    if not isinstance(value, kind):
        raise CkptdError("%s must be a JSON %s" % (flag, "object" if kind is dict else "list"))
    return value


def _manifest_of_entry(options):
    args = _json_option(options.args, "--args", list) if options.args else []
    kwargs = _json_option(options.kwargs, "--kwargs", dict) if options.kwargs else {}
    model = build(options.entry, args, kwargs, options.device)
    source = {"entry": options.entry}
    if args:
        source["args"] = args
    source["kwargs"] = kwargs
    home, _, attribute = options.entry.rpartition(":")
    name = options.name or "%s/%s" % (home.split(":")[-1].split(".")[0], attribute.strip("/").split("/")[-1])
    loader = "lightning" if options.entry.startswith("lightning:") else None
    return manifest(model, name=name, source=source, loader=loader)


def _compared(document):
    """The part that code decides; allowances and the like are the file's author's."""
    keys = ("tensors", "modules", "tied", "extra_state")
    return dump({key: document[key] for key in keys if document.get(key) or key in keys[:2]})


def _command_manifest(options):
    document = _manifest_of_entry(options)
    if not options.check:
        if options.output:
            with open(options.output, "w", encoding="utf-8", newline="\n") as out:
                out.write(dump(document))
        else:
            sys.stdout.write(dump(document))
        return 0
    try:
        with open(options.check, encoding="utf-8") as kept:
            wanted = json.load(kept)
        before = _compared(wanted)
    except (OSError, ValueError, KeyError, TypeError) as why:
        raise CkptdError("%s is no manifest that can be compared: %s" % (options.check, why))
    after = _compared(document)
    if before == after:
        return 0
    difference = difflib.unified_diff(
        before.splitlines(True), after.splitlines(True), options.check, options.entry, n=0
    )
    sys.stdout.writelines(difference)
    _note("%s no longer agrees with %s; write it anew with -o %s" % (options.entry, options.check, options.check))
    return 1


def _command_check(options):
    if os.path.isfile(options.entry):
        with open(options.entry, "rb") as kept:
            text = kept.read()
    else:
        text = dump(_manifest_of_entry(options)).encode("utf-8")
    asked = {key: getattr(options, key) for key in ("loader", "container", "infer", "dtype", "min_coverage")}
    asked.update(
        allow_missing=options.allow_missing,
        allow_unexpected=options.allow_unexpected,
        allow_mismatch=options.allow_mismatch,
        require=options.require,
    )
    accept = "application/json" if options.json else "text/plain"
    asked["format"] = "json" if options.json else "text"
    verdict, body = _ask(text, options.reference, options.server, None, options.timeout, asked, accept)
    sys.stdout.write(body.decode("utf-8"))
    if verdict in LEVELS and LEVELS.index(verdict) <= LEVELS.index(options.require):
        return 0
    return 2 if verdict in (None, "unknown") else 1


def _add_entry(parser, text):
    parser.add_argument("entry", help=text)
    parser.add_argument("--args", metavar="JSON", help="a list: what the entry is called with")
    parser.add_argument("--kwargs", metavar="JSON", help="an object: what it is called with by name")
    parser.add_argument("--name", help="the manifest's name (default: from the entry)")
    parser.add_argument("--device", choices=["meta", "cpu"], help="default: meta, or the CPU where that fails")


def _parser():
    parser = argparse.ArgumentParser(
        prog="ckptd.py",
        description="What an architecture expects, and whether a stored checkpoint loads into it.",
    )
    commands = parser.add_subparsers(dest="command", metavar="manifest|check")
    commands.required = True
    entries = "pkg.mod:build (a class, a function or a module), timm:NAME, hf:DIR, lightning:pkg.mod:Class"

    one = commands.add_parser("manifest", help="print what a model expects", description=entries)
    _add_entry(one, entries)
    one.add_argument("--check", metavar="FILE", help="exit 1 with a diff where FILE no longer agrees")
    one.add_argument("-o", "--output", metavar="FILE", help="write there instead of to standard output")
    one.set_defaults(run=_command_manifest)

    two = commands.add_parser(
        "check",
        help="ask a registry whether a version loads",
        description="exit: 0 meets --require, 1 does not, 2 unknown, 3 usage or no answer",
    )
    _add_entry(two, "a manifest's file, or " + entries)
    two.add_argument("reference", help="ns/model@alias, ns/model/label, ns/model/v7, ns/model")
    two.add_argument("--server", metavar="URL", help="default: CKPTD_SERVER, or http://127.0.0.1:8420")
    two.add_argument("--require", choices=LEVELS, default="strict_after_remap")
    two.add_argument("--loader")
    two.add_argument("--container")
    two.add_argument("--infer", choices=["full", "complete", "none"])
    two.add_argument("--dtype", choices=["any", "safe", "exact"])
    two.add_argument("--min-coverage", type=float)
    for name in ("missing", "unexpected", "mismatch"):
        two.add_argument("--allow-" + name, metavar="GLOB", action="append")
    two.add_argument("--timeout", type=float, default=120, metavar="SECONDS")
    two.add_argument("--json", action="store_true", help="the whole report")
    two.set_defaults(run=_command_check)
    return parser


def main(arguments=None):
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:
        return 3 if end.code else 0
    try:
        return options.run(options)
    except CkptdError as why:
        print("ckptd: %s" % why, file=sys.stderr)
        return 3
    except BrokenPipeError:
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
