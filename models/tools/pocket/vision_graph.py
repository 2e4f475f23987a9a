"""The vision encoder in the form in which it is published, written from a checkpoint's weights node by node.

Patches and their places go in, rows for the decoder come out, one after another, those of padding left out. Attention is
`MultiHeadAttention`, to which padding is told as a mask of keys; rotation is plain arithmetic, since both axes turn their
own half of each head. Pooling is a product with the share that each patch has in each soft token. The last product is a
`Gemm`, which no variant quantizes: the published files are as large as that makes them.
"""

from __future__ import annotations

import numpy as np
import onnx

from . import layout
from .checkpoints import AXES
from .nodes import CONTRIB, LayerWriter, Weights

TOWER = "model.vision_tower"
PROJECTION = "model.embed_vision.embedding_projection"
PATCHES = ["num_images", "num_patches"]
CHANNELS = 3


def vision_graph(config, text_width: int, weights: Weights, number: type[np.floating]) -> onnx.ModelProto:
    """`config` is that of the tower, `text_width` that of the rows that come out."""
    return Vision(config, weights, number).written(text_width)


class Vision(LayerWriter):
    def __init__(self, config, weights: Weights, number: type[np.floating]):
        super().__init__(layout.VISION, number, weights, config.rms_norm_eps)
        self.config = config
        self.heads, self.width = config.num_attention_heads, config.head_dim

    def written(self, text_width: int) -> onnx.ModelProto:
        pixels = self.input("pixel_values", np.float32, [*PATCHES, CHANNELS * self.config.patch_size**2])
        self.places = self.input("pixel_position_ids", np.int64, [*PATCHES, 2])
        least = self.node("ReduceMax", [self.places, self.integers(-1)], "/vision/ReduceMax", keepdims=0)
        self.real = self.node("GreaterOrEqual", [least, self.integer(0)], "/vision/real/GreaterOrEqual")
        self.clamped = self.node("Max", [self.places, self.integer(0)], "/vision/places/Max")
        self.seen = self.cast(self.real, np.int32, "/vision/seen")
        self.rotation()
        hidden = self.patches(pixels)
        for index in range(self.config.num_hidden_layers):
            hidden = self.layer(index, hidden)
        features = self.projected(*self.pooled(hidden))
        self.output(features, "image_features", np.float32, ["num_image_tokens", text_width])
        return self.finished()

    def patches(self, pixels: str) -> str:
        """Colours from 0 to 1 become -1 to 1, then rows; each is told its column and its row. Padding is told nothing."""
        at, name = "/vision/patch_embedder", f"{TOWER}.patch_embedder"
        centred = self.own(pixels, f"{at}/pixels")
        centred = self.node("Sub", [centred, self.constant(f"{at}/middle", 0.5)], f"{at}/Sub")
        hidden = self.linear(f"{at}/input_proj", self.times(f"{at}/double", centred, 2), f"{name}.input_proj")
        told = []
        for axis in AXES:
            place = self.node("Gather", [self.clamped, self.integer(AXES.index(axis))], f"{at}/{axis}/Gather", axis=2)
            told.append(self.rows(f"{at}/{axis}/table", f"{name}.position_embedding_table.{axis}", place))
        both = self.node("Add", told, f"{at}/places/Add")
        return self.node("Add", [hidden, self.unless_padding(f"{at}/places", both)], f"{at}/Add")

    def unless_padding(self, path: str, value: str) -> str:
        real = self.node("Unsqueeze", [self.real, self.integers(-1)], f"{path}/Unsqueeze")
        return self.node("Where", [real, value, self.constant("/vision/zero", 0)], f"{path}/Where")

    def rotation(self) -> None:
        """Cosines and sines [N,P,1,2,F] of each axis; the turns are those of Transformers."""
        at, quarter = "/vision/rotary", self.width // 4
        steps = np.arange(quarter, dtype=np.float32) / quarter
        turns = (1 / self.config.rope_parameters["rope_theta"] ** steps).astype(np.float32)
        places = self.cast(self.places, np.float32, at)
        places = self.node("Unsqueeze", [places, self.integers(2, 4)], f"{at}/Unsqueeze")
        angles = self.node("Mul", [places, self.constant(f"{at}/turns", turns, np.float32)], f"{at}/Mul")
        self.cosines, self.sines = (
            self.own(self.node(part, [angles], f"{at}/{part}"), f"{at}/{part}") for part in ("Cos", "Sin")
        )

    def layer(self, index: int, hidden: str) -> str:
        at, name = f"/vision/layers.{index}", f"{TOWER}.encoder.layers.{index}"
        parts = {
            self.attention: ("input_layernorm", "post_attention_layernorm"),
            self.mlp: ("pre_feedforward_layernorm", "post_feedforward_layernorm"),
        }
        for part, (before, after) in parts.items():
            value = part(at, name, self.norm(f"{at}/{before}", hidden, f"{name}.{before}.weight"))
            value = self.norm(f"{at}/{after}", value, f"{name}.{after}.weight")
            hidden = self.node("Add", [hidden, value], f"{at}/{after}/Add")
        return hidden

    def mlp(self, at: str, name: str, value: str) -> str:
        at, name = f"{at}/mlp", f"{name}.mlp"
        gate = self.gelu(at, self.clipped_linear(f"{at}/gate_proj", value, f"{name}.gate_proj"))
        up = self.clipped_linear(f"{at}/up_proj", value, f"{name}.up_proj")
        inner = self.node("Mul", [gate, up], f"{at}/Mul")
        return self.clipped_linear(f"{at}/down_proj", inner, f"{name}.down_proj")

    def attention(self, at: str, name: str, value: str) -> str:
        at, name = f"{at}/attn", f"{name}.self_attn"
        query, key, values = (self.by_heads(at, name, value, part) for part in "qkv")
        path = f"{at}/MultiHeadAttention"
        inputs = [query, key, values, "", self.seen]
        mixed = self.node("MultiHeadAttention", inputs, path, domain=CONTRIB, num_heads=self.heads, scale=1.0)
        return self.clipped_linear(f"{at}/o_proj", mixed, f"{name}.o_proj")

    def by_heads(self, at: str, name: str, value: str, part: str) -> str:
        """Queries, keys or values [N,P,H·D], normed head by head; the first two are turned as well."""
        path = f"{at}/{part}_norm"
        value = self.clipped_linear(f"{at}/{part}_proj", value, f"{name}.{part}_proj")
        value = self.reshaped(f"{path}/apart", value, 0, 0, self.heads, self.width)
        if part == "v":
            value = self.plain_norm(path, value, self.width)
        else:
            value = self.rotated(f"{at}/{part}_rotary", self.norm(path, value, f"{name}.{part}_norm.weight"))
        return self.reshaped(f"{path}/together", value, 0, 0, self.heads * self.width)

    def rotated(self, at: str, value: str) -> str:
        """[N,P,H,D] as [N,P,H,axis,half,F]: of each axis the first half turns against the second."""
        value = self.reshaped(f"{at}/apart", value, 0, 0, self.heads, 2, 2, self.width // 4)
        halves = [self.node("Gather", [value, self.integer(half)], f"{at}/{half}/Gather", axis=4) for half in (0, 1)]
        turned = []
        for half, op in enumerate(("Sub", "Add")):
            along = self.node("Mul", [halves[half], self.cosines], f"{at}/{half}/along/Mul")
            across = self.node("Mul", [halves[1 - half], self.sines], f"{at}/{half}/across/Mul")
            both = self.node(op, [along, across], f"{at}/{half}/{op}")
            turned.append(self.node("Unsqueeze", [both, self.integers(4)], f"{at}/{half}/Unsqueeze"))
        return self.node("Concat", turned, f"{at}/Concat", axis=4)

    def pooled(self, hidden: str) -> tuple[str, str]:
        """Soft tokens [N,T,H] in single precision, and which of them have a patch [N,T]."""
        at, side = "/vision/pooler", self.config.pooling_kernel_size
        hidden = self.single(self.unless_padding(at, hidden), f"{at}/hidden")
        cells = self.node("Div", [self.clamped, self.integer(side)], f"{at}/Div")
        column, row = (
            self.node("Gather", [cells, self.integer(axis)], f"{at}/{axis}/Gather", axis=2) for axis in (0, 1)
        )
        columns = self.node("Gather", [self.clamped, self.integer(0)], f"{at}/columns/Gather", axis=2)
        columns = self.node("ReduceMax", [columns, self.integers(-1)], f"{at}/ReduceMax", keepdims=1)
        columns = self.node("Add", [columns, self.integer(1)], f"{at}/columns/Add")
        columns = self.node("Div", [columns, self.integer(side)], f"{at}/columns/Div")
        index = self.node("Mul", [columns, row], f"{at}/Mul")
        index = self.node("Add", [column, index], f"{at}/Add")
        tokens = self.node("Shape", [self.places], f"{at}/Shape", start=1, end=2)
        tokens = self.node("Div", [tokens, self.integer(side**2)], f"{at}/tokens/Div")
        tokens = self.node("Squeeze", [tokens], f"{at}/tokens/Squeeze")
        off_and_on = self.constant(f"{at}/share", [0, side**-2], np.float32)
        shares = self.node("OneHot", [index, tokens, off_and_on], f"{at}/OneHot", axis=1)
        held = self.node("ReduceMax", [shares, self.integers(-1)], f"{at}/held/ReduceMax", keepdims=0)
        held = self.cast(held, np.bool_, f"{at}/held")
        return self.node("MatMul", [shares, hidden], f"{at}/MatMul"), held

    def projected(self, pooled: str, held: str) -> str:
        at, width = "/vision/embed_vision", self.config.hidden_size
        rows, held = self.reshaped(f"{at}/rows", pooled, -1, width), self.reshaped(f"{at}/held", held, -1)
        rows = self.node("Compress", [rows, held], f"{at}/Compress", axis=0)
        root = self.constant(f"{at}/root", width**0.5, np.float32)
        rows = self.own(self.node("Mul", [rows, root], f"{at}/scale/Mul"), at)
        matrix = self.constant(f"{PROJECTION}.weight", self.weights[f"{PROJECTION}.weight"])
        rows = self.node("Gemm", [self.plain_norm(at, rows, width), matrix], f"{at}/Gemm", transB=1)
        return self.single(rows, f"{at}/features")
