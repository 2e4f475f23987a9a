"""Random checkpoints with the shape of Gemma 4 E2B and E4B in small: what a stand-in is made of.

Small are the sizes; what the layers are is the original's: groups of sliding layers closed by a full one, whole groups
on top that reuse the keys and values of the last owner of their kind, full heads twice as wide, rows for each layer, a
tied head with its soft cap. E2B has one key and value head and twice the width in the upper layers' products, E4B two
heads and no such doubling. Beside the text model stand the towers for pictures and sounds (see `towers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Gemma4ForCausalLM, Gemma4ForConditionalGeneration
from transformers.models.gemma4.configuration_gemma4 import Gemma4Config, Gemma4TextConfig

from . import folder, layout, tiny, tokenizer, towers
from .towers import Towers

SEED = 20261125
SHARPNESS = 1.5
"""How far attention is from an even share: on flat attention a wrong window would hardly show."""
LOUDNESS = 1.0
"""What each layer adds. Louder ones make chaos of the roundings of half precision, quieter ones repeat a token."""


@dataclass(frozen=True)
class Miniature:
    """Sizes of a stand-in. Rows for all layers together must fill whole blocks of 32."""

    group: int
    """Layers from one full layer to the next."""
    groups: int
    shared_groups: int
    heads: int
    kv_heads: int
    double_wide: bool
    hidden: int = 64
    inner: int = 64
    head_width: int = 16
    per_layer: int = 16
    window: int = 12
    positions: int = 2560
    """Room for a picture of 1,120 soft tokens and 30 s of sound (750) in one prompt."""
    towers: Towers = Towers()

    def config(self, vocabulary: int) -> Gemma4TextConfig:
        kinds = ["sliding_attention"] * (self.group - 1) + ["full_attention"]
        return Gemma4TextConfig(
            vocab_size=vocabulary,
            vocab_size_per_layer_input=vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.group * self.groups,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            num_global_key_value_heads=self.kv_heads,
            head_dim=self.head_width,
            global_head_dim=2 * self.head_width,
            layer_types=kinds * self.groups,
            num_kv_shared_layers=self.group * self.shared_groups,
            hidden_size_per_layer_input=self.per_layer,
            sliding_window=self.window,
            final_logit_softcapping=30.0,
            use_double_wide_mlp=self.double_wide,
            max_position_embeddings=self.positions,
            attention_k_eq_v=False,
            enable_moe_block=False,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=1,
        )


MINIATURES = {
    "e2b": Miniature(group=5, groups=3, shared_groups=1, heads=8, kv_heads=1, double_wide=True, per_layer=32),
    "e4b": Miniature(group=6, groups=3, shared_groups=1, heads=8, kv_heads=2, double_wide=False, per_layer=32),
}
FIXTURE = Miniature(
    **{"group": 5, "groups": 2, "shared_groups": 1, "heads": 4, "kv_heads": 1, "double_wide": True},
    **{"hidden": 32, "inner": 16, "head_width": 8, "positions": 256},
    towers=Towers(vision_inner=32, positions=256, audio_hidden=32, audio_heads=4, channels=4, audio_out=32),
)
"""E2B once more, small enough to lie in the repository."""


@torch.no_grad()
def fill(model: Gemma4ForCausalLM) -> None:
    """Random weights in bfloat16's numbers, as real checkpoints have them: half precision holds them unchanged.

    Norms and scalars differ from one, so that none can be forgotten.
    """
    torch.manual_seed(SEED)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        random = torch.randn_like(tensor)
        if name.endswith("q_norm.weight"):
            random = SHARPNESS * len(tensor) ** -0.5 * (1 + 0.2 * random)
        elif tensor.ndim == 1:
            random = (LOUDNESS if "post_" in name else 1.0) * (1 + 0.2 * random)
        elif "embed_tokens_per_layer" in name:
            random *= model.config.hidden_size_per_layer_input**-0.5
        else:
            random *= tensor.shape[1] ** -0.5
        tensor.copy_(random.bfloat16().float())


def checkpoint(miniature: Miniature, out: Path) -> None:
    """A checkpoint as Transformers writes them, with the tokenizer and the template of the tiny folder."""
    words = out / "tokenizer" / "tokenizer.json"
    vocabulary = tokenizer.build(tiny.texts(), [], [], tiny.MERGES, words).get_vocab_size()
    text = Gemma4ForCausalLM(miniature.config(vocabulary))
    fill(text)
    ids = layout.media_tokens(words.parent)
    model = Gemma4ForConditionalGeneration(
        Gemma4Config(
            text_config=text.config,
            vision_config=miniature.towers.vision(),
            audio_config=miniature.towers.audio(),
            eoa_token_index=ids.pop("eoa_token_id"),
            **ids,
        )
    )
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.tie_weights()
    towers.fill(model, SEED)
    model.save_pretrained(out)
    folder.write_side_files(words, out)
    towers.write_side_files(out)
