"""Checkpoints of Gemma 4 as Transformers opens them: the text model alone, or with the towers beside it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from transformers import Gemma4ForCausalLM, Gemma4ForConditionalGeneration

from .nodes import Weights

TABLE = "model.vision_tower.patch_embedder.position_embedding_table"
"""Of both axes at once [2,positions,H]; a graph has one table for each."""
AXES = ("x", "y")
WHOLE = "gemma4"
"""The `model_type` of a checkpoint with towers."""


def has_towers(checkpoint: Path) -> bool:
    return json.loads((checkpoint / "config.json").read_text())["model_type"] == WHOLE


def whole_model(checkpoint: Path) -> Gemma4ForConditionalGeneration:
    """Everything, in single precision. Pictures are looked at without ever holding all scores: they can be 10,080²."""
    model = Gemma4ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager")
    model.model.vision_tower.set_attn_implementation("sdpa")
    return model.eval()


def text_model(checkpoint: Path, attention: str = "eager") -> Gemma4ForCausalLM:
    """The text model in single precision, under the names that it has alone, whether or not towers stand beside it."""
    if not has_towers(checkpoint):
        model = Gemma4ForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation=attention)
        return model.eval()
    whole = whole_model(checkpoint)
    text = whole.model.language_model
    text.set_attn_implementation(attention)
    model = Gemma4ForCausalLM(text.config)
    model.model, model.lm_head = text, whole.lm_head
    return model.eval()


def weights(model: nn.Module) -> Weights:
    """Parameters and buffers by their names. The table of positions in a picture is one for each axis (`….x`, `….y`)."""
    found = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    if TABLE in found:
        found |= {f"{TABLE}.{axis}": table for axis, table in zip(AXES, found.pop(TABLE), strict=True)}
    return found


@torch.no_grad()
def load(model: nn.Module, changed: Weights) -> None:
    """Replaces parameters by others of the same names as `weights` gives them."""
    parameters = dict(model.named_parameters())
    for name, array in changed.items():
        table, _, axis = name.rpartition(".")
        target = parameters[TABLE][AXES.index(axis)] if table == TABLE else parameters[name]
        target.copy_(torch.from_numpy(array))


def untie(head: nn.Linear) -> None:
    """Gives a head its own copy of the table of embeddings: in a quantized folder each was rounded on its own."""
    head.weight = nn.Parameter(head.weight.detach().clone())
