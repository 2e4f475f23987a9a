"""One house with the tools declared in it and the conversations held there: what a training step or an evaluation draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from .commands import PRACTISED, conversation, draw_turn
from .homes import Home, make_home
from .invented import Toolset, invented_turn, make_toolset, some_shipped
from .prompt import INSTRUCTIONS, Turn, declaration, shipped_tools, system_turn
from .speaker import Speaker, Unfit

OTHER_INSTRUCTIONS = (
    "You run this home. Call tools for what is asked. Use the names of the list.",
    "You are hob, the assistant of a house. Call tools; name devices as listed. Be brief.",
    INSTRUCTIONS + " Answer in few words.",
    INSTRUCTIONS + " Be polite.",
    "You control a building. If nothing fits, say so.",
)


@dataclass
class Session:
    home: Home
    tools: list[dict]
    instructions: str
    talks: list[list[Turn]]
    """Conversations that do not see each other; most are a single turn."""

    def prefix(self, declared: bool = True) -> str:
        declarations = "".join(map(declare, self.tools)) if declared else ""
        return system_turn(self.home, declarations, self.instructions)


def declare(tool: dict) -> str:
    return shipped_declarations()[tool["name"]] if tool.get("plugin") != "extra" else declaration(tool)


@cache
def shipped_declarations() -> dict[str, str]:
    return {tool["name"]: declaration(tool) for tool in shipped_tools()}


def training_session(rng: Random, talks: int, invented_share: float, size: tuple[int, int] = (2, 32)) -> Session:
    """A house for training. A share of them has tools that nobody ships, and a part of the shipped ones."""
    count = rng.randint(*size)
    speaker = Speaker(rng, make_home(rng, count, random_share=0.6))
    instructions = INSTRUCTIONS if rng.random() < 0.88 else rng.choice(OTHER_INSTRUCTIONS)
    if rng.random() < invented_share:
        shipped = list(shipped_tools()) if rng.random() < 0.2 else some_shipped(rng) if rng.random() < 0.85 else []
        toolset = make_toolset(rng, speaker, rng.randint(1, 5), shipped)
        return Session(speaker.home, toolset.specs(), instructions, mixed_talks(rng, speaker, toolset, talks))
    if rng.random() < 0.12:
        toolset = Toolset(some_shipped(rng), [])
        drawn = [[turn] for turn in draw_turns(speaker, toolset, talks)]
        return Session(speaker.home, toolset.specs(), instructions, drawn)
    drawn = []
    for _ in range(talks):
        length = rng.choice((2, 2, 3)) if rng.random() < 0.1 else 1
        drawn.append(conversation(speaker, length, PRACTISED))
    return Session(speaker.home, list(shipped_tools()), instructions, drawn)


def draw_turns(speaker: Speaker, toolset: Toolset, count: int) -> list[Turn]:
    return [draw_turn(speaker, tools=toolset.names(), shares=PRACTISED) for _ in range(count)]


def mixed_talks(rng: Random, speaker: Speaker, toolset: Toolset, count: int) -> list[list[Turn]]:
    """Commands for the invented tools mostly, the rest for the shipped ones that are declared."""
    out = []
    for _ in range(count):
        if rng.random() < 0.65 or not toolset.shipped:
            try:
                out.append([invented_turn(speaker, toolset)])
                continue
            except Unfit:
                pass
        out.append([shipped_turn(speaker, toolset)])
    return out


def shipped_turn(speaker: Speaker, toolset: Toolset) -> Turn:
    """A shipped command beside invented tools: no wishes for missing tools, which an invented one might grant."""
    while True:
        turn = draw_turn(speaker, tools=toolset.names(), shares=PRACTISED)
        if turn.sort not in ("no_tool", "chat"):
            return turn
