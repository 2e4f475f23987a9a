"""What Transformers writes after fixed prompts, token by token: the daemon's tests hold the export to it.

The model is the checkpoint, or the checkpoint with the weights that a quantized graph holds. The file is JSON:
`checkpoint` (sha256 of its weights), `steps`, and `cases`, each with `said` (the command, for
people), `prompt` (token ids), `tokens` (the greedy continuation, `steps` long, running on past any stop) and `first`
(the three likeliest tokens of the first step as [id, logit]).

A prompt where two tokens come closer than `TIE` at any step is left out: which of them wins is a matter of rounding,
and an equality test must not depend on it. So is one where a placeholder of a picture or a sound is written: the
exported table gives such a token the row of padding, the text model of Transformers its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from . import layout, prompt
from .commands import draw_turn
from .homes import make_home
from .runtime import TorchModel
from .speaker import Speaker

SEED = 4
CASES = 64
STEPS = 24
TIE = 1e-3
MOST_DEVICES = 32

Asked = tuple[str, list[int]]
"""A command as it was said, and the ids of the prompt that holds it."""


def prompts(tokenizer: Tokenizer) -> Iterator[Asked]:
    """Endless commands in houses of unseen words: all tools or a few, some of them answered by the tools already."""
    rng = Random(SEED)
    while True:
        home = make_home(rng, rng.randint(3, MOST_DEVICES), evaluation=True)
        tools = prompt.shipped_tools()
        if rng.random() < 0.6:
            tools = [tool for tool in tools if rng.random() < 0.4]
        turn = draw_turn(Speaker(rng, home, evaluation=True))
        text = prompt.system_turn(home, "".join(map(prompt.declaration, tools))) + prompt.user_turn(turn)
        if turn.calls and rng.random() < 0.3:
            text += prompt.answer(turn) + prompt.responses(turn)
        yield prompt.user_text(turn), tokenizer.encode(text, add_special_tokens=False).ids


def cases(model: TorchModel, media: set[int], asked: Iterable[Asked], count: int) -> list[dict]:
    found: list[dict] = []
    for said, ids in asked:
        tokens, logits = model.greedy(ids, STEPS)
        ranked = np.sort(logits, axis=-1)
        if (ranked[:, -1] - ranked[:, -2]).min() >= TIE and media.isdisjoint(tokens):
            best = np.argsort(-logits[0])[:3]
            first = [[int(token), round(float(logits[0, token]), 4)] for token in best]
            found.append({"said": said, "prompt": ids, "tokens": tokens, "first": first})
        if len(found) == count:
            break
    return found


def write(
    checkpoint: Path,
    out: Path,
    asked: Iterable[Asked] | None = None,
    count: int = CASES,
    weights: dict[str, np.ndarray] | None = None,
) -> None:
    """`weights` take the place of the checkpoint's own."""
    if asked is None:
        asked = prompts(Tokenizer.from_file(str(checkpoint / "tokenizer.json")))
    model = TorchModel(checkpoint)
    if weights is not None:
        model.load(weights)
    digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    found = cases(model, set(layout.media_ids(checkpoint)), asked, count)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in found)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f'{{"checkpoint":"{digest}","steps":{STEPS},"cases":[\n{lines}\n]}}\n')
    print(f"{out.name}: {len(found)} cases, {out.stat().st_size:,} bytes")


def read(path: Path) -> list[dict]:
    return json.loads(path.read_text())["cases"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write down what Transformers says to fixed prompts."
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")


def run(args: argparse.Namespace) -> None:
    write(args.checkpoint, args.out)
