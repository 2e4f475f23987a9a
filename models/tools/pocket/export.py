"""From a Transformers checkpoint of a Gemma 4 to the ONNX graphs of the published layout.

Two graphs of text come out, `embed_tokens` and `decoder_model_merged`, and one for each tower of the checkpoint
(see `encoders`), with the input and output names, types and shapes of the published exports (see `layout`).

The decoder does three things that a plain trace of the Transformers model would not:

* Caches keep their full length. Transformers crops the cache of a sliding layer to its window; here the window lives
  in the mask, so a cache can be cut back to any earlier token and go on from there.
* Layers that reuse the keys and values of earlier layers run only for the positions whose logits are wanted. They
  write no cache, so nothing is lost and a prefill costs about half.
* Heads that share one key and value head are multiplied in one go instead of copying keys and values for each.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim
from transformers import AttentionInterface, Gemma4ForCausalLM

from . import checkpoints, encoders, layout, sparing
from .nodes import Weights
from .stored import UnreadableCheckpoint
from .tracing import Graph, export_graph

GROUPED_ATTENTION = "grouped"
log = logging.getLogger(__name__)


def grouped_attention(module, query, key, value, attention_mask, scaling=None, **_):
    """Attention without repeating keys and values. query [B,H,S,D], key and value [B,KVH,T,D], mask [B,1,S,T]."""
    batch, heads, length, width = query.shape
    kv_heads, total = key.shape[1], key.shape[2]
    rows = heads // kv_heads * length
    scores = query.reshape(batch, kv_heads, rows, width) @ key.transpose(2, 3)
    if scaling not in (None, 1.0):
        scores = scores * scaling
    weights = torch.softmax(scores.reshape(batch, heads, length, total) + attention_mask, dim=-1)
    mixed = weights.reshape(batch, kv_heads, rows, total) @ value
    return mixed.reshape(batch, heads, length, width).transpose(1, 2), None


AttentionInterface.register(GROUPED_ATTENTION, grouped_attention)


class GrowingCache:
    """Appends the new keys and values to the past of each layer that owns a cache, and keeps the result."""

    is_compileable = False

    def __init__(self, past: list[torch.Tensor]):
        self.past = past
        self.present: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(self, key, value, layer, *_, **__):
        grown = torch.cat([self.past[2 * layer], key], dim=2), torch.cat([self.past[2 * layer + 1], value], dim=2)
        self.present[layer] = grown
        return grown


class EmbedTokens(nn.Module):
    """Token ids [B,S] to the rows of both tables: [B,S,H] and [B,S,L,P]. Media placeholders take the row of padding."""

    def __init__(self, text, media_ids: list[int]):
        super().__init__()
        self.text = text
        self.media_ids = [i for i in media_ids if i < text.config.vocab_size_per_layer_input]

    def forward(self, input_ids):
        config = self.text.config
        media = torch.zeros_like(input_ids, dtype=torch.bool)
        for token in self.media_ids:
            media = media | (input_ids == token)
        ids = torch.where(media, torch.full_like(input_ids, config.pad_token_id), input_ids)
        per_layer = self.text.embed_tokens_per_layer(ids)
        per_layer = per_layer.reshape(*ids.shape, config.num_hidden_layers, config.hidden_size_per_layer_input)
        return self.text.embed_tokens(ids), per_layer


class Decoder(nn.Module):
    """All layers and the head. Returns the wanted logits and the grown cache of each layer that owns one."""

    def __init__(self, text, head):
        super().__init__()
        self.text, self.head = text, head

    def forward(self, inputs_embeds, attention_mask, position_ids, num_logits_to_keep, per_layer_inputs, past):
        text, config = self.text, self.text.config
        cache, shared = GrowingCache(past), {}
        hidden = inputs_embeds
        per_layer = text.project_per_layer_inputs(inputs_embeds, per_layer_inputs)
        rotations = {kind: text.rotary_emb(hidden, position_ids, kind) for kind in sorted(set(config.layer_types))}
        masks = self.masks(attention_mask, inputs_embeds)
        wanted = self.wanted(num_logits_to_keep, hidden.shape[1])
        for index, layer in enumerate(text.layers):
            if index == layout.cached_layers(config):
                hidden, per_layer = wanted(hidden), wanted(per_layer)
                rotations = {kind: (wanted(cos), wanted(sin)) for kind, (cos, sin) in rotations.items()}
                masks = {kind: wanted(mask, dim=2) for kind, mask in masks.items()}
            kind = config.layer_types[index]
            hidden = layer(
                hidden,
                per_layer[:, :, index],
                shared_kv_states=shared,
                position_embeddings=rotations[kind],
                attention_mask=masks[kind],
                position_ids=position_ids,
                past_key_values=cache,
            )
        if not config.num_kv_shared_layers:
            hidden = wanted(hidden)
        logits = self.head(text.norm(hidden))
        if (cap := config.final_logit_softcapping) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits, *(tensor for layer in sorted(cache.present) for tensor in cache.present[layer])

    def masks(self, attention_mask, like):
        """Additive masks [B,1,S,T] for both kinds of layer; the last S of the T columns are the new tokens."""
        length, total = like.shape[1], attention_mask.shape[1]
        rows = torch.arange(length)[:, None] + (total - length)
        columns = torch.arange(total)[None, :]
        real = attention_mask.bool()[:, None, None, :]
        full = (columns <= rows)[None, None] & real
        near = (rows - columns < self.text.config.sliding_window)[None, None]
        lowest = torch.finfo(like.dtype).min
        zero = torch.zeros((), dtype=like.dtype)
        return {
            "full_attention": torch.where(full, zero, lowest),
            "sliding_attention": torch.where(full & near, zero, lowest),
        }

    @staticmethod
    def wanted(num_logits_to_keep, length):
        """A function that keeps the last `num_logits_to_keep` positions of a tensor; 0 keeps all of them."""
        all_of_them = torch.full_like(num_logits_to_keep, length)
        keep = torch.where(num_logits_to_keep == 0, all_of_them, torch.minimum(num_logits_to_keep, all_of_them)).item()
        torch._check(keep >= 1)
        torch._check(keep <= length)

        def keep_last(tensor, dim=1):
            return tensor.narrow(dim, length - keep, keep)

        return keep_last


def text_graphs(model: Gemma4ForCausalLM, media_ids: list[int]) -> list[Graph]:
    """The two graphs every Gemma 4 has, with example arguments large enough that no dimension looks constant."""
    text, config = model.model, model.config
    batch, length, past = 2, 5, 6
    shape = (batch, length, config.num_hidden_layers, config.hidden_size_per_layer_input)
    caches = [torch.randn(batch, heads, past, width) for heads, width in layout.cache_shapes(config) for _ in "kv"]
    any_size = Dim.DYNAMIC
    rows = {0: any_size, 1: any_size}
    decoder_arguments = (
        torch.randn(batch, length, config.hidden_size),
        torch.ones(batch, past + length, dtype=torch.long),
        torch.arange(past, past + length)[None].repeat(batch, 1),
        torch.tensor(3),
        torch.randn(shape),
        caches,
    )
    decoder_shapes = (rows, rows, rows, {}, rows, [{0: any_size, 2: any_size} for _ in caches])
    return [
        Graph(
            layout.EMBED,
            EmbedTokens(text, media_ids),
            (torch.randint(3, config.vocab_size, (batch, length)),),
            (rows,),
            ["input_ids"],
            ["inputs_embeds", "per_layer_inputs"],
        ),
        Graph(
            layout.DECODER,
            Decoder(text, model.lm_head),
            decoder_arguments,
            decoder_shapes,
            layout.DECODER_INPUTS + layout.cache_names("past_key_values", config),
            ["logits", *layout.cache_names("present", config)],
        ),
    ]


def export(checkpoint: Path, out: Path) -> None:
    """Writes `out/onnx/*.onnx` (fp32) and the side files."""
    model = checkpoints.text_model(checkpoint, GROUPED_ATTENTION)
    traced(text_graphs(model, layout.media_ids(checkpoint)), checkpoints.weights(model), out)
    config = model.config
    if checkpoints.has_towers(checkpoint):
        whole = checkpoints.whole_model(checkpoint)
        traced(encoders.encoder_graphs(whole), checkpoints.weights(whole), out)
        config = whole.config
    layout.write_side_files(checkpoint, config, out)


def traced(graphs: list[Graph], weights: Weights, out: Path) -> None:
    for graph in graphs:
        started = time.monotonic()
        layout.save(export_graph(graph, weights), out, graph.name)
        print(f"{graph.name}: {time.monotonic() - started:.0f} s", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Export a Transformers checkpoint to the published ONNX layout: traced in single precision, "
        "or, with --variant, in the published graph form, one matrix in memory at a time."
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder with config.json and *.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--variant", choices=sorted(sparing.VARIANTS), help="q4 is what a processor runs best")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA as PEFT writes it, merged on the way")


def run(args: argparse.Namespace) -> int:
    if args.variant is None and args.adapter:
        sys.stderr.write("an adapter is merged with --variant only\n")
        return 2
    if args.variant is None:
        export(args.checkpoint, args.out)
        return 0
    try:
        sparing.export(args.checkpoint, args.out, args.variant, args.adapter)
    except UnreadableCheckpoint as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
