"""A checkpoint of any size to a folder that hob runs, in the published form, one matrix in memory at a time.

Graphs are those of `published`, `vision_graph` and `audio_graph`. A weight goes to the data file the moment a graph asks for
it, rounded where the variant has it rounded: what comes out is byte for byte the tensors that `quantize` would make.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from transformers import AutoConfig

from . import layout, published
from .audio_graph import Audio
from .nodes import CONTRIB
from .quantize import BITS, BLOCK, Blocks
from .stored import Stored, UnreadableCheckpoint
from .vision_graph import Vision

VARIANTS = {"fp32": layout.FP32, "fp16": layout.FP16, "q4": layout.Q4, "q4f16": layout.Q4F16, "quantized": layout.Q8}
HALF = (layout.FP16, layout.Q4F16)
CHUNK_BYTES = 2_000_000_000
"""A data file holds no more."""


class Sparing:
    """What a writer of graphs needs to leave its weights on the way to the disk."""

    def begin(self, path: Path, bits: int | None) -> None:
        """`path` is that of the graph."""
        self.path, self.bits = path, bits
        self.stored: dict[str, TensorProto] = {}
        self.chunk, self.offset = 0, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        for data in path.parent.glob(path.name + "_data*"):
            data.unlink()

    def has(self, name: str) -> bool:
        return name in self.stored or super().has(name)

    def constant(self, name: str, value, kind: np.dtype | type | None = None) -> str:
        array = np.asarray(value, kind or self.number, order="C")
        if array.nbytes < layout.EXTERNAL_BYTES:
            return super().constant(name, array, array.dtype)
        return self.store(name, array.dtype, array.shape, [array])

    def store(self, name: str, kind: np.dtype, shape: Iterable[int], pieces: Iterable[np.ndarray]) -> str:
        """Writes a tensor that comes in pieces."""
        if name in self.stored:
            return name
        shape = list(shape)
        size = int(np.prod(shape)) * kind.itemsize
        if self.offset and self.offset + size > CHUNK_BYTES:
            self.chunk, self.offset = self.chunk + 1, 0
        location = f"{self.path.name}_data" + (f"_{self.chunk}" if self.chunk else "")
        with (self.path.parent / location).open("ab") as file:
            for piece in pieces:
                file.write(np.ascontiguousarray(piece, kind).tobytes())
        tensor = TensorProto(name=name, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(kind)
        for key, value in (("location", location), ("offset", self.offset), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        self.stored[name] = tensor
        self.offset += size
        return name

    def rounded(self, name: str, shape: tuple[int, ...], pieces: Iterable[np.ndarray], flat: bool) -> list[str]:
        """Levels, scales and zero points of a matrix [rows,width]. `flat` leaves blocks without a dimension."""
        rows, width = shape
        blocks = -(-width // BLOCK)
        block_bytes = BLOCK * self.bits // 8
        scales, zeros = [], []

        def levels() -> Iterator[np.ndarray]:
            for piece in pieces:
                part = Blocks.rounded(piece.astype(self.number), self.bits)
                scales.append(part.scales)
                zeros.append(part.packed(part.zeros))
                yield part.packed(part.values)

        dims = [rows, blocks * block_bytes] if flat else [rows, blocks, block_bytes]
        names = [f"{name}_Q{self.bits}", f"{name}_scales", f"{name}_zero_points"]
        self.store(names[0], np.dtype(np.uint8), dims, levels())
        for part, arrays in zip(names[1:], (scales, zeros), strict=True):
            if arrays:
                self.constant(part, np.concatenate(arrays), arrays[0].dtype)
        return names

    def linear(self, path: str, value: str, name: str) -> str:
        weight = f"{name}.weight"
        if self.bits is None:
            return super().linear(path, value, name)
        return self.quantized_product(path, value, weight, self.weights.shape(weight), self.weights.slices(weight))

    def product(self, path: str, value: str, name: str, weight: np.ndarray) -> str:
        if self.bits is None:
            return super().product(path, value, name, weight)
        return self.quantized_product(path, value, name, weight.shape, [weight])

    def quantized_product(self, path: str, value: str, name: str, shape: tuple[int, ...], pieces) -> str:
        names = self.rounded(name, shape, pieces, flat=False)
        settings = {"K": shape[1], "N": shape[0], "bits": self.bits, "block_size": BLOCK}
        outputs = [f"{path}/MatMul/output_0"]
        return self.node("MatMulNBits", [value, *names], f"{path}/MatMul_Quant", outputs, CONTRIB, **settings)

    def rows(self, path: str, table: str, ids: str) -> str:
        shape, pieces = self.weights.shape(table), self.weights.slices(table)
        outputs = [f"{path}/Gather/output_0"]
        if self.bits is None:
            return self.node("Gather", [self.store(table, self.number, shape, pieces), ids], f"{path}/Gather", outputs)
        levels, *rest = self.rounded(table, shape, pieces, flat=True)
        settings = {"bits": self.bits, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
        return self.node(
            "GatherBlockQuantized", [levels, ids, *rest], f"{path}/Gather_Quant", outputs, CONTRIB, **settings
        )

    def save(self, proto: onnx.ModelProto) -> None:
        proto.graph.initializer.extend(self.stored.values())
        self.path.write_bytes(proto.SerializeToString())


class SparingEmbed(Sparing, published.Embed):
    pass


class SparingDecoder(Sparing, published.Decoder):
    pass


class SparingVision(Sparing, Vision):
    pass


class SparingAudio(Sparing, Audio):
    pass


def export(checkpoint: Path, out: Path, variant: str, adapter: Path | None = None) -> None:
    """Writes `out/onnx` and the side files; the graphs of one variant, those of the towers that the checkpoint has."""
    for name in layout.COPIED_FILES:
        if not (checkpoint / name).exists():
            raise UnreadableCheckpoint(f"{checkpoint} has no {name}: copy it from the model that was trained further")
    config = AutoConfig.from_pretrained(checkpoint)
    text = config.get_text_config()
    weights, suffix = Stored(checkpoint, adapter), VARIANTS[variant]
    number = np.float16 if suffix in HALF else np.float32
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkpoint / "tokenizer.json", out / "tokenizer.json")
    graphs = {
        layout.EMBED: (SparingEmbed(text, weights, number), [layout.media_ids(out)]),
        layout.DECODER: (SparingDecoder(text, weights, number), []),
    }
    if (tower := getattr(config, "vision_config", None)) is not None:
        graphs[layout.VISION] = (SparingVision(tower, weights, number), [text.hidden_size])
    if (tower := getattr(config, "audio_config", None)) is not None:
        graphs[layout.AUDIO] = (SparingAudio(tower, weights, number), [text.hidden_size])
    for graph, (writer, told) in graphs.items():
        writer.begin(layout.graph_path(out, graph, suffix), BITS.get(suffix))
        writer.save(writer.written(*told))
        print(f"{graph}{suffix}", flush=True)
    layout.write_side_files(checkpoint, config, out)
