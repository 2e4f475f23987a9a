"""What the goldens with pictures and sounds ask: messages, each a role and its parts, in the order of a chat.

A part is words, a picture, a sound, or a film that was cut into frames. Its files are drawn by `pictures` and `sounds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import pictures, sounds
from .front_ends import FRAME_BUDGET

USUAL_BUDGET = 280


@dataclass(frozen=True)
class Words:
    text: str


@dataclass(frozen=True)
class Picture:
    file: str


@dataclass(frozen=True)
class Sound:
    file: str


@dataclass(frozen=True)
class Film:
    files: tuple[str, ...]
    seconds: tuple[int, ...]
    """When each frame is seen."""


Part = Words | Picture | Sound | Film


@dataclass(frozen=True)
class Asked:
    """One turn of a user. The goldens add words of their own at its end."""

    name: str
    parts: tuple[Part, ...]
    budget: int = USUAL_BUDGET
    """The most soft tokens of a picture; a frame of a film has 70 always."""
    system: str | None = None


FRAMES = tuple(f"frame{index}.png" for index in range(4))
FILES = {
    "odd.png": lambda: pictures.scene(53, 37),
    "large.png": lambda: pictures.scene(640, 480, hue=1),
    "wide.png": lambda: pictures.scene(401, 9, hue=2),
    "tall.png": lambda: pictures.scene(131, 333, hue=3),
    "tiny.png": lambda: pictures.speckled(3, 2),
    "photo.png": lambda: pictures.scene(241, 163, hue=4),
    "photo.jpg": lambda: pictures.scene(241, 163, hue=4),
    "turned.jpg": lambda: pictures.scene(96, 64, hue=1),
    **{name: partial(pictures.scene, 112, 63, hue) for hue, name in enumerate(FRAMES)},
    "short.wav": lambda: sounds.speech(4_800),
    "second.wav": lambda: sounds.speech(16_000, pitch=1),
    "phrase.wav": lambda: sounds.speech(37_920, pitch=2),
    "half_minute.wav": lambda: sounds.speech(480_000, pitch=3),
    "too_long.wav": lambda: sounds.speech(496_000, pitch=4),
}
TURNED = {"turned.jpg": 6}
"""Pictures that say they have to be turned, with the EXIF number of how: 6 is a quarter clockwise."""


def picture(name: str, file: str, budget: int) -> Asked:
    return Asked(name, (Picture(file),), budget)


def sound(name: str, *files: str) -> Asked:
    return Asked(name, tuple(Sound(file) for file in files))


EVERYTHING = (
    picture("picture, 70 at most", "odd.png", 70),
    picture("picture, 140 at most", "photo.png", 140),
    picture("picture, 280 at most", "tall.png", 280),
    picture("picture, 560 at most", "odd.png", 560),
    picture("picture, 1120 at most", "large.png", 1120),
    picture("a very wide picture", "wide.png", 280),
    picture("a picture of six pixels", "tiny.png", 70),
    picture("a picture that was held upright", "turned.jpg", 70),
    picture("a photograph", "photo.jpg", 140),
    Asked(
        "several pictures",
        (Picture("odd.png"), Words("and"), Picture("photo.png"), Picture("tall.png"), Words("differ")),
        budget=70,
    ),
    sound("sound of 0.3 s", "short.wav"),
    sound("sound of 1 s", "second.wav"),
    sound("sound of 2.37 s", "phrase.wav"),
    sound("sound of 30 s", "half_minute.wav"),
    sound("sound of 31 s", "too_long.wav"),
    sound("several sounds", "phrase.wav", "short.wav", "second.wav"),
    Asked("film", (Film(FRAMES, (0, 1, 59, 61)),), budget=FRAME_BUDGET),
    Asked(
        "all at once",
        (
            *(Words("look at"), Picture("odd.png"), Words("listen to"), Sound("phrase.wav"), Words("watch")),
            *(Film(FRAMES[:2], (3, 600)), Words("and"), Picture("wide.png"), Sound("short.wav")),
        ),
        system="you see and hear",
    ),
)
FEW = (
    picture("picture, 70 at most", "odd.png", 70),
    sound("sound of 0.3 s", "short.wav"),
    Asked(
        "all at once",
        (Words("look at"), Picture("turned.jpg"), Words("listen to"), Sound("short.wav")),
        budget=70,
        system="you see and hear",
    ),
)
"""For the smallest stand-in."""


def files(cases: tuple[Asked, ...]) -> list[str]:
    named = set()
    for part in (part for case in cases for part in case.parts):
        match part:
            case Words():
                pass
            case Picture(file) | Sound(file):
                named.add(file)
            case Film(frames):
                named.update(frames)
    return sorted(named)


def draw(cases: tuple[Asked, ...], folder: Path) -> None:
    """Writes the files that the cases name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files(cases):
        if name.endswith(".wav"):
            sounds.save(folder / name, FILES[name]())
        else:
            pictures.save(folder / name, FILES[name](), TURNED.get(name))
