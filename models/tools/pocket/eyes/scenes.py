"""Pictures as a camera in a cellar takes them: a gauge, a status lamp, a door, a tank; and what each shows."""

from __future__ import annotations

import colorsys
import io
import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

SIZES = ((432, 336), (528, 288))
"""Those of a frame of 4:3 and of 16:9 with a budget of 70 soft tokens: 63 and 66 of them."""
SMALL_SIZES = ((288, 240), (336, 192))
"""Of the first part of training: a third of the work."""
FINE = 2
"""Drawn so many times larger, for smooth edges."""
KINDS = ("gauge", "lamp", "door", "tank")
LAMPS = {"red": (225, 40, 30), "green": (40, 200, 70), "yellow": (240, 200, 40), "off": (70, 70, 72)}
START, SWEEP = 225.0, 270.0
"""Degrees of a gauge's zero, counted from the right against the clock, and of its scale, with the clock."""


@dataclass(frozen=True)
class Scene:
    """What a picture shows: a gauge or a tank a value from 0 to 100, a lamp its colour, a door whether it is open."""

    kind: str
    value: int = 0
    word: str = ""


@dataclass(frozen=True)
class Look:
    """How a picture is drawn. `kept` looks are for evaluation: hues, needles and light that training never sees. `difficulty`
    0 to 1 is how far things stand from the middle, how small, dim and noisy they may be."""

    kept: bool = False
    difficulty: float = 1.0

    def between(self, rng: Random, easy: float, low: float, high: float) -> float:
        """From a range that is narrower around `easy` the easier it is."""
        return easy + self.difficulty * (rng.uniform(low, high) - easy)

    def hue(self, rng: Random) -> float:
        return rng.uniform(0.52, 0.7) if self.kept else rng.choice((rng.uniform(0.0, 0.5), rng.uniform(0.72, 1.0)))

    def needle(self, rng: Random) -> str:
        return "arrow" if self.kept else rng.choice(("line", "wedge", "tail"))

    def light(self, rng: Random) -> float:
        """Degrees of where it comes from."""
        return rng.uniform(200, 340) if self.kept else rng.uniform(-20, 200)


def drawn_scene(rng: Random, kind: str | None = None) -> Scene:
    kind = kind or rng.choice(KINDS)
    match kind:
        case "gauge" | "tank":
            return Scene(kind, value=rng.randint(0, 100))
        case "lamp":
            return Scene(kind, word=rng.choice(list(LAMPS)))
        case _:
            return Scene(kind, word=rng.choice(("open", "closed")))


def draw(scene: Scene, rng: Random, look: Look = Look(), size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture, u8 [height,width,3]."""
    width, height = size or rng.choice(SIZES)
    image = background(rng, look, width * FINE, height * FINE)
    painter = {"gauge": gauge, "lamp": lamp, "door": door, "tank": tank}[scene.kind]
    painter(ImageDraw.Draw(image), scene, rng, look, width * FINE, height * FINE)
    return taken(image.resize((width, height), Image.Resampling.BOX), rng, look)


def colour(rng: Random, hue: float, saturation: tuple[float, float], value: tuple[float, float]) -> tuple[int, ...]:
    made = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return tuple(int(255 * part) for part in made)


def grey(rng: Random, low: int, high: int) -> tuple[int, int, int]:
    return (level := rng.randint(low, high), level + rng.randint(-6, 6), level + rng.randint(-6, 6))


def background(rng: Random, look: Look, width: int, height: int) -> Image.Image:
    """A wall, with pipes, cables and boards on it."""
    image = Image.new("RGB", (width, height), colour(rng, look.hue(rng), (0.0, 0.35), (0.3, 0.9)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.randint(0, 6) * look.difficulty)):
        ink = colour(rng, look.hue(rng), (0.0, 0.5), (0.15, 0.9))
        x, y = rng.randint(-100, width), rng.randint(-100, height)
        if rng.random() < 0.5:
            end = rng.randint(-100, width), rng.randint(-100, height)
            pen.line([(x, y), end], fill=ink, width=rng.randint(6, 40))
        else:
            pen.rectangle([x, y, x + rng.randint(30, 300), y + rng.randint(30, 300)], fill=ink)
    return image


def gauge(pen: ImageDraw.ImageDraw, scene: Scene, rng: Random, look: Look, width: int, height: int) -> None:
    radius = look.between(rng, 0.45, 0.3, 0.46) * height
    x = width / 2 + look.between(rng, 0, -0.16, 0.16) * width
    y = height / 2 + look.between(rng, 0, -0.5, 0.5) * (height - 2 * radius) * 0.8
    tilt = look.between(rng, 0, -3, 3)
    face = grey(rng, 200, 250) if rng.random() < 0.6 else colour(rng, look.hue(rng), (0.05, 0.4), (0.7, 1.0))
    dark = sum(face) > 380
    ink = grey(rng, 0, 60) if dark else grey(rng, 210, 250)
    pen.ellipse(around(x, y, radius * 1.1), fill=grey(rng, 30, 150))
    pen.ellipse(around(x, y, radius), fill=face)
    if rng.random() < 0.4:
        first = rng.randint(60, 85)
        box = around(x, y, radius * 0.95)
        pen.arc(box, -angle(first, tilt), -angle(100, tilt), fill=(210, 50, 40), width=int(radius * 0.07))
    for tick in range(0, 101, 5):
        long = tick % 10 == 0
        inner = radius * (0.78 if long else 0.86)
        spoke(pen, (x, y), angle(tick, tilt), inner, radius * 0.94, ink, max(2, int(radius * (0.022 if long else 0.012))))
    toward = angle(scene.value, tilt)
    hand = colour(rng, 0.0, (0.8, 1.0), (0.6, 0.9)) if rng.random() < 0.4 else ink
    point(pen, (x, y), toward, radius, look.needle(rng), hand)
    pen.ellipse(around(x, y, radius * rng.uniform(0.05, 0.1)), fill=grey(rng, 20, 120))


def angle(value: float, tilt: float) -> float:
    return START - SWEEP * value / 100 + tilt


def around(x: float, y: float, radius: float) -> list[float]:
    return [x - radius, y - radius, x + radius, y + radius]


def at(centre: tuple[float, float], degrees: float, distance: float) -> tuple[float, float]:
    turn = math.radians(degrees)
    return centre[0] + distance * math.cos(turn), centre[1] - distance * math.sin(turn)


def spoke(pen, centre, degrees: float, inner: float, outer: float, ink, width: int) -> None:
    pen.line([at(centre, degrees, inner), at(centre, degrees, outer)], fill=ink, width=width)


def point(pen, centre, degrees: float, radius: float, needle: str, ink) -> None:
    tip, wide = at(centre, degrees, radius * 0.8), radius * 0.05
    match needle:
        case "line":
            pen.line([centre, tip], fill=ink, width=max(3, int(radius * 0.04)))
        case "tail":
            pen.line([at(centre, degrees + 180, radius * 0.2), tip], fill=ink, width=max(3, int(radius * 0.045)))
        case "arrow":
            pen.line([centre, at(centre, degrees, radius * 0.66)], fill=ink, width=max(3, int(radius * 0.035)))
            neck = at(centre, degrees, radius * 0.6)
            pen.polygon([tip, at(neck, degrees + 90, wide * 1.3), at(neck, degrees - 90, wide * 1.3)], fill=ink)
        case _:
            pen.polygon([tip, at(centre, degrees + 90, wide), at(centre, degrees - 90, wide)], fill=ink)


def lamp(pen: ImageDraw.ImageDraw, scene: Scene, rng: Random, look: Look, width: int, height: int) -> None:
    x, y = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7)
    radius = height * rng.uniform(0.06, 0.16)
    side = radius * rng.uniform(1.5, 2.4)
    pen.rectangle([x - side, y - side, x + side, y + side * rng.uniform(1.0, 1.6)], fill=grey(rng, 50, 200))
    pen.ellipse(around(x, y, radius * 1.2), fill=grey(rng, 20, 90))
    shine = tuple(min(255, max(0, part + rng.randint(-22, 22))) for part in LAMPS[scene.word])
    pen.ellipse(around(x, y, radius), fill=shine)
    if scene.word != "off":
        bright = tuple(int(part + (255 - part) * rng.uniform(0.3, 0.7)) for part in shine)
        pen.ellipse(around(x - radius * 0.2, y - radius * 0.2, radius * rng.uniform(0.3, 0.55)), fill=bright)


def door(pen: ImageDraw.ImageDraw, scene: Scene, rng: Random, look: Look, width: int, height: int) -> None:
    tall = height * rng.uniform(0.62, 0.88)
    wide = tall * rng.uniform(0.42, 0.52)
    left, top = width * rng.uniform(0.15, 0.8) - wide / 2, height * 0.97 - tall
    leaf = colour(rng, look.hue(rng), (0.1, 0.7), (0.35, 0.9))
    frame = grey(rng, 90, 240)
    edge = wide * 0.06
    pen.rectangle([left - edge, top - edge, left + wide + edge, top + tall], fill=frame)
    if scene.word == "closed":
        pen.rectangle([left, top, left + wide, top + tall], fill=leaf)
        darker = tuple(int(part * 0.75) for part in leaf)
        for row in range(rng.choice((0, 1, 2, 3))):
            y = top + tall * (0.08 + 0.3 * row)
            pen.rectangle([left + wide * 0.15, y, left + wide * 0.85, y + tall * 0.22], outline=darker, width=6)
        handle = left + wide * rng.choice((0.1, 0.88))
        pen.ellipse(around(handle, top + tall * 0.52, wide * 0.04), fill=grey(rng, 20, 250))
        return
    pen.rectangle([left, top, left + wide, top + tall], fill=grey(rng, 5, 55))
    opened = rng.uniform(0.12, 0.55) * wide
    skew = tall * rng.uniform(0.03, 0.09)
    if rng.random() < 0.5:
        corners = [(left, top), (left - opened, top + skew), (left - opened, top + tall + skew * 0.5), (left, top + tall)]
    else:
        right = left + wide
        corners = [(right, top), (right + opened, top + skew), (right + opened, top + tall + skew * 0.5), (right, top + tall)]
    pen.polygon(corners, fill=leaf)


def tank(pen: ImageDraw.ImageDraw, scene: Scene, rng: Random, look: Look, width: int, height: int) -> None:
    tall, wide = height * look.between(rng, 0.84, 0.6, 0.86), height * look.between(rng, 0.45, 0.22, 0.5)
    left = width * look.between(rng, 0.5, 0.25, 0.75) - wide / 2
    top = (height - tall) * look.between(rng, 0.5, 0.2, 0.8)
    glass = grey(rng, 150, 245)
    pen.rectangle([left - 10, top - 10, left + wide + 10, top + tall + 10], fill=grey(rng, 20, 110))
    pen.rectangle([left, top, left + wide, top + tall], fill=glass)
    liquid = colour(rng, look.hue(rng), (0.5, 1.0), (0.3, 0.85))
    surface = top + tall * (1 - scene.value / 100)
    pen.rectangle([left, surface, left + wide, top + tall], fill=liquid)
    if rng.random() < 0.7:
        for tick in range(0, 101, 10):
            y = top + tall * (1 - tick / 100)
            pen.line([(left + wide, y), (left + wide + (24 if tick % 50 == 0 else 14), y)], fill=(20, 20, 20), width=4)


def taken(image: Image.Image, rng: Random, look: Look) -> np.ndarray:
    """As a camera takes it: turned a little, lit from one side, dim or bright, blurred, noisy, compressed."""
    if rng.random() < 0.7 * look.difficulty:
        image = image.rotate(rng.uniform(-3, 3), Image.Resampling.BILINEAR, fillcolor=grey(rng, 60, 160))
    if rng.random() < 0.5 * look.difficulty:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    image = ImageEnhance.Brightness(image).enhance(look.between(rng, 1.0, 0.45, 1.25))
    image = ImageEnhance.Contrast(image).enhance(look.between(rng, 1.0, 0.7, 1.2))
    pixels = np.asarray(image, np.float32)
    height, width, _ = pixels.shape
    turn = math.radians(look.light(rng))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    slope = (columns / width - 0.5) * math.cos(turn) - (rows / height - 0.5) * math.sin(turn)
    pixels = pixels * (1 + look.between(rng, 0, 0, 0.7) * slope[..., None])
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape, np.float32)
    pixels = np.clip(pixels + noise * look.between(rng, 0, 0, 12), 0, 255).astype(np.uint8)
    if rng.random() < 0.5 * look.difficulty:
        kept = io.BytesIO()
        Image.fromarray(pixels).save(kept, "JPEG", quality=rng.randint(35, 92))
        pixels = np.asarray(Image.open(kept))
    return pixels
