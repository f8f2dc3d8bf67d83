"""What a CI job does without ckptd: import torch, build the model, load the checkpoint into it."""

import sys

import torch

import resnet50

model = resnet50.build()
state = torch.load(sys.argv[1], mmap=True, weights_only=True)["state_dict"]
model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
