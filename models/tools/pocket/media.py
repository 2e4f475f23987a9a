"""Goldens of the front ends alone: small pictures and sounds, and what Transformers makes of them.

A few values of each result are written down, spread over all of it, with its sum, and for pictures its digest. See
"Pictures and sounds" in the README of these tools for the form of `front_ends.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
from transformers.image_utils import load_image
from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

from . import front_ends, pictures, sounds

PICTURES = {
    "odd.png": lambda: pictures.scene(53, 37),
    "large.png": lambda: pictures.scene(640, 480, hue=1) & 0xE0,
    "wide.png": lambda: pictures.scene(401, 9, hue=2),
    "tall.png": lambda: pictures.scene(31, 333, hue=3),
    "line.png": lambda: pictures.speckled(100, 1),
    "dot.png": lambda: pictures.speckled(1, 1),
    "tiny.png": lambda: pictures.speckled(3, 2),
    "speckled.png": lambda: pictures.speckled(61, 47),
    "exact.png": lambda: pictures.scene(384, 384, hue=2) & 0xE0,
    "grey.png": lambda: pictures.scene(71, 50)[..., 2],
    "opacity.png": lambda: np.dstack([pictures.scene(45, 64, hue=1), pictures.scene(45, 64)[..., 0]]),
    "photo.jpg": lambda: pictures.scene(241, 163, hue=4),
    "turned.jpg": lambda: pictures.scene(96, 64, hue=1),
}
TURNED = {"turned.jpg": 6}
"""Pictures that say they have to be turned, with the EXIF number of how: 6 is a quarter clockwise."""
ALL_BUDGETS = ("odd.png", "large.png")
FEW_BUDGETS = (70, 280)
SIDES = (1, 7, 48, 64, 100, 224, 480, 640, 1080, 1920, 4000)
"""Every pair of them is a size to be asked for."""
SPOKEN = {"short.wav": 4_800, "second.wav": 16_000}
GENERATED = (1, 160, 161, 320, 321, 1_000, 4_801, 37_920, 480_000, 496_000)
"""Lengths of `sounds.sweep`, which need no file: too short for a frame, 2.37 s, 30 s, and 31 s of which 30 are heard."""
MOST_VALUES = 200
ROW = 48
"""Values in a line of a patch."""


def spread(values: np.ndarray) -> dict:
    """At most `MOST_VALUES` values of an array, a constant step apart in its order in memory."""
    flat = values.reshape(-1)
    step = len(flat) // MOST_VALUES + 1
    return {"step": step, "every": flat[::step].tolist()}


def picture_case(folder: Path, name: str, budget: int) -> dict:
    read = np.asarray(load_image(str(folder / name)))
    made = front_ends.picture(folder / name, budget)
    values = made.bytes
    columns, rows = (made.positions.max(0) + 1).tolist()
    return {
        "file": name,
        "height": read.shape[0],
        "width": read.shape[1],
        "decoded_sum": int(read.sum(dtype=np.int64)),
        "budget": budget,
        "rows": rows,
        "columns": columns,
        "tokens": made.tokens,
        "sum": int(values.sum(dtype=np.int64)),
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        "first": values[0, :ROW].tolist(),
        "last": values[-1, -ROW:].tolist(),
        **spread(values),
    }


def sound_case(samples: np.ndarray) -> dict:
    [made] = front_ends.sounds([sounds.as_numbers(samples)])
    features = np.round(made.features.astype(np.float64), 5)
    valid = features[made.mask]
    case = {"samples": len(samples), "frames": len(features), "valid": len(valid), "tokens": made.tokens}
    if len(valid):
        case |= {"sum": round(float(valid.sum()), 2), "first": valid[0].tolist(), "last": valid[-1].tolist()}
        case |= spread(valid)
    return case


def sizes() -> list[list[int]]:
    """[height, width, budget, rows of patches, columns of patches] of many shapes."""
    shapes = [(height, width) for height in SIDES for width in SIDES]
    found = []
    for index, (height, width) in enumerate(shapes):
        budget = front_ends.BUDGETS[index % len(front_ends.BUDGETS)]
        resized = get_aspect_ratio_preserving_size(height, width, 16, budget * front_ends.POOLED, 3)
        found.append([height, width, budget, *(side // 16 for side in resized)])
    return found


def write(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, draw in PICTURES.items():
        pictures.save(out / name, draw(), TURNED.get(name))
    for name, samples in SPOKEN.items():
        sounds.save(out / name, sounds.speech(samples))
    wanted = [
        (name, budget) for name in PICTURES for budget in (front_ends.BUDGETS if name in ALL_BUDGETS else FEW_BUDGETS)
    ]
    lists = {
        "sizes": sizes(),
        "pictures": [picture_case(out, *each) for each in wanted],
        "sounds": [{"file": name, **sound_case(sounds.read(out / name))} for name in SPOKEN]
        + [{"file": None, **sound_case(sounds.sweep(samples))} for samples in GENERATED],
    }
    made_with = {name: version(name) for name in ("transformers", "pillow")}
    parts = [f'"made_with":{json.dumps(made_with)}']
    for key, cases in lists.items():
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        parts.append(f'"{key}":[\n{lines}\n]')
    (out / "front_ends.json").write_text("{" + ",\n".join(parts) + "}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make small pictures and sounds, and write down what Transformers makes of them."
    parser.add_argument("--out", type=Path, required=True, help="folder to write; what was there is deleted")


def run(args: argparse.Namespace) -> None:
    write(args.out)
    print(f"{args.out}: {sum(path.stat().st_size for path in args.out.iterdir()):,} bytes")
