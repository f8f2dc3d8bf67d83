#!/usr/bin/env python3
"""The tables of names in common/formats against the installed Python's and PyTorch's own.

    check_tables.py [ROOT]

pickle_torch_table.h must list what torch.load(weights_only=True) takes, no more and no less;
pickle_modern_table.h what pickle and torch rename.
"""
import _compat_pickle
import pathlib
import re
import sys

import torch
from torch._utils import IMPORT_MAPPING, NAME_MAPPING
from torch._weights_only_unpickler import _get_allowed_globals, _get_user_allowed_globals


def differ(what, ours, theirs):
    for name in sorted(ours - theirs):
        print(f"{what}: {name} is ours only")
    for name in sorted(theirs - ours):
        print(f"{what}: {name} is missing")
    return len(ours ^ theirs)


def main():
    formats = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "common/formats"
    torch_table = (formats / "pickle_torch_table.h").read_text()
    modern_table = (formats / "pickle_modern_table.h").read_text()
    rows = re.findall(r'^TORCH\("([^"]*)"', torch_table, re.M)
    wrong = differ("weights_only", set(rows), set(_get_allowed_globals()) | set(_get_user_allowed_globals()))
    names = re.findall(r'^NAME\("(.*?)",\s+"(.*?)",\s+"(.*?)",\s+"(.*?)",\s+(true|false)\)', modern_table, re.M)
    modules = re.findall(r'^MODULE\("(.*?)", "(.*?)", (true|false)\)', modern_table, re.M)
    wrong += differ("renamed names", {n[:4] for n in names}, {k + v for k, v in _compat_pickle.NAME_MAPPING.items()})
    wrong += differ("renamed modules", {m[:2] for m in modules}, set(_compat_pickle.IMPORT_MAPPING.items()))
    wrong += differ("torch's names", {n[:4] for n in names if n[4] == "true"}, {k + v for k, v in NAME_MAPPING.items()})
    wrong += differ("torch's modules", {m[:2] for m in modules if m[2] == "true"}, set(IMPORT_MAPPING.items()))
    print(f"PyTorch {torch.__version__}")
    print(f"{len(rows) + len(names) + len(modules) - wrong} passed, {wrong} failed")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
