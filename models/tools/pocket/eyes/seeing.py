"""The first stage: the vision tower learns to tell what drawn pictures show, alone. Boxed by wall time."""

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
from torch import Tensor

from ..ears.listening import ListeningPlan, Schedule
from ..optimizer import Optimizer
from ..team import Team, run_team
from .scenes import KINDS, SIZES, SMALL_SIZES, Look, Scene, draw, drawn_scene
from .tower import VALUES, WORDS, Eyes

WARM_UP_STEPS = 50
REPORT_SECONDS, CHECKPOINT_SECONDS = 60, 120
NEAR = 4
"""A value so near is read right: 4 % of the scale."""
SMEAR = 2.0
"""A value's neighbours count too, with a normal distribution of this deviation."""


@dataclass
class SeeingPlan:
    minutes: float = 25
    seed: int = 1
    batch: int = 16
    muon: float = 0.03
    adam: float = 2e-3
    processes: int = 2
    hold: float = 0.3
    tail: float = 3


def pictures(rng: Random, count: int, look: Look = Look(), sizes=SIZES) -> tuple[Tensor, list[Scene]]:
    """Pictures of one size, u8 [count,H,W,3], and what they show: gauges and tanks more often than the rest."""
    size = rng.choice(sizes)
    scenes = [drawn_scene(rng, rng.choice((*KINDS, "gauge", "gauge", "tank"))) for _ in range(count)]
    images = [draw(scene, rng, look, size) for scene in scenes]
    return torch.from_numpy(np.stack(images)), scenes


def smeared(values: Tensor) -> Tensor:
    near = torch.exp(-0.5 * ((torch.arange(VALUES)[None] - values[:, None]) / SMEAR) ** 2)
    return near / near.sum(1, keepdim=True)


def loss(eyes: Eyes, pixels: Tensor, scenes: list[Scene]) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        rows = eyes(pixels)
    return told_loss(eyes, rows, scenes)


def told_loss(eyes: Eyes, rows: Tensor, scenes: list[Scene]) -> Tensor:
    kind, word, value = eyes.told(rows)
    total = F.cross_entropy(kind, torch.tensor([KINDS.index(scene.kind) for scene in scenes]))
    worded = [place for place, scene in enumerate(scenes) if scene.word]
    valued = [place for place, scene in enumerate(scenes) if not scene.word]
    if worded:
        total = total + F.cross_entropy(word[worded], torch.tensor([WORDS.index(scenes[i].word) for i in worded]))
    if valued:
        total = total + F.cross_entropy(value[valued], smeared(torch.tensor([scenes[i].value for i in valued])))
    return total


def is_right(scene: Scene, word: int, value: float) -> bool:
    return WORDS[word] == scene.word if scene.word else abs(value - scene.value) <= NEAR


def right(eyes: Eyes, rng: Random, count: int, kept: bool) -> dict[str, float]:
    """The share of pictures of each kind whose reading is right."""
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    with torch.no_grad():
        for _ in range(count // 16):
            pixels, scenes = pictures(rng, 16, Look(kept))
            with torch.autocast("cpu", torch.bfloat16):
                rows = eyes(pixels)
            _, word, value = eyes.told(rows)
            for scene, best, number in zip(scenes, word.argmax(-1).tolist(), value.argmax(-1).tolist(), strict=True):
                found[scene.kind].append(is_right(scene, best, number))
    return {kind: sum(each) / max(1, len(each)) for kind, each in found.items()}


def train(work: Path, plan: SeeingPlan) -> None:
    """Writes work/eyes.pt as it goes."""
    run_team(plan.processes, work / "eyes-meeting", train_in_team, work, plan)


def train_in_team(team: Team, work: Path, plan: SeeingPlan) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    eyes = Eyes(192)
    eyes.projection.requires_grad_(False)
    own = ("kind", "word", "value", "asked")
    optimizer = Optimizer(eyes, plan.muon, plan.adam, 0.02, lambda name: not name.startswith(own))
    timing = ListeningPlan(minutes=plan.minutes, tail=plan.tail, hold=plan.hold)
    schedule = Schedule(timing, 0.0)
    rng, step, recent = Random(f"{plan.seed} {team.rank}"), 0, deque(maxlen=60)
    reported = kept = time.monotonic()
    while (progress := team.agree(schedule.progress())) < 1:
        look = Look(difficulty=min(1.0, max(0.0, (progress - 0.2) / 0.5)))
        value = loss(eyes, *pictures(rng, plan.batch, look, SMALL_SIZES if progress < 0.6 else SIZES))
        value.backward()
        team.average(eyes)
        optimizer.step(min(1.0, (step + 1) / WARM_UP_STEPS) * schedule.scale(progress))
        step += 1
        if not team.leads:
            continue
        recent.append(value.item())
        now = time.monotonic()
        if now - reported > REPORT_SECONDS:
            reported = now
            seen = step * plan.batch * team.size
            print(f"min {schedule.spent() / 60:.1f} step {step} pictures {seen} loss {np.mean(recent):.3f}", flush=True)
        if now - kept > CHECKPOINT_SECONDS:
            kept = now
            torch.save({"eyes": eyes.state_dict()}, work / "eyes.pt")
    if team.leads:
        torch.save({"eyes": eyes.state_dict()}, work / "eyes.pt")
        for kept_looks in (False, True):
            shares = right(eyes.eval(), Random(99), 320, kept_looks)
            print("looks kept out" if kept_looks else "looks of training", {k: round(100 * v) for k, v in shares.items()}, flush=True)

def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--work", type=Path, default=Path("work"))
    for each in fields(SeeingPlan):
        parser.add_argument("--" + each.name.replace("_", "-"), type=type(each.default), default=each.default)


def run(args: argparse.Namespace) -> None:
    train(args.work, SeeingPlan(**{each.name: getattr(args, each.name) for each in fields(SeeingPlan)}))
