"""Goldens of a stand-in that sees and hears: what Transformers writes after prompts with pictures, sounds and films.

The form of a file is told in the README of these tools. As in `long_goldens`, a continuation with a near tie is left
out, and so is one of a few repeated tokens: each case ends in random words, drawn anew until what follows is clear.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from . import front_ends, layout, sounds, tiny
from .asked import Asked, Film, Part, Picture, Sound, Words
from .long_goldens import LEAST_DIFFERENT, STEPS
from .seen import Heard, SeeingModel

SEED = 9
MOST_BATCHES = 40
MOST_WORDS = 6
FOLDER = "media"
"""Where the files lie in a stand-in."""


@dataclass(frozen=True)
class Clearness:
    """What a continuation must be for a test of equality to rest on it."""

    tie: float
    """How far the likeliest token stands before the next, at every step."""
    side_by_side: int
    """How many endings are tried at once: the fewer, the more of them will be clear."""


SINGLE = Clearness(tie=0.01, side_by_side=24)
"""For graphs that compute in single precision; caches in half are off by a tenth of that, another resizer by as much."""
HALF = Clearness(tie=0.02, side_by_side=64)
"""For graphs in half precision: off by 0.011 in some logit, and by far less in the two that matter."""


@dataclass
class Prompt:
    """What a case begins with, up to the words that are drawn for it."""

    text: str
    """With all placeholders written out."""
    heard: Heard
    media: list[dict] = field(default_factory=list)


@dataclass
class Goldens:
    """Cases, and below each other the rows [rows,H] of all that they show."""

    cases: list[dict]
    features: list[np.ndarray]
    known: dict[tuple[str, str, int], tuple[int, int]]
    """Kind, file and budget of what was encoded before: its first row and their number."""

    def write(self, folder: Path, suffix: str) -> None:
        name = f"golden_media{suffix}"
        rows = np.concatenate(self.features).astype("<f4")
        (folder / f"{name}.f32").write_bytes(rows.tobytes())
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        head = f'"steps":{STEPS},"features":"{name}.f32","width":{rows.shape[1]}'
        (folder / f"{name}.json").write_text(f'{{{head},"cases":[\n{lines}\n]}}\n')


def goldens(
    model: SeeingModel, checkpoint: Path, folder: Path, cases: tuple[Asked, ...], clearness: Clearness
) -> Goldens:
    """`folder` is that of the files."""
    words = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    media = layout.media_ids(checkpoint)
    found = Goldens([], [], {})
    for case in cases:
        prompt = rendered(case, folder)
        for each in prompt.media:
            row, rows = encoded(model, found, each, case.budget, folder)
            each |= {"row": row, "tokens": rows}
        found.cases.append(answered(model, words, set(media), case, prompt, clearness))
    return found


# The prompt.


def rendered(case: Asked, folder: Path) -> Prompt:
    """The beginning of a prompt as the processor of Transformers writes it: no line breaks around what is no text."""
    prompt = Prompt("<bos>", Heard([], [], []))
    if case.system is not None:
        prompt.text += f"<|turn>system\n{case.system}<turn|>\n"
    prompt.text += "<|turn>user\n"
    files = [part.file for part in case.parts if isinstance(part, Sound)]
    clips = [sounds.as_numbers(sounds.read(folder / file)) for file in files]
    prompt.heard.sounds.extend(front_ends.sounds(clips) if clips else [])
    heard = iter(prompt.heard.sounds)
    for part in case.parts:
        match part:
            case Words(text):
                prompt.text += text
            case Picture(file):
                picture = front_ends.picture(folder / file, case.budget)
                prompt.heard.pictures.append(picture)
                prompt.text += shown("<|image>", "<|image|>", "<image|>", picture.tokens)
                prompt.media.append({"type": "image", "file": file})
            case Sound(file):
                prompt.text += shown("<|audio>", "<|audio|>", "<audio|>", next(heard).tokens)
                prompt.media.append({"type": "audio", "file": file})
            case Film(frames, seconds):
                pictures = [front_ends.picture(folder / file, front_ends.FRAME_BUDGET) for file in frames]
                prompt.heard.frames.extend(pictures)
                prompt.text += " ".join(
                    f"{second // 60:02d}:{second % 60:02d} "
                    + shown("<|image>", "<|video|>", "<image|>", picture.tokens)
                    for second, picture in zip(seconds, pictures, strict=True)
                )
                prompt.media += [
                    {"type": "frame", "file": file, "second": second}
                    for file, second in zip(frames, seconds, strict=True)
                ]
    return prompt


def shown(begin: str, placeholder: str, end: str, tokens: int) -> str:
    return begin + placeholder * tokens + end


def message(part: Part) -> dict:
    match part:
        case Words(text):
            return {"type": "text", "text": text}
        case Picture(file):
            return {"type": "image", "file": file}
        case Sound(file):
            return {"type": "audio", "file": file}
        case Film(frames, seconds):
            return {"type": "video", "frames": list(frames), "seconds": list(seconds)}


def encoded(model: SeeingModel, found: Goldens, medium: dict, budget: int, folder: Path) -> tuple[int, int]:
    """Where the features of a picture, a frame or a sound stand, encoded by themselves."""
    kind, file = medium["type"], medium["file"]
    if kind == "frame":
        budget = front_ends.FRAME_BUDGET
    key = ("sound" if kind == "audio" else "picture", file, budget)
    if key not in found.known:
        if kind == "audio":
            [sound] = front_ends.sounds([sounds.as_numbers(sounds.read(folder / file))])
            features = model.sound_features(sound)
        else:
            features = model.picture_features(front_ends.picture(folder / file, budget))
        found.known[key] = (sum(map(len, found.features)), len(features))
        found.features.append(features)
    return found.known[key]


# The answer.


def answered(
    model: SeeingModel, words: Tokenizer, media: set[int], case: Asked, prompt: Prompt, clearness: Clearness
) -> dict:
    beginning = words.encode(prompt.text, add_special_tokens=False).ids
    caches = model.read(beginning, prompt.heard)

    def apart(tokens: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Whose token stands well before the next, and is no placeholder."""
        best = np.partition(logits, -2, axis=-1)[:, -2:]
        return (best[:, 1] - best[:, 0] >= clearness.tie) & ~np.isin(tokens, list(media))

    for batch in endings(words, Random(f"{SEED} {case.name}"), clearness.side_by_side):
        for number, tokens, logits in model.go_on(caches, [ids for _, ids in batch], STEPS, apart):
            if len(set(tokens.tolist())) >= LEAST_DIFFERENT:
                said, ids = batch[number]
                return told(case, prompt, said, beginning + ids, tokens, logits, sorted(media))
    raise ValueError(f"{case.name}: nothing clear was written after {MOST_BATCHES} batches of endings")


def endings(words: Tokenizer, rng: Random, side_by_side: int) -> Iterator[list[tuple[str, list[int]]]]:
    """Batches of random words that end a user's turn, those of one batch of one length."""
    known = sorted({word for text in tiny.texts() for word in text.lower().split()})
    by_length, batches = defaultdict(list), 0
    while batches < MOST_BATCHES:
        said = " ".join(rng.choices(known, k=rng.randint(1, MOST_WORDS)))
        ids = words.encode(f"{said}<turn|>\n<|turn>model\n", add_special_tokens=False).ids
        by_length[len(ids)].append((said, ids))
        if len(by_length[len(ids)]) == side_by_side:
            batches += 1
            yield by_length.pop(len(ids))


def told(case: Asked, prompt: Prompt, said: str, ids: list[int], tokens, logits, media: list[int]) -> dict:
    places = iter(runs(ids, media))
    system = [] if case.system is None else [{"role": "system", "content": [{"type": "text", "text": case.system}]}]
    content = [message(part) for part in (*case.parts, Words(said))]
    best = np.argsort(-logits[0])[:3]
    return {
        "name": case.name,
        "budget": case.budget,
        "messages": [*system, {"role": "user", "content": content}],
        "media": [{**each, "start": next(places)} for each in prompt.media],
        "prompt": ids,
        "tokens": tokens.tolist(),
        "first": [[int(token), round(float(logits[0, token]), 4)] for token in best],
        "logits": [round(float(row[token]), 6) for row, token in zip(logits, tokens, strict=True)],
    }


def runs(ids: list[int], media: list[int]) -> Iterator[int]:
    """Where each run of one placeholder begins."""
    for place, (before, token) in enumerate(zip([None, *ids], ids, strict=False)):
        if token in media and token != before:
            yield place


def read(path: Path) -> tuple[list[dict], np.ndarray]:
    """The cases of a file, and the rows that they refer to."""
    known = json.loads(path.read_text())
    rows = np.fromfile(path.parent / known["features"], "<f4").reshape(-1, known["width"])
    return known["cases"], rows
