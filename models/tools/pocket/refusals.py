"""What is refused in words: devices, kinds and rooms that the house lacks, wishes that no tool grants, chatter."""

from __future__ import annotations

from . import phrases as P
from .actions import sentence
from .homes import (
    ADJECTIVES,
    FLOORS,
    GROUP_NOUNS,
    MASS_NOUNS,
    NOUNS,
    ROOMS,
    WEIGHTS,
    make_home,
    plural,
)
from .prompt import Turn
from .questions import asked
from .speaker import ARTICLES, KINDS, STATES, Speaker, Unfit
from .words import any_word

NO_DEVICE = "i do not know that device."
NO_GROUP = "there is no such device there."
NO_AREA = "i do not know that area."
NO_TOOL = "i have no tool for that."
CHATTER = "i look after this house, that is all i can do."


def no_tool(speaker: Speaker) -> Turn:
    device = speaker.pick(tuple(WEIGHTS))
    said, _ = speaker.mention(device)
    if speaker.rng.random() < 0.25:
        return wrong_kind(speaker)
    return Turn(speaker.framed(speaker.filled(speaker.one("", "no_tool"), d=said), False), words=NO_TOOL)


def wrong_kind(speaker: Speaker) -> Turn:
    """A tool that does not take the device's kind: "lock the lamp"."""
    tool = speaker.rng.choice(("lock", "unlock", "open", "close", "set_temperature", "set_level"))
    fit = {"light", "switch", "fan", "media", "vacuum"} - set(KINDS[tool])
    device = speaker.pick(tuple(fit))
    said, _ = speaker.mention(device)
    _, words = speaker.measure(tool, device.kind)
    phrase = speaker.rng.choice(P.plain(tool, "verb", "")[:4])
    return Turn(
        speaker.framed(
            speaker.filled(
                phrase, d=said, q=speaker.rng.choice(P.QUANTITY_WORDS.get(device.kind, ("level",))), **words
            ),
            True,
        ),
        words=NO_TOOL,
    )


def absent(speaker: Speaker) -> Turn:
    """A device, kind or room that this house does not have; half of them share words with what it has."""
    dice = speaker.rng.random()
    if dice < 0.3:
        return stranger(speaker)
    if dice < 0.72:
        return near_miss(speaker)
    return missing_group(speaker)


def sentence_about(speaker: Speaker, kind: str, said: str) -> str:
    """Any command or question that fits the kind."""
    tools = [tool for tool, kinds in KINDS.items() if kind in kinds]
    tool = speaker.rng.choice(tools)
    if tool == "get_state":
        return asked(
            speaker,
            speaker.filled(speaker.one("state", "ask").replace("{s}", speaker.rng.choice(STATES[kind])), d=said),
        )
    _, words = speaker.measure(tool, kind)
    return sentence(speaker, tool, kind, said, words)


def with_article(speaker: Speaker, name: str) -> str:
    return ("" if "'" in name.split()[0] else speaker.rng.choice(ARTICLES)) + name


def stranger(speaker: Speaker) -> Turn:
    """A device of some other house."""
    other = make_home(speaker.rng, 1, speaker.evaluation, 0.55).devices[0]
    if reachable(speaker, other.name):
        raise Unfit
    return Turn(sentence_about(speaker, other.kind, with_article(speaker, other.name)), words=NO_DEVICE)


def reachable(speaker: Speaker, said: str) -> bool:
    """Whether the words could mean something of this house: a device, or a group of a kind."""
    words = set(said.split())
    if f" {said} " in speaker.taken or any(words <= known for known in speaker.word_sets.values()):
        return True
    nouns = {
        noun
        for kind, all_nouns in GROUP_NOUNS.items()
        if speaker.home.group(kind)
        for one in all_nouns
        for noun in (one, plural(one))
    }
    rest = said
    for area in sorted(speaker.home.area_names, key=len, reverse=True):
        rest = rest.replace(area, "").strip()
    return rest in nouns or rest in {mass for masses in MASS_NOUNS.values() for mass in masses}


def near_miss(speaker: Speaker) -> Turn:
    """A name that shares words with one of the house: another room, another noun, another number, one word more."""
    rng = speaker.rng
    device = speaker.pick(tuple(kind for kind in WEIGHTS if kind != "scene"))
    words = rng.choice(device.names).split()
    form = rng.randrange(5)
    kind = device.kind
    if form == 0 and len(words) > 1:
        words[rng.randrange(len(words))] = rng.choice((any_word(rng, speaker.evaluation), rng.choice(ADJECTIVES)))
    elif form == 1 and len(words) > 1:
        kind = rng.choice([k for k in WEIGHTS if k not in ("scene", "sensor")])
        words[-1] = rng.choice(NOUNS[kind].split(","))
    elif form == 2 and any(word.isdigit() for word in words):
        words = [str(int(word) + rng.choice((1, 2, 3, 10))) if word.isdigit() else word for word in words]
    elif form == 3:
        words.insert(
            rng.randrange(len(words)),
            rng.choice((any_word(rng, speaker.evaluation), rng.choice(ADJECTIVES), *speaker.home.area_names[:4])),
        )
    else:
        noun = rng.choice(NOUNS[kind].split(",")) if kind in NOUNS else words[-1]
        words = [rng.choice((*speaker.home.area_names, *ROOMS[:20])), noun]
    said = " ".join(words)
    if reachable(speaker, said):
        raise Unfit
    return Turn(sentence_about(speaker, kind, with_article(speaker, said)), words=NO_DEVICE)


def missing_group(speaker: Speaker) -> Turn:
    """A kind that the room or the house lacks, or a room that the house lacks."""
    rng = speaker.rng
    kind = rng.choice(list(GROUP_NOUNS))
    single = rng.choice(GROUP_NOUNS[kind])
    many = plural(single)
    if rng.random() < 0.55:
        known = speaker.home.area_names
        area = (
            rng.choice([name for name in (*ROOMS, *FLOORS) if name not in known])
            if rng.random() < 0.7
            else any_word(rng, speaker.evaluation) + " room"
        )
        if area in known or any(area in name or name in area for name in known):
            raise Unfit
        words = NO_AREA
    else:
        lacking = [area for area in speaker.home.area_names if not speaker.home.group(kind, area)]
        if not lacking:
            raise Unfit
        area = rng.choice(lacking)
        words = NO_GROUP
    if rng.random() < 0.5:
        said = speaker.filled(rng.choice(P.OF_AREA), a=area, k=many, k1=single)
    else:
        said = speaker.filled(rng.choice(P.GROUP), k=many, k1=single, ia=rng.choice(P.IN_AREA).format(a=area))
    if any(
        set(said.split()) - {"the", "all", "my", "in", "of", "every", "on", "any"} <= known
        for known in speaker.word_sets.values()
    ):
        raise Unfit
    speaker.refuse_names(said)
    return Turn(sentence_about(speaker, kind, said), words=words)
