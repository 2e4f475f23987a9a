"""Ears and eyes of a work folder, in half precision, as the repository keeps them: what `restore` gives back."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file


def write(work: Path, out: Path) -> None:
    tensors = {}
    for name in ("ears", "eyes"):
        state = torch.load(work / f"{name}.pt", weights_only=False)[name]
        tensors |= {f"{name}.{key}": value.half().contiguous() for key, value in state.items()}
    save_file(tensors, out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--out", type=Path, default=Path("checkpoints/senses.safetensors"))


def run(args: argparse.Namespace) -> None:
    write(args.work, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")
