"""Folders as large as the published E2B and E4B, with random weights: what speed and memory are measured on.

Graphs, names, types, layouts and chunks are those of `published`; weights were never numbers. They are written as they
lie in the files, out of a pool of random bytes: nobody holds ten gigabytes. Scales are such that every layer passes on
about what it gets. What comes out is nonsense, at the true speed.

The published block is 32. With 128 the same weights have a quarter of the scales; with a body of 2 bits (and blocks of
128, no zero points, a head of 4 bits) a folder has the shapes of the QAT mobile variant. The embedding tables are the
same in all of them: `--tables-of` links them instead of writing them once more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from transformers import Gemma4ForCausalLM

from . import folder, layout, published, true_vocabulary
from .miniature import SHARPNESS, Miniature
from .nodes import CONTRIB

SIZES = {"head_width": 256, "per_layer": 256, "window": 512, "positions": 131_072}
SHAPES = {
    "e2b": Miniature(
        group=5, groups=7, shared_groups=4, heads=8, kv_heads=1, double_wide=True, hidden=1536, inner=6144, **SIZES
    ),
    "e4b": Miniature(
        group=6, groups=7, shared_groups=3, heads=8, kv_heads=2, double_wide=False, hidden=2560, inner=10240, **SIZES
    ),
}
NUMBERS = {layout.Q4: np.float32, layout.Q4F16: np.float16, layout.Q2F16: np.float16}
TABLE_BITS, TABLE_BLOCK = 4, 32
HEAD_BITS = 4
ENDS = [1, 106]
"""`<eos>` and `<turn|>`, by which a turn ends that calls nothing."""
END_OF_CALL = 49
"""`<tool_call|>`."""
CHUNK_BYTES = 2**31 - 2**16
"""A data file stays below two gigabytes: browsers cannot map more."""
SPREAD = {4: 4.61, 2: 1.12}
"""Standard deviation of so many random bits."""
PIECE = 1 << 26

Blob = Callable[[], Iterator[bytes]]
"""Gives the bytes of a weight, piece by piece."""


class Pool:
    """Random bytes; weights begin anywhere in them."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.bytes = self.random.integers(0, 256, PIECE, dtype=np.uint8)

    def blob(self, length: int) -> Blob:
        start = int(self.random.integers(0, 1 << 16))

        def pieces() -> Iterator[bytes]:
            at, left = start, length
            while left:
                piece = self.bytes[at : at + left]
                yield piece.tobytes()
                at, left = 0, left - len(piece)

        return pieces

    def scales(self, count: int, middle: float, number: np.dtype) -> Blob:
        some = (middle * (0.75 + 0.5 * self.random.random(min(count, 1 << 20)))).astype(number)
        return repeated(some.tobytes(), count * number.itemsize)


def repeated(some: bytes, length: int) -> Blob:
    def pieces() -> Iterator[bytes]:
        left = length
        while left:
            yield some[:left]
            left -= min(left, len(some))

    return pieces


class Shapes:
    """The checkpoint that is not there: matrices of nothing but a shape, and norms and scalars with values."""

    def __init__(self, config):
        with torch.device("meta"):
            named = Gemma4ForCausalLM(config).state_dict()
        self.shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
        self.random = np.random.default_rng(len(self.shapes))

    def __getitem__(self, name: str) -> np.ndarray:
        shape = self.shapes[name]
        if len(shape) > 1:
            return np.broadcast_to(np.float32(0), shape)
        middle = SHARPNESS * shape[0] ** -0.5 if name.endswith("q_norm.weight") else 1.0
        return (middle * (1 + 0.2 * self.random.standard_normal(shape))).astype(np.float32)


@dataclass(frozen=True)
class Rounding:
    """How the matrices of a graph are stored. Without zero points the middle of the range stands for zero."""

    bits: int
    block: int
    zero_points: bool
    accuracy_level: int | None


class Streamed:
    """What a writer of graphs needs to leave its large weights on the way to the disk."""

    def begin(self, seed: int, rounding: Rounding) -> None:
        self.pool, self.rounding = Pool(seed), rounding
        self.blobs: dict[str, tuple[int, list[int], int, Blob]] = {}
        """Element type, dimensions, bytes and the bytes themselves, by name."""

    def large(self, name: str, kind: np.dtype | type, shape: list[int], blob: Blob) -> str:
        kind, size = np.dtype(kind), int(np.prod(shape)) * np.dtype(kind).itemsize
        self.blobs[name] = (helper.np_dtype_to_tensor_dtype(kind), shape, size, blob)
        return name

    def rounded(self, name: str, rows: int, width: int, rounding: Rounding, flat: bool) -> list[str]:
        """Levels, scales and zero points of a matrix [rows, width]. `flat` leaves blocks without a dimension."""
        blocks, bits = width // rounding.block, rounding.bits
        bytes_of_block = rounding.block * bits // 8
        shape = [rows, blocks * bytes_of_block] if flat else [rows, blocks, bytes_of_block]
        levels = self.large(f"{name}_Q{bits}", np.uint8, shape, self.pool.blob(rows * blocks * bytes_of_block))
        middle = width**-0.5 / SPREAD[bits]
        scales = self.pool.scales(rows * blocks, middle, self.number)
        parts = [levels, self.large(f"{name}_scales", self.number, [rows, blocks], scales)]
        if rounding.zero_points:
            row = (blocks * bits + 7) // 8
            zeros = repeated(bytes([0x88]) * (1 << 20), rows * row)
            parts.append(self.large(f"{name}_zero_points", np.uint8, [rows, row], zeros))
        return parts

    def save(self, proto: onnx.ModelProto, out: Path, graph: str, suffix: str, data: bool) -> None:
        """Writes the graph and, if `data`, the weights: small ones inside, the others beside it, in chunks."""
        path = layout.graph_path(out, graph, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        small = [weight for weight in proto.graph.initializer if len(weight.raw_data) < layout.EXTERNAL_BYTES]
        kept = {
            weight.name: (weight.data_type, list(weight.dims), len(weight.raw_data), repeated_once(weight.raw_data))
            for weight in proto.graph.initializer
            if len(weight.raw_data) >= layout.EXTERNAL_BYTES
        }
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(small)
        chunk, offset, file = 0, 0, None
        for name, (kind, shape, size, blob) in {**self.blobs, **kept}.items():
            if offset and offset + size > CHUNK_BYTES:
                chunk, offset, file = chunk + 1, 0, None
            location = f"{path.name}_data" + (f"_{chunk}" if chunk else "")
            weight = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
            for key, value in (("location", location), ("offset", offset), ("length", size)):
                weight.external_data.add(key=key, value=str(value))
            proto.graph.initializer.append(weight)
            offset += size
            if data:
                file = file or (path.parent / location).open("wb")
                for piece in blob():
                    file.write(piece)
        path.write_bytes(proto.SerializeToString())


def repeated_once(whole: bytes) -> Blob:
    return lambda: iter([whole])


class TrueEmbed(Streamed, published.Embed):
    def rows(self, path: str, table: str, ids: str) -> str:
        rows, width = self.weights[table].shape
        levels, *rest = self.rounded(table, rows, width, self.rounding, flat=True)
        settings = {"bits": self.rounding.bits, "block_size": self.rounding.block, "gather_axis": 0, "quantize_axis": 1}
        outputs = [f"{path}/Gather/output_0"]
        return self.node(
            "GatherBlockQuantized", [levels, ids, *rest], f"{path}/Gather_Quant", outputs, CONTRIB, **settings
        )


class TrueDecoder(Streamed, published.Decoder):
    def product(self, path: str, value: str, name: str, weight: np.ndarray) -> str:
        rounding, (rows, width) = self.rounding, weight.shape
        if name.startswith("lm_head"):
            rounding = Rounding(HEAD_BITS, rounding.block, rounding.zero_points, rounding.accuracy_level)
        settings = {"K": width, "N": rows, "bits": rounding.bits, "block_size": rounding.block}
        if rounding.accuracy_level is not None:
            settings["accuracy_level"] = rounding.accuracy_level
        parts = self.rounded(name, rows, width, rounding, flat=False)
        # The value keeps the name that it has in the graph that is not rounded.
        outputs = [f"{path}/MatMul/output_0"]
        return self.node("MatMulNBits", [value, *parts], f"{path}/MatMul_Quant", outputs, CONTRIB, **settings)


def make(model: str, suffix: str, rounding: Rounding, out: Path, tables_of: Path | None) -> None:
    config = SHAPES[model].config(true_vocabulary.SIZE)
    shapes, number = Shapes(config), NUMBERS[suffix]
    shutil.rmtree(out, ignore_errors=True)
    words = out / "tokenizer.json"
    true_vocabulary.build(words)
    folder.write_json(
        out / "generation_config.json",
        {
            "bos_token_id": 2,
            "eos_token_id": [*folder.STOPS, END_OF_CALL],
            "pad_token_id": 0,
            "do_sample": False,
            # Random weights would end as they begin, or write one call after the other without an end: what is measured is
            # a decoding of so many tokens, and one call.
            "suppress_tokens": ENDS,
        },
    )
    shutil.copyfile(folder.TEMPLATE, out / folder.TEMPLATE.name)

    embed = TrueEmbed(config, shapes, number)
    embed.begin(1, Rounding(TABLE_BITS, TABLE_BLOCK, True, None))
    proto = embed.written(layout.media_ids(out))
    if tables_of:
        link_tables(tables_of, out, suffix)
    embed.save(proto, out, layout.EMBED, suffix, data=tables_of is None)
    decoder = TrueDecoder(config, shapes, number)
    decoder.begin(2, rounding)
    decoder.save(decoder.written(), out, layout.DECODER, suffix, data=True)
    layout.write_json(out / "config.json", layout.model_config(config, out))


def link_tables(other: Path, out: Path, suffix: str) -> None:
    """The data files of another folder's tables, under this variant's name."""
    found = sorted(other.glob(f"onnx/{layout.EMBED}_*.onnx_data*"))
    if not found:
        raise SystemExit(f"there are no tables in {other}")
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    for data in found:
        os.link(data, out / "onnx" / f"{layout.EMBED}{suffix}.onnx_data{data.name.partition('.onnx_data')[2]}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a folder as large as a published one, with random weights."
    parser.add_argument("--model", choices=sorted(SHAPES), required=True)
    parser.add_argument("--variant", choices=["q4", "q4f16"], default="q4f16")
    parser.add_argument("--block", type=int, choices=[32, 128], default=32)
    parser.add_argument(
        "--body", type=int, choices=[4, 2], default=4, help="bits of the layers; 2 is the variant q2f16"
    )
    parser.add_argument("--accuracy-level", type=int, choices=[0, 4], help="what the products say of it (nothing)")
    parser.add_argument(
        "--tables-of", type=Path, help="link the embedding tables of this folder instead of writing any"
    )
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    started = time.monotonic()
    suffix = layout.Q2F16 if args.body == 2 else f"_{args.variant}"
    rounding = Rounding(args.body, args.block, zero_points=args.body == 4, accuracy_level=args.accuracy_level)
    make(args.model, suffix, rounding, args.out, args.tables_of)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size:,} bytes in {time.monotonic() - started:.0f} s")
