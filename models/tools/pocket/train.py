"""Training on houses made on the fly, in one run of two stages: first without declared tools, then with them.

The run is boxed by wall time. It can be left at any moment: `touch WORK/finish` (or SIGTERM) takes the rest of the schedule
in a few minutes, so that the rates always run out; after a crash `--resume` goes on from the last checkpoint.
"""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer

from . import folder
from .batches import Batch, Encoder, loss, make_batch
from .model import Pocket, Shape
from .optimizer import Optimizer
from .plan import Plan
from .sessions import training_session
from .team import Team, run_team

CHECKPOINT_SECONDS = 120
REPORT_SECONDS = 60
WARM_UP_STEPS = 80


def scale_at(progress: float, plan: Plan) -> float:
    """The share of the full rates: flat, then a cosine to 2 %."""
    if progress <= plan.hold:
        base = 1.0
    else:
        base = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - plan.hold) / (1 - plan.hold))))
    return plan.rate * base * (1.0 if progress < plan.undeclared else plan.declared_scale)


class Clock:
    """How far the run is, 0 to 1. Once told to finish, the rest passes in `tail` minutes."""

    def __init__(self, plan: Plan, spent: float):
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
        if self.asked is None:
            self.asked = (self.progress(), self.spent())


def draw_batch(rng: Random, encoder: Encoder, plan: Plan, declared: bool, window: int) -> Batch:
    houses, talks = [], []
    count = rng.randint(2, 36)
    for _ in range(plan.houses):
        near = max(2, count + rng.randint(-2, 2))
        number = plan.talks_declared if declared else plan.talks
        session = training_session(rng, number, plan.invented if declared else 0.0, (near, near))
        houses.append(encoder.prefix(session, declared))
        talks.append([encoder.talk(turns, rng.random() < plan.reply) for turns in session.talks])
    return make_batch(houses, talks, window, chunks=2 * plan.houses + 1)


def start(tokenizer: Tokenizer, plan: Plan) -> Pocket:
    torch.manual_seed(plan.seed)
    model = Pocket(Shape(vocab=tokenizer.get_vocab_size()))
    model.bind_spaces(tokenizer.get_vocab())
    return model


def train(work: Path, plan: Plan, resume: bool = False, initial: Path | None = None) -> None:
    """Trains, writing work/checkpoint.pt as it goes and the Hugging Face folder work/pocket with every checkpoint."""
    run_team(plan.processes, work / "meeting", train_in_team, work, plan, resume, initial)


def train_in_team(team: Team, work: Path, plan: Plan, resume: bool, initial: Path | None) -> None:
    torch.set_num_threads(plan.threads)
    tokenizer_path = work / "tokenizer" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    model = folder.load(initial)[0].train() if initial else start(tokenizer, plan)
    optimizer = Optimizer(model)
    saved: dict = {"step": 0, "seen": 0, "spent": 0.0}
    if resume:
        saved = torch.load(work / "checkpoint.pt", weights_only=False)
        model.load_state_dict(saved["model"])
        optimizer.restore(saved["optimizer"])
    step, seen, clock = saved["step"], saved["seen"], Clock(plan, saved["spent"])
    rng = Random(f"{plan.seed} {team.rank} {step}")
    encoder = Encoder(tokenizer)
    report = Report(clock, seen)
    stop_file = work / "finish"
    if team.leads:
        signal.signal(signal.SIGTERM, lambda *_: clock.finish())
        stop_file.unlink(missing_ok=True)
        size = sum(p.numel() for p in model.parameters())
        print(f"{asdict(plan)} {model.shape.as_dict()} parameters {size}", flush=True)
    kept = time.monotonic()
    while (progress := team.agree(clock.progress())) < 1:
        declared = progress >= plan.undeclared
        batch = draw_batch(rng, encoder, plan, declared, model.shape.window)
        value = loss(model, batch)
        value.backward()
        team.average(model)
        optimizer.step(min(1.0, (step + 1) / WARM_UP_STEPS) * scale_at(progress, plan))
        step, seen = step + 1, seen + batch.talks * team.size
        if not team.leads:
            continue
        report.add(value.item(), progress, step, seen, declared)
        if stop_file.exists():
            clock.finish()
        if time.monotonic() - kept > CHECKPOINT_SECONDS:
            keep(work, model, optimizer, tokenizer_path, step, seen, clock.spent())
            kept = time.monotonic()
    if team.leads:
        keep(work, model, optimizer, tokenizer_path, step, seen, clock.spent())
        print(f"ended after {clock.spent() / 60:.1f} minutes, step {step}, {seen} talks, {report.recent()}", flush=True)


class Report:
    """One line a minute."""

    def __init__(self, clock: Clock, seen: int):
        self.clock, self.losses = clock, deque(maxlen=60)
        self.last_seen, self.last = seen, time.monotonic()

    def recent(self) -> str:
        return f"loss {sum(self.losses) / max(1, len(self.losses)):.4f}"

    def add(self, value: float, progress: float, step: int, seen: int, declared: bool) -> None:
        self.losses.append(value)
        now = time.monotonic()
        if now - self.last < REPORT_SECONDS:
            return
        rate = (seen - self.last_seen) / (now - self.last)
        stage = "declared" if declared else "plain"
        minutes = self.clock.spent() / 60
        line = (
            f"min {minutes:.1f} progress {progress:.3f} step {step} talks {seen} ({rate:.0f}/s) {stage} {self.recent()}"
        )
        print(line, flush=True)
        self.last_seen, self.last = seen, now


def keep(work: Path, model: Pocket, optimizer: Optimizer, tokenizer: Path, step: int, seen: int, spent: float) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state(), "step": step, "seen": seen, "spent": spent}
    part = work / "checkpoint.pt.part"
    torch.save(state, part)
    part.replace(work / "checkpoint.pt")
    folder.save(model, tokenizer, work / "pocket")
