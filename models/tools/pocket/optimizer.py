"""Muon for the matrices of the body, AdamW for embeddings and norms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn

MUON_MOMENTUM = 0.95
CLIP = 1.0


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz: pushes the singular values of each matrix [N,r,c] towards one."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()  # its singular values need no more than that
    for _ in range(steps):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return (x if wide else x.transpose(1, 2)).float()


class Optimizer:
    """Both at once; `scale` is the schedule's share of the full rates. `body` says by its name whether a matrix is Muon's."""

    def __init__(
        self,
        model: nn.Module,
        muon: float = 0.125,
        adam: float = 4e-3,
        decay: float = 0.04,
        body: Callable[[str], bool] = lambda name: "embed" not in name,
    ):
        self.model, self.muon, self.decay = model, muon, decay
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        inner = [(name, p) for name, p in trained if p.ndim == 2 and body(name)]
        names = {name for name, _ in inner}
        rest = [p for name, p in trained if name not in names]
        self.adam_rate = adam
        self.adam = torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.ndim >= 2], "weight_decay": 0.05},
                {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=adam,
            betas=(0.9, 0.98),
        )
        groups: dict[tuple, list] = defaultdict(list)
        for _, p in inner:
            groups[tuple(p.shape)].append(p)
        self.groups = list(groups.values())
        self.momentum = [torch.zeros(len(group), *group[0].shape) for group in self.groups]

    def step(self, scale: float) -> None:
        """Applies the gradients that are there, and clears them."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * scale
        self.adam.step()
        with torch.no_grad():
            for group, momentum in zip(self.groups, self.momentum, strict=True):
                grads = torch.stack([p.grad for p in group])
                momentum.mul_(MUON_MOMENTUM).add_(grads)
                update = orthogonal(grads.add(momentum, alpha=MUON_MOMENTUM))
                rows, columns = group[0].shape
                rate = self.muon * scale
                for p, direction in zip(group, update, strict=True):
                    p.mul_(1 - rate * self.decay).add_(direction, alpha=-rate * max(1.0, rows / columns) ** 0.5)
        for p in self.model.parameters():
            p.grad = None

    def state(self) -> dict:
        return {"adam": self.adam.state_dict(), "momentum": self.momentum}

    def restore(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        self.momentum = state["momentum"]
