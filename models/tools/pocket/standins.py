"""Stand-ins for Gemma 4 E2B and E4B: random models of their topology in miniature, in all forms, with goldens.

    OUT/<model>/<form>/     a folder of the published layout
    OUT/<model>/<form>/golden<suffix>.json     what Transformers writes with the weights of that variant

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

from . import export, layout, long_goldens, miniature, published, quantize
from .layout import DECODER, EMBED, FP16, FP32, Q2F16, Q4, Q4F16, Q8
from .runtime import TorchModel

PUBLISHED = [FP32, FP16, Q4, Q4F16, Q2F16, Q8]
HALF = (FP16, Q4F16, Q2F16)
"""Variants of the published form that compute in half precision."""
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
    torch_model = TorchModel(checkpoint).model
    config, media = torch_model.config, layout.media_ids(checkpoint)
    weights = {name: tensor.numpy() for name, tensor in torch_model.state_dict().items()}
    for suffix in variants:
        number = np.float16 if suffix in HALF else np.float32
        graphs = {
            EMBED: published.embed_graph(config, weights, media, number),
            DECODER: published.decoder_graph(config, weights, number),
        }
        for graph, proto in graphs.items():
            if suffix in BITS:
                proto = quantize.quantized(proto, BITS[suffix], accuracy_level=None)
            layout.save(proto, out, graph, suffix, CHUNKS.get((model, suffix, graph), 1))
    layout.write_side_files(checkpoint, config, out)
    return variants


def write_goldens(checkpoint: Path, out: Path, variants: Iterable[str], count: int, known: dict[str, list]) -> None:
    """Transformers with the weights that each variant's files hold: those of the checkpoint, or the rounded ones.

    `known` holds the cases of weights that were asked before: one answer serves all forms that hold the same.
    """
    for suffix in variants:
        rounded = quantize.stored_weights(out, suffix) if suffix in BITS else {}
        digest = digest_of(rounded)
        if digest not in known:
            model = TorchModel(checkpoint)
            if rounded:
                model.load(rounded)
            known[digest] = long_goldens.cases(model, checkpoint, count)
        long_goldens.write(out / f"golden{suffix}.json", known[digest])


def digest_of(weights: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].tobytes())
    return digest.hexdigest()


def make(model: str, shape: miniature.Miniature, out: Path) -> None:
    """Both forms of one stand-in, in place of whatever was there."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, known = Path(scratch), {}
        miniature.checkpoint(shape, checkpoint)
        for form in ("published", "unfused"):
            started = time.monotonic()
            folder = fresh(out / model / form)
            if form == "unfused":
                variants = unfused(checkpoint, folder)
            else:
                variants = in_published_form(model, checkpoint, folder, PUBLISHED)
            write_goldens(checkpoint, folder, variants, long_goldens.CASES, known)
            print(f"{model} {form}: {size(folder):,} bytes in {time.monotonic() - started:.0f} s", flush=True)


def make_fixture(out: Path) -> None:
    """The smallest stand-in of the published form, in the two variants that are published for processors."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch)
        miniature.checkpoint(miniature.FIXTURE, checkpoint)
        variants = in_published_form("fixture", checkpoint, fresh(out), [Q4, Q4F16])
        write_goldens(checkpoint, out, variants, FIXTURE_CASES, {})
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
