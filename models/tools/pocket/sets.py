"""The evaluation sets: houses with commands and the right answers, drawn with fixed seeds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random

from .commands import draw_turn
from .homes import make_home
from .invented import KEPT_FAMILIES, Toolset, invented_turn, make_toolset, some_shipped
from .prompt import INSTRUCTIONS, Turn, shipped_tools
from .sessions import Session
from .speaker import Speaker, Unfit


@dataclass(frozen=True)
class SetPlan:
    """How a set is drawn: size of the house, words and phrases that training never sees, sorts of command."""

    devices: int = 20
    evaluation: bool = True
    hold: str = ""
    sorts: tuple[str, ...] = ()


SETS = {
    "trained": SetPlan(evaluation=False),
    "new_names_20": SetPlan(),
    "new_names_40": SetPlan(devices=40),
    "unseen_pattern": SetPlan(hold="~"),
    "unseen_verb": SetPlan(
        hold="!",
        sorts=(
            "turn_on",
            "turn_off",
            "open",
            "close",
            "lock",
            "unlock",
            "set_level",
            "set_temperature",
            "state",
            "group_state",
            "list_add",
            "list_remove",
            "list_read",
        ),
    ),
    "absent": SetPlan(sorts=("stranger", "missing_group")),
    "near_miss": SetPlan(sorts=("near_miss",)),
    "two_step": SetPlan(sorts=("steps",)),
    "invented_tool": SetPlan(devices=12),
}


def draw_set(name: str, houses: int, talks: int) -> list[Session]:
    plan = SETS[name]
    rng = Random(zlib.crc32(name.encode()))
    sessions = []
    for index in range(houses):
        speaker = Speaker(rng, make_home(rng, plan.devices, plan.evaluation, 0.6), plan.hold, plan.evaluation)
        toolset = Toolset(list(shipped_tools()), [])
        if name == "invented_tool":
            families = KEPT_FAMILIES if index % 2 else None
            toolset = make_toolset(rng, speaker, 3, some_shipped(rng), families, True)
            turns = [invented(rng, speaker, toolset) for _ in range(talks)]
        else:
            turns = [fitting(rng, speaker, plan.sorts) for _ in range(talks)]
        sessions.append(Session(speaker.home, toolset.specs(), INSTRUCTIONS, [[turn] for turn in turns]))
    return sessions


def fitting(rng: Random, speaker: Speaker, sorts: tuple[str, ...]) -> Turn:
    """A command of one of the sorts that this house can give."""
    while True:
        try:
            return draw_turn(speaker, rng.choice(sorts) if sorts else None)
        except Unfit:
            continue


def invented(rng: Random, speaker: Speaker, toolset: Toolset) -> Turn:
    """A command that an invented tool grants."""
    while True:
        turn = invented_turn(speaker, toolset, True)
        if turn.calls:
            return turn
