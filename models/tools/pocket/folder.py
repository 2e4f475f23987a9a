"""Hugging Face folders: what training writes, and what transformers and the exporter read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from .model import Pocket, Shape

HERE = Path(__file__).parent
TEMPLATE = HERE / "chat_template.jinja"
STOPS = [1, 106, 50]
"""Ids that end an answer: <eos>, <turn|>, <|tool_response>."""


def save(model: Pocket, tokenizer: Path, out: Path) -> None:
    """Writes config.json, model.safetensors, generation_config.json, the tokenizer's files and the chat template."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    part = out / "model.safetensors.part"
    save_file(weights, part, metadata={"format": "pt"})
    part.replace(out / "model.safetensors")
    config = model.shape.text_config()
    config.architectures = ["Gemma4ForCausalLM"]
    config.dtype = "float32"
    config.save_pretrained(out)
    write_json(out / "pocket_shape.json", model.shape.as_dict())
    write_side_files(tokenizer, out)


def write_side_files(tokenizer: Path, out: Path) -> None:
    """What lies beside every checkpoint: generation_config.json, the tokenizer's files and the chat template."""
    write_json(
        out / "generation_config.json",
        {"bos_token_id": 2, "eos_token_id": STOPS, "pad_token_id": 0, "do_sample": False},
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer.parent / name, out / name)
    if TEMPLATE.exists():
        shutil.copyfile(TEMPLATE, out / TEMPLATE.name)


def load(folder: Path) -> tuple[Pocket, Tokenizer]:
    """The model and tokenizer of a folder that `save` wrote."""
    model = Pocket(Shape(**json.loads((folder / "pocket_shape.json").read_text())))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def logits_gap(folder: Path, length: int = 300) -> float:
    """The largest difference between our logits and transformers' on random ids."""
    from transformers import Gemma4ForCausalLM

    from .model import causal

    ours, _ = load(folder)
    theirs = Gemma4ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(108, ours.shape.vocab, (2, length), generator=generator)
    pos = torch.arange(length)[None].expand(2, -1)
    with torch.no_grad():
        left, _ = ours(ids, pos, *causal(pos, ours.shape.window))
        right = theirs(input_ids=ids).logits
    return (left - right).abs().max().item()


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")
