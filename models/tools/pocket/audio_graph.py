"""The audio encoder in the form in which it is published, written from a checkpoint's weights node by node.

Log-mel frames and which of them are whole go in, rows for the decoder come out, one after another, those of padding left
out. Two convolutions halve time twice; blocks of frames then look at themselves and at those just before them. What
follows from weights alone is computed beforehand: relative keys, and the scale of each dimension of a query.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
import torch
from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioRelPositionalEncoding

from . import layout
from .nodes import TO_THE_END, LayerWriter, Weights

TOWER = "model.audio_tower"
PROJECTION = "model.embed_audio.embedding_projection"
FRAMES = ["batch_size", "num_frames"]
BANDS = 128
"""Frequencies of a frame."""


def audio_graph(config, text_width: int, weights: Weights, number: type[np.floating]) -> onnx.ModelProto:
    """`config` is that of the tower, `text_width` that of the rows that come out."""
    return Audio(config, weights, number).written(text_width)


class Audio(LayerWriter):
    def __init__(self, config, weights: Weights, number: type[np.floating]):
        super().__init__(layout.AUDIO, number, weights, config.rms_norm_eps)
        self.config = config
        self.heads = config.num_attention_heads
        self.width = config.hidden_size // self.heads
        self.block, self.back = config.attention_chunk_size, config.attention_context_left - 1
        self.context = self.block + self.back + config.attention_context_right
        self.largest = min(config.gradient_clipping, float(np.finfo(number).max))

    def written(self, text_width: int) -> onnx.ModelProto:
        frames = self.input("input_features", np.float32, [*FRAMES, BANDS])
        mask = self.input("input_features_mask", np.bool_, FRAMES)
        hidden, self.whole = self.subsampled(self.own(frames, "/audio/frames"), mask)
        self.blocks(hidden)
        for index in range(self.config.num_hidden_layers):
            hidden = self.layer(index, hidden)
        self.output(self.projected(hidden, text_width), "audio_features", np.float32, ["num_audio_tokens", text_width])
        return self.finished()

    # Before the layers.

    def subsampled(self, frames: str, mask: str) -> tuple[str, str]:
        """[B,T,128] to [B,T/4,H], and which of those are whole."""
        at, name = "/audio/subsample", f"{TOWER}.subsample_conv_projection"
        hidden = self.node("Unsqueeze", [frames, self.integers(1)], f"{at}/Unsqueeze")
        for index in (0, 1):
            hidden = self.convolution(f"{at}/layer{index}", f"{name}.layer{index}", hidden, mask)
            every_other = [self.integers(0), self.integers(TO_THE_END), self.integers(1), self.integers(2)]
            mask = self.node("Slice", [mask, *every_other], f"{at}/layer{index}/Slice")
        hidden = self.node("Transpose", [hidden], f"{at}/Transpose", perm=[0, 2, 3, 1])
        hidden = self.reshaped(at, hidden, 0, 0, -1)
        return self.linear(f"{at}/input_proj", hidden, f"{name}.input_proj_linear"), mask

    def convolution(self, at: str, name: str, hidden: str, mask: str) -> str:
        """[B,C,T,F] to half as many frames and frequencies; padding is silenced before."""
        sounds = self.node("Unsqueeze", [mask, self.integers(1, 3)], f"{at}/mask/Unsqueeze")
        hidden = self.node("Where", [sounds, hidden, self.constant("/audio/zero", 0)], f"{at}/Where")
        kernel = self.constant(f"{name}.conv.weight", self.weights[f"{name}.conv.weight"])
        settings = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        hidden = self.node("Conv", [hidden, kernel], f"{at}/Conv", **settings)
        hidden = self.node("Transpose", [hidden], f"{at}/before/Transpose", perm=[0, 2, 3, 1])
        scale = self.constant(f"{name}.norm.weight", self.weights[f"{name}.norm.weight"])
        settings = {"axis": -1, "epsilon": self.epsilon}
        hidden = self.node("LayerNormalization", [hidden, scale], f"{at}/LayerNormalization", **settings)
        hidden = self.node("Transpose", [hidden], f"{at}/after/Transpose", perm=[0, 3, 1, 2])
        return self.node("Relu", [hidden], f"{at}/Relu")

    def blocks(self, hidden: str) -> None:
        """How many blocks there are, which frames each sees [blocks·context], and which of those it may not heed."""
        at = "/audio/blocks"
        self.length = self.node("Shape", [hidden], f"{at}/Shape", start=1, end=2)
        rounded = self.node("Add", [self.length, self.integers(self.block - 1)], f"{at}/Add")
        self.count = self.node("Div", [rounded, self.integers(self.block)], f"{at}/Div")
        whole_blocks = self.node("Mul", [self.count, self.integers(self.block)], f"{at}/Mul")
        self.missing = self.node("Sub", [whole_blocks, self.length], f"{at}/Sub")
        count = self.node("Squeeze", [self.count], f"{at}/Squeeze")
        starts = self.node("Range", [self.integer(0), count, self.integer(1)], f"{at}/Range")
        starts = self.node("Mul", [starts, self.integer(self.block)], f"{at}/starts/Mul")
        starts = self.node("Unsqueeze", [starts, self.integers(1)], f"{at}/starts/Unsqueeze")
        offsets = self.constant(f"{at}/offsets", np.arange(self.context), np.int64)
        seen = self.node("Add", [starts, offsets], f"{at}/seen/Add")
        self.seen = self.reshaped(f"{at}/seen", seen, -1)
        ahead = self.config.attention_context_right
        behind = self.node("Add", [self.missing, self.integers(ahead)], f"{at}/behind/Add")
        self.fill_up = self.padding(f"{at}/fill_up", 4, 0, self.missing)
        self.look_around = self.padding(f"{at}/look_around", 4, self.back, behind)
        real = self.cast(self.whole, np.int32, f"{at}/real")
        real = self.node("Pad", [real, self.padding(f"{at}/real", 2, self.back, behind)], f"{at}/real/Pad")
        real = self.node("Gather", [real, self.seen], f"{at}/real/Gather", axis=1)
        real = self.cast(real, np.bool_, f"{at}/heeded")
        real = self.reshaped(f"{at}/real", real, 0, 1, -1, 1, self.context)
        distance = self.back + np.arange(self.block)[:, None] - np.arange(self.context)
        near = (0 <= distance) & (distance < self.back) | (0 < -distance) & (-distance < ahead)
        heeded = self.node("And", [real, self.constant(f"{at}/near", near, np.bool_)], f"{at}/And")
        self.unheeded = self.node("Not", [heeded], f"{at}/Not")

    def padding(self, at: str, rank: int, before: int, after: str) -> str:
        """What `Pad` wants: frames before and after along the second axis of a value, nothing along the others."""
        rest = [self.integers(*[0] * (rank - 2))] if rank > 2 else []
        parts = [self.integers(0), self.integers(before), *rest, self.integers(0), after, *rest]
        return self.node("Concat", parts, f"{at}/Concat", axis=0)

    # The layers.

    def layer(self, index: int, hidden: str) -> str:
        at, name = f"/audio/layers.{index}", f"{TOWER}.layers.{index}"
        hidden = self.feed_forward(f"{at}/feed_forward1", f"{name}.feed_forward1", hidden)
        value = self.norm(f"{at}/norm_pre_attn", self.bounded(f"{at}/before", hidden), f"{name}.norm_pre_attn.weight")
        value = self.bounded(f"{at}/between", self.attention(f"{at}/attn", f"{name}.self_attn", value))
        value = self.norm(f"{at}/norm_post_attn", value, f"{name}.norm_post_attn.weight")
        hidden = self.node("Add", [value, hidden], f"{at}/Add")
        hidden = self.light_convolution(f"{at}/lconv1d", f"{name}.lconv1d", hidden)
        hidden = self.feed_forward(f"{at}/feed_forward2", f"{name}.feed_forward2", hidden)
        return self.norm(f"{at}/norm_out", self.bounded(f"{at}/after", hidden), f"{name}.norm_out.weight")

    def bounded(self, at: str, value: str) -> str:
        return self.clipped(f"{at}/bounded", value, -self.largest, self.largest)

    def silu(self, at: str, value: str) -> str:
        return self.node("Mul", [value, self.node("Sigmoid", [value], f"{at}/Sigmoid")], f"{at}/silu/Mul")

    def feed_forward(self, at: str, name: str, hidden: str) -> str:
        value = self.norm(f"{at}/norm", self.bounded(f"{at}/before", hidden), f"{name}.pre_layer_norm.weight")
        value = self.silu(at, self.clipped_linear(f"{at}/ffw_layer_1", value, f"{name}.ffw_layer_1"))
        value = self.clipped_linear(f"{at}/ffw_layer_2", value, f"{name}.ffw_layer_2")
        value = self.norm(f"{at}/post_norm", self.bounded(f"{at}/after", value), f"{name}.post_layer_norm.weight")
        value = self.times(f"{at}/scale", value, self.config.residual_weight)
        return self.node("Add", [value, hidden], f"{at}/Add")

    def light_convolution(self, at: str, name: str, hidden: str) -> str:
        """A gate, then each dimension over its last five frames."""
        value = self.norm(f"{at}/norm", hidden, f"{name}.pre_layer_norm.weight")
        value = self.clipped_linear(f"{at}/linear_start", value, f"{name}.linear_start")
        parts = [f"{at}/value", f"{at}/gate"]
        self.node("Split", [value], f"{at}/Split", parts, axis=-1, num_outputs=2)
        gate = self.node("Sigmoid", parts[1:], f"{at}/gate/Sigmoid")
        value = self.node("Mul", [parts[0], gate], f"{at}/Mul")
        value = self.node("Transpose", [value], f"{at}/before/Transpose", perm=[0, 2, 1])
        size = self.config.conv_kernel_size
        kernel = self.constant(f"{name}.depthwise_conv1d.weight", self.weights[f"{name}.depthwise_conv1d.weight"])
        settings = {"kernel_shape": [size], "pads": [size - 1, 0], "group": self.config.hidden_size}
        value = self.node("Conv", [value, kernel], f"{at}/Conv", **settings)
        value = self.node("Transpose", [value], f"{at}/after/Transpose", perm=[0, 2, 1])
        value = self.norm(f"{at}/conv_norm", self.bounded(at, value), f"{name}.conv_norm.weight")
        value = self.clipped_linear(f"{at}/linear_end", self.silu(at, value), f"{name}.linear_end")
        return self.node("Add", [value, hidden], f"{at}/Add")

    # Attention, always in single precision.

    def attention(self, at: str, name: str, value: str) -> str:
        heads, width = self.heads, self.width
        query, key, values = (self.frames_of(f"{at}/{part}_proj", f"{name}.{part}_proj", value) for part in "qkv")
        scale = np.log1p(np.exp(self.weights[f"{name}.per_dim_scale"])) * width**-0.5 / math.log(2)
        query = self.node("Mul", [query, self.constant(f"{at}/scale", scale, np.float32)], f"{at}/q_scale/Mul")
        factor = self.constant(f"{at}/k_scale", math.log(1 + math.e) / math.log(2), np.float32)
        key = self.node("Mul", [key, factor], f"{at}/k_scale/Mul")
        query = self.node("Pad", [query, self.fill_up], f"{at}/query/Pad")
        query = self.reshaped(f"{at}/query", query, 0, -1, self.block, heads, width)
        query = self.node("Transpose", [query], f"{at}/query/Transpose", perm=[0, 3, 1, 2, 4])
        key = self.context_of(f"{at}/key", key, [0, 3, 1, 4, 2])
        values = self.context_of(f"{at}/value", values, [0, 3, 1, 2, 4])
        scores = self.node("MatMul", [query, key], f"{at}/scores/MatMul")
        scores = self.node("Add", [scores, self.by_distance(at, name, query)], f"{at}/scores/Add")
        cap = self.constant(f"{at}/cap", self.config.attention_logit_cap, np.float32)
        scores = self.node("Tanh", [self.node("Div", [scores, cap], f"{at}/Div")], f"{at}/Tanh")
        scores = self.node("Mul", [scores, cap], f"{at}/cap/Mul")
        lowest = self.constant("/audio/lowest", self.config.attention_invalid_logits_value, np.float32)
        scores = self.node("Where", [self.unheeded, lowest, scores], f"{at}/Where")
        shares = self.node("Softmax", [scores], f"{at}/Softmax", axis=-1)
        mixed = self.node("MatMul", [shares, values], f"{at}/mixed/MatMul")
        mixed = self.node("Transpose", [mixed], f"{at}/mixed/Transpose", perm=[0, 2, 3, 1, 4])
        mixed = self.reshaped(f"{at}/mixed", mixed, 0, -1, heads * width)
        ends = [self.integers(0), self.length, self.integers(1)]
        mixed = self.own(self.node("Slice", [mixed, *ends], f"{at}/mixed/Slice"), f"{at}/mixed")
        return self.clipped_linear(f"{at}/post", mixed, f"{name}.post")

    def frames_of(self, at: str, name: str, value: str) -> str:
        """[B,T,H,D] in single precision."""
        value = self.single(self.clipped_linear(at, value, name), at)
        return self.reshaped(at, value, 0, 0, self.heads, self.width)

    def context_of(self, at: str, value: str, order: list[int]) -> str:
        """What each block sees: [B,T,H,D] to [B,blocks,context,H,D], and that turned round."""
        value = self.node("Pad", [value, self.look_around], f"{at}/Pad")
        value = self.node("Gather", [value, self.seen], f"{at}/Gather", axis=1)
        value = self.reshaped(at, value, 0, -1, self.context, self.heads, self.width)
        return self.node("Transpose", [value], f"{at}/Transpose", perm=order)

    def by_distance(self, at: str, name: str, query: str) -> str:
        """What a frame scores for how far back it lies [B,H,blocks,block,context].

        The product counts from the farthest frame of each query; one more column in each row of the context moves every
        row by one against the one above it.
        """
        at = f"{at}/relative"
        keys = self.constant(f"{at}/keys", self.relative_keys(name), np.float32)
        flat = self.reshaped(f"{at}/flat", query, 0, 0, -1, self.width)
        scores = self.node("MatMul", [flat, keys], f"{at}/MatMul")
        distances = self.context // 2 + 1
        columns = self.context + 1
        more = self.integers(0, 0, 0, 0, 0, 0, 0, columns - distances)
        scores = self.node("Pad", [scores, more], f"{at}/Pad")
        scores = self.reshaped(f"{at}/rows", scores, 0, 0, -1, self.block * columns)
        ends = [self.integers(0), self.integers(self.block * self.context), self.integers(3)]
        scores = self.node("Slice", [scores, *ends], f"{at}/Slice")
        return self.reshaped(f"{at}/shifted", scores, 0, 0, -1, self.block, self.context)

    def relative_keys(self, name: str) -> np.ndarray:
        """[H,D,distances], from the farthest to none."""
        places = Gemma4AudioRelPositionalEncoding(self.config)(torch.zeros(1)).numpy()
        keys = places @ self.weights[f"{name}.relative_k_proj.weight"].T
        return keys.reshape(-1, self.heads, self.width).transpose(1, 2, 0)

    # The end.

    def projected(self, hidden: str, text_width: int) -> str:
        at = "/audio/embed_audio"
        hidden = self.linear("/audio/output_proj", hidden, f"{TOWER}.output_proj")
        bias = self.constant(f"{TOWER}.output_proj.bias", self.weights[f"{TOWER}.output_proj.bias"])
        hidden = self.node("Add", [hidden, bias], "/audio/output_proj/Add")
        rows = self.linear(at, self.plain_norm(at, hidden, self.config.output_proj_dims), PROJECTION)
        rows = self.reshaped(f"{at}/rows", rows, -1, text_width)
        whole = self.reshaped(f"{at}/whole", self.whole, -1)
        rows = self.node("Compress", [rows, whole], f"{at}/Compress", axis=0)
        return self.single(rows, f"{at}/features")
