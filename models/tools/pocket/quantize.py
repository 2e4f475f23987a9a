"""The quantized variants of an exported folder.

`_q4` has 4 bits a weight, `_q4f16` the same and its caches in half precision, `_quantized` 8 bits a weight.

Weights are rounded in blocks of 32 along the summed dimension, each block with its own scale and zero point, into
`MatMulNBits` (products) and `GatherBlockQuantized` (both tables), as the published files have them; scales are of the
type that the graph computes in. The products carry `accuracy_level` 4, which lets the kernels round activations to 8
bits as well: without it in the file they fall back to single precision at half the speed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import layout
from .nodes import CONTRIB

BLOCK = 32
INT8_ACTIVATIONS = 4
BITS = {layout.Q4: 4, layout.Q4F16: 4, layout.Q8: 8}
GATE_AND_UP = ".gate_up_proj."
"""Two products of the checkpoint that the published form makes one, row upon row."""


@dataclass
class Blocks:
    """A matrix [rows, width] in blocks along its width.

    `values` uint8 [rows, width padded to whole blocks], `scales` f32 or f16 and `zeros` uint8 [rows, blocks].
    """

    values: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray
    bits: int
    width: int

    @classmethod
    def rounded(cls, matrix: np.ndarray, bits: int) -> Blocks:
        """Rounds to the nearest of 2^bits levels between the least and the greatest of each block; zero stays zero.

        Scales are of the matrix's type; what they are multiplied with is chosen after they were rounded to it.
        """
        rows, width = matrix.shape
        padded = np.pad(matrix.astype(np.float32), ((0, 0), (0, -width % BLOCK))).reshape(rows, -1, BLOCK)
        low = np.minimum(padded.min(-1), 0)
        high = np.maximum(padded.max(-1), 0)
        levels = 2**bits - 1
        stored = ((high - low) / levels).astype(matrix.dtype)
        stored[stored == 0] = 1
        scales = stored.astype(np.float32)
        zeros = np.clip(np.rint(-low / scales), 0, levels)
        values = np.clip(np.rint(padded / scales[..., None]) + zeros[..., None], 0, levels)
        return cls(values.astype(np.uint8).reshape(rows, -1), stored, zeros.astype(np.uint8), bits, width)

    @classmethod
    def stored(cls, values: np.ndarray, scales: np.ndarray, zeros: np.ndarray, bits: int, width: int) -> Blocks:
        """Reads what `packed` wrote."""
        return cls(unpacked(values, bits), scales, unpacked(zeros, bits)[:, : scales.shape[1]], bits, width)

    def matrix(self) -> np.ndarray:
        """What the rounded values stand for, f32 [rows, width]."""
        rows = len(self.values)
        levels = self.values.reshape(rows, -1, BLOCK).astype(np.float32) - self.zeros[..., None]
        return (levels * self.scales[..., None].astype(np.float32)).reshape(rows, -1)[:, : self.width]

    def packed(self, values: np.ndarray) -> np.ndarray:
        """As many values as fit into a byte, the low bits first."""
        places = shifts(self.bits)
        whole = np.pad(values, ((0, 0), (0, -values.shape[1] % len(places))))
        return np.bitwise_or.reduce(whole.reshape(len(values), -1, len(places)) << places, axis=-1)


def unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """The inverse of `Blocks.packed`, up to the padding of a row."""
    return (packed[..., None] >> shifts(bits) & 2**bits - 1).astype(np.uint8).reshape(len(packed), -1)


def shifts(bits: int) -> np.ndarray:
    """By how much each value of a byte is moved up in it."""
    return np.arange(0, 8, bits, dtype=np.uint8)


def quantized(proto: onnx.ModelProto, bits: int, accuracy_level: int | None = INT8_ACTIVATIONS) -> onnx.ModelProto:
    """The same graph with every product by a constant, and every look-up in a table, in `bits` bits.

    Without an accuracy level the kernels leave activations as they are.
    """
    graph = proto.graph
    weights = {weight.name: weight for weight in graph.initializer if len(weight.dims) == 2}
    nodes = []
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            nodes.append(product(graph, node, weights[node.input[1]], bits, accuracy_level))
        elif node.op_type == "Gather" and node.input[0] in weights:
            nodes.append(look_up(graph, node, weights[node.input[0]], bits))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    if all(domain.domain != CONTRIB for domain in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return proto


def product(graph, node: onnx.NodeProto, weight: onnx.TensorProto, bits: int, accuracy_level: int | None):
    matrix = numpy_helper.to_array(weight).T
    blocks = Blocks.rounded(matrix, bits)
    rows, count = blocks.scales.shape
    values = blocks.packed(blocks.values).reshape(rows, count, -1)
    names = replace(graph, weight, values, blocks.scales, blocks.packed(blocks.zeros), bits)
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], *names],
        node.output,
        f"{node.name}_Quant",
        domain=CONTRIB,
        K=matrix.shape[1],
        N=rows,
        bits=bits,
        block_size=BLOCK,
        accuracy_level=accuracy_level,
    )


def look_up(graph: onnx.GraphProto, node: onnx.NodeProto, weight: onnx.TensorProto, bits: int) -> onnx.NodeProto:
    blocks = Blocks.rounded(numpy_helper.to_array(weight), bits)
    values = blocks.packed(blocks.values)
    table, scales, zeros = replace(graph, weight, values, blocks.scales, blocks.packed(blocks.zeros), bits)
    return helper.make_node(
        "GatherBlockQuantized",
        [table, node.input[1], scales, zeros],
        node.output,
        f"{node.name}_Quant",
        domain=CONTRIB,
        bits=bits,
        block_size=BLOCK,
        gather_axis=0,
        quantize_axis=1,
    )


def replace(graph: onnx.GraphProto, weight: onnx.TensorProto, values, scales, zeros, bits: int) -> list[str]:
    """Puts the three parts of a rounded weight in its place and returns their names."""
    name = weight.name
    parts = {f"{name}_Q{bits}": values, f"{name}_scales": scales, f"{name}_zero_points": zeros}
    graph.initializer.remove(weight)
    graph.initializer.extend(numpy_helper.from_array(array, part) for part, array in parts.items())
    return list(parts)


def with_half_caches(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its caches in half precision outside; inside it goes on in single precision.

    The published `_q4f16` files compute in half precision too. Processors without such arithmetic cast anyway, and for
    whoever holds the caches the two look alike.
    """
    graph = proto.graph
    before, after = [], []
    for value in [*graph.input, *graph.output]:
        if not value.name.startswith(("past_key_values.", "present.")):
            continue
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
        inner = f"{value.name}.single"
        for node in graph.node:
            node.input[:] = [inner if name == value.name else name for name in node.input]
            node.output[:] = [inner if name == value.name else name for name in node.output]
        comes_in = value.name.startswith("past")
        source, target = (value.name, inner) if comes_in else (inner, value.name)
        kind = TensorProto.FLOAT if comes_in else TensorProto.FLOAT16
        cast = helper.make_node("Cast", [source], [target], f"/{value.name}/Cast", to=kind)
        (before if comes_in else after).append(cast)
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return proto


def stored_weights(folder: Path, suffix: str, graphs: tuple[str, ...] = layout.GRAPHS) -> dict[str, np.ndarray]:
    """What the files of a variant stand for: f32 matrices by their names in the checkpoint, laid out as there."""
    found = {}
    for graph in graphs:
        proto = onnx.load(layout.graph_path(folder, graph, suffix))
        arrays = {weight.name: numpy_helper.to_array(weight) for weight in proto.graph.initializer}
        for node in proto.graph.node:
            parts = [arrays[name] for name in node.input if name in arrays]
            settings = {attribute.name: attribute.i for attribute in node.attribute}
            if node.op_type == "MatMulNBits":
                values, scales, zeros = parts
                name, width = node.input[1], settings["K"]
            elif node.op_type == "GatherBlockQuantized":
                values, scales, zeros = parts
                name, width = node.input[0], values.shape[1] * 8 // settings["bits"]
            else:
                continue
            blocks = Blocks.stored(values.reshape(len(values), -1), scales, zeros, settings["bits"], width)
            found[name.removesuffix(f"_Q{settings['bits']}")] = blocks.matrix()
    for name in [name for name in found if GATE_AND_UP in name]:
        for part, matrix in zip(("gate", "up"), np.split(found.pop(name), 2), strict=True):
            found[name.replace(GATE_AND_UP, f".{part}_proj.")] = matrix
    return found


def quantize(folder: Path, suffix: str, accuracy_level: int | None = INT8_ACTIVATIONS) -> None:
    for graph in layout.graphs_in(folder):
        proto = onnx.load(layout.graph_path(folder, graph))
        proto = quantized(proto, BITS[suffix], accuracy_level)
        if suffix == layout.Q4F16 and graph == layout.DECODER:
            proto = with_half_caches(proto)
        layout.save(proto, folder, graph, suffix)
    config = folder / "config.json"
    layout.write_json(config, layout.with_data_files(config))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write the quantized variants of an exported folder beside its fp32 graphs."
    parser.add_argument("--folder", type=Path, required=True, help="folder that `export` wrote")
    parser.add_argument("--variant", choices=sorted(BITS), nargs="*", default=sorted(BITS))


def run(args: argparse.Namespace) -> None:
    for suffix in args.variant:
        quantize(args.folder, suffix)
        sizes = [path.stat().st_size for path in args.folder.glob(f"onnx/*{suffix}.onnx*")]
        print(f"{suffix}: {sum(sizes):,} bytes")
