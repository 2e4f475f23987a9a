"""Evaluation cases for the daemon's evaluator: one JSON object a line, with the house, the tools, the words and the calls.

`match` is "exact" (the same calls) or "effect" (the same tool and numbers, the same devices touched). An empty `expect` means
that no tool may be called. The generated sets have fixed seeds and use words and phrases that training never sees, as their
names say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from .home_assistant import mapped
from .homes import Home
from .prompt import INSTRUCTIONS, Call, shipped_tools
from .sets import SETS, draw_set

RISK = {"lock": "high", "valve": "medium", "climate": "medium"}
DEADLINE_MS = 10_000


def inventory(home: Home) -> dict:
    devices = [
        {"name": d.name, "aliases": d.aliases, "area": d.area, "kind": d.kind, "risk": RISK.get(d.kind, "low")}
        for d in home.devices
    ]
    return {"devices": devices, "areas": [{"name": room, "floor": floor} for room, floor in home.rooms.items()]}


def tool_spec(tool: dict) -> dict:
    return {
        **tool,
        "effects": {"read_only": tool["name"] in ("get_state", "list_read"), "idempotent": False},
        "deadline_ms": DEADLINE_MS,
    }


def case(name: str, home: Home, tools: list[dict], area: str | None, text: str, calls: list[Call], match: str) -> dict:
    return {
        "set": name,
        "inventory": inventory(home),
        "tools": [tool_spec(tool) for tool in tools],
        "instructions": INSTRUCTIONS,
        "area": area,
        "text": text,
        "expect": [{"tool": call.tool, "args": dict(sorted(call.args.items()))} for call in calls],
        "match": match,
    }


def generated(name: str, houses: int, talks: int) -> Iterator[dict]:
    for session in draw_set(name, houses, talks):
        for turns in session.talks:
            turn = turns[-1]
            yield case(name, session.home, session.tools, turn.area, turn.text, turn.calls, "exact")


def write_cases(out: Path, houses: int, talks: int, home_assistant: Path | None) -> None:
    """Writes OUT/SET.jsonl for every set, and says how many of Home Assistant's rows map and why the others do not."""
    out.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        count = write(out / f"{name}.jsonl", generated(name, houses, talks))
        sys.stdout.write(f"{name}: {count} cases\n")
    if home_assistant is None:
        return
    kept, refused = mapped(home_assistant)
    tools = list(shipped_tools())
    count = write(
        out / "home_assistant.jsonl",
        (case("home_assistant", *([home, tools, *rest]), "effect") for home, *rest in kept),
    )
    empty = sum(not calls for *_, calls in kept)
    sys.stdout.write(
        f"home_assistant: {count} of {count + sum(refused.values())} labelled rows map; in {empty} of them the house lacks what is asked for\n"
    )
    for reason, number in refused.most_common():
        sys.stdout.write(f"  {number:4} not: {reason}\n")


def write(path: Path, cases: Iterator[dict]) -> int:
    count = 0
    with path.open("w") as file:
        for one in cases:
            file.write(json.dumps(one) + "\n")
            count += 1
    return count
