"""The second stage: the text model learns to do what is said and to tell what is seen, by the ears and eyes of the first.

First ears and eyes stand still and only what reads them learns, which costs a third; then all learn together. A part of the
conversations stays typed, so that reading is not forgotten, and what the first stages taught goes on beside, with little
weight, so that ears and eyes stay what they are.
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
from ..eyes.questions import question, seen_turn
from ..eyes.seeing import pictures, told_loss
from ..eyes.tower import Eyes
from ..model import Pocket
from ..optimizer import Optimizer
from ..prompt import shipped_tools
from ..sessions import Session
from ..speaker import Speaker
from ..team import Team, run_team
from . import clips
from .hearing import Heard, heard, practised
from .listening import ListeningPlan, Schedule, ctc, piece_targets
from .tower import Ears

WARM_UP_STEPS = 60
REPORT_SECONDS, CHECKPOINT_SECONDS = 60, 120
BESIDE_WEIGHT = 0.15
"""Of the first stages' own losses."""
SEEN_WEIGHT = 2.0
"""Of a conversation about a picture: few of its words hang on what is seen."""


@dataclass
class UnderstandingPlan:
    minutes: float = 60
    seed: int = 1
    still: float = 0.6
    """Share of the run in which ears and eyes stand still."""
    spoken: int = 12
    """Spoken commands of a house in each process and step."""
    typed: int = 5
    seen: int = 4
    text_muon: float = 0.03
    text_adam: float = 1e-3
    senses_muon: float = 0.006
    senses_adam: float = 5e-4
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
        _, before = ears(sound.features, sound.whole)
    before = before.float()
    return before, projected(ears, before, sound)


def projected(ears: Ears, before: Tensor, sound: Heard) -> list[Tensor]:
    return [row[:count] for row, count in zip(ears.projection(before), sound.tokens.tolist(), strict=True)]


@dataclass
class Shown:
    """Conversations of one kind in a house, the rows of a tower that stand in each, and the loss of the first stage beside."""

    talks: list
    rows: list[Tensor]
    beside: Tensor


def spoken_talks(ears: Ears, encoder: Encoder, said: list[clips.Clip], rng: Random, still: bool) -> Shown:
    around = practised(1.0 if rng.random() < 0.7 else 0.3)
    sound = heard([clip.samples for clip in said], rng, around)
    with torch.set_grad_enabled(not still), torch.autocast("cpu", torch.bfloat16):
        before = ears(sound.features, sound.whole)[1].float()
    rows = projected(ears, before, sound)
    talks = [
        encoder.talk([clip.turn], rng.random() < 0.3, (AUDIO, len(row))) for clip, row in zip(said, rows, strict=True)
    ]
    words = piece_targets(encoder.tokenizer, [clip.words for clip in said])
    beside = torch.zeros(()) if still else ctc(ears.read(ears.projection(before)), sound.tokens, words)
    return Shown(talks, rows, beside)


def seen_talks(eyes: Eyes, encoder: Encoder, session: Session, count: int, rng: Random, still: bool) -> Shown:
    """Questions about pictures, and orders that hang on what is seen where the tools for them are declared."""
    pixels, scenes = pictures(rng, count)
    with torch.set_grad_enabled(not still), torch.autocast("cpu", torch.bfloat16):
        before = eyes(pixels).float()
    rows = list(eyes.projection(before))
    speaker = Speaker(rng, session.home, here_share=0.0)
    orders = {tool["name"] for tool in session.tools} >= {tool["name"] for tool in shipped_tools()}
    turns = [seen_turn(speaker, scene) if orders else question(rng, scene) for scene in scenes]
    talks = [encoder.talk([turn], False, (IMAGE, len(row))) for turn, row in zip(turns, rows, strict=True)]
    return Shown(talks, rows, torch.zeros(()) if still else told_loss(eyes, before, scenes))


def house_loss(whole: Understanding, encoder: Encoder, houses: Houses, rng: Random, plan: UnderstandingPlan, still: bool):
    """What one house teaches: commands spoken and typed, and pictures; the loss of all, and that of the first stages beside."""
    session, said = houses.next()
    said = rng.sample(said, min(plan.spoken, len(said)))
    spoken = spoken_talks(whole.ears, encoder, said, rng, still)
    typed = [encoder.talk(turns, rng.random() < 0.3) for turns in rng.sample(session.talks, min(plan.typed, len(session.talks)))]
    seen = seen_talks(whole.eyes, encoder, session, plan.seen, rng, still)
    none = torch.zeros(0, whole.text.shape.hidden)
    rows = [*spoken.rows, *[none] * len(typed), *seen.rows]
    talks = [*spoken.talks, *typed, *seen.talks]
    batch = make_batch([encoder.prefix(session, True)], [talks], whole.text.shape.window, chunks=4)
    for part in batch.parts:
        of_pictures = torch.tensor(part.numbers) >= len(talks) - len(seen.talks)
        part.weights[of_pictures] *= SEEN_WEIGHT
    return batches.loss(whole.text, batch, rows), spoken.beside, seen.beside


def train(work: Path, plan: UnderstandingPlan) -> None:
    """From work/pocket, work/ears.pt and work/eyes.pt to work/senses.pt."""
    run_team(plan.processes, work / "senses-meeting", train_in_team, work, plan)


def load(work: Path) -> tuple[Understanding, Tokenizer]:
    text, tokenizer = folder.load(work / "pocket")
    table = text.model.embed_tokens.weight.detach() * text.shape.hidden**0.5
    ears, eyes = Ears(table), Eyes(text.shape.hidden)
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
    for heads in (ears.pieces, ears.letters, eyes.kind, eyes.word, eyes.value):
        heads.requires_grad_(False)
    eyes.asked.requires_grad_(False)
    of_readers = Optimizer(nn.ModuleList([text, ears.projection, eyes.projection]), plan.text_muon, plan.text_adam, 0.02)
    of_senses = [Optimizer(each.tower, plan.senses_muon, plan.senses_adam, 0.01) for each in (ears, eyes)]
    schedule = Schedule(ListeningPlan(minutes=plan.minutes, tail=plan.tail, hold=plan.hold), 0.0)
    recent: deque = deque(maxlen=80)
    step, moved, reported, kept = 0, 0, time.monotonic(), time.monotonic()
    while (progress := team.agree(schedule.progress())) < 1:
        still = progress < plan.still
        of_house, *beside = house_loss(whole, encoder, houses, rng, plan, still)
        (of_house + BESIDE_WEIGHT * sum(beside)).backward()
        team.average(whole)
        scale = schedule.scale(progress)
        of_readers.step(min(1.0, (step + 1) / WARM_UP_STEPS) * scale)
        if not still:
            moved += 1
            for optimizer in of_senses:
                optimizer.step(min(1.0, moved / WARM_UP_STEPS) * scale)
        step += 1
        if not team.leads:
            continue
        recent.append([of_house.item(), *(each.item() for each in beside)])
        now = time.monotonic()
        if now - reported > REPORT_SECONDS:
            reported = now
            mean = np.mean(recent, 0)
            spoken = step * plan.spoken * team.size
            print(f"min {schedule.spent() / 60:.1f} step {step} spoken {spoken} loss {mean[0]:.3f} ears {mean[1]:.3f} eyes {mean[2]:.3f}", flush=True)
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
