"""The text half of Gemma 4 in plain torch, with the parameter names of transformers' `Gemma4ForCausalLM`.

It is written for training: a prompt's prefix can be run alone and its keys and values reused (`past`), and the KV-shared
upper layers and the head run only at the positions asked for (`sel`), which is exact because nothing later looks at them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
SOFTCAP = 30.0
SLIDING_THETA = 1e4
FULL_THETA = 1e6
FULL_ROTARY_SHARE = 0.25
PADDING = 0
"""Whose rows stand where media are, until a tower's take their place."""

KeyValue = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. `pattern` has one letter a layer: S sliding-window attention, F full attention."""

    vocab: int
    hidden: int = 192
    inter: int = 384
    pattern: str = "SFSSSF"
    kv_shared: int = 3
    heads: int = 6
    kv_heads: int = 1
    head_dim: int = 32
    global_head_dim: int = 64
    ple: int = 16
    window: int = 128

    @property
    def layers(self) -> int:
        return len(self.pattern)

    @property
    def first_shared(self) -> int:
        """The first layer that has no keys and values of its own."""
        return self.layers - self.kv_shared

    def text_config(self):
        """The same sizes as transformers' configuration."""
        from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig

        kinds = {"S": "sliding_attention", "F": "full_attention"}
        return Gemma4TextConfig(
            vocab_size=self.vocab,
            vocab_size_per_layer_input=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=self.inter,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            num_global_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            global_head_dim=self.global_head_dim,
            layer_types=[kinds[letter] for letter in self.pattern],
            num_kv_shared_layers=self.kv_shared,
            hidden_size_per_layer_input=self.ple,
            sliding_window=self.window,
            final_logit_softcapping=SOFTCAP,
            use_double_wide_mlp=True,
            max_position_embeddings=8192,
            attention_k_eq_v=False,
            enable_moe_block=False,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=1,
        )

    def as_dict(self) -> dict:
        return asdict(self)


class Norm(nn.Module):
    """RMS norm with a plain weight (Gemma 4 does not add one to it)."""

    def __init__(self, size: int, start: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), start))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, EPS)


def rotate(x: Tensor, turn: KeyValue) -> Tensor:
    """Rotary position embedding of x [B,h,S,d]; `turn` holds cosines and sines [B,1,S,d]."""
    cos, sin = turn
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin


class Attention(nn.Module):
    def __init__(self, shape: Shape, full: bool, own_kv: bool):
        super().__init__()
        self.full, self.own_kv, self.heads, self.kv_heads = full, own_kv, shape.heads, shape.kv_heads
        self.dim = shape.global_head_dim if full else shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, self.heads * self.dim, bias=False)
        # Gemma 4 scales attention by 1: without this start the first softmax is nearly one-hot and learning stalls.
        self.q_norm = Norm(self.dim, self.dim**-0.5)
        self.o_proj = nn.Linear(self.heads * self.dim, shape.hidden, bias=False)
        if own_kv:
            self.k_proj = nn.Linear(shape.hidden, self.kv_heads * self.dim, bias=False)
            self.v_proj = nn.Linear(shape.hidden, self.kv_heads * self.dim, bias=False)
            self.k_norm = Norm(self.dim)

    def key_value(self, x: Tensor, turn: KeyValue, past: KeyValue | None) -> KeyValue:
        batch, length, _ = x.shape
        split = (batch, length, self.kv_heads, self.dim)
        key = rotate(self.k_norm(self.k_proj(x).view(split)).transpose(1, 2), turn)
        value = F.rms_norm(self.v_proj(x).view(split), (self.dim,), None, EPS).transpose(1, 2)
        if past is None:
            return key, value
        return torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)

    def forward(self, x: Tensor, turn: KeyValue, mask: Tensor, past: KeyValue | None, shared: dict) -> tuple:
        batch, length, _ = x.shape
        query = rotate(self.q_norm(self.q_proj(x).view(batch, length, self.heads, self.dim)).transpose(1, 2), turn)
        key, value = self.key_value(x, turn, past) if self.own_kv else shared[self.full]
        share = self.heads // self.kv_heads
        if self.kv_heads == 1:
            wide = key.expand(-1, self.heads, -1, -1), value.expand(-1, self.heads, -1, -1)
        else:
            wide = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
        mixed = F.scaled_dot_product_attention(query, *wide, attn_mask=mask, scale=1.0)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1)), (key, value)


class Mlp(nn.Module):
    def __init__(self, hidden: int, inner: int):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape, index: int, post: float):
        super().__init__()
        hidden, own_kv = shape.hidden, index < shape.first_shared
        self.self_attn = Attention(shape, shape.pattern[index] == "F", own_kv)
        self.mlp = Mlp(hidden, shape.inter if own_kv else 2 * shape.inter)
        self.input_layernorm = Norm(hidden)
        self.post_attention_layernorm = Norm(hidden, post)
        self.pre_feedforward_layernorm = Norm(hidden)
        self.post_feedforward_layernorm = Norm(hidden, post)
        self.post_per_layer_input_norm = Norm(hidden, post)
        self.per_layer_input_gate = nn.Linear(hidden, shape.ple, bias=False)
        self.per_layer_projection = nn.Linear(shape.ple, hidden, bias=False)
        self.register_buffer("layer_scalar", torch.ones(1))

    def forward(self, x: Tensor, ple: Tensor, turn: KeyValue, mask: Tensor, past, shared: dict) -> tuple:
        mixed, kv = self.self_attn(self.input_layernorm(x), turn, mask, past, shared)
        x = x + self.post_attention_layernorm(mixed)
        x = x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))
        gate = F.gelu(self.per_layer_input_gate(x), approximate="tanh")
        x = x + self.post_per_layer_input_norm(self.per_layer_projection(gate * ple))
        return x * self.layer_scalar, kv


class Body(nn.Module):
    def __init__(self, shape: Shape, post: float):
        super().__init__()
        self.shape = shape
        flat = shape.layers * shape.ple
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.embed_tokens_per_layer = nn.Embedding(shape.vocab, flat)
        self.per_layer_model_projection = nn.Linear(shape.hidden, flat, bias=False)
        self.per_layer_projection_norm = Norm(shape.ple)
        self.layers = nn.ModuleList(Layer(shape, index, post) for index in range(shape.layers))
        self.norm = Norm(shape.hidden)

    def per_layer_inputs(self, x: Tensor, ids: Tensor) -> Tensor:
        """[B,S,L,ple]: what each layer is told of the token once more."""
        split = (*ids.shape, self.shape.layers, self.shape.ple)
        context = self.per_layer_projection_norm(
            (self.per_layer_model_projection(x) * self.shape.hidden**-0.5).view(split)
        )
        table = self.embed_tokens_per_layer(ids).view(split) * self.shape.ple**0.5
        return (context + table) * 2**-0.5


class Pocket(nn.Module):
    """The model with its tied head. `post` is the start of the post-norm weights (small: the layers begin quiet)."""

    def __init__(self, shape: Shape, post: float = 0.3):
        super().__init__()
        self.shape = shape
        self.model = Body(shape, post)
        self.register_buffer("sliding_turns", turns(shape.head_dim, SLIDING_THETA, 1.0), persistent=False)
        self.register_buffer(
            "full_turns", turns(shape.global_head_dim, FULL_THETA, FULL_ROTARY_SHARE), persistent=False
        )
        self.tame()

    @torch.no_grad()
    def tame(self) -> None:
        """Starts every matrix at unit gain, so that attention and the residual stream are of order one at once."""
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, 0, weight.shape[1] ** -0.5)
        nn.init.normal_(self.model.embed_tokens.weight, 0, self.shape.hidden**-0.5)
        nn.init.normal_(self.model.embed_tokens_per_layer.weight, 0, self.shape.ple**-0.5)

    @torch.no_grad()
    def bind_spaces(self, vocabulary: dict[str, int], space: str = "Ġ") -> None:
        """Starts the embedding of " x" near that of "x": names stand after spaces, line starts and quotes alike."""
        for table in (self.model.embed_tokens.weight, self.model.embed_tokens_per_layer.weight):
            for piece, index in vocabulary.items():
                bare = vocabulary.get(piece[1:]) if piece.startswith(space) else None
                if bare is not None:
                    table[index] = 0.9 * table[bare] + 0.45 * table[index]

    def turn(self, pos: Tensor, full: bool) -> KeyValue:
        angle = pos[..., None].float() * (self.full_turns if full else self.sliding_turns)
        angle = torch.cat((angle, angle), -1)[:, None]
        return angle.cos(), angle.sin()

    def forward(
        self,
        ids: Tensor,
        pos: Tensor,
        mask_full: Tensor,
        mask_sliding: Tensor,
        sel: Tensor | None = None,
        past: list[KeyValue] | None = None,
        kv_only: bool = False,
        soft: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor | None, list[KeyValue]]:
        """ids, pos [B,S]; masks [B,1,S,K] (true: seen; K counts the past too); sel [B,M]: where logits are wanted.
        soft: where rows of a tower stand instead of tokens, bool [B,S], and these rows [rows,H] in their order.

        Returns logits [B,M,V] (None with `kv_only`) and keys and values of every layer that has its own.
        """
        shape, body = self.shape, self.model
        if soft is not None:
            ids = torch.where(soft[0], PADDING, ids)
        x = body.embed_tokens(ids) * shape.hidden**0.5
        if soft is not None:
            x = x.masked_scatter(soft[0][..., None], soft[1])
        ple = body.per_layer_inputs(x, ids)
        turn = {full: self.turn(pos, full) for full in (False, True)}
        mask = {False: mask_sliding, True: mask_full}
        shared: dict[bool, KeyValue] = {}
        own: list[KeyValue] = []
        for index, layer in enumerate(body.layers):
            full = shape.pattern[index] == "F"
            if index == shape.first_shared:
                if kv_only:
                    return None, own
                if sel is not None:
                    x = x.gather(1, sel[..., None].expand(-1, -1, x.shape[-1]))
                    ple = ple.flatten(2).gather(1, sel[..., None].expand(-1, -1, shape.layers * shape.ple))
                    ple = ple.view(*sel.shape, shape.layers, shape.ple)
                    turn = {kind: self.turn(pos.gather(1, sel), kind) for kind in (False, True)}
                    rows = sel[:, None, :, None]
                    mask = {kind: seen.gather(2, rows.expand(-1, 1, -1, seen.shape[-1])) for kind, seen in mask.items()}
            before = past[index] if past is not None and index < shape.first_shared else None
            x, kv = layer(x, ple[:, :, index], turn[full], mask[full], before, shared)
            if index < shape.first_shared:
                shared[full] = kv
                own.append(kv)
        logits = F.linear(body.norm(x), body.embed_tokens.weight)
        return torch.tanh(logits / SOFTCAP) * SOFTCAP, own


def turns(dim: int, theta: float, share: float) -> Tensor:
    """Inverse frequencies; the last ones are zero where only a share of the head turns."""
    inverse = theta ** (-torch.arange(0, dim, 2).float() / dim)
    inverse[int(share * dim / 2) :] = 0
    return inverse


def causal(pos: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """The two masks [B,1,S,S] of a plain sequence at positions `pos` [B,S]."""
    gap = pos[:, None, :, None] - pos[:, None, None, :]
    return gap >= 0, (gap >= 0) & (gap < window)
