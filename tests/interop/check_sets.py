"""Random sets of files by the real libraries, against `ckptd inspect --json`: state dicts sharded by
huggingface_hub and transformers, distributed checkpoints, PEFT adapters beside their base, gzip.

    python3 tests/interop/check_sets.py --ckptd BINARY [--seed N] [--files N]
"""

import argparse
import contextlib
import gzip
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import torch
import torch.distributed.checkpoint as dcp
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def random_state(rng, least=1):
    state = {}
    for i in range(rng.randint(least, 40)):
        shape = [rng.randint(0, 7) for _ in range(rng.randint(0, 4))]
        state[f"{rng.choice(['enc', 'dec', 'h'])}.{i}.{rng.choice(['weight', 'bias'])}"] = (
            torch.zeros(shape, dtype=rng.choice(DTYPES)))
    return state


def rows(state):
    return sorted((k, str(v.dtype).removeprefix("torch."), tuple(v.shape)) for k, v in state.items())


def inspect(ckptd, path):
    result = subprocess.run([ckptd, "inspect", "--json", str(path)], capture_output=True, check=False)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    return json.loads(result.stdout)


def expect(found, state, container=None, safety="clean", kind="weights", ids=()):
    got = sorted((t["name"], t["dtype"], tuple(t["shape"])) for t in found["tensors"])
    assert got == rows(state), f"tensors differ: {set(got) ^ set(rows(state))}"
    assert found["safety"] == safety, (found["safety"], found["findings"])
    if container is not None:
        assert found["container"] == container, found["container"]
    path = found["container"]
    assert next(c["kind"] for c in found["containers"] if c["path"] == path) == kind, found["containers"]
    assert sorted(f["id"] for f in found["findings"]) == sorted(ids), found["findings"]


def split(rng, folder):
    """huggingface_hub's own split, as safetensors or torch.save, with and without a shard."""
    state = random_state(rng, 4)
    is_torch = rng.random() < 0.4
    pattern = "pytorch_model{suffix}.bin" if is_torch else "model{suffix}.safetensors"
    plan = split_torch_state_dict_into_shards(state, filename_pattern=pattern,
                                              max_shard_size=rng.randint(100, 900))
    for name, keys in plan.filename_to_tensors.items():
        part = {k: state[k] for k in keys}
        torch.save(part, folder / name) if is_torch else save_file(part, folder / name)
    if plan.is_sharded and rng.random() < 0.8:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / pattern.format(suffix="")).with_suffix(pathlib.Path(pattern).suffix + ".index.json") \
            .write_text(json.dumps(index))
    lost = plan.is_sharded and len(plan.filename_to_tensors) > 2 and rng.random() < 0.3
    if lost:
        name = rng.choice(list(plan.filename_to_tensors))
        (folder / name).unlink()
        state = {k: v for k, v in state.items() if plan.tensor_to_filename[k] != name}
    yield state, {"container": "", "kind": "fragment" if lost else "weights",
                  "ids": ["fragment.missing"] if lost else []}


def pretrained(rng, folder):
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model
    size = rng.choice([8, 16])
    if rng.random() < 0.5:
        model = BertModel(BertConfig(hidden_size=size, num_hidden_layers=rng.randint(1, 3), vocab_size=20,
                                     num_attention_heads=2, intermediate_size=16,
                                     max_position_embeddings=8))
    else:
        model = GPT2Model(GPT2Config(n_embd=size, n_layer=rng.randint(1, 3), n_head=2, vocab_size=20,
                                     n_positions=8))
    model.save_pretrained(folder, max_shard_size=f"{rng.randint(3, 40)}KB")
    yield model.state_dict(), {"container": ""}


def distributed(rng, folder):
    with contextlib.chdir(folder):
        model = random_state(rng)
        # Names with a dot are keys here, not nested dicts.
        state = {"model": model, "step": rng.randint(0, 9), "extra": {"note": "x", "list": [1, 2]}}
        if rng.random() < 0.5:
            state["optimizer"] = {"state": {0: {"exp_avg": torch.zeros(3)}},
                                  "param_groups": [{"lr": 0.1, "params": [0]}]}
        dcp.save(state, checkpoint_id="c", no_dist=True)
        (folder / "c").rename(folder / "checkpoint")
    read = {k: torch.empty_like(v) for k, v in model.items()}
    dcp.load({"model": read}, checkpoint_id=str(folder / "checkpoint"), no_dist=True)
    yield read, {"container": "model"}


def adapter(rng, folder):
    from peft import LoraConfig, get_peft_model
    from transformers import BertConfig, BertModel
    model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=rng.randint(1, 3), vocab_size=20,
                                 num_attention_heads=2, intermediate_size=16,
                                 max_position_embeddings=8))
    model.save_pretrained(folder)
    base = {k: v.clone() for k, v in model.state_dict().items()}
    layers = model.config.num_hidden_layers
    rank = rng.randint(1, 8)
    get_peft_model(model, LoraConfig(r=rank, target_modules=["query", "dense"])).save_pretrained(folder)
    found = yield base, {"ids": None}
    text = next(f["message"] for f in found["findings"] if f["id"] == "adapter.base")
    pairs = layers * 4 + 1  # query, three dense layers, and the pooler's
    assert f"rank {rank} for {pairs} weights: attaches to {pairs} of {pairs}" in text, text


def packed(rng, folder):
    state = random_state(rng)
    plain = folder.parent / "plain"
    torch.save(state, plain) if rng.random() < 0.5 else save_file(state, plain)
    data = plain.read_bytes()
    plain.unlink()
    cut = rng.randint(0, len(data))
    level = rng.randint(0, 9)
    (folder / "m.gz").write_bytes(gzip.compress(data[:cut], level) + gzip.compress(data[cut:], level))
    yield state, {"container": "", "ids": ["file.compressed"]}


def check(make, rng, ckptd, folder):
    steps = make(rng, folder)
    state, wanted = next(steps)
    found = inspect(ckptd, folder)
    if wanted.get("ids", []) is None:
        wanted["ids"] = [f["id"] for f in found["findings"]]
    expect(found, state, **wanted)
    with contextlib.suppress(StopIteration):
        steps.send(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckptd", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=60)
    args = parser.parse_args()
    ckptd = str(pathlib.Path(args.ckptd).resolve())
    warnings.simplefilter("ignore")
    kinds = [split, split, pretrained, distributed, adapter, packed]
    failed = 0
    for i in range(args.files):
        rng = random.Random(args.seed * 1000003 + i)
        make = kinds[i % len(kinds)]
        with tempfile.TemporaryDirectory() as folder:
            inner = pathlib.Path(folder) / "set"
            inner.mkdir()
            try:
                check(make, rng, ckptd, inner)
            except AssertionError as e:
                failed += 1
                print(f"{make.__name__}, seed {args.seed}, file {i}: {e}")
    print(f"{args.files - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
