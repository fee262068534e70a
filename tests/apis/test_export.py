"""Exported files against the toolboxes' own predictions on real and drawn pictures."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from torch import nn

from moganet_dense import load_model
from moganet_dense.apis import export as api
from moganet_dense.apis.export import boxes, check, graphs
from moganet_dense.apis.export.files import NOTES, TORCH_EXPORT
from moganet_dense.apis.flops import build
from moganet_dense.apis.run import Job
from moganet_dense.cli import main
from moganet_dense.errors import UserError
from moganet_dense.runtime import load
from moganet_dense.runtime.persons import Cutter
from test_deploy import randomised

NEW_TORCH = tuple(int(n) for n in torch.__version__.split('.')[:2]) >= TORCH_EXPORT
SMALL = 'scale=(224,160)'


def config_of(name: str, folder: Path, **head) -> str:
    """A config as published, but that pictures are made small."""
    text = f"_base_ = {str(ROOT / 'configs' / name)!r}\n"
    if name.startswith('det'):
        text += (
            'pipeline = [dict(type="LoadImageFromFile"), dict(type="Resize", scale=(224, 160), '
            'keep_ratio=True), dict(type="PackDetInputs")]\n'
            'test_dataloader = dict(dataset=dict(pipeline=pipeline))\n'
        )
    path = folder / 'small.py'
    path.write_text(text)
    return str(path)


def checkpoint_of(config: str, folder: Path) -> str:
    torch.manual_seed(0)
    model = randomised(build(Config.fromfile(config)))
    path = folder / 'random.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)
