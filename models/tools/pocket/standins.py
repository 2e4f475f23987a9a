"""Stand-ins for Gemma 4 E2B and E4B: random models of their topology in miniature, in all forms, with goldens.

    OUT/<model>/<form>/     a folder of the published layout
    OUT/<model>/<form>/golden<suffix>.json     what Transformers writes with the weights of that variant
    OUT/<model>/<form>/golden_media<suffix>.json     the same after pictures and sounds, which lie in `media`

Models are `e2b` and `e4b` (see `miniature`), forms are `unfused`, which `export` traces, and `published`, which the
published files have (see `published`). Quantized products carry no leave to round activations, so that every variant
must write the very tokens of its golden. The same versions give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from . import asked, checkpoints, export, layout, long_goldens, media_goldens, miniature, published, quantize
from .asked import Asked
from .audio_graph import audio_graph
from .layout import AUDIO, DECODER, EMBED, ENCODERS, FP16, FP32, Q2F16, Q4, Q4F16, Q8, VISION
from .nodes import Weights
from .runtime import TorchModel
from .seen import SeeingModel
from .vision_graph import vision_graph

PUBLISHED = [FP32, FP16, Q4, Q4F16, Q2F16, Q8]
HALF = (FP16, Q4F16, Q2F16)
"""Variants of the published form that compute in half precision."""
TEXT_ONLY = (Q2F16,)
"""Variants that are published without encoders."""
BITS = {**quantize.BITS, Q2F16: 2}
CHUNKS = {
    **{("e2b", FP32, DECODER): 5, ("e2b", FP16, DECODER): 3},
    **{("e4b", Q4, EMBED): 2, ("e4b", Q4, DECODER): 2, ("e4b", Q4F16, DECODER): 2},
}
"""In how many data files the published graphs lie, where that is known and more than one."""
FIXTURE_CASES = 8


def unfused(checkpoint: Path, out: Path) -> list[str]:
    """The form that `export` makes. Returns the variants."""
    export.export(checkpoint, out)
    variants = [Q4, Q4F16, Q8]
    for suffix in variants:
        quantize.quantize(out, suffix, accuracy_level=None)
    return [FP32, *variants]


def in_published_form(model: str, checkpoint: Path, out: Path, variants: list[str]) -> list[str]:
    text, whole = checkpoints.text_model(checkpoint), checkpoints.whole_model(checkpoint)
    media = layout.media_ids(checkpoint)
    weights, towers = checkpoints.weights(text), checkpoints.weights(whole)
    width = text.config.hidden_size
    for suffix in variants:
        number = np.float16 if suffix in HALF else np.float32
        graphs = {
            EMBED: published.embed_graph(text.config, weights, media, number),
            DECODER: published.decoder_graph(text.config, weights, number),
        }
        if suffix not in TEXT_ONLY:
            graphs[VISION] = vision_graph(whole.config.vision_config, width, towers, number)
            graphs[AUDIO] = audio_graph(whole.config.audio_config, width, towers, number)
        for graph, proto in graphs.items():
            if suffix in BITS:
                proto = quantize.quantized(proto, BITS[suffix], accuracy_level=None)
            layout.save(proto, out, graph, suffix, CHUNKS.get((model, suffix, graph), 1))
    layout.write_side_files(checkpoint, whole.config, out)
    return variants


class Goldens:
    """What Transformers writes with the weights that a variant's files hold: those of the checkpoint, or the rounded ones.

    One answer serves all forms and variants that hold the same.
    """

    def __init__(self, checkpoint: Path, count: int, cases: tuple[Asked, ...]):
        self.checkpoint, self.count, self.cases = checkpoint, count, cases
        self.texts: dict[str, list[dict]] = {}
        self.media: dict[str, media_goldens.Goldens] = {}

    def write(self, out: Path, variants: Iterable[str]) -> None:
        asked.draw(self.cases, out / media_goldens.FOLDER)
        for suffix in variants:
            rounded = quantize.stored_weights(out, suffix) if suffix in BITS else {}
            long_goldens.write(out / f"golden{suffix}.json", self.text(rounded))
            if suffix not in TEXT_ONLY:
                towers = quantize.stored_weights(out, suffix, ENCODERS) if suffix in BITS else {}
                # Single and half precision share the weights of the checkpoint itself.
                half = suffix in HALF or not rounded
                clearness = media_goldens.HALF if half else media_goldens.SINGLE
                self.seen(rounded, towers, out / media_goldens.FOLDER, clearness).write(out, suffix)

    def text(self, rounded: Weights) -> list[dict]:
        digest = digest_of(rounded)
        if digest not in self.texts:
            model = TorchModel(self.checkpoint)
            if rounded:
                model.load(rounded)
            self.texts[digest] = long_goldens.cases(model, self.checkpoint, self.count)
        return self.texts[digest]

    def seen(
        self, rounded: Weights, towers: Weights, files: Path, clearness: media_goldens.Clearness
    ) -> media_goldens.Goldens:
        digest = digest_of(rounded | towers)
        if digest not in self.media:
            model = SeeingModel(self.checkpoint)
            if rounded:
                model.load(rounded, towers)
            self.media[digest] = media_goldens.goldens(model, self.checkpoint, files, self.cases, clearness)
        return self.media[digest]


def digest_of(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].tobytes())
    return digest.hexdigest()


def make(model: str, shape: miniature.Miniature, out: Path) -> None:
    """Both forms of one stand-in, in place of whatever was there."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch)
        miniature.checkpoint(shape, checkpoint)
        goldens = Goldens(checkpoint, long_goldens.CASES, asked.EVERYTHING)
        for form in ("published", "unfused"):
            started = time.monotonic()
            folder = fresh(out / model / form)
            if form == "unfused":
                variants = unfused(checkpoint, folder)
            else:
                variants = in_published_form(model, checkpoint, folder, PUBLISHED)
            goldens.write(folder, variants)
            print(f"{model} {form}: {size(folder):,} bytes in {time.monotonic() - started:.0f} s", flush=True)


def make_fixture(out: Path) -> None:
    """The smallest stand-in of the published form, in the two variants that are published for processors."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch)
        miniature.checkpoint(miniature.FIXTURE, checkpoint)
        variants = in_published_form("fixture", checkpoint, fresh(out), [Q4, Q4F16])
        Goldens(checkpoint, FIXTURE_CASES, asked.FEW).write(out, variants)
    print(f"{out}: {size(out):,} bytes")


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make random miniatures of Gemma 4 E2B and E4B, in the traced and in the published form."
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", choices=sorted(miniature.MINIATURES), nargs="*", help="only these")
    parser.add_argument("--fixture", action="store_true", help="only the small one that lies in the repository")


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)  # so small a model gains nothing from more, and on a busy machine they wait for each other
    if args.fixture:
        make_fixture(args.out)
        return
    for model in args.model or sorted(miniature.MINIATURES):
        make(model, miniature.MINIATURES[model], args.out)
