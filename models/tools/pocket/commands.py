"""What a speaker asks of a house, and what the model should write: one `Turn`, or a conversation of a few."""

from __future__ import annotations

from .actions import action, indirect, sentence
from .lists import list_command
from .prompt import Call, Turn
from .questions import asked, group_question, quantity_question, state_question
from .refusals import (
    CHATTER,
    NO_TOOL,
    absent,
    missing_group,
    near_miss,
    no_tool,
    stranger,
)
from .results import finish
from .speaker import KINDS, OPPOSITE, STATES, Speaker, Unfit
from .steps import several_steps

SORTS = {
    "turn_on": 13, "turn_off": 13, "open": 6, "close": 6, "lock": 4, "unlock": 4, "set_level": 13, "set_temperature": 6, "state": 11, "group_state": 6, "quantity": 4,
    "list_add": 5, "list_remove": 3, "list_complete": 3, "list_read": 3, "indirect": 3, "steps": 14, "chat": 4, "no_tool": 4, "absent": 22,
}  # fmt: skip
"""What is asked of a house, by shares."""
PRACTISED = {**SORTS, "quantity": 9, "steps": 24, "no_tool": 7, "absent": 25, "chat": 3}
"""The shares of training: what is learned late comes more often than it is asked."""


def draw_turn(
    speaker: Speaker,
    sort: str | None = None,
    tools: frozenset[str] | None = None,
    shares: dict[str, int] = SORTS,
) -> Turn:
    """A command. With `tools`, one that needs another tool than those is mostly drawn again, at times refused."""
    for _ in range(300):
        chosen = sort or speaker.rng.choices(list(shares), list(shares.values()))[0]
        rooms = [room for room in speaker.home.rooms if any(d.area == room for d in speaker.home.devices)]
        speaker.here = speaker.rng.choice(rooms) if rooms and speaker.rng.random() < speaker.here_share else None
        try:
            turn = draw_sort(speaker, chosen)
        except Unfit:
            continue
        turn.area, turn.sort = speaker.here, chosen
        if tools is not None and any(call.tool not in tools for call in turn.calls):
            if len(turn.calls) > 1 or speaker.rng.random() > 0.1:
                continue
            turn.calls, turn.words, turn.sort = [], NO_TOOL, "no_tool"
        finish(speaker.rng, turn, speaker.home)
        return turn
    raise Unfit(f"no {sort} fits this house")


def draw_sort(speaker: Speaker, sort: str) -> Turn:
    if sort in KINDS:
        text, call = action(speaker, sort, framed=True)
        return Turn(text, [call])
    match sort:
        case "state":
            return state_question(speaker)
        case "group_state":
            return group_question(speaker)
        case "quantity":
            return quantity_question(speaker)
        case "indirect":
            return indirect(speaker)
        case "steps":
            return several_steps(speaker)
        case "absent":
            return absent(speaker)
        case "stranger":
            return stranger(speaker)
        case "near_miss":
            return near_miss(speaker)
        case "missing_group":
            return missing_group(speaker)
        case "chat":
            return Turn(speaker.filled(speaker.one("", "chat")), words=CHATTER)
        case "no_tool":
            return no_tool(speaker)
    return list_command(speaker, sort)


def conversation(speaker: Speaker, length: int, shares: dict[str, int]) -> list[Turn]:
    """A few turns; the later ones may lean on the one before."""
    turns = [draw_turn(speaker, shares=shares)]
    while len(turns) < length:
        turn = None
        if speaker.rng.random() < 0.6:
            try:
                turn = follow_up(speaker, turns[-1])
            except Unfit:
                turn = None
        turns.append(turn or draw_turn(speaker, shares=shares))
        turns[-1].area = turns[0].area if turn else turns[-1].area
    return turns


def follow_up(speaker: Speaker, before: Turn) -> Turn:
    rng = speaker.rng
    if len(before.calls) != 1 or before.calls[0].tool not in KINDS:
        raise Unfit
    call = before.calls[0]
    device = next((d for d in speaker.home.devices if call.args.get("device") in d.names), None)
    numbers = {key: value for key, value in call.args.items() if key in ("percent", "celsius")}
    if rng.random() < 0.5:
        said, args, kind = speaker.object(call.tool, 0.2)
        if args == {key: value for key, value in call.args.items() if key not in numbers}:
            raise Unfit
        forms = (
            "and {d}",
            "and {d} too",
            "{d} too",
            "{d} as well",
            "also {d}",
            "the same for {d}",
            "same with {d}",
            "what about {d}",
            "and what about {d}",
            "now {d}",
            "do the same with {d}",
            "and also {d}",
            "now the same for {d}",
        )
        turn = Turn(speaker.filled(rng.choice(forms), d=said), [Call(call.tool, {**args, **numbers})])
    else:
        if device is None or device.kind == "scene":
            raise Unfit
        tools = [tool for tool, kinds in KINDS.items() if device.kind in kinds and (tool != call.tool or numbers)]
        if not tools:
            raise Unfit
        tool = (
            OPPOSITE[call.tool]
            if call.tool in OPPOSITE and OPPOSITE[call.tool] in tools and rng.random() < 0.5
            else rng.choice(tools)
        )
        more, words = speaker.measure(tool, device.kind)
        it = rng.choice(("it", "it", "it", "that", "that one", "this one"))
        if tool == "get_state":
            text = asked(
                speaker,
                speaker.filled(speaker.one("state", "ask").replace("{s}", rng.choice(STATES[device.kind])), d=it),
            )
        else:
            text = sentence(speaker, tool, device.kind, it, words)
        turn = Turn(text, [Call(tool, {"device": call.args["device"], **more})])
    turn.sort = "follow_up"
    finish(rng, turn, speaker.home)
    return turn
