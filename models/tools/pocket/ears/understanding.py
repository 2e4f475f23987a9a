"""The second stage: ears, eyes and the text model learn together to do what is said and to tell what is seen.

The projection of the ears begins as the linear map that comes nearest to the rows of the pieces that they hear; then all
three learn from the calls and words that should follow. A third of the conversations stay typed, so that reading is not
forgotten. CTC goes on beside, with little weight, so that the ears stay what they are.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from .. import batches, folder
from ..batches import AUDIO, IMAGE, Encoder, make_batch
from ..commands import draw_turn
from ..eyes.questions import seen_turn
from ..eyes.seeing import pictures
from ..eyes.tower import Eyes
from ..homes import make_home
from ..model import Pocket
from ..optimizer import Optimizer
from ..prompt import INSTRUCTIONS, shipped_tools
from ..sessions import Session
from ..speaker import Speaker
from ..team import Team, run_team
from . import clips
from .hearing import Heard, heard, practised, tested
from .listening import ListeningPlan, Schedule, ctc, piece_targets
from .tower import Ears

WARM_UP_STEPS = 60
REPORT_SECONDS, CHECKPOINT_SECONDS = 60, 120
CTC_WEIGHT = 0.15


@dataclass
class UnderstandingPlan:
    minutes: float = 35
    seed: int = 1
    spoken: int = 9
    """Spoken commands of a house in each process and step."""
    typed: int = 4
    seen: int = 4
    text_muon: float = 0.02
    text_adam: float = 8e-4
    ears_muon: float = 0.008
    ears_adam: float = 6e-4
    processes: int = 2
    hold: float = 0.3
    tail: float = 4


class Understanding(nn.Module):
    """All that learns."""

    def __init__(self, text: Pocket, ears: Ears, eyes: Eyes):
        super().__init__()
        self.text, self.ears, self.eyes = text, ears, eyes


class Houses:
    """Spoken houses of this process, one after another, for ever."""

    def __init__(self, spoken: Path, team: Team, rng: Random):
        paths = [path for path in sorted(spoken.glob("train-*.npz")) if ".part" not in path.name]
        self.paths = paths[team.rank :: team.size]
        self.rng = rng
        self.queue: list[tuple[Session, list[clips.Clip]]] = []

    def next(self) -> tuple[Session, list[clips.Clip]]:
        if not self.queue:
            shard = clips.read(self.rng.choice(self.paths))
            for index, session in enumerate(shard.sessions):
                said = [clip for clip in shard.clips if clip.house == index]
                if len(said) >= 4:
                    self.queue.append((session, said))
            self.rng.shuffle(self.queue)
        return self.queue.pop()


def rows_of(ears: Ears, sound: Heard) -> tuple[Tensor, list[Tensor]]:
    """What stands before the projection [B,T,OUT], and each clip's rows for the text model."""
    with torch.autocast("cpu", torch.bfloat16):
        before = ears(sound.features, sound.whole)
    before = before.float()
    projected = ears.projection(before)
    return before, [row[:count] for row, count in zip(projected, sound.tokens.tolist(), strict=True)]


def nearest_projection(ears: Ears, text: Pocket, houses: Houses, rng: Random, count: int = 480) -> None:
    """Begins the projection as the ridge regression onto the posterior's rows of the table, as they stand in a prompt."""
    table = text.model.embed_tokens.weight.detach() * text.shape.hidden**0.5
    squares, products = torch.eye(ears.projection.in_features) * 10.0, 0.0
    with torch.no_grad():
        done = 0
        while done < count:
            _, said = houses.next()
            sound = heard([clip.samples for clip in said], rng, practised(0.5))
            before = ears(sound.features, sound.whole)
            for row, length in zip(before, sound.tokens.tolist(), strict=True):
                row = row[:length]
                wanted = ears.pieces(row).softmax(-1) @ table
                squares = squares + row.T @ row
                products = products + row.T @ wanted
            done += len(said)
        ears.projection.weight.copy_(torch.linalg.solve(squares, products).T)


def spoken_batch(ears: Ears, encoder: Encoder, houses: Houses, rng: Random, plan: UnderstandingPlan, window: int):
    """Spoken and typed commands of one house; the loss of CTC beside."""
    session, said = houses.next()
    said = rng.sample(said, min(plan.spoken, len(said)))
    sound = heard([clip.samples for clip in said], rng, practised(1.0 if rng.random() < 0.7 else 0.3))
    before, rows = rows_of(ears, sound)
    words = piece_targets(encoder.tokenizer, [clip.words for clip in said])
    beside = ctc(ears.pieces(before), sound.tokens, words)
    talks = [
        encoder.talk([clip.turn], rng.random() < 0.3, (AUDIO, len(row))) for clip, row in zip(said, rows, strict=True)
    ]
    typed = rng.sample(session.talks, min(plan.typed, len(session.talks)))
    talks += [encoder.talk(turns, rng.random() < 0.3) for turns in typed]
    rows = rows + [torch.zeros(0, rows[0].shape[1])] * len(typed)
    batch = make_batch([encoder.prefix(session, True)], [talks], window, chunks=3)
    return batch, rows, beside


def seen_batch(eyes: Eyes, encoder: Encoder, rng: Random, plan: UnderstandingPlan, window: int):
    """Questions about pictures in a house, and orders that hang on what is seen."""
    speaker = Speaker(rng, make_home(rng, rng.randint(3, 24), random_share=0.6), here_share=0.0)
    pixels, scenes = pictures(rng, plan.seen)
    with torch.autocast("cpu", torch.bfloat16):
        before = eyes(pixels)
    rows = list(eyes.projection(before.float()))
    turns = [seen_turn(speaker, scene) for scene in scenes]
    talks = [encoder.talk([turn], False, (IMAGE, len(row))) for turn, row in zip(turns, rows, strict=True)]
    session = Session(speaker.home, list(shipped_tools()), INSTRUCTIONS, [])
    return make_batch([encoder.prefix(session, True)], [talks], window, chunks=1), rows, turns, scenes


def train(work: Path, plan: UnderstandingPlan) -> None:
    """From work/pocket, work/ears.pt and work/eyes.pt to work/senses.pt."""
    run_team(plan.processes, work / "senses-meeting", train_in_team, work, plan)


def load(work: Path) -> tuple[Understanding, Tokenizer]:
    text, tokenizer = folder.load(work / "pocket")
    ears, eyes = Ears(tokenizer.get_vocab_size(), text.shape.hidden), Eyes(text.shape.hidden)
    whole = Understanding(text, ears, eyes)
    if (work / "senses.pt").exists():
        whole.load_state_dict(torch.load(work / "senses.pt", weights_only=False)["whole"])
        return whole, tokenizer
    ears.load_state_dict(torch.load(work / "ears.pt", weights_only=False)["ears"])
    eyes.load_state_dict(torch.load(work / "eyes.pt", weights_only=False)["eyes"])
    return whole, tokenizer


def train_in_team(team: Team, work: Path, plan: UnderstandingPlan) -> None:
    torch.set_num_threads(1)
    fresh = not (work / "senses.pt").exists()
    whole, tokenizer = load(work)
    whole.train()
    rng = Random(f"{plan.seed} {team.rank} {time.time() if not fresh else 0}")
    torch.manual_seed(plan.seed * 10 + team.rank)
    encoder, houses = Encoder(tokenizer), Houses(work / "spoken", team, rng)
    text, ears, eyes = whole.text, whole.ears, whole.eyes
    if fresh:
        same = Random(1)
        nearest_projection(ears, text, Houses(work / "spoken", Team(0, 1, work), same), same)
    for unused in (ears.letters, eyes.kind, eyes.word, eyes.value):
        unused.requires_grad_(False)
    eyes.asked.requires_grad_(False)
    of_text = Optimizer(text, plan.text_muon, plan.text_adam, 0.02)
    not_heads = lambda name: not name.startswith(("pieces", "letters"))  # noqa: E731
    of_senses = [
        Optimizer(ears, plan.ears_muon, plan.ears_adam, 0.01, not_heads),
        Optimizer(eyes, plan.ears_muon, plan.ears_adam, 0.01),
    ]
    schedule = Schedule(ListeningPlan(minutes=plan.minutes, tail=plan.tail, hold=plan.hold), 0.0)
    recent: deque = deque(maxlen=80)
    step, reported, kept = 0, time.monotonic(), time.monotonic()
    while (progress := team.agree(schedule.progress())) < 1:
        batch, rows, beside = spoken_batch(ears, encoder, houses, rng, plan, text.shape.window)
        of_spoken = batches.loss(text, batch, rows)
        (of_spoken + CTC_WEIGHT * beside).backward()
        batch, rows, _, _ = seen_batch(eyes, encoder, rng, plan, text.shape.window)
        of_seen = batches.loss(text, batch, rows)
        (0.5 * of_seen).backward()
        team.average(whole)
        scale = min(1.0, (step + 1) / WARM_UP_STEPS) * schedule.scale(progress)
        for optimizer in (of_text, *of_senses):
            optimizer.step(scale)
        step += 1
        if not team.leads:
            continue
        recent.append((of_spoken.item(), of_seen.item(), beside.item()))
        now = time.monotonic()
        if now - reported > REPORT_SECONDS:
            reported = now
            mean = np.mean(recent, 0)
            seen = step * plan.spoken * team.size
            print(f"min {schedule.spent() / 60:.1f} step {step} spoken {seen} loss {mean[0]:.3f} seen {mean[1]:.3f} ctc {mean[2]:.3f}", flush=True)
        if (work / "finish").exists():
            schedule.finish()
        if now - kept > CHECKPOINT_SECONDS:
            kept = now
            torch.save({"whole": whole.state_dict()}, work / "senses.pt")
    if team.leads:
        torch.save({"whole": whole.state_dict()}, work / "senses.pt")
        print(f"ended after {schedule.spent() / 60:.1f} minutes, step {step}", flush=True)

def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--work", type=Path, default=Path("work"))
    for each in fields(UnderstandingPlan):
        parser.add_argument("--" + each.name.replace("_", "-"), type=type(each.default), default=each.default)


def run(args: argparse.Namespace) -> None:
    train(args.work, UnderstandingPlan(**{each.name: getattr(args, each.name) for each in fields(UnderstandingPlan)}))
