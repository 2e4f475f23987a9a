"""Commands for lists: an item, and the list's name as it was said."""

from __future__ import annotations

from . import phrases as P
from .prompt import Call, Turn
from .speaker import Speaker
from .words import any_word, number_word


def draw_item(speaker: Speaker) -> tuple[str, str]:
    """An item as said, and as written on the list."""
    rng = speaker.rng
    item = (
        rng.choice(P.ITEMS)
        if rng.random() < 0.5
        else " ".join(any_word(rng, speaker.evaluation) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    )
    if rng.random() < 0.12:
        item = rng.choice(
            (
                f"{rng.randint(2, 12)} {item}",
                f"{number_word(rng.randint(2, 12))} {item}",
                f"a bottle of {item}",
                f"a pack of {item}",
                f"{rng.randint(2, 6)} kilos of {item}",
                f"{rng.randint(2, 6)} bags of {item}",
            )
        )
    return (rng.choice(("some ", "the ", "more ")) if rng.random() < 0.1 else "") + item, item


def list_name(speaker: Speaker) -> tuple[str, dict]:
    rng = speaker.rng
    name = (
        rng.choice(P.LISTS)
        if rng.random() < 0.6
        else any_word(rng, speaker.evaluation) + rng.choice((" list", " list", " list", ""))
    )
    if "list" not in name and rng.random() < 0.4:
        name += " list"
    return rng.choice(("the ", "my ", "the ", "my ", "our ", "")) + name, {"list": name}


def list_sentence(speaker: Speaker, tool: str, item: str) -> tuple[str, dict]:
    rng = speaker.rng
    if not speaker.hold and rng.random() < 0.25:
        phrase = rng.choice(P.NO_LIST[tool])
        return speaker.framed(
            speaker.filled(phrase, i=item),
            phrase.startswith(
                (
                    "put",
                    "add",
                    "remove",
                    "take",
                    "delete",
                    "buy",
                    "write",
                    "read",
                    "show",
                    "check",
                    "tick",
                    "mark",
                    "cross",
                )
            ),
        ), {}
    said, named = list_name(speaker)
    sources = [
        source
        for source in ("verb", "verb", "verb", "bare")
        if not speaker.hold or P.has_kept(tool, source, speaker.hold)
    ] or ["verb"]
    source = rng.choice(sources)
    return speaker.framed(speaker.filled(speaker.one(tool, source), i=item, l=said), source == "verb"), named


def list_command(speaker: Speaker, tool: str) -> Turn:
    if tool == "list_read":
        text, named = list_sentence(speaker, tool, "")
        return Turn(text, [Call(tool, named)])
    said, item = draw_item(speaker)
    text, named = list_sentence(speaker, tool, said)
    return Turn(text, [Call(tool, {"item": item, **named})])
