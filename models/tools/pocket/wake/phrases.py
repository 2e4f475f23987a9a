"""What is said to wake hob, what sounds like it, and what else is heard in a house."""

from __future__ import annotations

from random import Random

import numpy as np

PHRASE = ("hey hob", "hey hob", "hey, hob", "hey hob!", "hay hob", "hey hobb")
NEAR = (
    "hey bob", "hey rob", "hey job", "hey hop", "hey harp", "hey hobby", "hey you", "hey hog", "hey hub", "hey hot", "hey hub cap",
    "a hob", "the hob", "say hob", "they hop", "hey", "hob", "hob hob", "hey mom", "hey dad", "hello", "hey ho", "hey stop", "hey what",
    "hey look", "hey there", "hey hobbit", "hey god", "hey pop", "a job", "pay rob", "grey hop", "hey the job", "hey siri", "okay google",
    "alexa", "hey mycroft", "the hobby", "turn on the hob", "is the hob on", "hey how are you", "hey have a look", "may i hop", "way off",
)  # fmt: skip
"""Kept out of training: every fourth."""


def near(kept: bool) -> tuple[str, ...]:
    return tuple(phrase for place, phrase in enumerate(NEAR) if (place % 4 == 3) == kept)


def other_sound(rng: Random, seconds: int) -> np.ndarray:
    """Music of sorts, alarms, hums, hisses and knocks: i16."""
    size, out = seconds * 16_000, np.zeros(seconds * 16_000, np.float32)
    time = np.arange(size, dtype=np.float32) / 16_000
    kind = rng.choice(("music", "alarm", "hum", "hiss", "knocks"))
    draw = np.random.default_rng(rng.getrandbits(32))
    if kind == "music":
        at = 0
        while at < size:
            length, root = int(rng.uniform(0.1, 0.7) * 16_000), rng.choice((110, 147, 196, 220, 262, 330, 440))
            note = np.arange(min(length, size - at), dtype=np.float32) / 16_000
            for part in (1, rng.choice((1.25, 1.5, 2)), 2, 3):
                out[at : at + len(note)] += np.sin(2 * np.pi * root * part * note) * np.exp(-note * rng.uniform(1, 8)) / part
            at += length
    elif kind == "alarm":
        out = np.sin(2 * np.pi * rng.uniform(600, 3_000) * time) * (np.sin(2 * np.pi * rng.uniform(1, 5) * time) > 0)
    elif kind == "hum":
        base = rng.uniform(45, 160)
        out = sum(np.sin(2 * np.pi * base * part * time) / part for part in range(1, 8))
    elif kind == "hiss":
        out = draw.standard_normal(size, np.float32) * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 2) * time))
    else:
        for _ in range(rng.randint(3, 12) * seconds // 4):
            at, length = rng.randrange(size - 2_000), 2_000
            out[at : at + length] += draw.standard_normal(length, np.float32) * np.exp(-np.arange(length) / rng.uniform(60, 500))
    out = out / max(1e-6, float(np.abs(out).max())) * 32_767 * 10 ** rng.uniform(-1.8, -0.2)
    return out.astype(np.int16)
