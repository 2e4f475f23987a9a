"""Sounds for goldens, in whole numbers, so that every machine hears the same."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE = 16_000
"""Samples a second."""


def sweep(samples: int) -> np.ndarray:
    """A triangle wave that rises: i16 [samples]. Sample n is `fold((n·n div 97 + 31·n) mod 65536) - 16384`,
    where `fold(x)` is x below 32768 and 65535 - x from there on."""
    n = np.arange(samples, dtype=np.int64)
    phase = (n * n // 97 + 31 * n) % 65536
    return (np.where(phase < 32768, phase, 65535 - phase) - 16384).astype(np.int16)


def speech(samples: int, pitch: int = 0) -> np.ndarray:
    """Something with syllables: swelling triangle waves, hisses and pauses, i16 [samples]."""
    n = np.arange(samples, dtype=np.int64)
    syllable, within = n // 2400, n % 2400
    phase = n * (440 + 90 * pitch + 170 * (syllable * 7 % 5)) % 65536
    tone = np.where(phase < 32768, phase, 65535 - phase) - 16384
    hiss = (n * 2654435761 >> 7) % 32768 - 16384
    swell = np.minimum(within, 2399 - within)
    kind = (syllable + pitch) % 4
    sound = np.select([kind == 3, kind == 1], [hiss // 3, (3 * tone + hiss) // 4], tone)
    return (sound * swell // 1200 * np.where(syllable % 7 == 6, 0, 1)).astype(np.int16)


def save(path: Path, samples: np.ndarray) -> None:
    """Writes i16 samples as a WAV file of one channel at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def read(path: Path) -> np.ndarray:
    """The i16 samples of a file that `save` wrote."""
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def as_numbers(samples: np.ndarray) -> np.ndarray:
    """i16 samples as f32 from -1 to 1, the way every reader of sound files scales them."""
    return samples.astype(np.float32) / 32768
