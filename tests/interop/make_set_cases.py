"""Writes tests/cases/{sets,torch-dcp,gzip}/<case>/ with real libraries (made with PyTorch 2.13,
safetensors 0.8, transformers 5.24, peft 0.21).

    python3 tests/interop/make_set_cases.py

Names, dtypes and shapes that are expected come from the state dicts that were saved. DeepSpeed's,
Megatron-LM's and the quantizers' files are built by hand, with the keys that those programs write.
"""

import collections
import contextlib
import gzip
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import tempfile
import types
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from safetensors.torch import save, save_file

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases"
SCALE = {"sets": 0, "torch-dcp": 0, "gzip": 0}


def rows(state):
    return [{"name": k, "dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape)}
            for k, v in sorted(state.items(), key=lambda kv: kv[0].encode())]


def found(*ids):
    return [{"id": i} for i in ids]


def write(group, name, files, expect):
    """files: {path: bytes} for a set, bytes for one file."""
    case = CASES / group / name
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir(parents=True)
    if isinstance(files, bytes):
        files, folder = {"input.bin": files}, case
    else:
        folder = case / "input"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        SCALE[group] += len(data)
    (case / "expect.json").write_text(json.dumps(expect, indent=1, sort_keys=True) + "\n")


def saved(obj, **kwargs):
    out = io.BytesIO()
    torch.save(obj, out, **kwargs)
    return out.getvalue()


def tensors(**shapes):
    return {k.replace("__", "."): torch.zeros(*v) for k, v in shapes.items()}


def index_of(state_by_file, **metadata):
    return json.dumps({"metadata": metadata,
                       "weight_map": {k: f for f, s in state_by_file.items() for k in s}}).encode()


def whole(state, **more):
    return {"container": "", "state_dicts": {"": {"kind": "weights", "tensors": rows(state)}}, **more}


# ---- shards ----

A = tensors(embed__weight=(5, 4), l0__weight=(4, 4), l0__bias=(4,))
B = tensors(l1__weight=(4, 4), l1__bias=(4,), head__weight=(5, 4))
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def shards():
    state = {**A, **B}
    size = sum(t.numel() * 4 for t in state.values())
    index = index_of({ONE: A, TWO: B}, total_size=size)
    files = {ONE: save(A, {"format": "pt"}), TWO: save(B, {"format": "pt"}), INDEX: index}
    places = [{"name": k, "has_bytes": True, "file": 0 if k in A else 1}
              for k in sorted(state, key=str.encode)]
    expect = whole(state, format="safetensors", safety="clean", findings=[])
    expect["state_dicts"][""]["places"] = places
    write("sets", "indexed", files, expect)

    bins = {"pytorch_model-00001-of-00002.bin": saved(A), "pytorch_model-00002-of-00002.bin": saved(B),
            "pytorch_model.bin.index.json": index_of({"pytorch_model-00001-of-00002.bin": A,
                                                      "pytorch_model-00002-of-00002.bin": B})}
    write("sets", "indexed-torch", bins,
          whole(state, format="torch-zip", findings=[], weights_only={"loads": True}))

    lightning = {"a-00001-of-00002.ckpt": saved({"state_dict": A, "epoch": 1}),
                 "a-00002-of-00002.ckpt": saved({"state_dict": B, "epoch": 1})}
    write("sets", "numbered-nested", lightning,
          {"container": "state_dict", "findings": [],
           "state_dicts": {"state_dict": {"kind": "weights", "tensors": rows(state)}}})

    part = lambda s: {"": {"kind": "fragment", "tensors": rows(s)}}
    write("sets", "shard-missing", {ONE: files[ONE], INDEX: index},
          {"state_dicts": part(A), "safety": "clean",
           "findings": [{"id": "fragment.missing", "subject": TWO,
                         "message": f"shard 2 of 2 is missing: {TWO}"}]})
    write("sets", "tensor-missing", {**files, TWO: save({k: B[k] for k in list(B)[1:]})},
          {"state_dicts": part({**A, **{k: B[k] for k in list(B)[1:]}}),
           "findings": [{"id": "shards.missing-tensor", "subject": list(B)[0]}]})
    write("sets", "tensor-extra", {**files, TWO: save({**B, "more": torch.zeros(2)})},
          whole({**state, "more": torch.zeros(2)},
                findings=[{"id": "shards.extra-tensor", "subject": "more"},
                          {"id": "shards.index"}]))
    # The index says that l0.bias is in the first shard; the second has another.
    write("sets", "tensor-twice", {**files, TWO: save({**B, "l0.bias": torch.zeros(9)})},
          whole(state, safety="malformed",
                findings=[{"id": "shards.tensor-twice", "subject": "l0.bias"}]))
    write("sets", "total-wrong", {**files, INDEX: index_of({ONE: A, TWO: B}, total_size=7)},
          whole(state, findings=found("shards.index"), safety="clean"))
    write("sets", "total-odd", {**files, INDEX: index_of({ONE: A, TWO: B}, total_size=3e9, x=[1])},
          whole(state, findings=[], safety="clean"))
    objects = json.dumps({"weight_map": {k: {"file": f, "offset": 0} for f, s in
                                         ((ONE, A), (TWO, B)) for k in s}}).encode()
    write("sets", "index-of-objects", {**files, INDEX: objects}, whole(state, findings=[]))
    for name, bad in (("escapes", "../other.safetensors"), ("absolute", "/etc/passwd"),
                      ("backslash", "..\\x.safetensors"), ("empty-segment", "a//b")):
        odd = json.dumps({"weight_map": {**{k: ONE for k in A}, "x": bad}}).encode()
        write("sets", "index-" + name, {ONE: files[ONE], INDEX: odd},
              {"safety": "malformed", "state_dicts": part(A),
               "findings": [{"id": "shards.index", "subject": bad}]})
    twice = index[:-2] + b', "l0.bias": "x"}}'
    write("sets", "index-key-twice", {**files, INDEX: twice},
          whole(state, safety="malformed", findings=found("shards.index", "file.other")))
    write("sets", "index-alone", {INDEX: index}, {"error": "unrecognized-input"})
    write("sets", "index-of-nothing", {INDEX: index, "a.txt": b"text"}, {"error": "unrecognized-input"})
    write("sets", "shard-broken", {**files, TWO: files[TWO][:-1]},
          {"safety": "malformed", "state_dicts": part(A),
           "findings": [{"id": "file.unreadable", "subject": TWO}]})
    write("sets", "numbered", {ONE: files[ONE], TWO: files[TWO]}, whole(state, findings=[]))
    write("sets", "numbered-in-part",
          {f"m-0000{i}-of-00005.safetensors": save(s) for i, s in ((1, A), (4, B))},
          {"state_dicts": part(state),
           "findings": [{"id": "fragment.missing", "message": f"shard {i} of 5 is missing"}
                        for i in (2, 3, 5)]})
    write("sets", "numbered-alone", {"m-00002-of-00005.safetensors": save(A)},
          {"state_dicts": part(A), "metadata": {"part": {"scheme": "shards", "rank": 2, "of": 5}},
           "findings": found(*["fragment.missing"] * 4, "fragment.part")})
    write("sets", "formats-mixed", {ONE: files[ONE], TWO: saved(B)}, whole(state, findings=[]))
    tied = {"a": torch.zeros(3), "b": None}
    tied["b"] = tied["a"]
    write("sets", "tied-within-a-shard", {"m-1-of-2.bin": saved(tied), "m-2-of-2.bin": saved(B)},
          whole({**tied, **B}, aliases=[{"tied": True, "names": ["a", "b"]}]))


# ---- files side by side ----

class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def beside():
    optimizer = {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"params": [0]}]}
    write("sets", "trainer",
          {"model.safetensors": save(A), "optimizer.pt": saved(optimizer),
           "scheduler.pt": saved({"last_epoch": 3}), "rng_state.pth": saved({"cpu": torch.zeros(8)}),
           "config.json": b'{"model_type": "bert", "architectures": ["B"],\n "vocab_size": 3}',
           "trainer_state.json": b'{"epoch": 2.0, "global_step": 7, "log_history": [{"loss": 1}]}',
           "README.md": b"# words"},
          {"format": "safetensors", "container": "", "safety": "clean",
           "containers": [{"path": "", "kind": "weights", "tensors": 3},
                          {"path": "optimizer.pt", "kind": "optimizer", "tensors": 1},
                          {"path": "rng_state.pth", "tensors": 1}],
           "metadata": {"config.json": {"model_type": "bert", "architectures": ["B"]},
                        "trainer_state.json": {"epoch": 2.0, "global_step": 7}},
           "findings": [{"id": "file.other", "subject": "README.md"}]})
    write("sets", "pipeline",
          {"unet/diffusion.safetensors": save(A), "vae/diffusion.safetensors": save({"x": torch.zeros(2)}),
           "model_index.json": b'{"_class_name": "P"}'},
          {"container": "unet/diffusion.safetensors",
           "containers": [{"path": "unet/diffusion.safetensors", "kind": "weights", "tensors": 3},
                          {"path": "vae/diffusion.safetensors", "kind": "weights", "tensors": 1}],
           "metadata": {"model_index.json": {"_class_name": "P"}}, "findings": []})
    write("sets", "same-weights-twice", {"pytorch_model.bin": saved(A), "model.safetensors": save(A)},
          {"container": "model.safetensors", "format": "safetensors"})
    write("sets", "evil-beside", {"model.safetensors": save(A), "training_args.bin": saved(Evil())},
          {"container": "", "safety": "dangerous", "weights_only": {"loads": False},
           "findings": found("pickle.global-dangerous")})
    write("sets", "broken-beside", {"model.safetensors": save(A), "other.safetensors": save(B)[:-1]},
          {"container": "", "safety": "malformed",
           "findings": [{"id": "file.unreadable", "subject": "other.safetensors"}]})
    write("sets", "code-beside", {"model.safetensors": save(A), "modeling_x.py": b"import os\n"},
          {"container": "", "safety": "clean", "findings": found("file.code")})
    write("sets", "nothing", {"a.txt": b"text", "b.txt": b""}, {"error": "unrecognized-input"})
    write("sets", "needs-united",
          {"a.pt": saved({**A, "x": types.SimpleNamespace(a=1)}),
           "b.pt": saved({**B, "x": __import__("argparse").Namespace(a=1)})},
          {"weights_only": {"loads": False, "needs": ["argparse.Namespace", "types.SimpleNamespace"]}})


# ---- adapters, quantized weights ----

def adapters():
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from transformers import BertConfig, BertModel
    model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=8, vocab_size=9, max_position_embeddings=8))
    base = {k: v.clone() for k, v in model.state_dict().items()}
    adapted = get_peft_model(model, LoraConfig(r=3, target_modules=["query", "value"]))
    lora = {k: v.contiguous() for k, v in get_peft_model_state_dict(adapted).items()}
    write("sets", "adapter", {"adapter_model.safetensors": save(lora)},
          {"state_dicts": {"": {"kind": "adapter", "tensors": rows(lora)}},
           "findings": [{"id": "adapter.base",
                         "message": "a low-rank adapter (LoRA) of rank 3 for 2 weights: the base "
                                    "model's weights are not among these files"}]})
    write("sets", "adapter-and-base",
          {"model.safetensors": save(base), "adapter_model.safetensors": save(lora),
           "adapter_config.json": b'{"peft_type": "LORA", "r": 3, "lora_alpha": 8, "bias": "none"}'},
          {"container": "model.safetensors",
           "metadata": {"adapter_config.json": {"peft_type": "LORA", "r": 3, "lora_alpha": 8}},
           "findings": [{"id": "adapter.base",
                         "message": "a low-rank adapter (LoRA) of rank 3 for 2 weights: attaches to "
                                    "2 of 2 base weights"}]})
    half = {k: v for k, v in lora.items() if "value.lora_B" not in k}
    write("sets", "adapter-by-half", {"adapter_model.safetensors": save(half)},
          {"findings": found("tensor.odd", "adapter.base")})


def quantized():
    i32, f16, u8 = torch.int32, torch.float16, torch.uint8
    z = torch.zeros
    gptq = {"a.qweight": z(8, 16, dtype=i32), "a.qzeros": z(2, 2, dtype=i32),
            "a.scales": z(2, 16, dtype=f16), "a.g_idx": z(64, dtype=i32), "norm.weight": z(4)}
    awq = {"a.qweight": z(64, 2, dtype=i32), "a.qzeros": z(2, 2, dtype=i32),
           "a.scales": z(2, 16, dtype=f16)}
    bnb4 = {"a.weight": z(32, 1, dtype=u8), "a.weight.absmax": z(1), "a.weight.quant_map": z(16),
            "a.weight.quant_state.bitsandbytes__nf4": z(40, dtype=u8)}
    bnb8 = {"a.weight": z(4, 4, dtype=torch.int8), "a.SCB": z(4), "a.weight_format": z((), dtype=u8)}
    fp8 = {"a.weight": z(4, 4).to(torch.float8_e4m3fn), "a.weight_scale_inv": z(1, 1)}
    packed = {"a.weight_packed": z(4, 4, dtype=i32), "a.weight_scale": z(4, 1),
              "a.weight_shape": z(2, dtype=torch.int64)}
    mxfp4 = {"e.w_blocks": z(2, 4, 16, dtype=u8), "e.w_scales": z(2, 4, dtype=u8)}
    for name, state, say in (("gptq", gptq, "GPTQ, 4 bits"), ("awq", awq, "AWQ, 4 bits"),
                             ("bitsandbytes-4", bnb4, "bitsandbytes 4-bit"),
                             ("bitsandbytes-8", bnb8, "bitsandbytes 8-bit"),
                             ("fp8", fp8, "FP8 with scales"), ("mxfp4", mxfp4, "MXFP4"),
                             ("compressed-tensors", packed, "compressed-tensors")):
        for container, data in ((name, save(state)), (name + "-torch", saved(state))):
            if container in ("gptq-torch", "fp8-torch") or not container.endswith("-torch"):
                write("sets", "quantized-" + container, {"m.bin": data},
                      {"state_dicts": {"": {"kind": "quantized"}}, "safety": "clean",
                       "findings": [{"id": "weights.quantized"}]})
        expect = CASES / "sets" / ("quantized-" + name) / "expect.json"
        text = json.loads(expect.read_text())
        text["findings"][0]["subject"] = ""
        expect.write_text(json.dumps(text, indent=1, sort_keys=True) + "\n")
        assert say


# ---- ranks ----

def ranks():
    partition = {"optimizer_state_dict": {"zero_stage": 2, "partition_count": 8,
                                          "base_optimizer_state": {"state": {}, "param_groups": []},
                                          "single_partition_of_fp32_groups": [torch.zeros(6)]},
                 "ds_config": {"fp16": {"enabled": True}}, "ds_version": "0.16.4"}
    name = "bf16_zero_pp_rank_3_mp_rank_00_optim_states.pt"
    write("sets", "zero-partition", {name: saved(partition)},
          {"metadata": {"part": {"scheme": "zero", "rank": 3, "of": 8}},
           "findings": [{"id": "fragment.part", "subject": name}]})
    shapes = [collections.OrderedDict((k, v.shape) for k, v in A.items())]
    states = {"module": {**{k: torch.zeros(0) for k in A}, "pos": torch.zeros(3)},
              "param_shapes": shapes, "buffer_names": ["pos"], "dp_world_size": 4,
              "mp_world_size": 1, "global_steps": 9, "ds_version": "0.16.4"}
    name = "zero_pp_rank_1_mp_rank_00_model_states.pt"
    write("sets", "zero3-model-states", {name: saved(states)},
          {"container": "param_shapes", "safety": "clean",
           "state_dicts": {"param_shapes": {"kind": "fragment", "tensors":
                                            rows({**A, "pos": torch.zeros(3)})},
                           "module": {"kind": "fragment"}},
           "metadata": {"part": {"scheme": "zero", "rank": 1, "of": 4}, "global_steps": 9},
           "findings": found("fragment.part")})
    write("sets", "zero1-model-states",
          {"mp_rank_00_model_states.pt": saved({**states, "module": dict(A)})},
          {"container": "module", "state_dicts": {"module": {"kind": "weights"}}, "findings": []})
    write("sets", "model-parallel",
          {"mp_rank_01_model_states.pt": saved({**states, "module": dict(A), "mp_world_size": 2})},
          {"container": "module", "state_dicts": {"module": {"kind": "fragment"}},
           "metadata": {"part": {"scheme": "model-parallel", "rank": 1, "of": 2}},
           "findings": found("fragment.part")})
    args = __import__("argparse").Namespace(tensor_model_parallel_size=4,
                                            pipeline_model_parallel_size=2, hidden_size=8)
    write("sets", "megatron",
          {"mp_rank_02_001/model_optim_rng.pt": saved({"args": args, "checkpoint_version": 3.0,
                                                       "iteration": 5, "model": dict(A)})},
          {"container": "model", "state_dicts": {"model": {"kind": "fragment"}},
           "metadata": {"part": {"scheme": "megatron", "rank": 2, "of": 4}},
           "findings": [{"id": "fragment.part",
                         "message": "tensor-parallel rank 2 of 4, pipeline-parallel rank 1 of 2 of "
                                    "a Megatron-LM save: to load it takes the others, or "
                                    "Megatron-LM's tools/checkpoint/convert.py"}]})
    write("sets", "pipeline-layer", {"layer_03-model_00-model_states.pt": saved(A)},
          {"state_dicts": {"": {"kind": "fragment"}}, "findings": found("fragment.part")})
    write("sets", "expert", {"layer_0_expert_5_mp_rank_00_model_states.pt": saved(A)},
          {"state_dicts": {"": {"kind": "fragment"}}, "findings": found("fragment.part")})
    write("sets", "fsdp-flat", {"pytorch_model_fsdp_0/rank_3.bin": saved({"_fsdp_wrapped_module._flat_param":
                                                                         torch.zeros(7)})},
          {"state_dicts": {"": {"kind": "fragment"}},
           "metadata": {"part": {"scheme": "fsdp", "rank": 3, "of": None}},
           "findings": found("fragment.part")})


def chunked():
    """What HuggingFaceStorageWriter(save_distributed=True) writes on two ranks."""
    def shard(state, offsets):
        info = json.dumps({k: {"saved_offsets": v} for k, v in offsets.items()})
        return save(state, {"format": "pt", "DCP_VERSION": "1.0", "DCP_SHARDING_INFO": info})
    name = "shard-0000{}-model-00001-of-00001.safetensors"
    first = shard({"w": torch.zeros(2, 3), "b": torch.zeros(4)}, {"w": [0, 0], "b": [0]})
    second = shard({"w": torch.zeros(2, 3)}, {"w": [2, 0]})
    write("sets", "dcp-safetensors", {name.format(1): first, name.format(2): second},
          whole({"w": torch.zeros(4, 3), "b": torch.zeros(4)}, findings=[], safety="clean"))
    write("sets", "dcp-safetensors-overlap",
          {name.format(1): first, name.format(2): shard({"w": torch.zeros(2, 3)}, {"w": [1, 0]})},
          {"safety": "malformed", "findings": found("dcp.chunks")})
    write("sets", "dcp-safetensors-one-rank", {name.format(2): second},
          {"safety": "malformed", "state_dicts": {"": {"kind": "fragment"}},
           "findings": found("dcp.chunks")})


# ---- torch.distributed.checkpoint ----

def two_ranks(rank, folder, port):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    state = {"model": {"w": distribute_tensor(torch.arange(12.).reshape(4, 3), mesh, [Shard(0)]),
                       "b": torch.zeros(3)}}
    os.chdir(folder)
    dcp.save(state, checkpoint_id="checkpoint")
    dist.destroy_process_group()


def dcp_files(state):
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        dcp.save(state, checkpoint_id="checkpoint", no_dist=True)
        return read_folder(pathlib.Path("checkpoint"))


def read_folder(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def changed(files, change):
    metadata = pickle.loads(files[".metadata"])
    metadata = change(metadata) or metadata
    return {**files, ".metadata": pickle.dumps(metadata)}


def distributed():
    from torch.distributed.checkpoint.metadata import ChunkStorageMetadata
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state = model.state_dict()
    files = dcp_files({"model": state, "optim": optimizer.state_dict(), "epoch": 3})
    weights = {"format": "torch-dcp", "container": "model", "safety": "clean", "weights_only": None,
               "state_dicts": {"model": {"kind": "weights", "tensors": rows(state)},
                               "optim": {"kind": "optimizer"}}, "findings": []}
    write("torch-dcp", "nested", files, weights)
    flat = dcp_files({"w": torch.zeros(2, 3), "n": torch.zeros((), dtype=torch.int64)})
    expect = whole({"w": torch.zeros(2, 3), "n": torch.zeros((), dtype=torch.int64)},
                   format="torch-dcp", findings=[], safety="clean")
    expect["state_dicts"][""]["places"] = [{"name": "n", "has_bytes": True, "file": 1},
                                           {"name": "w", "has_bytes": True, "file": 1}]
    write("torch-dcp", "flat", flat, expect)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(two_ranks, args=(folder, 29517), nprocs=2)
        ranks = read_folder(pathlib.Path(folder) / "checkpoint")
    both = {"w": torch.zeros(4, 3), "b": torch.zeros(3)}
    write("torch-dcp", "two-ranks", ranks,
          {"container": "model", "safety": "clean", "findings": [],
           "state_dicts": {"model": {"kind": "weights", "tensors": rows(both)}}})
    write("torch-dcp", "rank-missing", {k: v for k, v in ranks.items() if k != "__1_0.distcp"},
          {"safety": "clean", "state_dicts": {"model": {"kind": "fragment", "tensors": rows(both)}},
           "findings": [{"id": "fragment.missing", "subject": "__1_0.distcp"}]})
    write("torch-dcp", "metadata-alone", {".metadata": flat[".metadata"]},
          {"state_dicts": {"": {"kind": "fragment"}}, "findings": found("fragment.missing")})
    write("torch-dcp", "metadata-missing", {k: v for k, v in ranks.items() if k != ".metadata"},
          {"error": "unrecognized-input"})

    def chunk(metadata, sizes, offsets):
        metadata.state_dict_metadata["w"].chunks[0] = ChunkStorageMetadata(
            offsets=torch.Size(offsets), sizes=torch.Size(sizes))
    for name, sizes, offsets in (("gap", [2, 2], [0, 0]), ("outside", [2, 3], [1, 0]),
                                 ("rank", [2], [0]), ("huge", [2**62, 3], [2**62, 0])):
        write("torch-dcp", "chunk-" + name, changed(flat, lambda m: chunk(m, sizes, offsets)),
              {"safety": "malformed", "findings": found("dcp.chunks")})

    def overlap(metadata):
        chunks = metadata.state_dict_metadata["model.w"].chunks
        chunks[1] = ChunkStorageMetadata(offsets=torch.Size([1, 0]), sizes=torch.Size([2, 3]))
    write("torch-dcp", "chunk-overlap", changed(ranks, overlap),
          {"safety": "malformed", "findings": found("dcp.chunks")})

    def relocate(**change):
        def f(metadata):
            for info in metadata.storage_data.values():
                for k, v in change.items():
                    setattr(info, k, v)
        return f
    write("torch-dcp", "path-escapes", changed(flat, relocate(relative_path="../__0_0.distcp")),
          {"safety": "malformed", "findings": found("external.path")})
    write("torch-dcp", "range-outside", changed(flat, relocate(offset=10**9)),
          {"safety": "malformed", "findings": found("file.unreadable", "file.unreadable")})
    write("torch-dcp", "range-overflow", changed(flat, relocate(offset=2**63 - 1, length=2**63 - 1)),
          {"safety": "malformed", "findings": found("file.unreadable", "file.unreadable")})
    write("torch-dcp", "transformed", changed(flat, relocate(transform_descriptors=["zstd"])),
          {"safety": "unlisted", "findings": found("pickle.limit")})
    evil = saved(Evil())
    plain = dcp_files({"w": torch.zeros(2), "object": {1, 2}})
    def point(metadata):
        for index, info in metadata.storage_data.items():
            if index.fqn == "object":
                info.offset, info.length = len(plain["__0_0.distcp"]), len(evil)
    hit = changed(plain, point)
    hit["__0_0.distcp"] += evil
    write("torch-dcp", "evil-object", hit,
          {"safety": "dangerous", "findings": found("pickle.global-dangerous")})
    def poison(metadata):
        metadata.planner_data["w"] = Evil()
    write("torch-dcp", "evil-metadata", changed(flat, poison),
          {"safety": "dangerous", "findings": found("pickle.global-dangerous")})
    write("torch-dcp", "metadata-cut", {**flat, ".metadata": flat[".metadata"][:-20]},
          {"safety": "malformed"})


# ---- gzip ----

def packed():
    plain = saved(A)
    data = gzip.compress(plain, mtime=0)
    good = whole(A, format="torch-zip", safety="clean", findings=found("file.compressed"))
    bad = lambda *ids: whole(A, safety="malformed", findings=found("file.compressed", *ids))
    write("gzip", "torch", data, good)
    write("gzip", "safetensors", gzip.compress(save(A), mtime=0), {**good, "format": "safetensors"})
    half = len(plain) // 2
    members = gzip.compress(plain[:half], mtime=0) + gzip.compress(plain[half:], mtime=0)
    write("gzip", "two-members", members, good)
    write("gzip", "padded", data + bytes(100), good)
    write("gzip", "tail", data + b"tail",
          whole(A, safety="clean", findings=found("file.compressed", "file.trailing-bytes")))
    write("gzip", "checksum-wrong", data[:-8] + b"\0\0\0\0" + data[-4:], bad("file.checksum"))
    write("gzip", "length-wrong", data[:-4] + b"\0\0\0\0", bad("file.checksum"))
    write("gzip", "trailer-missing", data[:-8], bad("file.checksum"))
    write("gzip", "cut", data[:-30], {"error": "truncated-input"})
    write("gzip", "in-gzip", gzip.compress(data, mtime=0), {"error": "unsupported-input"})
    write("gzip", "of-html", gzip.compress(b"<html>", mtime=0), {"error": "unrecognized-input"})
    write("gzip", "header-alone", data[:10], {"error": "malformed-input"})
    write("gzip", "evil", gzip.compress(saved(Evil()), mtime=0), {"safety": "dangerous"})
    write("gzip", "shards", {"m-1-of-2.bin.gz": data, "m-2-of-2.bin.gz": gzip.compress(saved(B), mtime=0)},
          whole({**A, **B}, findings=found("file.compressed", "file.compressed")))


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    for group in SCALE:
        shutil.rmtree(CASES / group, ignore_errors=True)
    for make in (shards, beside, adapters, quantized, ranks, chunked, distributed, packed):
        make()
    for group, size in SCALE.items():
        print(f"{group}: {len(list((CASES / group).iterdir()))} cases, {size} bytes of input")


if __name__ == "__main__":
    main()
