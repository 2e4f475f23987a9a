"""The shipped folder from a trained checkpoint, by one command: export, quantize, golden, compare, answers.

The goldens are those of the shipped weights: what PyTorch says with the numbers that the 8-bit files hold. Beside them
goes the shipped decoder graph with products in single precision, as PyTorch has them: it reads the shipped weights.

Nothing is put in its place unless the comparison holds: the work happens in a folder beside the target, which then
takes over the target's `onnx` and its side files; the goldens likewise.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from . import answers, compare, export, golden, layout, quantize, runtime

KEPT = (layout.Q8,)
"""What is shipped. The unrounded graphs are compared here and left out: they would be most of the repository's bytes."""

ANSWERS = 300
EXACT = "pocket_decoder_exact.onnx"
"""The decoder graph that may not round activations, beside the goldens."""


def release(checkpoint: Path, out: Path, golden_file: Path) -> None:
    work = out.with_name(out.name + ".new")
    shutil.rmtree(work, ignore_errors=True)
    export.export(checkpoint, work)
    for suffix in quantize.BITS:
        quantize.quantize(work, suffix)
    new_golden = golden_file.with_name(golden_file.name + ".new")
    golden.write(checkpoint, new_golden, weights=quantize.stored_weights(work, layout.Q8))
    compare.report(compare.compare(checkpoint, work, golden.read(new_golden)))
    answers.report(work, ANSWERS)
    for suffix in {layout.FP32, *quantize.BITS} - set(KEPT):
        layout.remove_variant(work, suffix)
    new_golden.replace(golden_file)
    golden_file.with_name(EXACT).write_bytes(runtime.graph_bytes(work, layout.DECODER, layout.Q8, oracle=True))
    shutil.rmtree(out / "onnx", ignore_errors=True)
    for part in work.iterdir():
        part.replace(out / part.name)
    work.rmdir()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make the shipped folder from a trained checkpoint."
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    fixtures = Path(__file__).parents[3] / "tests" / "fixtures"
    parser.add_argument("--golden", type=Path, default=fixtures / "pocket_golden.json")


def run(args: argparse.Namespace) -> None:
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    release(args.checkpoint, args.out, args.golden)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size:,} bytes, made in {time.monotonic() - started:.0f} s")
