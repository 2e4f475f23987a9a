"""Commands of two or three steps: several calls in one go."""

from __future__ import annotations

from .actions import action, sentence
from .homes import GROUP_NOUNS, plural
from .lists import draw_item, list_command, list_sentence
from .prompt import Call, Turn
from .questions import state_question
from .speaker import KINDS, STATES, Speaker, Unfit

JOINERS = (
    " and ",
    " and ",
    " and ",
    " and then ",
    ", then ",
    " then ",
    ", ",
    " and also ",
    ". ",
    " and please ",
    "; ",
    " plus ",
    ", and ",
    " and after that ",
    ", also ",
    " but ",
    " & ",
    " while you ",
)


def several_steps(speaker: Speaker) -> Turn:
    rng = speaker.rng
    form = rng.choices(("objects", "clauses", "elided", "pronoun", "areas", "items"), (34, 32, 14, 6, 8, 6))[0]
    match form:
        case "objects":
            return several_objects(speaker)
        case "clauses":
            return several_clauses(speaker)
        case "elided":
            return elided(speaker)
        case "pronoun":
            return pronoun(speaker)
        case "areas":
            return several_areas(speaker)
    return several_items(speaker)


def joined(speaker: Speaker, parts: list[str]) -> str:
    last = speaker.rng.choice((" and ", " and ", " and ", " as well as ", " plus ", ", and ", " and also ", " & "))
    return ", ".join(parts[:-1]) + last + parts[-1]


def several_objects(speaker: Speaker) -> Turn:
    """One verb, two or three things: "turn on the lamp and the fan"."""
    rng = speaker.rng
    tool = rng.choices(list(KINDS), (20, 20, 8, 8, 6, 6, 10, 5, 8))[0]
    count = 2 if rng.random() < 0.75 else 3
    things = [speaker.object(tool, 0.2) for _ in range(count)]
    if len({str(args) for _, args, _ in things}) < count:
        raise Unfit
    kinds = {kind for _, _, kind in things}
    numbers, words = speaker.measure(tool, things[0][2])
    said = joined(speaker, [text for text, _, _ in things])
    said = ("both " if count == 2 and rng.random() < 0.06 else "") + said
    calls = [Call(tool, {**args, **numbers}) for _, args, _ in things]
    if tool == "get_state":
        forms = (
            "what is the state of {d}",
            "check {d}",
            "tell me about {d}",
            "are {d} {s}",
            "what about {d}",
            "how are {d}",
            "show me {d}",
            "what are {d} doing",
            "what do {d} say",
        )
        return Turn(
            speaker.framed(speaker.filled(rng.choice(forms), d=said, s=rng.choice(STATES[things[0][2]])), False), calls
        )
    return Turn(sentence(speaker, tool, kinds.pop() if len(kinds) == 1 else "", said, words), calls)


def several_clauses(speaker: Speaker) -> Turn:
    """Two or three whole commands in one sentence."""
    rng = speaker.rng
    count = 2 if rng.random() < 0.82 else 3
    texts, calls = [], []
    for _ in range(count):
        tool = rng.choices((*KINDS, "list_add"), (20, 20, 8, 8, 8, 5, 12, 6, 4, 4))[0]
        if tool == "get_state":
            turn = state_question(speaker)
        elif tool == "list_add":
            turn = list_command(speaker, tool)
        else:
            text, call = action(speaker, tool, framed=False)
            turn = Turn(text, [call])
        texts.append(turn.text.rstrip("?.! "))
        calls += turn.calls
    if len({str(call) for call in calls}) < count:
        raise Unfit
    text = texts[0]
    for clause in texts[1:]:
        text += rng.choice(JOINERS) + clause
    return Turn(speaker.framed(text, True) if rng.random() < 0.5 else text, calls)


def elided(speaker: Speaker) -> Turn:
    """The second clause lacks its verb: "turn the lamp on and the fan off", "set a to 40 and b to 60"."""
    rng = speaker.rng
    if rng.random() < 0.5:
        first, second = rng.sample(("turn_on", "turn_off"), 2)
        ends, verb = (
            {"turn_on": "on", "turn_off": "off"},
            rng.choice(("turn ", "turn ", "switch ", "put ", "i want ", "")),
        )
    elif rng.random() < 0.4:
        first, second = rng.sample(("open", "close"), 2)
        ends, verb = (
            {"open": rng.choice(("open", "up")), "close": rng.choice(("closed", "down"))},
            rng.choice(("", "i want ", "pull ", "move ")),
        )
    else:
        first = second = rng.choice(("set_level", "set_level", "set_temperature"))
        ends, verb = None, rng.choice(("set ", "set ", "put ", "turn ", "", "change ", "bring "))
    left, right = speaker.object(first, 0.2), speaker.object(second, 0.2)
    if left[1] == right[1]:
        raise Unfit
    numbers, words = speaker.measure(first, left[2])
    more, more_words = speaker.measure(second, right[2])
    if ends:
        text = f"{verb}{left[0]} {ends[first]}{rng.choice((' and ', ' and ', ', ', ' but '))}{right[0]} {ends[second]}"
    else:
        to = rng.choice((" to ", " to ", " at "))
        text = f"{verb}{left[0]}{to}{next(iter(words.values()))}{rng.choice((' and ', ', '))}{right[0]}{to}{next(iter(more_words.values()))}"
    return Turn(
        speaker.framed(text, bool(verb) and not verb.startswith("i ")),
        [Call(first, {**left[1], **numbers}), Call(second, {**right[1], **more})],
    )


def pronoun(speaker: Speaker) -> Turn:
    """Two actions on one thing: "turn on the lamp and dim it to 40"."""
    rng = speaker.rng
    first, second = rng.choice(
        (
            ("turn_on", "set_level"),
            ("turn_on", "set_temperature"),
            ("close", "set_level"),
            ("unlock", "lock"),
            ("turn_off", "turn_on"),
            ("turn_on", "get_state"),
        )
    )
    kinds = tuple(kind for kind in KINDS[first] if kind in KINDS[second])
    device = speaker.pick(kinds)
    said, name = speaker.mention(device)
    numbers, words = speaker.measure(second, device.kind)
    text = sentence(speaker, first, device.kind, said, {}, framed=False)
    after = (
        "tell me its state"
        if second == "get_state"
        else sentence(speaker, second, "" if device.kind == "scene" else device.kind, "it", words, framed=False)
    )
    return Turn(
        speaker.framed(text + rng.choice((" and ", " and then ", ", then ")) + after, True),
        [Call(first, {"device": name}), Call(second, {"device": name, **numbers})],
    )


def several_areas(speaker: Speaker) -> Turn:
    """One kind in two rooms: "lights off in the kitchen and the hall"."""
    rng = speaker.rng
    tool = rng.choice(("turn_on", "turn_off", "turn_off", "open", "close", "set_level", "lock"))
    kind = rng.choice([kind for kind in KINDS[tool] if kind in GROUP_NOUNS])
    areas = [area for area in speaker.home.area_names if speaker.home.group(kind, area)]
    if len(areas) < 2:
        raise Unfit
    chosen = rng.sample(areas, 2)
    many = plural(rng.choice(GROUP_NOUNS[kind]))
    the = rng.choice(("the ", "", "the "))
    said = rng.choice(
        (
            f"{{k}} in {the}{chosen[0]} and {the}{chosen[1]}",
            f"{the}{chosen[0]} and {chosen[1]} {{k}}",
            f"the {{k}} in {the}{chosen[0]} and in {the}{chosen[1]}",
            f"all {{k}} in {the}{chosen[0]} and {the}{chosen[1]}",
            f"{the}{chosen[0]} {{k}} and {the}{chosen[1]} {{k}}",
        )
    ).replace("{k}", many)
    speaker.refuse_names(said)
    numbers, words = speaker.measure(tool, kind)
    return Turn(
        sentence(speaker, tool, kind, said, words),
        [Call(tool, {"area": area, "kind": kind, **numbers}) for area in chosen],
    )


def several_items(speaker: Speaker) -> Turn:
    tool = speaker.rng.choice(("list_add", "list_add", "list_add", "list_remove", "list_complete"))
    items = [draw_item(speaker) for _ in range(2 if speaker.rng.random() < 0.8 else 3)]
    if len({name for _, name in items}) < len(items):
        raise Unfit
    text, named = list_sentence(speaker, tool, joined(speaker, [said for said, _ in items]))
    return Turn(text, [Call(tool, {"item": item, **named}) for _, item in items])
