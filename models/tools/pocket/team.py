"""Several processes that average their gradients. On cores shared with other work this beats threads, which wait for each
other at every operation: processes wait once a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn


class Team:
    """This process and the others; alone it does nothing."""

    def __init__(self, rank: int, size: int, meeting: Path):
        self.rank, self.size = rank, size
        if size > 1:
            dist.init_process_group("gloo", init_method=f"file://{meeting.absolute()}", rank=rank, world_size=size)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def agree(self, value: float) -> float:
        """The leader's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return shared.item()

    def average(self, model: nn.Module) -> None:
        """Replaces each gradient by its mean over the team."""
        if self.size == 1:
            return
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.size
        for grad, piece in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(piece.view_as(grad))

    def close(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()


def run_team(size: int, meeting: Path, work: Callable[..., None], *arguments: object) -> None:
    """Runs `work(team, *arguments)` in this process as the leader and in `size - 1` others."""
    meeting.unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=join_team, args=(rank, size, meeting, work, arguments), daemon=True)
        for rank in range(1, size)
    ]
    for other in others:
        other.start()
    join_team(0, size, meeting, work, arguments)
    for other in others:
        other.join()


def join_team(rank: int, size: int, meeting: Path, work: Callable[..., None], arguments: tuple) -> None:
    team = Team(rank, size, meeting)
    work(team, *arguments)
    team.close()
