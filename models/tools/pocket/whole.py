"""Text model, ears and eyes as one checkpoint that Transformers opens: what `release` and `export` take."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import Gemma4ForConditionalGeneration
from transformers.models.gemma4.configuration_gemma4 import Gemma4Config

from . import folder, layout, towers
from .ears import tower as ears_tower
from .ears.understanding import Understanding, load
from .eyes import tower as eyes_tower


def joined(parts: Understanding, words: Path) -> Gemma4ForConditionalGeneration:
    """The parts under the names that they have together; the heads of the first stages are left out."""
    ids = layout.media_tokens(words)
    config = Gemma4Config(
        text_config=parts.text.shape.text_config(),
        vision_config=eyes_tower.config(),
        audio_config=ears_tower.config(),
        eoa_token_index=ids.pop("eoa_token_id"),
        **ids,
    )
    whole = Gemma4ForConditionalGeneration(config)
    of_text = {name.removeprefix("model."): weight for name, weight in parts.text.state_dict().items()}
    whole.model.language_model.load_state_dict(of_text)
    whole.model.audio_tower.load_state_dict(parts.ears.tower.state_dict())
    whole.model.vision_tower.load_state_dict(parts.eyes.tower.state_dict())
    with torch.no_grad():
        whole.model.embed_audio.embedding_projection.weight.copy_(parts.ears.projection.weight)
        whole.model.embed_vision.embedding_projection.weight.copy_(parts.eyes.projection.weight)
    whole.tie_weights()
    return whole


def write(work: Path, out: Path) -> None:
    parts, _ = load(work)
    words = work / "pocket"
    joined(parts, words).save_pretrained(out)
    folder.write_side_files(words / "tokenizer.json", out)
    towers.write_side_files(out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Join the text model, the ears and the eyes of a work folder to one checkpoint."
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--out", type=Path, default=Path("work/whole"))


def run(args: argparse.Namespace) -> None:
    write(args.work, args.out)
    print(f"{args.out}: {sum(path.stat().st_size for path in args.out.iterdir() if path.is_file()):,} bytes")
