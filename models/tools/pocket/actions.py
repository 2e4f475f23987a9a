"""Commands of one call: by device or group, by the quantity of a room, by what is wrong with it."""

from __future__ import annotations

from . import phrases as P
from .prompt import Call, Turn
from .speaker import Speaker, Unfit
from .words import any_word


def action(speaker: Speaker, tool: str, framed: bool, kinds: tuple[str, ...] | None = None) -> tuple[str, Call]:
    """One command with one call."""
    if tool in ("set_level", "set_temperature") and framed and not speaker.hold and speaker.rng.random() < 0.22:
        return by_measure(speaker, tool)
    said, args, kind = speaker.object(tool)
    numbers, words = speaker.measure(tool, kind)
    text = sentence(speaker, tool, kind, said, words, framed)
    return text, Call(tool, {**args, **numbers})


def sentence(speaker: Speaker, tool: str, kind: str, said: str, words: dict[str, str], framed: bool = True) -> str:
    """A sentence for the tool around the words `said` for the device or group."""
    rng = speaker.rng
    special = (tool, kind) in P.BY_KIND
    sources = (
        ["verb"] * 12
        + ["bare"] * 3
        + (["wanted"] * 3 if tool in P.STATE_WORDS else [])
        + (["kind"] * 4 if special else [])
    )
    if speaker.hold:
        kept = [
            s
            for s in dict.fromkeys(sources)
            if (
                speaker.hold == "~"
                if s == "wanted"
                else P.has_kept((tool, kind) if s == "kind" else tool, s, speaker.hold)
            )
        ]
        sources = kept or ["verb"]
    elif rng.random() < 0.03:
        return odd_verb(speaker, tool, kind, said, words)
    source = rng.choice(sources)
    parts = dict(words)
    if source == "wanted":
        parts["s"] = rng.choice(P.STATE_WORDS[tool])
        phrase = speaker.one("", "wanted")
    else:
        phrase = speaker.one((tool, kind) if source == "kind" else tool, source)
    phrase = phrase.replace("{s}", parts.pop("s", ""))
    text = speaker.filled(phrase, d=said, q=rng.choice(P.QUANTITY_WORDS.get(kind, ("level",))), **parts)
    if not framed:
        return text
    return speaker.framed(text, source == "verb" or (source == "kind" and not phrase.startswith("{")))


def odd_verb(speaker: Speaker, tool: str, kind: str, said: str, words: dict[str, str]) -> str:
    """A verb nobody knows, with a particle that says enough."""
    verb = any_word(speaker.rng)
    ends = {"turn_on": ("on",), "turn_off": ("off",), "open": ("open", "up"), "close": ("closed", "shut", "down")}
    if tool in ends:
        end = speaker.rng.choice(ends[tool])
        return speaker.framed(speaker.rng.choice((f"{verb} {said} {end}", f"{verb} {end} {said}")), True)
    if words:
        value = next(iter(words.values()))
        return speaker.framed(
            speaker.rng.choice(
                (f"{verb} {said} to {value}", f"{verb} {said} up to {value}", f"{verb} {said} down to {value}")
            ),
            True,
        )
    raise Unfit


def by_measure(speaker: Speaker, tool: str) -> tuple[str, Call]:
    """The room and the quantity are named, and the kind follows: "set the kitchen brightness to 40"."""
    rng = speaker.rng
    kind, noun = (
        ("climate", rng.choice(("temperature", "temperature", "temp", "heating", "heat")))
        if tool == "set_temperature"
        else rng.choice(
            (
                ("light", "brightness"),
                ("light", "brightness"),
                ("light", "light level"),
                ("media", "volume"),
                ("media", "volume"),
                ("fan", "fan speed"),
            )
        )
    )
    if not speaker.home.group(kind):
        raise Unfit
    numbers, words = speaker.measure(tool, kind)
    value = next(iter(words.values()))
    areas = [area for area in speaker.home.area_names if speaker.home.group(kind, area)]
    in_here = speaker.here is not None and bool(speaker.home.group(kind, speaker.here))
    if in_here and rng.random() < 0.6:
        area = speaker.here
        forms = [
            "set the {n}{h} to {v}",
            "set {n} to {v}{h}",
            "{n} {v}{h}",
            "{n} to {v}{h}",
            "change the {n}{h} to {v}",
            "turn the {n} (up|down) to {v}{h}",
            "turn (up|down) the {n} to {v}",
            "i want the {n}{h} at {v}",
            "make the {n} {v}{h}",
            "make it {v}{h}" if tool == "set_temperature" else "{n} at {v}",
            "put the {n} (to|at) {v}{h}",
            "adjust the {n} to {v}{h}",
            "(raise|lower|increase|decrease) the {n} to {v}{h}",
            "i want {v}{h}" if tool == "set_temperature" else "bring the {n} to {v}{h}",
        ]
    elif areas and rng.random() < 0.8:
        area = rng.choice(areas)
        forms = [
            "set the {a} {n} to {v}",
            "set {a} {n} to {v}",
            "set the {n}{i} to {v}",
            "{a} {n} {v}",
            "{a} {n} to {v}",
            "{n}{i} to {v}",
            "change the {n}{i} to {v}",
            "turn the {n}{i} (up|down) to {v}",
            "make the {a} {n} {v}",
            "set {n} to {v}{i}",
            "i want the {n}{i} at {v}",
            "put the {a} {n} (at|to) {v}",
            "(raise|lower|increase|decrease) the {a} {n} to {v}",
            "set {a} to {v} {n}",
            "adjust the {a} {n} to {v}",
            "{v} {n}{i}",
            "bring the {n}{i} to {v}",
        ]
        forms += (
            [
                "(heat|warm|cool) the {a} to {v}",
                "make it {v}{i}",
                "set the {a} to {v}",
                "i want it to be {v}{i}",
                "i want {v}{i}",
                "keep the {a} at {v}",
                "it should be {v}{i}",
                "(heat up|cool down) the {a} to {v}",
                "get the {a} to {v}",
            ]
            if tool == "set_temperature"
            else []
        )
        if kind == "light" and tool == "set_level":
            forms += [
                "set the {a} to {v} brightness",
                "dim the {a} to {v}",
                "brighten the {a} to {v}",
                "light up the {a} to {v}",
            ]
    else:
        area = None
        forms = (
            [
                "set the {n}{e} to {v}",
                "change the {n}{e} to {v}",
                "{n}{e} {v}",
                "turn the {n} (up|down) to {v}{e}",
                "set {n} to {v}{e}",
                "i want the {n} at {v}{e}",
            ]
            if not speaker.here
            else ["set the {n}{x} to {v}", "set {n} to {v}{x}", "change the {n}{x} to {v}"]
        )
    text = speaker.filled(
        rng.choice(forms),
        n=noun,
        v=value,
        h=rng.choice(P.HERE),
        a=area or "",
        i=rng.choice(P.IN_AREA).format(a=area),
        e=rng.choice(P.EVERYWHERE + [""] * 16),
        x=rng.choice(P.EVERYWHERE),
    )
    speaker.refuse_names(text)
    return speaker.framed(
        text, text.startswith(("set", "turn", "change", "make", "put", "bring", "dim", "heat", "cool", "keep", "get"))
    ), Call(tool, {**({"area": area} if area else {}), "kind": kind, **numbers})


def indirect(speaker: Speaker) -> Turn:
    """What is wrong with the room, not what to do about it."""
    rng = speaker.rng
    tool, kind = rng.choice(list(P.INDIRECT))
    if not speaker.home.group(kind):
        raise Unfit
    areas = [area for area in speaker.home.area_names if speaker.home.group(kind, area)]
    if speaker.here and speaker.home.group(kind, speaker.here) and rng.random() < 0.7:
        area, where, room = (
            speaker.here,
            rng.choice(("", " here", " in here", " in this room")),
            rng.choice(("this room", "the room", "it", "this place")),
        )
    elif areas:
        area = rng.choice(areas)
        where, room = rng.choice(P.IN_AREA[:6]).format(a=area), rng.choice(("the ", "my ", "")) + area
    else:
        raise Unfit
    text = speaker.filled(rng.choice(P.INDIRECT[tool, kind]), a=where, r=room)
    speaker.refuse_names(text)
    if rng.random() < 0.15:
        text = rng.choice(P.LEADS[:36]) + text
    return Turn(text, [Call(tool, {"area": area, "kind": kind})])
