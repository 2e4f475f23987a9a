"""Texts to learn the tokenizer from, and samples for the eye."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from . import tokenizer
from .homes import WEIGHTS
from .prompt import answer, responses, shipped_tools, user_turn
from .sessions import training_session

WHOLE_WORDS = (
    *WEIGHTS,
    "device",
    "area",
    "kind",
    "percent",
    "celsius",
    "item",
    "list",
    "call",
    "response",
    "state",
    "error",
    "ok",
    "true",
    "summary",
    "items",
    "string",
    "integer",
    "number",
    "object",
    "device",
)


def texts(rng: Random, sessions: int, talks: int = 8) -> Iterator[str]:
    """Prompts with their answers; one in thirty declares its tools."""
    for index in range(sessions):
        session = training_session(rng, talks, 0.25)
        text = session.prefix(declared=index % 30 == 0)
        for turns in session.talks:
            for turn in turns:
                text += user_turn(turn) + answer(turn)
                if turn.calls:
                    text += responses(turn) + turn.reply
        yield text


def learn_tokenizer(out: Path, merges: int = 1500, sessions: int = 5000, seed: int = 0) -> Tokenizer:
    names = [tool["name"] for tool in shipped_tools()]
    return tokenizer.build(list(texts(Random(seed), sessions)), names, WHOLE_WORDS, merges, out / "tokenizer.json")


def sample(seed: int, sessions: int, talks: int, declared: bool) -> Iterator[str]:
    """Readable samples: a prompt and what is said and answered in it."""
    rng = Random(seed)
    for _ in range(sessions):
        session = training_session(rng, talks, 0.35)
        yield session.prefix(declared)
        for turns in session.talks:
            for turn in turns:
                said = user_turn(turn).removeprefix("<|turn>user\n").removesuffix("<turn|>\n<|turn>model\n")
                yield f"[{turn.sort}] {said}\n    {answer(turn)}" + (
                    f"{responses(turn)}{turn.reply}<turn|>" if turn.calls else ""
                )
