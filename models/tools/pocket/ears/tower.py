"""Pocket's audio tower: Transformers' own Gemma 4 encoder in small, with what is needed only while it learns."""

from __future__ import annotations

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.gemma4.configuration_gemma4 import Gemma4AudioConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel, Gemma4RMSNorm

HIDDEN, LAYERS, HEADS, OUT = 144, 6, 4, 192
HEARD = 4
"""After so many layers it is known what is said; the others turn that into rows that the text model can read."""
CHANNELS = [128, 12]
"""The first has to be 128: four to a frequency that the second leaves."""
LETTERS = "_ abcdefghijklmnopqrstuvwxyz'"
"""The classes of the second head; the first is CTC's blank."""
LETTERS_A_TOKEN = 2
"""40 ms may hold two letters."""
BLANK = 0
UNSAID, SILENCE = -12.0, 6.0
"""Logits that `Ears.read` begins with."""


def config() -> Gemma4AudioConfig:
    return Gemma4AudioConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        subsampling_conv_channels=CHANNELS,
        output_proj_dims=OUT,
        use_clipped_linears=False,
    )


class Ears(nn.Module):
    """The tower, the projection onto the text model's width, and heads for CTC that are thrown away in the end.

    What is projected has to say to the text model what a row of its own table says. `read` holds it to that: the nearest row is
    the piece. The heads know the pieces by directions of their own, from which no linear map leads to the table's (the nearest
    row was the right one for 11 % of the pieces); that takes layers that know the table.
    """

    def __init__(self, table: Tensor):
        """table [V,width]: the text model's rows as they stand in a prompt."""
        super().__init__()
        vocab, width = table.shape
        self.register_buffer("table", table.detach().clone(), persistent=False)
        self.tower = Gemma4AudioModel(config())
        self.projection = nn.Linear(OUT, width, bias=False)
        self.ear = nn.Linear(HIDDEN, OUT)
        self.sharpness = nn.Parameter(torch.tensor(0.5))
        self.leaning = nn.Parameter(torch.zeros(vocab))
        self.pieces = nn.Linear(OUT, vocab)
        self.letters = nn.Linear(OUT, LETTERS_A_TOKEN * len(LETTERS))
        quicken(self.tower)
        self.tame()
        self.quiet_last()

    @torch.no_grad()
    def tame(self) -> None:
        """Unit gain in every matrix, quiet layers, first filters that look at changes, and heads that say nearly always nothing."""
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, 0, weight.shape[1] ** -0.5)
            elif weight.ndim == 4:
                nn.init.normal_(weight, 0, weight[0].numel() ** -0.5)
            if name.endswith(("post_layer_norm.weight", "norm_post_attn.weight")):
                weight.fill_(0.5)
        first = self.tower.subsample_conv_projection.layer0.conv.weight
        first -= 0.9 * first.mean(dim=(1, 2, 3), keepdim=True)
        for layer in self.tower.layers:
            layer.lconv1d.linear_end.linear.weight *= 0.5
        for head in (self.pieces, self.letters):
            head.weight *= 0.3
            head.bias.zero_()
        self.pieces.bias[BLANK] = 6.0
        self.letters.bias[:: len(LETTERS)] = 2.0

    @torch.no_grad()
    def quiet_last(self) -> None:
        """The last layers begin as hardly anything."""
        for layer in self.tower.layers[HEARD:]:
            layer.lconv1d.linear_end.linear.weight *= 0.1
            for name, weight in layer.named_parameters():
                if name.endswith(("post_layer_norm.weight", "norm_post_attn.weight")):
                    weight.fill_(0.1)

    @torch.no_grad()
    def follow(self) -> None:
        """Has the last layers begin where the layer before them ends, whose output the heads go on reading."""
        self.ear.load_state_dict(self.tower.output_proj.state_dict())
        before = self.tower.layers[HEARD - 1].norm_out.weight
        for layer in self.tower.layers[HEARD:]:
            layer.norm_out.weight.fill_(before.square().mean().sqrt().item())

    def hold_still(self) -> None:
        """What hears learns no more; what turns it into rows does."""
        for part in (self.tower.subsample_conv_projection, *self.tower.layers[:HEARD], self.ear, self.pieces, self.letters):
            part.requires_grad_(False)

    @torch.no_grad()
    def expect(self, said: set[int]) -> None:
        """Begins `read` with silence likely, and pieces that nobody says unlikely: their rows lie close together, and silence among them."""
        self.leaning.fill_(UNSAID)
        self.leaning[list(said)] = 0.0
        self.leaning[BLANK] = SILENCE

    def read(self, soft: Tensor) -> Tensor:
        """Projected rows [...,width] to logits of the pieces whose rows lie in their direction."""
        return self.sharpness * (soft @ F.normalize(self.table, dim=-1).T) + self.leaning

    def forward(self, features: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """features [B,T,128], whole [B,T] to [B,T/4,OUT] twice: for the heads, and for the projection, normed as what stands before it."""
        hidden, left = self.halved_twice(features, whole), whole[:, ::2][:, ::2]
        distances = self.tower.rel_pos_enc(hidden)
        hidden_from = blocked(left, self.tower.config)
        for index, layer in enumerate(self.tower.layers):
            hidden = layer(hidden, attention_mask=hidden_from, position_embeddings=distances)
            if index + 1 == HEARD:
                known = F.rms_norm(self.ear(hidden), (OUT,), None, 1e-6)
        return known, F.rms_norm(self.tower.output_proj(hidden), (OUT,), None, 1e-6)

    def halved_twice(self, features: Tensor, whole: Tensor) -> Tensor:
        """The tower's `subsample_conv_projection`, with channels last: three times as fast on a processor."""
        parts = self.tower.subsample_conv_projection
        first, second = parts.layer0, parts.layer1
        batch, length, _ = features.shape
        patches = F.unfold((features * whole[..., None])[:, None], 3, padding=1, stride=2).transpose(1, 2)
        hidden = normed(patches @ first.conv.weight.flatten(1).T, first.norm)
        hidden = hidden.view(batch, -(-length // 2), -1, CHANNELS[0]) * whole[:, ::2, None, None]
        kernel = second.conv.weight.contiguous(memory_format=torch.channels_last)
        hidden = F.conv2d(hidden.permute(0, 3, 1, 2), kernel, None, 2, 1).permute(0, 2, 3, 1)
        return parts.input_proj_linear(normed(hidden, second.norm).flatten(2))


def normed(hidden: Tensor, norm: nn.LayerNorm) -> Tensor:
    return F.relu(F.layer_norm(hidden, norm.normalized_shape, norm.weight.to(hidden.dtype), None, norm.eps))


def quicken(tower: nn.Module) -> None:
    """Transformers spells its norms out; torch has them in one step."""

    def forward(self, hidden: Tensor) -> Tensor:
        weight = self.weight.to(hidden.dtype) if self.with_scale else None
        return F.rms_norm(hidden, hidden.shape[-1:], weight, self.eps)

    for module in tower.modules():
        if isinstance(module, Gemma4RMSNorm):
            module.forward = MethodType(forward, module)


def blocked(whole: Tensor, config: Gemma4AudioConfig) -> Tensor:
    """What no frame of a block may look at: [B,1,blocks,block,context], true where it is hidden."""
    block, back = config.attention_chunk_size, config.attention_context_left - 1
    length = whole.shape[1]
    blocks, context = -(-length // block), block + back
    keys = torch.arange(blocks)[:, None] * block + torch.arange(context) - back
    distance = back + torch.arange(block)[:, None] - torch.arange(context)
    near = (distance >= 0) & (distance < back)
    heeded = whole[:, keys.clamp(0, length - 1)][:, :, None, :]
    heeded = heeded & ((keys >= 0) & (keys < length))[None, :, None, :] & near
    return ~heeded[:, None]
