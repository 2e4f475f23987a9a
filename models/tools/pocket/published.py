"""Gemma 4's two text graphs in the form in which they are published, written from a checkpoint's weights node by node.

`export` traces a form of our own that computes the same; this one is for the stand-ins, since what the daemon meets in
the field is this:

* Sliding layers that own a cache are `GroupQueryAttention`: the cache goes in and comes out at the operator, the window
  is `local_window_size`, rotation is done before, and the mask comes as `attention_bias`.
* Full layers, and those that reuse keys and values, are plain products: `Concat` grows the cache, the mask is built in
  the graph.
* Rotation is `RotaryEmbedding` over tables of cosines and sines, norms are `SimplifiedLayerNormalization`.
* `gate_up_proj` is one product. No layer is left out in a prefill; only the head runs for the wanted positions alone.

Products and tables bear their names in the checkpoint, so that `quantize` finds and rounds them. In half precision both
kinds of rows come and the logits leave in single precision all the same; the caches are in half precision.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRotaryEmbedding

from . import layout
from .nodes import CONTRIB, TO_THE_END, LayerWriter, Weights

SLIDING, FULL = "sliding_attention", "full_attention"
SCOPES = {SLIDING: "local", FULL: "global"}
"""What the rotary tables of each kind of layer are called after."""


def embed_graph(config, weights: Weights, media_ids: list[int], number: type[np.floating]) -> onnx.ModelProto:
    """Token ids to rows."""
    return Embed(config, weights, number).written(media_ids)


def decoder_graph(config, weights: Weights, number: type[np.floating]) -> onnx.ModelProto:
    """Rows and caches to logits and grown caches."""
    return Decoder(config, weights, number).written()


class Embed(LayerWriter):
    """Token ids to the rows of both tables, each times its scale. Placeholders take the row of padding."""

    def __init__(self, config, weights: Weights, number: type[np.floating]):
        super().__init__(layout.EMBED, number, weights, config.rms_norm_eps)
        self.config = config

    def written(self, media_ids: list[int]) -> onnx.ModelProto:
        config = self.config
        ids = self.input("input_ids", np.int64, ["batch_size", "sequence_length"])
        for token in media_ids:
            same = self.node("Equal", [ids, self.integer(token)], f"/model/media_{token}/Equal")
            padding = self.integer(config.pad_token_id)
            ids = self.node("Where", [same, padding, ids], f"/model/media_{token}/Where")
        layers, width = config.num_hidden_layers, config.hidden_size_per_layer_input
        outputs = {
            "embed_tokens": ("inputs_embeds", config.hidden_size, [config.hidden_size]),
            "embed_tokens_per_layer": ("per_layer_inputs", width, [layers, width]),
        }
        for table, (output, scaled_by, inner) in outputs.items():
            rows = self.rows(f"/model/{table}", f"model.{table}.weight", ids)
            scale = self.constant(f"model.{table}.scale", scaled_by**0.5)
            rows = self.node("Mul", [rows, scale], f"/model/{table}/Mul")
            if len(inner) > 1:
                rows = self.node("Reshape", [rows, self.integers(0, 0, *inner)], f"/model/{table}/Reshape")
            if self.number != np.float32:
                rows = self.cast(rows, np.float32, f"/model/{table}")
            self.output(rows, output, np.float32, ["batch_size", "sequence_length", *inner])
        return self.finished()


class Decoder(LayerWriter):
    """The decoder in the making. Paths of nodes are the published ones where those are known."""

    def __init__(self, config, weights: Weights, number: type[np.floating]):
        super().__init__(layout.DECODER, number, weights, config.rms_norm_eps)
        self.config = config
        self.grown: dict[str, tuple[str, str]] = {}
        """Keys and values of the last layer of each kind that owns a cache."""

    def written(self) -> onnx.ModelProto:
        config = self.config
        rows = ["batch_size", "sequence_length"]
        inner = [config.num_hidden_layers, config.hidden_size_per_layer_input]
        embeds = self.input("inputs_embeds", np.float32, [*rows, config.hidden_size])
        mask = self.input("attention_mask", np.int64, ["batch_size", "total_sequence_length"])
        self.positions = self.input("position_ids", np.int64, rows)
        keep = self.input("num_logits_to_keep", np.int64, [])
        per_layer = self.input("per_layer_inputs", np.float32, [*rows, *inner])
        for index, (heads, width) in enumerate(layout.cache_shapes(config)):
            for part in ("key", "value"):
                self.input(f"past_key_values.{index}.{part}", self.number, cache_shape("past", heads, width))

        if self.number != np.float32:
            embeds = self.cast(embeds, self.number, "/model/inputs_embeds")
            per_layer = self.cast(per_layer, self.number, "/model/per_layer_inputs")
        self.count(embeds, mask)
        self.biases = self.masks(mask)
        told = self.told(embeds, per_layer)
        hidden = embeds
        for index in range(config.num_hidden_layers):
            hidden = self.layer(index, hidden, told)
        self.head(hidden, keep)
        for index, (heads, width) in enumerate(layout.cache_shapes(config)):
            for part in ("key", "value"):
                name = f"present.{index}.{part}"
                self.output(name, name, self.number, cache_shape("total", heads, width))
        return self.finished()

    # What follows from the number of tokens.

    def count(self, embeds: str, mask: str) -> None:
        """How many tokens are new, how many there are, and what `GroupQueryAttention` wants to know of it."""
        at = "/model/attn_mask_reformat"
        self.new = self.node("Shape", [embeds], f"{at}/new/Shape", start=1, end=2)
        self.total = self.node("Shape", [mask], f"{at}/total/Shape", start=1, end=2)
        real = self.node("ReduceSum", [mask, self.integers(1)], f"{at}/ReduceSum", keepdims=0)
        last = self.node("Sub", [real, self.integer(1)], f"{at}/Sub")
        self.last_places = self.cast(last, np.int32, f"{at}/last")
        total = self.node("Squeeze", [self.total], f"{at}/Squeeze")
        self.total_count = self.cast(total, np.int32, f"{at}/total")

    def masks(self, mask: str) -> dict[str, str]:
        """What is added to the scores [B,1,S,T] of each kind of layer; the last S of T columns are the new tokens."""
        at = "/model/attn_bias"
        total = self.node("Squeeze", [self.total], f"{at}/Squeeze")
        columns = self.node("Range", [self.integer(0), total, self.integer(1)], f"{at}/Range")
        past = self.node("Sub", [self.total, self.new], f"{at}/past/Sub")
        rows = self.node("Slice", [columns, past, self.total, self.integers(0)], f"{at}/Slice")
        rows = self.node("Unsqueeze", [rows, self.integers(1)], f"{at}/Unsqueeze")
        real = self.cast(mask, np.bool_, f"{at}/real")
        real = self.node("Unsqueeze", [real, self.integers(1, 2)], f"{at}/real/Unsqueeze")
        causal = self.node("LessOrEqual", [columns, rows], f"{at}/LessOrEqual")
        causal = self.node("And", [causal, real], f"{at}/And")
        distance = self.node("Sub", [rows, columns], f"{at}/distance/Sub")
        near = self.node("Less", [distance, self.integer(self.config.sliding_window)], f"{at}/Less")
        near = self.node("And", [causal, near], f"{at}/near/And")
        zero = self.constant(f"{at}/zero", 0)
        lowest = self.constant(f"{at}/lowest", np.finfo(self.number).min)
        return {
            kind: self.node("Where", [seen, zero, lowest], f"{at}/{SCOPES[kind]}/Where")
            for kind, seen in ((FULL, causal), (SLIDING, near))
        }

    # What every layer is made of.

    def told(self, embeds: str, rows: str) -> str:
        """What each layer is told of its token once more [B,S,L,P]: rows of the table, and the embedding's share."""
        at, config = "/model/per_layer_projection", self.config
        share = self.linear(at, embeds, "model.per_layer_model_projection")
        share = self.times(f"{at}/scale", share, config.hidden_size**-0.5)
        shape = self.integers(0, 0, config.num_hidden_layers, config.hidden_size_per_layer_input)
        share = self.node("Reshape", [share, shape], f"{at}/Reshape")
        share = self.norm(f"{at}/norm", share, "model.per_layer_projection_norm.weight")
        both = self.node("Add", [share, rows], f"{at}/Add")
        return self.times(f"{at}/half", both, 2**-0.5)

    def layer(self, index: int, hidden: str, told: str) -> str:
        at, name = f"/model/layers.{index}", f"model.layers.{index}"

        def beside(part: str, value: str) -> str:
            """The residual stream with a part's normed outcome added to it."""
            value = self.norm(f"{at}/{part}", value, f"{name}.{part}.weight")
            return self.node("Add", [hidden, value], f"{at}/{part}/Add")

        normed = self.norm(f"{at}/input_layernorm", hidden, f"{name}.input_layernorm.weight")
        hidden = beside("post_attention_layernorm", self.attention(index, normed))
        normed = self.norm(f"{at}/pre_feedforward_layernorm", hidden, f"{name}.pre_feedforward_layernorm.weight")
        hidden = beside("post_feedforward_layernorm", self.mlp(index, normed))
        gate = self.linear(f"{at}/per_layer/gate", hidden, f"{name}.per_layer_input_gate")
        gate = self.gelu(f"{at}/per_layer", gate)
        mine = self.node("Gather", [told, self.integer(index)], f"{at}/per_layer/Gather", axis=2)
        gated = self.node("Mul", [gate, mine], f"{at}/per_layer/Mul")
        projected = self.linear(f"{at}/per_layer/projection", gated, f"{name}.per_layer_projection")
        hidden = beside("post_per_layer_input_norm", projected)
        scalar = self.constant(f"{name}.layer_scalar", self.weights[f"{name}.layer_scalar"])
        return self.node("Mul", [hidden, scalar], f"{at}/layer_scalar/Mul")

    def mlp(self, index: int, value: str) -> str:
        at, name = f"/model/layers.{index}/mlp", f"model.layers.{index}.mlp"
        pair = [self.weights[f"{name}.{part}_proj.weight"] for part in ("gate", "up")]
        both = self.product(f"{at}/gate_up_proj", value, f"{name}.gate_up_proj.weight", np.concatenate(pair))
        parts = [f"{at}/gate", f"{at}/up"]
        self.node("Split", [both], f"{at}/Split", parts, axis=-1, num_outputs=2)
        inner = self.node("Mul", [self.gelu(at, parts[0]), parts[1]], f"{at}/Mul")
        return self.linear(f"{at}/down_proj", inner, f"{name}.down_proj")

    # Attention.

    def attention(self, index: int, value: str) -> str:
        at, name = f"/model/layers.{index}/attn", f"model.layers.{index}.self_attn"
        config, kind = self.config.per_layer_config[index], self.config.layer_types[index]
        heads, kv_heads, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        query = self.linear(f"{at}/q_proj", value, f"{name}.q_proj")
        query = self.each_head(f"{at}/q_norm", query, heads, width, f"{name}.q_norm.weight")
        query = self.rotated(f"{at}/q_rotary", query, kind, heads)
        if index >= layout.cached_layers(self.config):
            mixed = self.plain(at, query, *self.grown[kind], kind, heads, kv_heads, width)
            return self.linear(f"{at}/o_proj", mixed, f"{name}.o_proj")
        key = self.linear(f"{at}/k_proj", value, f"{name}.k_proj")
        key = self.each_head(f"{at}/k_norm", key, kv_heads, width, f"{name}.k_norm.weight")
        key = self.rotated(f"{at}/k_rotary", key, kind, kv_heads)
        values = self.linear(f"{at}/v_proj", value, f"{name}.v_proj")
        values = self.each_head(f"{at}/v_norm", values, kv_heads, width)
        past = [f"past_key_values.{index}.{part}" for part in ("key", "value")]
        present = self.grown[kind] = (f"present.{index}.key", f"present.{index}.value")
        if kind == SLIDING:
            mixed = self.grouped(at, [query, key, values, *past], present, heads, kv_heads)
        else:
            for new, old, grown in zip((key, values), past, present, strict=True):
                new = self.by_heads(f"{at}/{grown}", new, kv_heads, width)
                self.node("Concat", [old, new], f"{at}/{grown}/Concat", [grown], axis=2)
            mixed = self.plain(at, query, *present, kind, heads, kv_heads, width)
        return self.linear(f"{at}/o_proj", mixed, f"{name}.o_proj")

    def each_head(self, path: str, value: str, heads: int, width: int, weight: str | None = None) -> str:
        """[B,S,H·D] normed head by head, with a weight [D] or without one."""
        value = self.node("Reshape", [value, self.integers(0, 0, heads, width)], f"{path}/apart/Reshape")
        if weight is None:
            value = self.plain_norm(path, value, width)
        else:
            value = self.norm(path, value, weight)
        return self.node("Reshape", [value, self.integers(0, 0, heads * width)], f"{path}/together/Reshape")

    def rotated(self, path: str, value: str, kind: str, heads: int) -> str:
        tables = self.rotary_tables(kind)
        path = f"{path}/RotaryEmbedding"
        inputs = [value, self.positions, *tables]
        return self.node("RotaryEmbedding", inputs, path, domain=CONTRIB, interleaved=0, num_heads=heads)

    def rotary_tables(self, kind: str) -> list[str]:
        """Cosines and sines [positions, D/2]; the turns are those of Transformers."""
        names = [f"{part}_cache_{SCOPES[kind]}" for part in ("cos", "sin")]
        if not self.has(names[0]):
            turns = getattr(Gemma4TextRotaryEmbedding(self.config), f"{kind}_inv_freq")
            angles = torch.arange(self.config.max_position_embeddings)[:, None].float() * turns
            for name, table in zip(names, (angles.cos(), angles.sin()), strict=True):
                self.constant(name, table.numpy())
        return names

    def grouped(self, at: str, inputs: list[str], present: tuple[str, str], heads: int, kv_heads: int) -> str:
        """Attention of a sliding layer with a cache. query [B,S,H·D], key and value [B,S,KVH·D], past [B,KVH,T,D]."""
        path = f"{at}/GroupQueryAttention"
        no_tables_no_positions = ["", "", ""]
        inputs = [*inputs, self.last_places, self.total_count, *no_tables_no_positions, self.biases[FULL]]
        settings = {
            "num_heads": heads,
            "kv_num_heads": kv_heads,
            "scale": 1.0,
            "local_window_size": self.config.sliding_window,
            "do_rotary": 0,
            "rotary_interleaved": 0,
        }
        outputs = [f"{path}/output_0", *present]
        return self.node("GroupQueryAttention", inputs, path, outputs, CONTRIB, **settings)

    def by_heads(self, path: str, value: str, heads: int, width: int) -> str:
        """[B,S,H·D] to [B,H,S,D]."""
        value = self.node("Reshape", [value, self.integers(0, 0, heads, width)], f"{path}/heads/Reshape")
        return self.node("Transpose", [value], f"{path}/heads/Transpose", perm=[0, 2, 1, 3])

    def plain(self, at: str, query, keys, values, kind: str, heads: int, kv_heads: int, width: int) -> str:
        """Attention by products: query [B,S,H·D], keys and values [B,KVH,T,D], each of which serves H/KVH heads."""
        query = self.by_heads(at, query, heads, width)
        grouped = self.integers(0, kv_heads, heads // kv_heads, -1, width)
        query = self.node("Reshape", [query, grouped], f"{at}/grouped/Reshape")
        keys = self.node("Transpose", [keys], f"{at}/keys/Transpose", perm=[0, 1, 3, 2])
        keys = self.node("Unsqueeze", [keys, self.integers(2)], f"{at}/keys/Unsqueeze")
        scores = self.node("MatMul", [query, keys], f"{at}/scores/MatMul")
        bias = self.node("Unsqueeze", [self.biases[kind], self.integers(1)], f"{at}/bias/Unsqueeze")
        scores = self.node("Add", [scores, bias], f"{at}/scores/Add")
        shares = self.node("Softmax", [scores], f"{at}/Softmax", axis=-1)
        values = self.node("Unsqueeze", [values, self.integers(2)], f"{at}/values/Unsqueeze")
        mixed = self.node("MatMul", [shares, values], f"{at}/mixed/MatMul")
        mixed = self.node("Reshape", [mixed, self.integers(0, heads, -1, width)], f"{at}/mixed/Reshape")
        mixed = self.node("Transpose", [mixed], f"{at}/mixed/Transpose", perm=[0, 2, 1, 3])
        return self.node("Reshape", [mixed, self.integers(0, 0, heads * width)], f"{at}/together/Reshape")

    # The end.

    def head(self, hidden: str, keep: str) -> None:
        """The logits of the last `keep` positions; zero keeps all of them."""
        config = self.config
        path = f"/model/layers.{config.num_hidden_layers}/final_norm_layernorm"
        hidden = self.norm(path, hidden, "model.norm.weight")
        start = self.node("Neg", [keep], "/lm_head/Neg")
        start = self.node("Unsqueeze", [start, self.integers(0)], "/lm_head/Unsqueeze")
        end = self.integers(TO_THE_END)
        hidden = self.node("Slice", [hidden, start, end, self.integers(1)], "/lm_head/Slice")
        logits = self.linear("/lm_head", hidden, "lm_head")
        cap = self.constant("/lm_head/cap", config.final_logit_softcapping)
        logits = self.node("Div", [logits, cap], "/lm_head/Div")
        logits = self.node("Tanh", [logits], "/lm_head/Tanh")
        names = ["logits"] if self.number == np.float32 else []
        logits = self.node("Mul", [logits, cap], "/lm_head/Mul", names)
        if not names:
            logits = self.cast(logits, np.float32, "/lm_head", ["logits"])
        self.output(logits, "logits", np.float32, ["batch_size", "num_logits", config.vocab_size])


def cache_shape(tokens: str, heads: int, width: int) -> list[int | str]:
    return ["batch_size", heads, f"{tokens}_sequence_length", width]
