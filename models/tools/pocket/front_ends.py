"""What Transformers makes of a picture or a sound before an encoder sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers.image_utils import load_image
from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

BUDGETS = (70, 140, 280, 560, 1120)
"""How many soft tokens a picture may have at most; 280 unless said otherwise."""
FRAME_BUDGET = 70
"""That of one frame of a film."""
POOLED = 9
"""Patches to a soft token."""


@dataclass(frozen=True)
class Picture:
    """Patches as the processor pads them: values f32 [P,768] from 0 to 1, places i64 [P,2] as (column, row) or -1."""

    padded: np.ndarray
    places: np.ndarray
    tokens: int

    @property
    def values(self) -> np.ndarray:
        """Without padding."""
        return self.padded[: self.tokens * POOLED]

    @property
    def positions(self) -> np.ndarray:
        """Without padding."""
        return self.places[: self.tokens * POOLED]

    @property
    def bytes(self) -> np.ndarray:
        """The same values as the u8 that they were scaled from."""
        return np.rint(self.values * 255).astype(np.uint8)


@dataclass(frozen=True)
class Sound:
    """The frames of a sound: log-mel features f32 [T,128] and whether each is whole, bool [T]."""

    features: np.ndarray
    mask: np.ndarray

    @property
    def tokens(self) -> int:
        """Two halvings of time, each rounded up."""
        return int(self.mask[::2][::2].sum())


def picture(path: Path, budget: int) -> Picture:
    made = Gemma4ImageProcessorPil(max_soft_tokens=budget)(images=[load_image(str(path))], return_tensors="np")
    tokens = int(made["num_soft_tokens_per_image"][0])
    return Picture(made["pixel_values"][0], made["image_position_ids"][0], tokens)


def sounds(clips: list[np.ndarray]) -> list[Sound]:
    """Of clips f32 at 16 kHz, all padded to the longest."""
    made = Gemma4AudioFeatureExtractor()(clips, return_tensors="np")
    return [Sound(*each) for each in zip(made["input_features"], made["input_features_mask"], strict=True)]
