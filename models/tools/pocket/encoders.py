"""Both encoders as modules that can be traced: Transformers' own towers, with masks and the clipping of products by hand.

Transformers reads bounds from buffers and builds its masks with functions that a trace cannot see through; here bounds are
plain numbers, and masks follow from the inputs in a few lines.
"""

from __future__ import annotations

from types import MethodType

import torch
from torch import nn
from torch.export import Dim
from transformers import Gemma4ForConditionalGeneration
from transformers.models.gemma4.modeling_gemma4 import Gemma4ClippableLinear

from . import layout
from .audio_graph import BANDS
from .towers import BOUNDS
from .tracing import Graph


class VisionEncoder(nn.Module):
    """Patches [N,P,768] and their places [N,P,2] to the rows [tokens,H] of all that is no padding."""

    def __init__(self, tower, projection):
        super().__init__()
        self.tower, self.projection = tower, projection
        self.columns, self.rows = (nn.Buffer(table) for table in tower.patch_embedder.position_embedding_table.detach())

    def forward(self, pixel_values, pixel_position_ids):
        tower = self.tower
        padding = (pixel_position_ids == -1).all(dim=-1)
        places = pixel_position_ids.clamp(min=0)
        told = nn.functional.embedding(places[..., 0], self.columns) + nn.functional.embedding(
            places[..., 1], self.rows
        )
        hidden = tower.patch_embedder.input_proj(2 * (pixel_values - 0.5))
        hidden = hidden + torch.where(padding[..., None], 0.0, told)
        mask = torch.where(padding, torch.finfo(hidden.dtype).min, 0.0)[:, None, None, :]
        rotation = tower.encoder.rotary_emb(hidden, pixel_position_ids)
        for layer in tower.encoder.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rotation, position_ids=pixel_position_ids)
        hidden = torch.where(padding[..., None], 0.0, hidden)
        shares = self.shares(places)
        held = (shares != 0).any(dim=1).reshape(-1)
        pooled = (shares.transpose(1, 2) @ hidden).reshape(-1, hidden.shape[-1])
        return self.projection(pooled[held] * tower.pooler.root_hidden_size)

    def shares(self, places):
        """The share of each patch in each soft token [N,P,T]."""
        side = self.tower.config.pooling_kernel_size
        tokens = places.shape[1] // side**2
        cells = places // side
        columns = (places[..., 0].amax(dim=-1, keepdim=True) + 1) // side
        index = cells[..., 0] + columns * cells[..., 1]
        return (index[..., None] == torch.arange(tokens)).float() / side**2


class AudioEncoder(nn.Module):
    """Frames [B,T,128] and which of them are whole [B,T] to the rows [tokens,H] of all that is no padding."""

    def __init__(self, tower, projection):
        super().__init__()
        self.tower, self.projection = tower, projection

    def forward(self, input_features, input_features_mask):
        tower = self.tower
        hidden, whole = tower.subsample_conv_projection(input_features, input_features_mask)
        distances = tower.rel_pos_enc(hidden)
        mask = self.blocked_mask(whole, hidden.dtype)
        for layer in tower.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=distances)
        rows = self.projection(tower.output_proj(hidden))
        return rows.reshape(-1, rows.shape[-1])[whole.reshape(-1)]

    def blocked_mask(self, whole, number):
        """What is added to the scores [B,1,blocks,block,context] of each block of frames."""
        config = self.tower.config
        block, back = config.attention_chunk_size, config.attention_context_left - 1
        context = block + back + config.attention_context_right
        batch, length = whole.shape
        blocks = (length + block - 1) // block
        keys = torch.arange(blocks)[:, None] * block + torch.arange(context) - back
        distance = back + torch.arange(block)[:, None] - torch.arange(context)
        near = (0 <= distance) & (distance < back)
        near = near | (distance < 0) & (-distance < config.attention_context_right)
        heeded = whole[:, keys.clamp(min=0).clamp(max=length - 1).reshape(-1)].reshape(batch, blocks, 1, context)
        heeded = heeded & ((keys >= 0) & (keys < length))[:, None, :] & near
        return torch.where(heeded, 0.0, torch.finfo(number).min)[:, None]


def clip_at_fixed_bounds(tower: nn.Module) -> None:
    """The exporter's optimizer drops bounds that are buffers; as numbers it keeps them."""

    def forward(self, value):
        low_in, high_in, low_out, high_out = self.bounds
        return torch.clamp(self.linear(torch.clamp(value, low_in, high_in)), low_out, high_out)

    for module in tower.modules():
        if isinstance(module, Gemma4ClippableLinear) and module.use_clipped_linears:
            module.bounds = [float(getattr(module, name)) for name in BOUNDS]
            module.forward = MethodType(forward, module)


def encoder_graphs(model: Gemma4ForConditionalGeneration) -> list[Graph]:
    """The encoders that the model has, with example arguments that have padding and more than one of everything."""
    parts, any_size = model.model, Dim.DYNAMIC
    ports = {0: any_size, 1: any_size}
    graphs = []
    if (tower := parts.vision_tower) is not None:
        tower.set_attn_implementation("eager")
        clip_at_fixed_bounds(tower)
        columns, rows = torch.meshgrid(torch.arange(12), torch.arange(6), indexing="xy")
        places = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2).repeat(2, 1, 1)
        places[1, 54:] = -1
        arguments = (torch.rand(2, 72, 3 * tower.config.patch_size**2), places)
        module = VisionEncoder(tower, parts.embed_vision)
        names = ["pixel_values", "pixel_position_ids"]
        graphs.append(Graph(layout.VISION, module, arguments, (ports, ports), names, ["image_features"]))
    if (tower := parts.audio_tower) is not None:
        clip_at_fixed_bounds(tower)
        whole = torch.ones(2, 199, dtype=torch.bool)
        whole[1, 150:] = False
        module = AudioEncoder(tower, parts.embed_audio)
        arguments, names = (torch.randn(2, 199, BANDS), whole), ["input_features", "input_features_mask"]
        graphs.append(Graph(layout.AUDIO, module, arguments, (ports, ports), names, ["audio_features"]))
    return graphs
