"""The exported folder against Transformers on the golden prompts, graph by graph.

Every graph is led along the tokens that Transformers wrote and asked at each step what it would have written, so that
one difference does not hide the rest. Three questions, one row each where they apply:

* the export: does the fp32 graph choose every token that the checkpoint chooses?
* the arithmetic: does a quantized graph compute what its rounded weights say? Its oracle is Transformers with those
  weights, its kernels run in single precision.
* the cost: how often does the quantized graph, as it is shipped, choose another token than the checkpoint?
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import golden, layout, quantize
from .runtime import OnnxModel, TorchModel

SAME_ARITHMETIC = golden.TIE / 2
"""Two ways to sum the same products differ by less than this in any logit, too little to change a golden token."""


@dataclass
class Agreement:
    """How far a graph agrees with Transformers; `must` marks the rows where anything but equality is a fault."""

    graph: str
    against: str
    must: bool
    prompts: list[bool] = field(default_factory=list)
    tokens: list[bool] = field(default_factory=list)
    gap: float = 0.0

    def row(self) -> str:
        prompts = f"{sum(self.prompts)}/{len(self.prompts)}"
        tokens = f"{sum(self.tokens)}/{len(self.tokens)}"
        return f"| {self.graph} | {self.against} | {prompts} | {tokens} | {self.gap:.1e} |"

    def faulty(self) -> bool:
        return self.must and self.gap >= SAME_ARITHMETIC


Reference = list[tuple[list[int], list[int], np.ndarray]]
"""Prompt, tokens and the logits they were chosen from, for each case."""


def reference(model: TorchModel, cases: list[dict]) -> Reference:
    return [(case["prompt"], case["tokens"], model.follow(case["prompt"], case["tokens"])) for case in cases]


def agreement(row: Agreement, model: OnnxModel, expected: Reference) -> Agreement:
    for prompt, tokens, wanted in expected:
        logits = model.follow(prompt, tokens)
        same = (logits.argmax(-1) == wanted.argmax(-1)).tolist()
        row.prompts.append(all(same))
        row.tokens += same
        row.gap = max(row.gap, float(np.abs(logits - wanted).max()))
    return row


def compare(checkpoint: Path, folder: Path, cases: list[dict]) -> list[Agreement]:
    torch_model = TorchModel(checkpoint)
    plain = reference(torch_model, cases)
    rows = [agreement(Agreement("fp32", "checkpoint", must=True), OnnxModel(folder), plain)]
    for suffix in quantize.BITS:
        if not layout.graph_path(folder, layout.DECODER, suffix).exists():
            continue
        torch_model.load(quantize.stored_weights(folder, suffix))
        rounded = reference(torch_model, cases)
        oracle = Agreement(f"{suffix}, single precision", "its weights", must=suffix != layout.Q4F16)
        rows.append(agreement(oracle, OnnxModel(folder, suffix, oracle=True), rounded))
        shipped = OnnxModel(folder, suffix)
        rows.append(agreement(Agreement(suffix, "its weights", must=False), shipped, rounded))
        rows.append(agreement(Agreement(suffix, "checkpoint", must=False), shipped, plain))
    return rows


def report(rows: list[Agreement]) -> None:
    """Prints the table, and stops the release where two ways of the same arithmetic disagree."""
    print("| graph | against | prompts equal | tokens equal | largest difference of a logit |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(row.row())
    if any(row.faulty() for row in rows):
        raise SystemExit("an exported graph does not compute what its checkpoint does: see the rows above")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Set an exported folder against Transformers on the golden prompts."
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--golden", type=Path, required=True, help="JSON file that `golden` wrote")


def run(args: argparse.Namespace) -> None:
    report(compare(args.checkpoint, args.folder, golden.read(args.golden)))
