"""A speaker in a house: how devices and groups are named, numbers said, sentences framed. The other modules put commands
together from these parts."""

from __future__ import annotations

from random import Random

from . import phrases as P
from .homes import GROUP_NOUNS, MASS_NOUNS, Device, Home, plural
from .phrases import expand, gerund
from .words import any_word, number_word, spoken

KINDS = {
    "turn_on": ("light", "switch", "fan", "media", "vacuum", "scene", "climate"),
    "turn_off": ("light", "switch", "fan", "media", "vacuum", "climate"),
    "open": ("cover", "valve"),
    "close": ("cover", "valve"),
    "lock": ("lock",),
    "unlock": ("lock",),
    "set_level": ("light", "cover", "fan", "media", "valve"),
    "set_temperature": ("climate",),
    "get_state": ("light", "switch", "fan", "cover", "valve", "lock", "climate", "media", "vacuum", "sensor"),
}
OPPOSITE = {
    "turn_on": "turn_off",
    "turn_off": "turn_on",
    "open": "close",
    "close": "open",
    "lock": "unlock",
    "unlock": "lock",
}
STATES = {
    "light": ("on", "off", "lit", "dark", "bright"), "switch": ("on", "off", "running", "active"), "fan": ("on", "off", "running", "spinning"),
    "cover": ("open", "closed", "up", "down", "shut", "raised", "lowered"), "valve": ("open", "closed", "shut"), "lock": ("locked", "unlocked", "open", "closed"),
    "climate": ("on", "off", "heating", "cooling", "running"), "media": ("on", "off", "playing", "idle", "paused"), "vacuum": ("cleaning", "docked", "running", "charging", "on"),
    "sensor": ("on", "ok", "high", "low", "triggered", "active", "wet", "open", "closed", "normal", "clear"),
}  # fmt: skip
ARTICLES = ("the ", "the ", "the ", "the ", "", "", "my ", "our ", "that ", "this ")


class Unfit(Exception):
    """This house or this draw cannot give the wanted sort of command; another draw may."""


class Speaker:
    """One house's speaker. `hold`: "" for training, "~" unseen patterns, "!" unseen verbs; `evaluation`: unseen words."""

    def __init__(self, rng: Random, home: Home, hold: str = "", evaluation: bool = False, here_share: float = 0.25):
        self.rng, self.home, self.hold, self.evaluation = rng, home, hold, evaluation
        self.here_share = here_share
        self.taken = [f" {name} " for name in home.all_names()]
        self.word_sets = {id(device): home.words_of(device) for device in home.devices}
        self.here: str | None = None

    def one(self, key, source: str) -> str:
        return self.rng.choice(P.plain(key, source, self.hold))

    def filled(self, text: str, **parts: str) -> str:
        """Expands a phrase and puts words for {w}, a number for {n}, and the given parts in."""
        text = expand(self.rng, text)
        while "{w}" in text:
            text = text.replace("{w}", any_word(self.rng, self.evaluation), 1)
        if "{n}" in text:
            text = text.replace("{n}", spoken(self.rng, self.rng.randint(2, 60)))
        for name, value in parts.items():
            text = text.replace("{" + name + "}", value)
        return " ".join(text.split())

    def framed(self, command: str, verb_first: bool) -> str:
        """Politeness, a reason, a sign at the end."""
        rng = self.rng
        if self.hold == "~" and verb_first and rng.random() < 0.3:
            command = expand(rng, rng.choice(P.plain("", "frames", "~"))).replace("{c}", command)
        elif verb_first and rng.random() < 0.38:
            frame = expand(rng, rng.choice(P.plain("", "frames", "")))
            command = frame.replace("{c}", command).replace("{g}", gerund(command) if "{g}" in frame else "")
        elif rng.random() < 0.1:
            command = rng.choice(("please ", "", "")) + command + rng.choice((" please", " now", ", please"))
        if rng.random() < 0.12:
            command = rng.choice(P.LEADS) + command
        if rng.random() < 0.12:
            command += rng.choice(P.TAILS)
        if rng.random() < 0.08:
            command += rng.choice((".", "!", "?", "."))
        return command

    def percent(self, kind: str) -> tuple[int, str]:
        rng = self.rng
        if rng.random() < 0.15:
            words = [
                (100, "full"),
                (100, "max"),
                (100, "maximum"),
                (100, "the maximum"),
                (100, "the max"),
                (50, "half"),
                (50, "1/2"),
                (25, "a quarter"),
                (25, "1/4"),
                (75, "three quarters"),
                (75, "3/4"),
                (1, "minimum"),
                (1, "the minimum"),
                (1, "min"),
                (1, "the lowest"),
                (100, "the highest"),
                (33, "a third"),
                (100, "full power"),
                (50, "half power"),
                (50, "fifty fifty"),
            ]
            words += {
                "light": [
                    (100, "full brightness"),
                    (50, "half brightness"),
                    (100, "the brightest"),
                    (1, "the dimmest"),
                    (100, "maximum brightness"),
                    (1, "minimum brightness"),
                ],
                "media": [(100, "full volume"), (50, "half volume"), (100, "the loudest")],
                "fan": [(100, "full speed"), (50, "half speed"), (100, "top speed")],
                "cover": [(50, "halfway"), (50, "half way"), (50, "the middle"), (50, "half open")],
            }.get(kind, [])
            return rng.choice(words)
        value = rng.choice((rng.randint(0, 100), rng.randint(0, 20) * 5, rng.randint(1, 9) * 10))
        number = spoken(rng, value)
        unit = (
            rng.choice((" percent", " percent", "%", "%", "", " per cent", " %"))
            if number[0].isdigit()
            else rng.choice((" percent", " percent", "", " per cent"))
        )
        return value, number + unit

    def celsius(self) -> tuple[int | float, str]:
        rng = self.rng
        whole = rng.choice((rng.randint(15, 26), rng.randint(5, 35)))
        unit = rng.choice((" degrees", " degrees", "", "", " celsius", " c", "°", " degrees celsius", "°c", " degree"))
        if rng.random() < 0.8:
            return whole, spoken(rng, whole) + unit
        forms = (
            f"{whole}.5",
            f"{whole}.5",
            f"{whole},5",
            f"{whole} and a half",
            f"{number_word(whole)} point five",
            f"{number_word(whole)} and a half",
            f"{whole} 1/2",
        )
        return whole + 0.5, rng.choice(forms) + unit

    def measure(self, tool: str, kind: str) -> tuple[dict, dict[str, str]]:
        """The number that the tool takes: its argument and its words."""
        if tool == "set_level":
            value, words = self.percent(kind)
            return {"percent": value}, {"p": words}
        if tool == "set_temperature":
            value, words = self.celsius()
            return {"celsius": value}, {"t": words}
        return {}, {}

    def pick(self, kinds: tuple[str, ...]) -> Device:
        fitting = [device for device in self.home.devices if device.kind in kinds]
        if not fitting:
            raise Unfit
        return self.rng.choice(fitting)

    def mention(self, device: Device) -> tuple[str, str]:
        """How a speaker names the device, and the name that the call carries. It always means this device alone."""
        rng = self.rng
        name = device.name if not device.aliases or rng.random() < 0.5 else rng.choice(device.aliases)
        dice = rng.random()
        said = name
        if dice < 0.62:
            pass
        elif dice < 0.72 and device.area:
            start = device.area + " "
            if name.startswith(start) and rng.random() < 0.7:
                said = name[len(start) :] + rng.choice(P.IN_AREA).format(a=device.area)
            elif device.area not in name:
                said = rng.choice((name + rng.choice(P.IN_AREA).format(a=device.area), f"{device.area} {name}"))
        elif dice < 0.88:
            said = self.part(device, name)
        elif dice < 0.93 and not any(noun in name.split() for noun in GROUP_NOUNS.get(device.kind, ())):
            said = f"{name} {rng.choice(GROUP_NOUNS.get(device.kind, ('sensor',)))}"
        elif any(c.isdigit() for c in name):
            said = " ".join(number_word(int(w)) if w.isdigit() and int(w) < 100 else w for w in name.split())
        if said != name and f" {said} " in self.taken:
            said = name
        if (
            said.startswith(("the ", "my "))
            or (device.kind == "scene" and rng.random() < 0.6)
            or "'" in said.split()[0]
        ):
            return said, name
        return rng.choice(ARTICLES) + said, name

    def part(self, device: Device, name: str) -> str:
        """The name without one of its words, when that still means only this device."""
        words = name.split()
        if len(words) < 2:
            return name
        words.pop(self.rng.randrange(len(words)))
        left = set(words)
        roles = set(GROUP_NOUNS.get(device.kind, ())) | set((device.area or "").split())
        rivals = any(left <= self.word_sets[id(other)] for other in self.home.devices if other is not device)
        generic = any(
            left <= set(" ".join(nouns).split()) | set(" ".join(map(plural, nouns)).split())
            for nouns in GROUP_NOUNS.values()
        )
        areas = any(left <= set(area.split()) for area in self.home.area_names)
        digits = all(len(word) < 3 for word in words)
        if rivals or generic or areas or digits or left <= roles:
            return name
        return " ".join(words)

    def group(self, kinds: tuple[str, ...], plain_noun: bool = False) -> tuple[str, dict, dict]:
        """A group of one kind: its words, the call's arguments, and the parts {k} {k1} {ia} for questions."""
        rng = self.rng
        present = sorted({d.kind for d in self.home.devices if d.kind in kinds and d.kind in GROUP_NOUNS})
        if not present:
            raise Unfit
        kind = rng.choice(present)
        single = rng.choice(GROUP_NOUNS[kind])
        if kind == "lock" and not plain_noun and rng.random() < 0.3:
            single = "door"
        many = plural(single)
        if not plain_noun and kind in MASS_NOUNS and rng.random() < 0.15:
            single = many = rng.choice(MASS_NOUNS[kind])
        args: dict = {"kind": kind}
        in_here = self.here is not None and bool(self.home.group(kind, self.here))
        if in_here and rng.random() < 0.7:
            args["area"] = self.here
            where = rng.choice(P.HERE)
            text = self.filled(rng.choice(P.GROUP), k=many, k1=single, ia=where)
        else:
            areas = [area for area in self.home.area_names if self.home.group(kind, area)]
            area = rng.choice(areas) if areas and rng.random() < 0.72 else None
            if area:
                args["area"] = area
                where = rng.choice(P.IN_AREA).format(a=area)
                if rng.random() < 0.5:
                    text = self.filled(rng.choice(P.OF_AREA), a=area, k=many, k1=single)
                else:
                    text = self.filled(rng.choice(P.GROUP), k=many, k1=single, ia=where)
            else:
                where = rng.choice(P.EVERYWHERE + ([] if self.here else [""] * 6))
                text = self.filled(rng.choice(P.GROUP), k=many, k1=single, ia=where)
        self.refuse_names(text)
        return text, args, {"k": many, "k1": single, "ia": where}

    def refuse_names(self, text: str) -> None:
        """A group must not read like a device of that name."""
        padded = f" {text.replace(',', '')} "
        if any(name in padded for name in self.taken):
            raise Unfit

    def object(self, tool: str, group_share: float = 0.36) -> tuple[str, dict, str]:
        """Words, arguments and kind of what the tool acts on."""
        if self.rng.random() < group_share:
            kinds = tuple(kind for kind in KINDS[tool] if kind not in ("scene", "sensor"))
            text, args, _ = self.group(kinds)
            return text, args, args["kind"]
        device = self.pick(KINDS[tool])
        text, name = self.mention(device)
        return text, {"device": name}, device.kind
