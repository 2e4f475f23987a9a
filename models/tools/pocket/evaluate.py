"""Exact match of whole answers, greedy: free, and under the grammar. Teacher forcing is enough, because a greedy answer is the
right one exactly when every step of it is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import torch

from . import folder
from .batches import IGNORED, Encoder, forward, make_batch
from .grammar import Grammar
from .model import Pocket
from .sessions import Session
from .sets import SETS, draw_set


@dataclass
class Score:
    count: int = 0
    free: int = 0
    constrained: int = 0
    by_sort: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def line(self) -> str:
        sorts = " ".join(f"{sort} {100 * sum(right) / len(right):.0f}" for sort, right in sorted(self.by_sort.items()))
        return f"{self.count:5} free {100 * self.free / self.count:5.1f} grammar {100 * self.constrained / self.count:5.1f} | {sorts}"


@torch.no_grad()
def score_session(model: Pocket, encoder: Encoder, session: Session, score: Score, declared: bool) -> None:
    talks = [encoder.talk(turns, with_reply=False) for turns in session.talks]
    batch = make_batch([encoder.prefix(session, declared)], [talks], model.shape.window, chunks=2)
    grammar = Grammar(encoder.ids, session.tools, session.home)
    for logits, part in zip(forward(model, batch), batch.parts, strict=True):
        for row, number in enumerate(part.numbers):
            turn = session.talks[number][-1]
            kept = part.labels[row] != IGNORED
            wanted, scores = part.labels[row][kept].tolist(), logits[row][kept]
            best = scores.argmax(-1).tolist()
            free = best == wanted if turn.calls else best[0] != grammar.call  # any words refuse
            constrained = free if not turn.calls else holds(grammar, wanted, scores)
            score.count, score.free, score.constrained = (
                score.count + 1,
                score.free + free,
                score.constrained + constrained,
            )
            score.by_sort[turn.sort].append(constrained)
            if not constrained:
                guess = encoder.tokenizer.decode(best, skip_special_tokens=False)
                score.wrong.append((f"({turn.area}) {turn.text}", guess))


def holds(grammar: Grammar, wanted: list[int], scores: torch.Tensor) -> bool:
    """Whether the best allowed id is the wanted one at every step."""
    allowed = grammar.walk(wanted)
    if allowed is None:
        return False
    for step, ids in enumerate(allowed):
        if ids is None:
            best = int(scores[step].argmax())
        else:
            some = sorted(ids)
            best = some[int(scores[step][some].argmax())]
        if best != wanted[step]:
            return False
    return True


def evaluate(
    path: Path,
    houses: int,
    talks: int,
    names: list[str] | None = None,
    declared: bool = True,
    show: int = 0,
    threads: int = 1,
) -> dict[str, Score]:
    """Scores the folder on the generated sets and prints a line for each."""
    torch.set_num_threads(threads)
    model, tokenizer = folder.load(path)
    encoder = Encoder(tokenizer)
    scores = {}
    for name in names or list(SETS):
        score = scores[name] = Score()
        for session in draw_set(name, houses, talks):
            score_session(model, encoder, session, score, declared)
        print(f"{name:15} {score.line()}", flush=True)
        for said, guess in score.wrong[:show]:
            print(f"    {said} => {guess}")
    return scores
