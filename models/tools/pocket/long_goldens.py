"""Goldens of a stand-in: what Transformers writes after random prompts, long enough that a window slides over it.

A file is JSON as `golden` writes it, with one thing more in each case: `logits`, that of each token of `tokens`.

Left out are prompts with a near tie, as there, and those that end in a few repeated tokens. Ties count from further off
than there: half precision rounds at every node.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from . import golden, layout, tiny
from .runtime import TorchModel

SEED = 8
STEPS = 64
CASES = 10
TIE = 0.03
"""A stand-in in half precision is off by up to half of this in some logit, and by far less in the two that matter."""
LEAST_DIFFERENT = 12
"""Different tokens in a continuation."""
SIDE_BY_SIDE = 48
OF_ONE_LENGTH = 2
MOST_WORDS = 24


def prompts(tokenizer: Tokenizer, longest: int) -> Iterator[list[golden.Asked]]:
    """Endless turns of random words, in batches of one length each: near the window's length, and many times longer."""
    words = sorted({word for text in tiny.texts() for word in text.lower().split()})
    rng, by_length = Random(SEED), defaultdict(list)
    while True:
        said = " ".join(rng.choices(words, k=rng.randint(1, MOST_WORDS)))
        ids = tokenizer.encode(f"<bos><|turn>user\n{said}<turn|>\n<|turn>model\n", add_special_tokens=False).ids
        if len(ids) > longest:
            continue
        batch = by_length[len(ids)]
        batch.append((said, ids))
        if len(batch) == SIDE_BY_SIDE:
            yield by_length.pop(len(ids))


def clear(tokens: np.ndarray, logits: np.ndarray, media: set[int]) -> bool:
    """Whether a test of equality may rest on this continuation."""
    ranked = np.sort(logits, axis=-1)
    apart = (ranked[:, -1] - ranked[:, -2]).min() >= TIE
    return bool(apart) and media.isdisjoint(tokens.tolist()) and len(set(tokens.tolist())) >= LEAST_DIFFERENT


def case(said: str, ids: list[int], tokens: np.ndarray, logits: np.ndarray) -> dict:
    chosen = logits[np.arange(len(tokens)), tokens]
    best = np.argsort(-logits[0])[:3]
    return {
        "said": said,
        "prompt": ids,
        "tokens": tokens.tolist(),
        "first": [[int(token), round(float(logits[0, token]), 4)] for token in best],
        "logits": [round(float(logit), 6) for logit in chosen],
    }


def cases(model: TorchModel, checkpoint: Path, count: int) -> list[dict]:
    """The first `count` clear cases, at most two of one length."""
    words = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    media = set(layout.media_ids(checkpoint))
    asked = prompts(words, model.model.config.max_position_embeddings - STEPS)
    found: list[dict] = []
    while len(found) < count:
        batch = next(asked)
        answers = zip(*model.greedy_side_by_side([ids for _, ids in batch], STEPS), strict=True)
        pairs = zip(batch, answers, strict=True)
        told = [case(*question, *answer) for question, answer in pairs if clear(*answer, media)]
        found += told[:OF_ONE_LENGTH]
    return found[:count]


def write(out: Path, found: list[dict]) -> None:
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in found)
    out.write_text(f'{{"steps":{STEPS},"cases":[\n{lines}\n]}}\n')
