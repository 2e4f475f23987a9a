"""The first stage: the tower learns to hear words, alone, by CTC on the text model's own pieces and on letters, and to say them in
rows that lie where the text model's own do.

Boxed by wall time as the text model's training is; `touch WORK/finish` ends it early, with its tail.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import deque
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from .. import folder
from ..optimizer import Optimizer
from ..team import Team, run_team
from . import clips
from .hearing import Heard, heard, practised, tested
from .tower import BLANK, LETTERS, LETTERS_A_TOKEN, Ears

WARM_UP_STEPS = 100
POOL = 25
"""Batches drawn together, so that clips of like length meet."""
PARTS_READ = 40
"""Shards of which the pieces are counted."""
REPORT_SECONDS, CHECKPOINT_SECONDS, LOOK_SECONDS = 60, 180, 60


@dataclass
class ListeningPlan:
    """What a run is made of."""

    minutes: float = 100
    seed: int = 1
    batch: int = 8
    """Clips in each process and step: small ones find words sooner."""
    muon: float = 0.05
    adam: float = 3e-3
    processes: int = 2
    tail: float = 6
    """Minutes of the rest of the schedule once the end was asked for."""
    still: int = 0
    """1: what hears stands still, and only what turns it into rows learns."""
    hold: float = 0.35
    """Until here at full rates, then a cosine down."""


class Schedule:
    """How far the run is, 0 to 1, and the share of the full rates."""

    def __init__(self, plan: ListeningPlan, spent: float):
        self.plan, self.begin = plan, time.monotonic() - spent
        self.asked: tuple[float, float] | None = None

    def spent(self) -> float:
        return time.monotonic() - self.begin

    def progress(self) -> float:
        if self.asked is None:
            return self.spent() / (self.plan.minutes * 60)
        at, since = self.asked
        return at + (1 - at) * (self.spent() - since) / (self.plan.tail * 60)

    def finish(self) -> None:
        self.asked = self.asked or (self.progress(), self.spent())

    def scale(self, progress: float) -> float:
        late = max(0.0, (progress - self.plan.hold) / (1 - self.plan.hold))
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, late)))


def difficulty(progress: float) -> float:
    """Of the surroundings: easy until words are found, then harder and harder."""
    return min(0.55, max(0.0, (progress - 0.12) / 0.4))


class Shelf:
    """The clips of this process: every `size`-th shard, new ones as they are made."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, rank: int, size: int, rng: Random):
        self.folder, self.tokenizer, self.rank, self.size, self.rng = folder, tokenizer, rank, size, rng
        self.known: set[str] = set()
        self.samples: list[np.ndarray] = []
        self.words: list[str] = []
        self.queue: list[list[int]] = []
        self.pace = Random(0)
        """The same in every process, so that batches of like length meet and none waits for another."""
        self.looked = 0.0

    def look(self) -> None:
        self.looked = time.monotonic()
        for path in sorted(self.folder.glob("train-*.npz")):
            if ".part" in path.name or path.name in self.known or int(path.stem[6:]) % self.size != self.rank:
                continue
            self.known.add(path.name)
            for clip in clips.read(path).clips:
                self.samples.append(clip.samples)
                self.words.append(clip.words)

    def batch(self, size: int) -> tuple[list[np.ndarray], list[str]]:
        if not self.queue:
            if time.monotonic() - self.looked > LOOK_SECONDS:
                self.look()
            order = list(range(len(self.samples)))
            self.rng.shuffle(order)
            pool = sorted(order[: size * POOL], key=lambda index: len(self.samples[index]))
            self.queue = [pool[start : start + size] for start in range(0, len(pool), size)]
            self.pace.shuffle(self.queue)
        chosen = self.queue.pop()
        return [self.samples[index] for index in chosen], [self.words[index] for index in chosen]


@dataclass
class Targets:
    """Labels of a batch, one after another, and how many belong to each clip."""

    labels: Tensor
    lengths: Tensor

    @staticmethod
    def of(rows: list[list[int]]) -> Targets:
        return Targets(torch.tensor(sum(rows, [])), torch.tensor([len(row) for row in rows]))


def piece_targets(tokenizer: Tokenizer, words: list[str]) -> Targets:
    """With a blank in front, so that a first word is spelt like every other."""
    return Targets.of([tokenizer.encode(" " + each).ids for each in words])


def letter_targets(words: list[str]) -> Targets:
    return Targets.of([[LETTERS.index(letter) for letter in each] for each in words])


def ctc(logits: Tensor, frames: Tensor, targets: Targets) -> Tensor:
    """The loss a label."""
    shares = logits.float().log_softmax(-1).transpose(0, 1)
    each = F.ctc_loss(shares, targets.labels, frames, targets.lengths, BLANK, reduction="none", zero_infinity=True)
    return each.sum() / targets.lengths.sum()


@dataclass
class Losses:
    """Of the heads, and of the rows that the text model will read: whether they are read right, and how far they are from the
    mixture of the table's rows that the head of the pieces would put there."""

    pieces: Tensor
    letters: Tensor
    read: Tensor
    far: Tensor

    def total(self) -> Tensor:
        """What is read counts less the worse it is: before the rows have found their places it would drown the rest. (Where the heads
        stand still, their losses are numbers without a slope.)"""
        return self.pieces + self.letters + 2 * torch.log1p(self.read / 2) + self.far


def losses(ears: Ears, sound: Heard, words: list[str], tokenizer: Tokenizer) -> Losses:
    with torch.autocast("cpu", torch.bfloat16):
        known, rows = ears(sound.features, sound.whole)
        pieces, letters, soft = ears.pieces(known), ears.letters(known), ears.projection(rows)
        read = ears.read(soft)
    letters = letters.view(len(words), -1, len(LETTERS))
    targets = piece_targets(tokenizer, words)
    return Losses(
        ctc(pieces, sound.tokens, targets),
        ctc(letters, sound.tokens * LETTERS_A_TOKEN, letter_targets(words)),
        ctc(read, sound.tokens, targets),
        distance(ears, soft, pieces, sound.tokens),
    )


def distance(ears: Ears, soft: Tensor, pieces: Tensor, tokens: Tensor) -> Tensor:
    """Mean square, as a share of the table's own; a moment at which something is said counts as much as all the blanks beside it."""
    with torch.no_grad():
        shares = pieces.float().softmax(-1)
        wanted = shares @ ears.table
        there = torch.arange(soft.shape[1])[None] < tokens[:, None]
        weights = there * (0.15 + (1 - shares[..., BLANK]))
    each = (soft.float() - wanted).square().mean(-1)
    return (each * weights).sum() / weights.sum() / ears.table.square().mean()


def text_table(work: Path) -> Tensor:
    """The rows of the text model as they stand in a prompt [V,width]."""
    text, _ = folder.load(work / "pocket")
    return text.model.embed_tokens.weight.detach() * text.shape.hidden**0.5


def pieces_said(spoken: Path, tokenizer: Tokenizer) -> set[int]:
    """Of a part of the shards, which has nearly all of them."""
    paths = sorted(path for path in spoken.glob("train-*.npz") if ".part" not in path.name)[:PARTS_READ]
    words = [" " + words for path in paths for words in clips.words_of(path)]
    return {piece for encoded in tokenizer.encode_batch(words) for piece in encoded.ids}


def train(work: Path, plan: ListeningPlan, resume: bool) -> None:
    """Writes work/ears.pt as it goes."""
    run_team(plan.processes, work / "ears-meeting", train_in_team, work, plan, resume)


def train_in_team(team: Team, work: Path, plan: ListeningPlan, resume: bool) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed * 100)
    tokenizer = Tokenizer.from_file(str(work / "pocket" / "tokenizer.json"))
    ears = Ears(text_table(work))
    ears.expect(pieces_said(work / "spoken", tokenizer))
    saved: dict = {"step": 0, "seen": 0, "spent": 0.0}
    if resume:
        saved |= torch.load(work / "ears.pt", weights_only=False)
        ears.load_state_dict(saved["ears"])
    if plan.still:
        ears.hold_still()
    optimizer = Optimizer(ears, plan.muon, plan.adam, 0.05, lambda name: not name.startswith(("pieces", "letters")))
    # What was kept over long has weights alone.
    if "optimizer" in saved:
        optimizer.restore(saved["optimizer"])
    step, seen, schedule = saved["step"], saved["seen"], Schedule(plan, saved["spent"])
    rng = Random(f"{plan.seed} {team.rank} {step}")
    torch.manual_seed(plan.seed * 100 + team.rank + step)
    shelf = Shelf(work / "spoken", tokenizer, team.rank, team.size, rng)
    recent: deque = deque(maxlen=100)
    (work / "finish").unlink(missing_ok=True)
    reported, kept, since = time.monotonic(), time.monotonic(), seen
    while (progress := team.agree(schedule.progress())) < 1:
        samples, words = shelf.batch(plan.batch)
        found = losses(ears, heard(samples, rng, practised(difficulty(progress))), words, tokenizer)
        found.total().backward()
        team.average(ears)
        optimizer.step(min(1.0, (step + 1) / WARM_UP_STEPS) * schedule.scale(progress))
        step, seen = step + 1, seen + len(words) * team.size
        if not team.leads:
            continue
        recent.append([value.item() for value in (found.pieces, found.letters, found.read, found.far)])
        now = time.monotonic()
        if now - reported > REPORT_SECONDS:
            mean = np.mean(recent, 0)
            rate = (seen - since) / (now - reported)
            print(
                f"min {schedule.spent() / 60:.1f} progress {progress:.3f} step {step} clips {seen} ({rate:.0f}/s of "
                f"{len(shelf.samples) * team.size}) loss a piece {mean[0]:.3f} a letter {mean[1]:.3f} read {mean[2]:.3f} far {mean[3]:.3f}",
                flush=True,
            )
            reported, since = now, seen
        if (work / "finish").exists():
            schedule.finish()
        if now - kept > CHECKPOINT_SECONDS or (progress > 0.99 and now - kept > 30):
            keep(work, ears, optimizer, step, seen, schedule.spent())
            kept = now
    if team.leads:
        keep(work, ears, optimizer, step, seen, schedule.spent())
        print(f"ended after {schedule.spent() / 60:.1f} minutes, {seen} clips", flush=True)


def keep(work: Path, ears: Ears, optimizer: Optimizer, step: int, seen: int, spent: float) -> None:
    state = {"ears": ears.state_dict(), "optimizer": optimizer.state(), "step": step, "seen": seen, "spent": spent}
    part = work / "ears.pt.part"
    torch.save(state, part)
    part.replace(work / "ears.pt")


def words_heard(ears: Ears, tokenizer: Tokenizer, samples: list[np.ndarray], snr: float | None, rng: Random) -> list[str]:
    """What the projected rows say of clips, the likeliest piece of each moment."""
    sound = heard(samples, rng, tested(snr))
    with torch.no_grad():
        best = ears.read(ears.projection(ears(sound.features, sound.whole)[1])).argmax(-1)
    out = []
    for row, count in zip(best.tolist(), sound.tokens.tolist(), strict=True):
        row = row[:count]
        kept = [piece for at, piece in enumerate(row) if piece != BLANK and (at == 0 or row[at - 1] != piece)]
        out.append(tokenizer.decode(kept).strip())
    return out


def errors(heard_words: list[str], said_words: list[str]) -> int:
    """The least words to put in, take out or change."""
    above = list(range(len(said_words) + 1))
    for row, word in enumerate(heard_words, 1):
        left, above[0] = above[0], row
        for column, other in enumerate(said_words, 1):
            left, above[column] = above[column], min(above[column] + 1, above[column - 1] + 1, left + (word != other))
    return above[-1]


def report(work: Path, snr: float | None, most: int = 120) -> None:
    """Word errors and sentences right on the sets for evaluation."""
    tokenizer = Tokenizer.from_file(str(work / "pocket" / "tokenizer.json"))
    ears = Ears(text_table(work)).eval()
    ears.load_state_dict(torch.load(work / "ears.pt", weights_only=False)["ears"])
    print("| set | word errors | sentences right |\n|---|---|---|")
    for path in sorted((work / "spoken").glob("*-*.npz")):
        if path.name.startswith("train") or ".part" in path.name:
            continue
        shard = clips.read(path).clips[:most]
        rng, wrong, words, right = Random(1), 0, 0, 0
        for start in range(0, len(shard), 24):
            some = shard[start : start + 24]
            for clip, got in zip(some, words_heard(ears, tokenizer, [c.samples for c in some], snr, rng), strict=True):
                wrong += errors(got.split(), clip.words.split())
                words += len(clip.words.split())
                right += got == clip.words
        print(f"| {path.stem} | {100 * wrong / words:.1f} % | {100 * right / len(shard):.0f} % |", flush=True)

def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--resume", action="store_true", help="go on from work/ears.pt")
    parser.add_argument("--report", action="store_true", help="only count word errors on the sets for evaluation")
    for each in fields(ListeningPlan):
        parser.add_argument("--" + each.name.replace("_", "-"), type=type(each.default), default=each.default)


def run(args: argparse.Namespace) -> None:
    if args.report:
        report(args.work, 20.0)
    else:
        train(args.work, ListeningPlan(**{each.name: getattr(args, each.name) for each in fields(ListeningPlan)}), args.resume)
