"""Who speaks: the voices of training, and those that are kept for evaluation."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from random import Random

import numpy as np

RATE = 16_000
"""Samples a second."""

ACCENTS = "en-us en-us en-us en-gb en-gb en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029".split()
VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m8 f1 f2 f3 f5 Alex Alicia Andrea Andy Annie antonio belinda benjamin boris caleb david Denis Diogo "
    "ed edward Gene Gene2 Henrique Hugo Jacky john Lee linda marcelo Marco Mario max Michael michel miguel Mike pablo paul "
    "pedro quincy rob robert sandro shelby steph steph2 travis victor Zac anika grandma grandpa aunty norbert"
).split()
SPEEDS = 125, 200
"""Words a minute."""
PITCHES = 28, 72


@dataclass(frozen=True)
class Cast:
    """Voices to draw from: `engine` is espeak-ng with accents and variants, or flite with its own voices."""

    engine: str
    accents: tuple[str, ...]
    variants: tuple[str, ...]


TRAINED = Cast("espeak", tuple(ACCENTS), tuple(VARIANTS))
KEPT = {
    "voice": Cast("espeak", tuple(ACCENTS), ("f4", "m7")),
    "accent": Cast("espeak", ("en-gb-scotland",), tuple(VARIANTS)),
    "klatt": Cast("espeak", ("en-us", "en-gb"), ("klatt", "klatt2", "klatt4")),
    "flite": Cast("flite", ("",), ("slt", "rms", "awb", "kal16")),
}
"""Voices that training never hears. `klatt` is another synthesis by the same rules of pronunciation, `flite` another engine."""


@dataclass(frozen=True)
class Voice:
    engine: str
    name: str
    speed: int
    pitch: int

    @staticmethod
    def drawn(rng: Random, cast: Cast) -> Voice:
        accent, variant = rng.choice(cast.accents), rng.choice(cast.variants)
        name = f"{accent}+{variant}" if accent else variant
        return Voice(cast.engine, name, rng.randint(*SPEEDS), rng.randint(*PITCHES))

    def command(self, text: str) -> list[str]:
        if self.engine == "flite":
            stretch = 160 / self.speed
            return ["flite", "-voice", self.name, "--setf", f"duration_stretch={stretch:.2f}", "-t", text, "-o", "/dev/stdout"]
        return ["espeak-ng", "-v", self.name, "-s", str(self.speed), "-p", str(self.pitch), "--stdout", text]

    def says(self, text: str) -> np.ndarray:
        """i16 samples at 16 kHz; none where the engine did not speak."""
        engine = subprocess.Popen(self.command(text), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        plain = ["-t", "raw", "-e", "signed", "-b", "16", "-r", str(RATE), "-c", "1", "-"]
        made = subprocess.run(
            ["sox", "-V0", "--ignore-length", "-t", "wav", "-", *plain], stdin=engine.stdout, capture_output=True, check=False
        )
        engine.stdout.close()
        engine.wait()
        return np.frombuffer(made.stdout[: len(made.stdout) // 2 * 2], np.int16)
