"""Pictures for goldens, drawn in whole numbers, so that every machine draws the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""
JPEG = {"quality": 88, "subsampling": "4:2:0"}
"""As cameras write them."""


def scene(width: int, height: int, hue: int = 0) -> np.ndarray:
    """Slopes of colour, a disc with a hard edge and a fine chequer: u8 [height,width,3].

    A wrong filter shows at the edge and in the chequer, swapped axes or channels everywhere.
    """
    y, x = np.indices((height, width), dtype=np.int64)
    red = 255 * x // max(width - 1, 1)
    green = 255 * y // max(height - 1, 1)
    blue = (2 * red + green + 64 * hue) % 256
    colours = np.stack([red, green, blue], axis=-1)
    radius = max(min(width, height) // 3, 1)
    disc = (x - width // 3) ** 2 + (y - height // 2) ** 2 < radius**2
    colours[disc] = [230 - 40 * (hue % 5), 40 + 50 * (hue % 4), 90]
    chequered = (x > 3 * width // 4) & ((x // 2 + y // 2) % 2 == 0)
    colours[chequered] = 255 - colours[chequered]
    return colours.astype(np.uint8)


def speckled(width: int, height: int) -> np.ndarray:
    """No two neighbours alike: u8 [height,width,3]."""
    values = np.arange(width * height * 3, dtype=np.uint64)
    return (values * np.uint64(2654435761) >> np.uint64(11)).astype(np.uint8).reshape(height, width, 3)


def save(path: Path, pixels: np.ndarray, orientation: int | None = None) -> None:
    """Writes u8 [height,width] (grey), [..,3] or [..,4] (with opacity) as the file's name says."""
    picture = Image.fromarray(pixels)
    settings = JPEG if path.suffix == ".jpg" else {"optimize": True}
    if orientation is not None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        settings = {**settings, "exif": exif}
    picture.save(path, **settings)
