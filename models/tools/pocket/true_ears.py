"""An audio encoder as large as the published E2B's, with random weights, in a folder that opens: for measuring how soon it hears.

Everything else in the folder is the small E2B of the tests (`tests/fixtures/published`).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from transformers.models.gemma4.configuration_gemma4 import Gemma4AudioConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel

from . import layout, quantize
from .audio_graph import PROJECTION, TOWER, audio_graph

TEXT_WIDTH = 1536
FIXTURE = Path(__file__).parents[3] / "tests" / "fixtures" / "published"


def write(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(FIXTURE, out)
    torch.manual_seed(0)
    config = Gemma4AudioConfig()
    tower = Gemma4AudioModel(config)
    weights = {f"{TOWER}.{name}": tensor.numpy() for name, tensor in tower.state_dict().items()}
    weights[f"{PROJECTION}.weight"] = np.random.default_rng(0).standard_normal((TEXT_WIDTH, config.output_proj_dims), np.float32)
    proto = audio_graph(config, TEXT_WIDTH, weights, np.float32)
    layout.save(quantize.quantized(proto, quantize.BITS[layout.Q4], None), out, layout.AUDIO, layout.Q4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    write(args.out)
    size = sum(path.stat().st_size for path in args.out.glob("onnx/audio_encoder_q4*"))
    print(f"{args.out}: an audio encoder of {size / 2**20:.0f} MiB")
