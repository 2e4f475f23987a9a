"""How many whole answers each graph of a folder gets right: what rounding the weights costs in commands, not in logits.

Commands in houses of 20 devices with words that training never saw, all shipped tools declared, free greedy decoding:
no grammar narrows the choice, so this is less than what the daemon reaches. An answer counts when every token is as the
generator wants it, up to and with the stop.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from . import layout, prompt
from .commands import draw_turn
from .homes import make_home
from .runtime import OnnxModel
from .speaker import Speaker

SEED = 77
DEVICES = 20
MARGIN = 8
"""Tokens that a wrong answer may be longer than the right one before it is cut off."""


def exercises(tokenizer: Tokenizer, count: int) -> list[tuple[list[int], list[int]]]:
    """Prompts and their answers, as token ids."""
    rng = Random(SEED)
    declarations = "".join(map(prompt.declaration, prompt.shipped_tools()))
    found = []
    for _ in range(count):
        home = make_home(rng, DEVICES, evaluation=True)
        turn = draw_turn(Speaker(rng, home, evaluation=True))
        texts = prompt.system_turn(home, declarations) + prompt.user_turn(turn), prompt.answer(turn)
        found.append(tuple(tokenizer.encode(text, add_special_tokens=False).ids for text in texts))
    return found


def right(model: OnnxModel, asked: list[tuple[list[int], list[int]]], stops: list[int]) -> int:
    return sum(model.greedy(question, len(answer) + MARGIN, stops) == answer for question, answer in asked)


def report(folder: Path, count: int) -> None:
    asked = exercises(Tokenizer.from_file(str(folder / "tokenizer.json")), count)
    stops = layout.stop_ids(folder)
    print("| graph | whole answers right |\n|---|---|")
    for suffix in (layout.FP32, layout.Q8, layout.Q4):
        if layout.graph_path(folder, layout.DECODER, suffix).exists():
            print(f"| {suffix or 'fp32'} | {right(OnnxModel(folder, suffix), asked, stops)}/{count} |", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Count the whole answers that each graph of a folder gets right."
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)


def run(args: argparse.Namespace) -> None:
    report(args.folder, args.count)
