"""Packs sessions into tensors. A conversation sees its house and itself only, so houses are run once and their keys and
values reused; the positions that carry loss are listed, so that the upper layers run there alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from .model import KeyValue, Pocket, causal
from .prompt import Turn, answer, responses, system_text, user_turn
from .sessions import Session, declare

IGNORED = -1
IMAGE, AUDIO = 54, 57
"""Stand where a tower's rows are put."""
MARKS = {IMAGE: (53, 55), AUDIO: (56, 58)}
"""What stands before and after them."""
TOOL_CALL_END, LINE_FEED = 49, 107
"""Where these stand before a wanted token, the model decides: to call or to refuse, to call once more or to stop."""
DECISION_WEIGHT = 3.0
"""A decision is one token among fifteen that mostly copy; with equal weights refusing was learned last."""


class Encoder:
    """Text to ids, piece by piece: special tokens bound every piece, so the ids are those of the whole text."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.declaration = lru_cache(maxsize=4096)(self.ids)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def prefix(self, session: Session, declared: bool) -> list[int]:
        ids = self.ids(f"<bos><|turn>system\n{system_text(session.home, session.instructions)}")
        if declared:
            for tool in session.tools:
                ids = ids + self.declaration(declare(tool))
        return ids + self.ids("<turn|>\n")

    @staticmethod
    def shown(turn: Turn, media: tuple[int, int] | None) -> tuple[str, list[int], str]:
        """A user's turn in three pieces: text, placeholders between their marks, text. What is spoken has no words."""
        whole = user_turn(turn)
        if media is None:
            return whole, [], ""
        opening = "<|turn>user\n"
        begins, ends = MARKS[media[0]]
        rest = whole.removeprefix(opening)
        if media[0] == AUDIO:
            rest = (f"({turn.area})" if turn.area else "") + rest[rest.index("<turn|>") :]
        return opening, [begins, *[media[0]] * media[1], ends], rest

    def talk(
        self, turns: list[Turn], with_reply: bool = True, media: tuple[int, int] | None = None
    ) -> tuple[list[int], list[int]]:
        """Ids of a conversation, and for each place the id that must follow there (IGNORED: no loss). `media` is a placeholder
        and how many of it stand in front of the first turn's words."""
        ids: list[int] = []
        labels: list[int] = []

        def given(text: str) -> None:
            pieces = self.ids(text)
            ids.extend(pieces)
            labels.extend([IGNORED] * len(pieces))

        def written(text: str) -> None:
            pieces = self.ids(text)
            labels[-1] = pieces[0]
            ids.extend(pieces)
            labels.extend([*pieces[1:], IGNORED])

        for index, turn in enumerate(turns):
            if index:
                given("\n")
            before, shown, after = self.shown(turn, media if index == 0 else None)
            given(before)
            ids.extend(shown)
            labels.extend([IGNORED] * len(shown))
            given(after)
            written(answer(turn))
            if turn.calls and (with_reply or index + 1 < len(turns)):
                given(responses(turn))
                written(turn.reply + "<turn|>")
        return ids, labels


@dataclass
class Part:
    """Conversations of like length. ids, pos [N,T]; sel, labels [N,M]; owner [N]: the house of each.

    Full layers see the whole house: mask_full [N,1,T,P+T]. Sliding ones are given its last `window` places only: `near`
    [N,W] and mask_sliding [N,1,T,W+T]. weights [N,M]: how much each label counts.
    """

    ids: Tensor
    pos: Tensor
    mask_full: Tensor
    mask_sliding: Tensor
    sel: Tensor
    labels: Tensor
    weights: Tensor
    owner: Tensor
    near: Tensor
    numbers: list[int]
    """The number of each conversation, counted through all houses of the batch."""

    @property
    def soft(self) -> Tensor:
        """Where rows of a tower stand, bool [N,T]."""
        return (self.ids == IMAGE) | (self.ids == AUDIO)


@dataclass
class Batch:
    """Houses [B,P] with their masks, and the conversations held there."""

    ids: Tensor
    pos: Tensor
    mask_full: Tensor
    mask_sliding: Tensor
    parts: list[Part]
    talks: int
    tokens: int


def padded(rows: list[list[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def make_batch(
    houses: list[list[int]], talks: list[list[tuple[list[int], list[int]]]], window: int, chunks: int
) -> Batch:
    """`houses`: ids of each prefix; `talks`: for each house its conversations with labels."""
    ids = padded(houses, 0)
    pos = torch.arange(ids.shape[1])[None].expand(len(houses), -1)
    lengths = [len(house) for house in houses]
    every = [(len(talk[0]), index, talk) for index, of_house in enumerate(talks) for talk in of_house]
    flat = sorted(((*row, number) for number, row in enumerate(every)), key=lambda row: row[0])
    size = -(-len(flat) // chunks)
    parts = [
        make_part(flat[start : start + size], lengths, ids.shape[1], window) for start in range(0, len(flat), size)
    ]
    tokens = sum(lengths) + sum(row[0] for row in flat)
    return Batch(ids, pos, *causal(pos, window), parts, len(flat), tokens)


def make_part(rows: list, lengths: list[int], prefix: int, window: int) -> Part:
    ids = padded([talk[0] for _, _, talk, _ in rows], 0)
    labels = padded([talk[1] for _, _, talk, _ in rows], IGNORED)
    owner = torch.tensor([house for _, house, _, _ in rows])
    start = torch.tensor([lengths[house] for _, house, _, _ in rows])
    width = ids.shape[1]
    pos = start[:, None] + torch.arange(width)[None]
    own = pos[:, :, None] >= pos[:, None, :]
    whole = (torch.arange(prefix)[None] < start[:, None])[:, None].expand(-1, width, -1)
    near = start[:, None] - window + torch.arange(window)[None]
    close = (pos[:, :, None] - near[:, None, :] < window) & (near >= 0)[:, None]
    own_close = own & (pos[:, :, None] - pos[:, None, :] < window)
    most = int((labels != IGNORED).sum(1).max())
    places = torch.where(labels != IGNORED, torch.arange(width)[None], width).sort(1)[0][:, :most]
    sel = places.clamp(max=width - 1)
    wanted = torch.where(places < width, labels.gather(1, sel), IGNORED)
    before = ids.gather(1, sel)
    weights = torch.where((before == LINE_FEED) | (before == TOOL_CALL_END), DECISION_WEIGHT, 1.0)
    mask_full, mask_sliding = torch.cat((whole, own), 2)[:, None], torch.cat((close, own_close), 2)[:, None]
    numbers = [number for _, _, _, number in rows]
    return Part(ids, pos, mask_full, mask_sliding, sel, wanted, weights, owner, near.clamp(min=0), numbers)


def of_part(part: Part, house: KeyValue, full: bool) -> KeyValue:
    """The house's keys and values as each conversation of the part needs them."""
    if full:
        return house[0][part.owner], house[1][part.owner]
    rows = part.owner[:, None]
    return house[0][rows, :, part.near].transpose(1, 2), house[1][rows, :, part.near].transpose(1, 2)


def forward(model: Pocket, batch: Batch, soft: list[Tensor] | None = None) -> list[Tensor]:
    """Logits [N,M,V] of every part. `soft` are the towers' rows of each conversation, by its number."""
    _, house = model(batch.ids, batch.pos, batch.mask_full, batch.mask_sliding, kv_only=True)
    out = []
    for part in batch.parts:
        past = [of_part(part, kv, full=model.shape.pattern[layer] == "F") for layer, kv in enumerate(house)]
        rows = (part.soft, torch.cat([soft[number] for number in part.numbers])) if soft else None
        logits, _ = model(part.ids, part.pos, part.mask_full, part.mask_sliding, sel=part.sel, past=past, soft=rows)
        out.append(logits)
    return out


def loss(model: Pocket, batch: Batch, soft: list[Tensor] | None = None) -> Tensor:
    """Weighted mean cross-entropy over the places that carry loss."""
    total, count = torch.zeros(()), torch.zeros(())
    for logits, part in zip(forward(model, batch, soft), batch.parts, strict=True):
        kept = part.labels != IGNORED
        each = F.cross_entropy(logits[kept], part.labels[kept], reduction="none")
        total = total + (each * part.weights[kept]).sum()
        count = count + part.weights[kept].sum()
    return total / count
