"""Writes tests/cases/torch-zip/framework-*: files of training programs, and what ckptd tells of each.

    python3 tests/interop/make_framework_cases.py

Made by the programs themselves: pytorch-lightning (2.6.6), transformers' Trainer (5.24.0), accelerate's
layout through torch. Built to their layouts, since they do not run here (design of each in its source):
timm, MMEngine, mmcv, Detectron2, fairseq, DeepSpeed, Megatron-LM, Whisper, nnU-Net.
"""

import argparse
import collections
import io
import json
import os
import pathlib
import random
import tempfile

import numpy
import torch

from make_torch_zip_cases import CASES, rows, saved, trained


def case(name, data, **expect):
    folder = CASES / f"framework-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.pt").write_bytes(data)
    (folder / "expect.json").write_text(
        json.dumps(expect, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def lightning():
    import logging
    import pytorch_lightning as pl

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Net(pl.LightningModule):
        def __init__(self, width=3, devices=4):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, 2)

        def training_step(self, batch, index):
            return self.layer(batch[0]).sum()

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    with tempfile.TemporaryDirectory() as folder:
        net = Net()
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 3)), batch_size=2)
        trainer = pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
                             enable_model_summary=False, default_root_dir=folder,
                             enable_checkpointing=False)
        trainer.fit(net, data)
        path = os.path.join(folder, "last.ckpt")
        trainer.save_checkpoint(path)
        data = pathlib.Path(path).read_bytes()
    told = torch.load(io.BytesIO(data), weights_only=False)
    case("lightning", data, container="state_dict", tensors=rows(net.state_dict()),
         containers=[{"path": "state_dict", "kind": "weights", "tensors": 2},
                     {"path": "optimizer_states.0", "kind": "optimizer", "tensors": 2}],
         metadata={"framework": "pytorch-lightning", "epoch": told["epoch"],
                   "global_step": told["global_step"],
                   "pytorch-lightning_version": pl.__version__, "has_optimizer": True,
                   "has_scheduler": True, "hyper_parameters": {"width": 3, "devices": 4},
                   "parallel": {"gpus": 4}})


def trainer():
    import transformers

    net, optimizer = trained()
    arguments = transformers.TrainingArguments(output_dir="out", learning_rate=0.5, num_train_epochs=7,
                                               seed=11, use_cpu=True, report_to=[])
    case("trainer-arguments", saved(arguments), container=None, safety="unlisted",
         metadata={"framework": "transformers", "learning_rate": 0.5, "num_train_epochs": 7, "seed": 11,
                   "output_dir": "out"})
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, 1, 10)
    case("trainer-scheduler", saved(scheduler.state_dict()), container=None,
         metadata={"has_scheduler": True, "last_epoch": 0})
    case("trainer-optimizer", saved(optimizer.state_dict()), container=None,
         containers=[{"path": "", "kind": "optimizer", "tensors": 18}], metadata={"has_optimizer": True})
    random.seed(1)
    numpy.random.seed(1)
    case("trainer-random-state", saved({"python": random.getstate(), "numpy": numpy.random.get_state(),
                                        "cpu": torch.get_rng_state()}),
         metadata={"framework": "transformers", "has_random_state": True})


def wrapped(sd, prefix):
    return collections.OrderedDict((prefix + k, v) for k, v in sd.items())


def by_layout():
    net, optimizer = trained()
    sd = net.state_dict()
    opt = optimizer.state_dict()

    case("timm", saved({
        "epoch": 12, "arch": "resnet10t", "state_dict": wrapped(sd, "module."), "optimizer": opt,
        "version": 2, "args": argparse.Namespace(model="resnet10t", world_size=8, distributed=True),
        "amp_scaler": {"scale": 65536.0}, "state_dict_ema": sd, "metric": 71.5}),
        container="state_dict", containers=[{"path": "state_dict", "kind": "weights"},
                                            {"path": "optimizer", "kind": "optimizer"},
                                            {"path": "state_dict_ema", "kind": "ema"}],
        metadata={"framework": "timm", "epoch": 12, "arch": "resnet10t", "metric": 71.5,
                  "parallel": {"kind": "data-parallel", "gpus": 8}, "has_optimizer": True})

    case("mmengine", saved({
        "meta": {"epoch": 3, "iter": 300, "cfg": "optimizer = dict(lr=0.1)\n", "seed": 0,
                 "experiment_name": "run", "time": "20260101_000000", "mmengine_version": "0.10.4",
                 "dataset_meta": {"classes": ("cat", "dog")}, "hook_msgs": {}},
        "state_dict": sd, "message_hub": {"log_scalars": {}}, "optimizer": opt,
        "param_schedulers": [{"last_step": 3}]}), container="state_dict",
        metadata={"framework": "mmengine", "has_optimizer": True, "has_scheduler": True, "meta": {
            "epoch": 3, "iter": 300, "mmengine_version": "0.10.4",
            "dataset_meta": {"classes": ["cat", "dog"]}}})
    case("mmcv", saved({"meta": {"mmcv_version": "1.7.0", "CLASSES": ("cat",), "epoch": 2}, "state_dict": sd}),
         container="state_dict", metadata={"framework": "mmcv", "meta": {"CLASSES": ["cat"], "epoch": 2}})

    case("detectron2", saved({"model": sd, "optimizer": opt, "scheduler": {"last_epoch": 90000},
                              "iteration": 89999, "trainer": {"iteration": 89999}}), container="model",
         metadata={"framework": "fvcore", "iteration": 89999, "has_optimizer": True, "has_scheduler": True})
    case("detectron2-zoo", saved({"model": sd, "__author__": "someone", "matching_heuristics": True}),
         container="model", metadata={"framework": "detectron2", "__author__": "someone"})

    case("fairseq", saved({
        "args": None, "cfg": {"model": {"_name": "transformer"},
                              "distributed_training": {"distributed_world_size": 16}},
        "model": sd, "criterion": {}, "task_state": {}, "extra_state": {"epoch": 4},
        "optimizer_history": [{"num_updates": 1000}], "last_optimizer_state": opt}), container="model",
        containers=[{"path": "model", "kind": "weights"}, {"path": "last_optimizer_state", "kind": "optimizer"}],
        metadata={"framework": "fairseq", "parallel": {"gpus": 16}, "has_optimizer": True})

    case("deepspeed", saved({
        "module": sd, "buffer_names": [], "optimizer": None, "param_shapes": [], "frozen_param_shapes": None,
        "shared_params": {}, "lr_scheduler": None, "skipped_steps": 0, "global_steps": 500,
        "global_samples": 4000, "dp_world_size": 4, "mp_world_size": 2, "ds_version": "0.14.0",
        "ds_config": {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}}), container="module",
        metadata={"framework": "deepspeed", "global_steps": 500, "ds_version": "0.14.0",
                  "ds_config": {"bf16": {"enabled": True}},
                  "parallel": {"kind": "deepspeed", "gpus": 8, "zero_stage": 2}})

    case("megatron", saved({
        "args": argparse.Namespace(world_size=64, tensor_model_parallel_size=8,
                                   pipeline_model_parallel_size=4, data_parallel_size=2, num_layers=2),
        "checkpoint_version": 3.0, "iteration": 1000, "model": sd, "optimizer": opt,
        "opt_param_scheduler": {"num_steps": 1000},
        "rng_state": [{"random_rng_state": (3, (1, 2), None), "np_rng_state": None}]}), container="model",
        metadata={"framework": "megatron", "iteration": 1000, "has_optimizer": True, "has_scheduler": True,
                  "has_random_state": True,
                  "parallel": {"kind": "megatron", "gpus": 64, "data": 2, "tensor": 8, "pipeline": 4}})

    case("whisper", saved({"dims": {"n_mels": 80, "n_vocab": 51865}, "model_state_dict": sd}),
         container="model_state_dict", metadata={"framework": "whisper", "dims": {"n_mels": 80}})
    case("nnunet", saved({"network_weights": sd, "optimizer_state": opt, "grad_scaler_state": None,
                          "current_epoch": 10, "init_args": {"fold": 0}, "trainer_name": "nnUNetTrainer"}),
         container="network_weights",
         metadata={"framework": "nnunet", "current_epoch": 10, "trainer_name": "nnUNetTrainer",
                   "has_optimizer": True})
    case("compiled", saved(wrapped(sd, "_orig_mod.")), container="", metadata={"compiled": True})
    case("fsdp", saved(wrapped(sd, "_fsdp_wrapped_module.")), container="",
         metadata={"parallel": {"kind": "fsdp"}})


def main():
    lightning()
    trainer()
    by_layout()
    print(len(list(CASES.glob("framework-*"))), "cases")


if __name__ == "__main__":
    main()
