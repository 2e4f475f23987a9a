"""Pocket's vision tower: Transformers' own Gemma 4 encoder in small."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.gemma4.configuration_gemma4 import Gemma4VisionConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4VisionModel

from ..ears.tower import quicken
from .scenes import KINDS, LAMPS

HIDDEN, INNER, LAYERS, HEADS = 128, 256, 3, 4
PATCH, POOLED = 16, 3
POSITIONS = 1024
"""Columns and rows of patches that a picture may have."""
WORDS = (*LAMPS, "open", "closed")
VALUES = 101


def config() -> Gemma4VisionConfig:
    return Gemma4VisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HIDDEN // HEADS,
        patch_size=PATCH,
        pooling_kernel_size=POOLED,
        position_embedding_size=POSITIONS,
        use_clipped_linears=False,
        standardize=False,
    )


class Eyes(nn.Module):
    """The tower, the projection onto the text model's width, and heads that say what a picture shows, thrown away in the end."""

    def __init__(self, width: int):
        super().__init__()
        self.tower = Gemma4VisionModel(config())
        self.tower.set_attn_implementation("sdpa")
        self.projection = nn.Linear(HIDDEN, width, bias=False)
        self.asked = nn.Parameter(torch.randn(4, HIDDEN) * HIDDEN**-0.5)
        """Four questions that look at the soft tokens."""
        self.kind = nn.Linear(4 * HIDDEN, len(KINDS))
        self.word = nn.Linear(4 * HIDDEN, len(WORDS))
        self.value = nn.Sequential(nn.Linear(4 * HIDDEN, 256), nn.GELU(), nn.Linear(256, VALUES))
        quicken(self.tower)
        self.tame()

    @torch.no_grad()
    def tame(self) -> None:
        for name, weight in self.named_parameters():
            if name.endswith("position_embedding_table"):
                nn.init.normal_(weight, 0, 0.3)
            elif weight.ndim == 2 and name != "asked":
                nn.init.normal_(weight, 0, weight.shape[1] ** -0.5)
            if name.endswith("q_norm.weight"):
                weight.fill_((HIDDEN // HEADS) ** -0.5 * 1.5)
            if name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")):
                weight.fill_(0.4)
        for head in (self.kind, self.word, self.value[2]):
            head.weight *= 0.3

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels u8 [B,H,W,3] of one size to rows [B,T,HIDDEN], normed as what stands before the projection."""
        batch, height, width, _ = pixels.shape
        rows, columns = height // PATCH, width // PATCH
        patches = pixels.view(batch, rows, PATCH, columns, PATCH, 3).transpose(2, 3).reshape(batch, rows * columns, -1)
        places = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), -1).view(1, -1, 2)
        places = places.expand(batch, -1, -1)
        tower = self.tower
        none = torch.zeros(batch, rows * columns, dtype=torch.bool)
        hidden = tower.patch_embedder(patches.float() / 255, places, none)
        rotation = tower.encoder.rotary_emb(hidden, places)
        for layer in tower.encoder.layers:
            hidden = layer(hidden, attention_mask=None, position_embeddings=rotation, position_ids=places)
        hidden = hidden.view(batch, rows // POOLED, POOLED, columns // POOLED, POOLED, HIDDEN).mean(dim=(2, 4))
        return F.rms_norm(hidden.flatten(1, 2).float() * HIDDEN**0.5, (HIDDEN,), None, 1e-6)

    def told(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of kind, word and value."""
        looks = (self.asked @ rows.transpose(1, 2)).softmax(-1) @ rows
        flat = looks.flatten(1)
        return self.kind(flat), self.word(flat), self.value(flat)
