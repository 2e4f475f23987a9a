"""What the tower hears in training: clips made louder, faster, duller, farther away and noisy, as Gemma's log-mel features."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RATE, HOP, WINDOW, BANDS, FLOOR = 16_000, 160, 320, 128, 1e-3
"""The numbers of Gemma 4's feature extractor: samples a second, between frames and in one; bands; what is added before the logarithm."""
SAMPLES_A_TOKEN = 640
"""A soft token is 40 ms: four frames."""


def mel_filters() -> Tensor:
    """[257,128]: HTK's triangles from 0 to 8 kHz, without norm."""
    mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)  # noqa: E731
    edges = 700 * (10 ** (np.linspace(mel(0), mel(8000), BANDS + 2) / 2595) - 1)
    bins, widths = np.linspace(0, 8000, 257)[:, None], np.diff(edges)
    rising, falling = (bins - edges[:-2]) / widths[:-1], (edges[2:] - bins) / widths[1:]
    return torch.tensor(np.maximum(0, np.minimum(rising, falling)), dtype=torch.float32)


FILTERS, HANN = mel_filters(), torch.hann_window(WINDOW, periodic=True)


def log_mel(waves: Tensor) -> Tensor:
    """[B,N] in -1 to 1 to [B,T,128]."""
    frames = F.pad(waves, (HOP, 0)).unfold(1, WINDOW + 1, HOP)[..., :WINDOW] * HANN
    return torch.log(torch.fft.rfft(frames, 512).abs() @ FILTERS + FLOOR)


@dataclass(frozen=True)
class Surroundings:
    """How a clip reaches the microphone. `snr`: decibels of speech over noise, drawn from a range; none is no noise."""

    snr: tuple[float, float] | None = (3.0, 35.0)
    quiet: float = 0.12
    """Share of clips without noise."""
    faster: float = 0.5
    """Share played at another speed, which shifts the pitch too."""
    farther: float = 0.35
    """Share with echoes of a room."""
    duller: float = 0.6
    """Share heard through something with a frequency response of its own."""
    masked: float = 0.8
    """Share with bands and moments left out."""


    early: bool = False
    """Little is put before and after a clip."""


def practised(difficulty: float) -> Surroundings:
    """Those of training, from easy (0) to hard (1): words are found sooner where they are heard well."""
    return Surroundings(
        snr=(20.0 - 17.0 * difficulty, 35.0),
        faster=0.5 * difficulty,
        farther=0.35 * difficulty,
        duller=0.6 * difficulty,
        masked=0.8 * difficulty,
        early=difficulty < 0.5,
    )


def tested(snr: float | None) -> Surroundings:
    """Noise alone, at one level."""
    return Surroundings(None if snr is None else (snr, snr), 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Heard:
    """features [B,T,128], zeros where a clip is over; whole [B,T]; tokens [B]: soft tokens of each."""

    features: Tensor
    whole: Tensor
    tokens: Tensor


def heard(clips: list[np.ndarray], rng: Random, around: Surroundings) -> Heard:
    """Clips (i16) with silence before and after, in their surroundings."""
    waves = [torch.from_numpy(clip.astype(np.float32) / 32768) for clip in clips]
    waves = [faster(wave, rng) if rng.random() < around.faster else wave for wave in waves]
    most = 3_000 if around.early else 9_000
    before = [rng.randint(800, most) for _ in waves]
    lengths = [at + len(wave) + rng.randint(3_000, 3_000 + most) for at, wave in zip(before, waves, strict=True)]
    size = -(-max(lengths) // SAMPLES_A_TOKEN) * SAMPLES_A_TOKEN
    mixed = torch.zeros(len(waves), size)
    for row, wave, at in zip(mixed, waves, before, strict=True):
        spoken = wave / wave.std().clamp(min=1e-3)
        if rng.random() < max(around.farther, around.duller):
            spoken = coloured(spoken, rng, rng.random() < around.farther, rng.random() < around.duller)
        row[at : at + len(spoken)] = spoken[: size - at]
        if around.snr and rng.random() >= around.quiet:
            row += noise(size, rng, mixed) * 10 ** (-rng.uniform(*around.snr) / 20)
        row *= 10 ** rng.uniform(-2.4, -0.75)
        row += torch.randn(size) * 10 ** rng.uniform(-4.5, -3.3)
    features = log_mel(mixed.clamp(-1, 1))
    frames = torch.tensor([min(features.shape[1], length // HOP) for length in lengths])
    if around.masked:
        mask_some(features, rng, around.masked)
    whole = torch.arange(features.shape[1])[None] < frames[:, None]
    return Heard(features * whole[..., None], whole, whole[:, ::2][:, ::2].sum(1))


def faster(wave: Tensor, rng: Random) -> Tensor:
    length = int(len(wave) / rng.uniform(0.88, 1.14))
    return F.interpolate(wave[None, None], size=length, mode="linear", align_corners=False)[0, 0]


def coloured(wave: Tensor, rng: Random, far: bool, dull: bool) -> Tensor:
    """Echoes that die away in 0.08 to 0.5 s, and a smooth response of up to 10 dB either way; as loud as before."""
    size = 1 << (len(wave) + 8_000 - 1).bit_length()
    spectrum = torch.fft.rfft(wave, size)
    if far:
        steps = torch.arange(8_000)
        echoes = torch.randn(8_000) * torch.exp(-6.9 * steps / (RATE * rng.uniform(0.08, 0.5)))
        echoes[: rng.randint(20, 120)] = 0
        echoes *= rng.uniform(0.1, 0.9) / echoes.norm().clamp(min=1e-6)
        echoes[0] = 1.0
        spectrum = spectrum * torch.fft.rfft(echoes, size)
    if dull:
        place = torch.linspace(0, 1, spectrum.shape[0]).sqrt()
        response = sum(rng.gauss(0, 3.0) * torch.cos(np.pi * order * place) for order in range(1, 5))
        spectrum = spectrum * 10 ** (response.clamp(-10, 10) / 20)
    made = torch.fft.irfft(spectrum, size)[: len(wave) + 4_000]
    return made / made[: len(wave)].std().clamp(min=1e-3)


def noise(size: int, rng: Random, others: Tensor) -> Tensor:
    """White, pink or brown, hums, or other speech; of unit deviation."""
    kind = rng.random()
    if kind < 0.12:
        other = others[rng.randrange(len(others))].roll(rng.randrange(size))
        if other.std() > 1e-3:
            return other / other.std()
    made = torch.randn(size)
    if kind < 0.7:
        spectrum = torch.fft.rfft(made)
        made = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1) ** rng.choice((0.5, 0.5, 1.0)), size)
    elif kind < 0.8:
        hertz, time = rng.uniform(50, 1_500), torch.arange(size) / RATE
        made = 0.2 * made + sum(torch.sin(2 * np.pi * hertz * n * time) / n for n in (1, 2, 3))
    return made / made.std().clamp(min=1e-6)


def mask_some(features: Tensor, rng: Random, share: float) -> None:
    """Sets bands and moments to about the mean."""
    for row in features:
        if rng.random() > share:
            continue
        for _ in range(2):
            band, moment = rng.randrange(BANDS), rng.randrange(len(row))
            row[:, band : band + rng.randint(0, 14)] = -4.0
            row[moment : moment + rng.randint(0, 8)] = -4.0
