"""The shipped folder back as a checkpoint, to train it further: the numbers are those that its 8-bit files stand for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import load_file

from . import folder, layout, quantize
from .model import Pocket, Shape

LETTERS = {"sliding_attention": "S", "full_attention": "F"}


def shape_of(config: dict) -> Shape:
    return Shape(
        vocab=config["vocab_size"],
        hidden=config["hidden_size"],
        inter=config["intermediate_size"],
        pattern="".join(LETTERS[kind] for kind in config["layer_types"]),
        kv_shared=config["num_kv_shared_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        global_head_dim=config["global_head_dim"],
        ple=config["hidden_size_per_layer_input"],
        window=config["sliding_window"],
    )


def plain_weights(shipped: Path) -> dict[str, np.ndarray]:
    """What is not rounded, the norms, by their names in the checkpoint."""
    proto = onnx.load(layout.graph_path(shipped, layout.DECODER, layout.Q8))
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in proto.graph.initializer}
    return {name.replace("text.", "model.", 1): array for name, array in arrays.items() if name.endswith("norm.weight")}


def restored(shipped: Path) -> Pocket:
    model = Pocket(shape_of(json.loads((shipped / "config.json").read_text())["text_config"]))
    known = plain_weights(shipped) | quantize.stored_weights(shipped, layout.Q8, (layout.EMBED, layout.DECODER))
    state = model.state_dict()
    missing = [name for name in state if name not in known and not name.endswith("layer_scalar")]
    if missing:
        raise SystemExit(f"{shipped} lacks {', '.join(missing)}")
    model.load_state_dict({name: torch.from_numpy(np.array(known[name])) if name in known else state[name] for name in state})
    return model


def restore_senses(kept: Path, work: Path) -> None:
    """Ears and eyes as their first stages left them, in half precision, for the stages to go on from."""
    tensors = load_file(kept)
    for name in ("ears", "eyes"):
        own = {key.removeprefix(f"{name}."): value.float() for key, value in tensors.items() if key.startswith(f"{name}.")}
        torch.save({name: own}, work / f"{name}.pt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a checkpoint of the shipped folder's 8-bit text model, and of the ears and eyes that are kept, to train them further."
    )
    parser.add_argument("--senses", type=Path, default=Path("checkpoints/senses.safetensors"))
    parser.add_argument("--shipped", type=Path, default=Path("../pocket"))
    parser.add_argument("--out", type=Path, default=Path("work/pocket"))


def run(args: argparse.Namespace) -> None:
    folder.save(restored(args.shipped), args.shipped / "tokenizer.json", args.out)
    restore_senses(args.senses, args.out.parent)
    print(f"{args.out} made of {args.shipped}, ears.pt and eyes.pt beside it of {args.senses}")
