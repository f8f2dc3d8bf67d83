#!/usr/bin/env python3
"""Inspection by format and size, each beside the real library's own reading of the metadata.

    python tests/bench/formats.py BUILD_DIR [FORMAT…]

BUILD_DIR holds tests/bench/bench_inspect of an optimised build. Needs torch, safetensors, gguf, onnx, h5py,
numpy and 5 GB of disk. Prints a Markdown table: medians of one run on one machine, so look at the ratios.
Three sizes: ten tensors of 1 MB together, ten of 1 GB together, 100,000 small ones.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy
import torch

SIZES = {"1 MB": (10, 25_000), "1 GB": (10, 25_000_000), "100,000 tensors": (100_000, 2)}


def names(count):
    return [f"model.layers.{i // 10}.block.{i % 10}.weight" for i in range(count)]


def state(count, elements):
    return {n: torch.zeros(elements) for n in names(count)}


# ---- one pair a format: write the file; read its metadata as the library does ----

def write_torch(path, count, elements):
    torch.save(state(count, elements), path)


def read_torch(path):
    torch.load(path, mmap=True, weights_only=True)


def write_legacy(path, count, elements):
    torch.save(state(count, elements), path, _use_new_zipfile_serialization=False)


def read_legacy(path):
    torch.load(path, weights_only=True)  # it has no mmap for these


def write_safetensors(path, count, elements):
    from safetensors.torch import save_file
    save_file(state(count, elements), path)


def read_safetensors(path):
    from safetensors import safe_open
    with safe_open(path, "pt") as f:
        for key in f.keys():
            f.get_slice(key).get_shape()


def write_gguf(path, count, elements):
    import gguf
    writer = gguf.GGUFWriter(str(path), "llama")
    zeros = numpy.zeros(elements, numpy.float32)
    for name in names(count):
        writer.add_tensor(name, zeros)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path):
    import gguf
    gguf.GGUFReader(str(path))


def write_onnx(path, count, elements):
    from onnx import TensorProto, helper
    raw = bytes(4 * elements)
    tensors = [helper.make_tensor(n, TensorProto.FLOAT, [elements], raw, raw=True) for n in names(count)]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])], tensors)
    path.write_bytes(helper.make_model(graph).SerializeToString())


def read_onnx(path):
    import onnx
    onnx.load(str(path), load_external_data=False)


def write_npz(path, count, elements):
    zeros = numpy.zeros(elements, numpy.float32)
    with open(path, "wb") as f:
        numpy.savez(f, **{n: zeros for n in names(count)})


def read_npz(path):
    with numpy.load(path) as f:
        for name in f.zip.namelist():
            with f.zip.open(name) as member:
                version = numpy.lib.format.read_magic(member)
                numpy.lib.format._read_array_header(member, version)


def write_hdf5(path, count, elements):
    import h5py
    zeros = numpy.zeros(elements, numpy.float32)
    with h5py.File(path, "w") as f:
        for i, name in enumerate(names(count)):
            f.create_dataset(f"layers/{i // 100}/{name}", data=zeros)


def read_hdf5(path):
    import h5py
    with h5py.File(path, "r") as f:
        f.visititems(lambda name, item: (item.shape, item.dtype) and None
                     if isinstance(item, h5py.Dataset) else None)


class Many(torch.nn.Module):
    def __init__(self, count, elements):
        super().__init__()
        for i in range(count):
            self.register_parameter(f"p{i}", torch.nn.Parameter(torch.zeros(elements)))

    def forward(self, x):
        return x


def write_script(path, count, elements):
    torch.jit.save(torch.jit.script(Many(count, elements)), path)


def read_script(path):
    torch.jit.load(path, map_location="cpu").state_dict()


FORMATS = {
    "torch-zip": (write_torch, read_torch, "torch.load(mmap, weights_only)"),
    "torch-legacy": (write_legacy, read_legacy, "torch.load(weights_only)"),
    "safetensors": (write_safetensors, read_safetensors, "safe_open, all shapes"),
    "gguf": (write_gguf, read_gguf, "GGUFReader"),
    "onnx": (write_onnx, read_onnx, "onnx.load(load_external_data=False)"),
    "numpy (npz)": (write_npz, read_npz, "numpy.load, all headers"),
    "keras-hdf5": (write_hdf5, read_hdf5, "h5py visititems"),
    "torchscript": (write_script, read_script, "torch.jit.load"),
}


def median(function, path):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(path)
        times.append(time.perf_counter() - start)
        if sum(times) > 20:
            break
    return statistics.median(times)


def measure(build, path):
    """Median seconds in process, tensors, peak MiB."""
    program = build / "tests" / "bench" / "bench_inspect"
    done = subprocess.run([program, path, "7"], check=True, capture_output=True, text=True)
    nanoseconds, tensors, peak_kib = map(int, done.stdout.split())
    return nanoseconds / 1e9, tensors, peak_kib / 1024


def milliseconds(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds * 1e3:,.0f} ms"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:]
    warnings.simplefilter("ignore")
    print("| format | size | ckptd | peak memory | the library | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for title, (write, read, peer) in FORMATS.items():
        if wanted and not any(title.startswith(w) for w in wanted):
            continue
        for size, (count, elements) in SIZES.items():
            if title == "torchscript" and count > 1000:
                count = 2000  # its compiler takes minutes for more
                size = "2,000 tensors"
            with tempfile.TemporaryDirectory() as scratch:
                path = pathlib.Path(scratch) / "file"
                write(path, count, elements)
                ours, tensors, peak = measure(build, path)
                theirs = median(read, path)
            assert tensors == count, (title, size, tensors)
            print(f"| {title} | {size} | {milliseconds(ours)} | {peak:.0f} MiB | {peer}: {milliseconds(theirs)} | "
                  f"{theirs / ours:,.0f} × |", flush=True)


if __name__ == "__main__":
    main()
