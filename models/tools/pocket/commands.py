"""What a speaker asks of a house, and what the model should write: one `Turn`, or a conversation of a few."""

from __future__ import annotations

from random import Random

from . import phrases as P
from .homes import ADJECTIVES, FLOORS, GROUP_NOUNS, MASS_NOUNS, NOUNS, ROOMS, WEIGHTS, Device, Home, make_home, name_for, plural
from .phrases import expand, gerund
from .prompt import Call, Turn
from .results import finish
from .words import any_word, number_word, spoken

NO_DEVICE = "i do not know that device."
NO_GROUP = "there is no such device there."
NO_AREA = "i do not know that area."
NO_TOOL = "i have no tool for that."
CHATTER = "i look after this house, that is all i can do."

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
OPPOSITE = {"turn_on": "turn_off", "turn_off": "turn_on", "open": "close", "close": "open", "lock": "unlock", "unlock": "lock"}
STATES = {
    "light": ("on", "off", "lit", "dark", "bright"), "switch": ("on", "off", "running", "active"), "fan": ("on", "off", "running", "spinning"),
    "cover": ("open", "closed", "up", "down", "shut", "raised", "lowered"), "valve": ("open", "closed", "shut"), "lock": ("locked", "unlocked", "open", "closed"),
    "climate": ("on", "off", "heating", "cooling", "running"), "media": ("on", "off", "playing", "idle", "paused"), "vacuum": ("cleaning", "docked", "running", "charging", "on"),
    "sensor": ("on", "ok", "high", "low", "triggered", "active", "wet", "open", "closed", "normal", "clear"),
}  # fmt: skip
SORTS = {
    "turn_on": 13, "turn_off": 13, "open": 6, "close": 6, "lock": 4, "unlock": 4, "set_level": 13, "set_temperature": 6, "state": 11, "group_state": 6, "quantity": 4,
    "list_add": 5, "list_remove": 3, "list_complete": 3, "list_read": 3, "indirect": 3, "steps": 14, "chat": 4, "no_tool": 4, "absent": 17,
}  # fmt: skip
TOOLS_OF_SORT = {"state": "get_state", "group_state": "get_state", "quantity": "get_state", "indirect": "turn_on"}
ARTICLES = ("the ", "the ", "the ", "the ", "", "", "my ", "our ", "that ", "this ")
JOINERS = (" and ", " and ", " and ", " and then ", ", then ", " then ", ", ", " and also ", ". ", " and please ", "; ", " plus ", ", and ", " and after that ", ", also ", " but ", " & ", " while you ")


class Unfit(Exception):
    """This house or this draw cannot give the wanted sort of command; another draw may."""


class Speaker:
    """Draws commands for one house. `hold`: "" for training, "~" unseen patterns, "!" unseen verbs; `evaluation`: unseen words."""

    def __init__(self, rng: Random, home: Home, hold: str = "", evaluation: bool = False, here_share: float = 0.25):
        self.rng, self.home, self.hold, self.evaluation = rng, home, hold, evaluation
        self.here_share = here_share
        self.taken = [f" {name} " for name in home.all_names()]
        self.word_sets = {id(device): home.words_of(device) for device in home.devices}
        self.here: str | None = None

    # -- whole turns ---------------------------------------------------------------------------------------------

    def turn(self, sort: str | None = None, tools: frozenset[str] | None = None) -> Turn:
        """A command. With `tools`, one that needs another tool than those is mostly drawn again, at times refused."""
        for _ in range(300):
            chosen = sort or self.rng.choices(list(SORTS), list(SORTS.values()))[0]
            rooms = [room for room in self.home.rooms if any(d.area == room for d in self.home.devices)]
            self.here = self.rng.choice(rooms) if rooms and self.rng.random() < self.here_share else None
            try:
                turn = self.draw(chosen)
            except Unfit:
                continue
            turn.area, turn.sort = self.here, chosen
            if tools is not None and any(call.tool not in tools for call in turn.calls):
                if len(turn.calls) > 1 or self.rng.random() > 0.1:
                    continue
                turn.calls, turn.words, turn.sort = [], NO_TOOL, "no_tool"
            finish(self.rng, turn, self.home)
            return turn
        raise Unfit(f"no {sort} fits this house")

    def draw(self, sort: str) -> Turn:
        if sort in KINDS:
            text, call = self.action(sort, framed=True)
            return Turn(text, [call])
        match sort:
            case "state":
                return self.state()
            case "group_state":
                return self.group_state()
            case "quantity":
                return self.quantity()
            case "indirect":
                return self.indirect()
            case "steps":
                return self.steps()
            case "absent":
                return self.absent()
            case "stranger":
                return self.stranger()
            case "near_miss":
                return self.near_miss()
            case "missing_group":
                return self.missing_group()
            case "chat":
                return Turn(self.filled(self.one("", "chat")), words=CHATTER)
            case "no_tool":
                return self.no_tool()
        return self.list_command(sort)

    def conversation(self, length: int, tools: frozenset[str] | None = None) -> list[Turn]:
        """A few turns; the later ones may lean on the one before."""
        turns = [self.turn(tools=tools)]
        while len(turns) < length:
            turn = None
            if self.rng.random() < 0.6:
                try:
                    turn = self.follow_up(turns[-1])
                except Unfit:
                    turn = None
            if turn is not None and tools is not None and any(call.tool not in tools for call in turn.calls):
                turn = None
            turns.append(turn or self.turn(tools=tools))
            turns[-1].area = turns[0].area if turn else turns[-1].area
        return turns

    # -- small parts ---------------------------------------------------------------------------------------------

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
            words = [(100, "full"), (100, "max"), (100, "maximum"), (100, "the maximum"), (100, "the max"), (50, "half"), (50, "1/2"), (25, "a quarter"), (25, "1/4"), (75, "three quarters"), (75, "3/4"), (1, "minimum"), (1, "the minimum"), (1, "min"), (1, "the lowest"), (100, "the highest"), (33, "a third"), (100, "full power"), (50, "half power"), (50, "fifty fifty")]
            words += {"light": [(100, "full brightness"), (50, "half brightness"), (100, "the brightest"), (1, "the dimmest"), (100, "maximum brightness"), (1, "minimum brightness")], "media": [(100, "full volume"), (50, "half volume"), (100, "the loudest")], "fan": [(100, "full speed"), (50, "half speed"), (100, "top speed")], "cover": [(50, "halfway"), (50, "half way"), (50, "the middle"), (50, "half open")]}.get(kind, [])
            return rng.choice(words)
        value = rng.choice((rng.randint(0, 100), rng.randint(0, 20) * 5, rng.randint(1, 9) * 10))
        number = spoken(rng, value)
        unit = rng.choice((" percent", " percent", "%", "%", "", " per cent", " %")) if number[0].isdigit() else rng.choice((" percent", " percent", "", " per cent"))
        return value, number + unit

    def celsius(self) -> tuple[int | float, str]:
        rng = self.rng
        whole = rng.choice((rng.randint(15, 26), rng.randint(5, 35)))
        unit = rng.choice((" degrees", " degrees", "", "", " celsius", " c", "°", " degrees celsius", "°c", " degree"))
        if rng.random() < 0.8:
            return whole, spoken(rng, whole) + unit
        forms = (f"{whole}.5", f"{whole}.5", f"{whole},5", f"{whole} and a half", f"{number_word(whole)} point five", f"{number_word(whole)} and a half", f"{whole} 1/2")
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

    # -- naming devices and groups -------------------------------------------------------------------------------

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
        if said.startswith(("the ", "my ")) or (device.kind == "scene" and rng.random() < 0.6) or "'" in said.split()[0]:
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
        generic = any(left <= set(" ".join(nouns).split()) | set(" ".join(map(plural, nouns)).split()) for nouns in GROUP_NOUNS.values())
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

    # -- actions -------------------------------------------------------------------------------------------------

    def action(self, tool: str, framed: bool, kinds: tuple[str, ...] | None = None) -> tuple[str, Call]:
        """One command with one call."""
        if tool in ("set_level", "set_temperature") and framed and not self.hold and self.rng.random() < 0.22:
            return self.by_measure(tool)
        said, args, kind = self.object(tool)
        numbers, words = self.measure(tool, kind)
        text = self.say(tool, kind, said, words, framed)
        return text, Call(tool, {**args, **numbers})

    def say(self, tool: str, kind: str, said: str, words: dict[str, str], framed: bool = True) -> str:
        """A sentence for the tool around the words `said` for the device or group."""
        rng = self.rng
        special = (tool, kind) in P.BY_KIND
        sources = ["verb"] * 12 + ["bare"] * 3 + (["wanted"] * 3 if tool in P.STATE_WORDS else []) + (["kind"] * 4 if special else [])
        if self.hold:
            kept = [s for s in dict.fromkeys(sources) if (self.hold == "~" if s == "wanted" else P.has_kept((tool, kind) if s == "kind" else tool, s, self.hold))]
            sources = kept or ["verb"]
        elif rng.random() < 0.03:
            return self.odd_verb(tool, kind, said, words)
        source = rng.choice(sources)
        parts = dict(words)
        if source == "wanted":
            parts["s"] = rng.choice(P.STATE_WORDS[tool])
            phrase = self.one("", "wanted")
        else:
            phrase = self.one((tool, kind) if source == "kind" else tool, source)
        phrase = phrase.replace("{s}", parts.pop("s", ""))
        text = self.filled(phrase, d=said, q=rng.choice(P.QUANTITY_WORDS.get(kind, ("level",))), **parts)
        if not framed:
            return text
        return self.framed(text, source == "verb" or (source == "kind" and not phrase.startswith("{")))

    def odd_verb(self, tool: str, kind: str, said: str, words: dict[str, str]) -> str:
        """A verb nobody knows, with a particle that says enough."""
        verb = any_word(self.rng)
        ends = {"turn_on": ("on",), "turn_off": ("off",), "open": ("open", "up"), "close": ("closed", "shut", "down")}
        if tool in ends:
            end = self.rng.choice(ends[tool])
            return self.framed(self.rng.choice((f"{verb} {said} {end}", f"{verb} {end} {said}")), True)
        if words:
            value = next(iter(words.values()))
            return self.framed(self.rng.choice((f"{verb} {said} to {value}", f"{verb} {said} up to {value}", f"{verb} {said} down to {value}")), True)
        raise Unfit

    def by_measure(self, tool: str) -> tuple[str, Call]:
        """The room and the quantity are named, and the kind follows: "set the kitchen brightness to 40"."""
        rng = self.rng
        kind, noun = ("climate", rng.choice(("temperature", "temperature", "temp", "heating", "heat"))) if tool == "set_temperature" else rng.choice((("light", "brightness"), ("light", "brightness"), ("light", "light level"), ("media", "volume"), ("media", "volume"), ("fan", "fan speed")))
        if not self.home.group(kind):
            raise Unfit
        numbers, words = self.measure(tool, kind)
        value = next(iter(words.values()))
        areas = [area for area in self.home.area_names if self.home.group(kind, area)]
        in_here = self.here is not None and bool(self.home.group(kind, self.here))
        if in_here and rng.random() < 0.6:
            area = self.here
            forms = ["set the {n}{h} to {v}", "set {n} to {v}{h}", "{n} {v}{h}", "{n} to {v}{h}", "change the {n}{h} to {v}", "turn the {n} (up|down) to {v}{h}", "turn (up|down) the {n} to {v}", "i want the {n}{h} at {v}", "make the {n} {v}{h}", "make it {v}{h}" if tool == "set_temperature" else "{n} at {v}", "put the {n} (to|at) {v}{h}", "adjust the {n} to {v}{h}", "(raise|lower|increase|decrease) the {n} to {v}{h}", "i want {v}{h}" if tool == "set_temperature" else "bring the {n} to {v}{h}"]
        elif areas and rng.random() < 0.8:
            area = rng.choice(areas)
            forms = ["set the {a} {n} to {v}", "set {a} {n} to {v}", "set the {n}{i} to {v}", "{a} {n} {v}", "{a} {n} to {v}", "{n}{i} to {v}", "change the {n}{i} to {v}", "turn the {n}{i} (up|down) to {v}", "make the {a} {n} {v}", "set {n} to {v}{i}", "i want the {n}{i} at {v}", "put the {a} {n} (at|to) {v}", "(raise|lower|increase|decrease) the {a} {n} to {v}", "set {a} to {v} {n}", "adjust the {a} {n} to {v}", "{v} {n}{i}", "bring the {n}{i} to {v}"]
            forms += ["(heat|warm|cool) the {a} to {v}", "make it {v}{i}", "set the {a} to {v}", "i want it to be {v}{i}", "i want {v}{i}", "keep the {a} at {v}", "it should be {v}{i}", "(heat up|cool down) the {a} to {v}", "get the {a} to {v}"] if tool == "set_temperature" else []
            if kind == "light" and tool == "set_level":
                forms += ["set the {a} to {v} brightness", "dim the {a} to {v}", "brighten the {a} to {v}", "light up the {a} to {v}"]
        else:
            area = None
            forms = ["set the {n}{e} to {v}", "change the {n}{e} to {v}", "{n}{e} {v}", "turn the {n} (up|down) to {v}{e}", "set {n} to {v}{e}", "i want the {n} at {v}{e}"] if not self.here else ["set the {n}{x} to {v}", "set {n} to {v}{x}", "change the {n}{x} to {v}"]
        text = self.filled(rng.choice(forms), n=noun, v=value, h=rng.choice(P.HERE), a=area or "", i=rng.choice(P.IN_AREA).format(a=area), e=rng.choice(P.EVERYWHERE + [""] * 16), x=rng.choice(P.EVERYWHERE))
        self.refuse_names(text)
        return self.framed(text, text.startswith(("set", "turn", "change", "make", "put", "bring", "dim", "heat", "cool", "keep", "get"))), Call(tool, {**({"area": area} if area else {}), "kind": kind, **numbers})

    def indirect(self) -> Turn:
        """What is wrong with the room, not what to do about it."""
        rng = self.rng
        tool, kind = rng.choice(list(P.INDIRECT))
        if not self.home.group(kind):
            raise Unfit
        areas = [area for area in self.home.area_names if self.home.group(kind, area)]
        if self.here and self.home.group(kind, self.here) and rng.random() < 0.7:
            area, where, room = self.here, rng.choice(("", " here", " in here", " in this room")), rng.choice(("this room", "the room", "it", "this place"))
        elif areas:
            area = rng.choice(areas)
            where, room = rng.choice(P.IN_AREA[:6]).format(a=area), rng.choice(("the ", "my ", "")) + area
        else:
            raise Unfit
        text = self.filled(rng.choice(P.INDIRECT[tool, kind]), a=where, r=room)
        self.refuse_names(text)
        if rng.random() < 0.15:
            text = rng.choice(P.LEADS[:36]) + text
        return Turn(text, [Call(tool, {"area": area, "kind": kind})])

    # -- several steps -------------------------------------------------------------------------------------------

    def steps(self) -> Turn:
        rng = self.rng
        form = rng.choices(("objects", "clauses", "elided", "pronoun", "areas", "items"), (34, 32, 14, 6, 8, 6))[0]
        match form:
            case "objects":
                return self.several_objects()
            case "clauses":
                return self.several_clauses()
            case "elided":
                return self.elided()
            case "pronoun":
                return self.pronoun()
            case "areas":
                return self.several_areas()
        return self.several_items()

    def join(self, parts: list[str]) -> str:
        last = self.rng.choice((" and ", " and ", " and ", " as well as ", " plus ", ", and ", " and also ", " & "))
        return ", ".join(parts[:-1]) + last + parts[-1]

    def several_objects(self) -> Turn:
        """One verb, two or three things: "turn on the lamp and the fan"."""
        rng = self.rng
        tool = rng.choices(list(KINDS), (20, 20, 8, 8, 6, 6, 10, 5, 8))[0]
        count = 2 if rng.random() < 0.75 else 3
        things = [self.object(tool, 0.2) for _ in range(count)]
        if len({str(args) for _, args, _ in things}) < count:
            raise Unfit
        kinds = {kind for _, _, kind in things}
        numbers, words = self.measure(tool, things[0][2])
        said = self.join([text for text, _, _ in things])
        said = ("both " if count == 2 and rng.random() < 0.06 else "") + said
        calls = [Call(tool, {**args, **numbers}) for _, args, _ in things]
        if tool == "get_state":
            forms = ("what is the state of {d}", "check {d}", "tell me about {d}", "are {d} {s}", "what about {d}", "how are {d}", "show me {d}", "what are {d} doing", "what do {d} say")
            return Turn(self.framed(self.filled(rng.choice(forms), d=said, s=rng.choice(STATES[things[0][2]])), False), calls)
        return Turn(self.say(tool, kinds.pop() if len(kinds) == 1 else "", said, words), calls)

    def several_clauses(self) -> Turn:
        """Two or three whole commands in one sentence."""
        rng = self.rng
        count = 2 if rng.random() < 0.82 else 3
        texts, calls = [], []
        for _ in range(count):
            tool = rng.choices((*KINDS, "list_add"), (20, 20, 8, 8, 8, 5, 12, 6, 4, 4))[0]
            if tool == "get_state":
                turn = self.state()
            elif tool == "list_add":
                turn = self.list_command(tool)
            else:
                text, call = self.action(tool, framed=False)
                turn = Turn(text, [call])
            texts.append(turn.text.rstrip("?.! "))
            calls += turn.calls
        if len({str(call) for call in calls}) < count:
            raise Unfit
        text = texts[0]
        for clause in texts[1:]:
            text += rng.choice(JOINERS) + clause
        return Turn(self.framed(text, True) if rng.random() < 0.5 else text, calls)

    def elided(self) -> Turn:
        """The second clause lacks its verb: "turn the lamp on and the fan off", "set a to 40 and b to 60"."""
        rng = self.rng
        if rng.random() < 0.5:
            first, second = rng.sample(("turn_on", "turn_off"), 2)
            ends, verb = {"turn_on": "on", "turn_off": "off"}, rng.choice(("turn ", "turn ", "switch ", "put ", "i want ", ""))
        elif rng.random() < 0.4:
            first, second = rng.sample(("open", "close"), 2)
            ends, verb = {"open": rng.choice(("open", "up")), "close": rng.choice(("closed", "down"))}, rng.choice(("", "i want ", "pull ", "move "))
        else:
            first = second = rng.choice(("set_level", "set_level", "set_temperature"))
            ends, verb = None, rng.choice(("set ", "set ", "put ", "turn ", "", "change ", "bring "))
        left, right = self.object(first, 0.2), self.object(second, 0.2)
        if left[1] == right[1]:
            raise Unfit
        numbers, words = self.measure(first, left[2])
        more, more_words = self.measure(second, right[2])
        if ends:
            text = f"{verb}{left[0]} {ends[first]}{rng.choice((' and ', ' and ', ', ', ' but '))}{right[0]} {ends[second]}"
        else:
            to = rng.choice((" to ", " to ", " at "))
            text = f"{verb}{left[0]}{to}{next(iter(words.values()))}{rng.choice((' and ', ', '))}{right[0]}{to}{next(iter(more_words.values()))}"
        return Turn(self.framed(text, bool(verb) and not verb.startswith("i ")), [Call(first, {**left[1], **numbers}), Call(second, {**right[1], **more})])

    def pronoun(self) -> Turn:
        """Two actions on one thing: "turn on the lamp and dim it to 40"."""
        rng = self.rng
        first, second = rng.choice((("turn_on", "set_level"), ("turn_on", "set_temperature"), ("close", "set_level"), ("unlock", "lock"), ("turn_off", "turn_on"), ("turn_on", "get_state")))
        kinds = tuple(kind for kind in KINDS[first] if kind in KINDS[second])
        device = self.pick(kinds)
        said, name = self.mention(device)
        numbers, words = self.measure(second, device.kind)
        text = self.say(first, device.kind, said, {}, framed=False)
        after = "tell me its state" if second == "get_state" else self.say(second, "" if device.kind == "scene" else device.kind, "it", words, framed=False)
        return Turn(self.framed(text + rng.choice((" and ", " and then ", ", then ")) + after, True), [Call(first, {"device": name}), Call(second, {"device": name, **numbers})])

    def several_areas(self) -> Turn:
        """One kind in two rooms: "lights off in the kitchen and the hall"."""
        rng = self.rng
        tool = rng.choice(("turn_on", "turn_off", "turn_off", "open", "close", "set_level", "lock"))
        kind = rng.choice([kind for kind in KINDS[tool] if kind in GROUP_NOUNS])
        areas = [area for area in self.home.area_names if self.home.group(kind, area)]
        if len(areas) < 2:
            raise Unfit
        chosen = rng.sample(areas, 2)
        many = plural(rng.choice(GROUP_NOUNS[kind]))
        the = rng.choice(("the ", "", "the "))
        said = rng.choice((f"{{k}} in {the}{chosen[0]} and {the}{chosen[1]}", f"{the}{chosen[0]} and {chosen[1]} {{k}}", f"the {{k}} in {the}{chosen[0]} and in {the}{chosen[1]}", f"all {{k}} in {the}{chosen[0]} and {the}{chosen[1]}", f"{the}{chosen[0]} {{k}} and {the}{chosen[1]} {{k}}")).replace("{k}", many)
        self.refuse_names(said)
        numbers, words = self.measure(tool, kind)
        return Turn(self.say(tool, kind, said, words), [Call(tool, {"area": area, "kind": kind, **numbers}) for area in chosen])

    def several_items(self) -> Turn:
        tool = self.rng.choice(("list_add", "list_add", "list_add", "list_remove", "list_complete"))
        items = [self.item() for _ in range(2 if self.rng.random() < 0.8 else 3)]
        if len({name for _, name in items}) < len(items):
            raise Unfit
        text, named = self.list_sentence(tool, self.join([said for said, _ in items]))
        return Turn(text, [Call(tool, {"item": item, **named}) for _, item in items])

    # -- questions -----------------------------------------------------------------------------------------------

    def state(self) -> Turn:
        device = self.pick(KINDS["get_state"])
        said, name = self.mention(device)
        state = self.rng.choice(STATES[device.kind])
        text = self.filled(self.one("state", "ask").replace("{s}", state), d=said)
        return Turn(self.asked(text), [Call("get_state", {"device": name})])

    def asked(self, text: str) -> str:
        rng = self.rng
        if rng.random() < 0.1:
            text = rng.choice(P.LEADS[:36]) + text
        if rng.random() < 0.07:
            text += rng.choice((" please", " now", " right now", " for me", " at the moment", " thanks"))
        return text + rng.choice(("", "", "?"))

    def group_state(self) -> Turn:
        kinds = tuple(kind for kind in KINDS["get_state"] if kind != "sensor")
        _, args, parts = self.group(kinds, plain_noun=True)
        state = self.rng.choice(STATES[args["kind"]])
        text = self.filled(self.one("group", "ask").replace("{s}", state), **parts)
        self.refuse_names(text)
        return Turn(self.asked(text), [Call("get_state", args)])

    def quantity(self) -> Turn:
        """A sensor asked by what it measures; for warmth a thermostat will do."""
        rng = self.rng
        sensors = [d for d in self.home.devices if d.kind == "sensor" and d.quantity in P.BY_QUANTITY and self.tells(d)]
        climate = [area for area in self.home.area_names if self.home.group("climate", area)]
        if climate and (not sensors or rng.random() < 0.3):
            area = self.here if self.here in climate and rng.random() < 0.6 else rng.choice(climate)
            if any(d.quantity == "temperature" and self.home.lies_in(d, area) for d in self.home.devices):
                raise Unfit
            where = rng.choice(("", " here", " in here")) if area == self.here else rng.choice(P.IN_AREA[:5]).format(a=area)
            text = self.filled(rng.choice(P.BY_QUANTITY["temperature"]), a=where, r="the " + area)
            return Turn(self.asked(text), [Call("get_state", {"area": area, "kind": "climate"})])
        if not sensors:
            raise Unfit
        device = rng.choice(sensors)
        same = [d for d in self.home.devices if d.quantity == device.quantity]
        near = [d for d in same if d.area == device.area]
        if len(near) > 1:
            raise Unfit
        if len(same) == 1 and rng.random() < 0.3 and not self.here:
            where = ""
        elif device.area == self.here and self.here:
            where = rng.choice(("", " here", " in here", " in this room"))
        elif device.area:
            where = rng.choice(P.IN_AREA[:5]).format(a=device.area)
        else:
            raise Unfit
        phrase = rng.choice(P.BY_QUANTITY[device.quantity])
        if "{r}" in phrase and not device.area:
            raise Unfit
        text = self.filled(phrase, a=where, r=device.area or "")
        if f" {text} " in self.taken:
            raise Unfit
        return Turn(self.asked(text), [Call("get_state", {"device": device.name})])

    def tells(self, device: Device) -> bool:
        """Whether the sensor's name says what it measures."""
        from .homes import QUANTITIES

        return any(noun in device.name for noun in QUANTITIES[device.quantity].split(","))

    # -- lists ---------------------------------------------------------------------------------------------------

    def item(self) -> tuple[str, str]:
        """An item as said, and as written on the list."""
        rng = self.rng
        item = rng.choice(P.ITEMS) if rng.random() < 0.5 else " ".join(any_word(rng, self.evaluation) for _ in range(rng.choice((1, 1, 2, 2, 3))))
        if rng.random() < 0.12:
            item = rng.choice((f"{rng.randint(2, 12)} {item}", f"{number_word(rng.randint(2, 12))} {item}", f"a bottle of {item}", f"a pack of {item}", f"{rng.randint(2, 6)} kilos of {item}", f"{rng.randint(2, 6)} bags of {item}"))
        return (rng.choice(("some ", "the ", "more ")) if rng.random() < 0.1 else "") + item, item

    def list_name(self) -> tuple[str, dict]:
        rng = self.rng
        name = rng.choice(P.LISTS) if rng.random() < 0.6 else any_word(rng, self.evaluation) + rng.choice((" list", " list", " list", ""))
        if "list" not in name and rng.random() < 0.4:
            name += " list"
        return rng.choice(("the ", "my ", "the ", "my ", "our ", "")) + name, {"list": name}

    def list_sentence(self, tool: str, item: str) -> tuple[str, dict]:
        rng = self.rng
        if not self.hold and rng.random() < 0.25:
            phrase = rng.choice(P.NO_LIST[tool])
            return self.framed(self.filled(phrase, i=item), phrase.startswith(("put", "add", "remove", "take", "delete", "buy", "write", "read", "show", "check", "tick", "mark", "cross"))), {}
        said, named = self.list_name()
        sources = [source for source in ("verb", "verb", "verb", "bare") if not self.hold or P.has_kept(tool, source, self.hold)] or ["verb"]
        source = rng.choice(sources)
        return self.framed(self.filled(self.one(tool, source), i=item, l=said), source == "verb"), named

    def list_command(self, tool: str) -> Turn:
        if tool == "list_read":
            text, named = self.list_sentence(tool, "")
            return Turn(text, [Call(tool, named)])
        said, item = self.item()
        text, named = self.list_sentence(tool, said)
        return Turn(text, [Call(tool, {"item": item, **named})])

    # -- refusals ------------------------------------------------------------------------------------------------

    def no_tool(self) -> Turn:
        device = self.pick(tuple(WEIGHTS))
        said, _ = self.mention(device)
        if self.rng.random() < 0.25:
            return self.wrong_kind()
        return Turn(self.framed(self.filled(self.one("", "no_tool"), d=said), False), words=NO_TOOL)

    def wrong_kind(self) -> Turn:
        """A tool that does not take the device's kind: "lock the lamp"."""
        tool = self.rng.choice(("lock", "unlock", "open", "close", "set_temperature", "set_level"))
        fit = {"light", "switch", "fan", "media", "vacuum"} - set(KINDS[tool])
        device = self.pick(tuple(fit))
        said, _ = self.mention(device)
        _, words = self.measure(tool, device.kind)
        phrase = self.rng.choice(P.plain(tool, "verb", "")[:4])
        return Turn(self.framed(self.filled(phrase, d=said, q=self.rng.choice(P.QUANTITY_WORDS.get(device.kind, ("level",))), **words), True), words=NO_TOOL)

    def absent(self) -> Turn:
        """A device, kind or room that this house does not have; half of them share words with what it has."""
        dice = self.rng.random()
        if dice < 0.3:
            return self.stranger()
        if dice < 0.72:
            return self.near_miss()
        return self.missing_group()

    def sentence_about(self, kind: str, said: str) -> str:
        """Any command or question that fits the kind."""
        tools = [tool for tool, kinds in KINDS.items() if kind in kinds]
        tool = self.rng.choice(tools)
        if tool == "get_state":
            return self.asked(self.filled(self.one("state", "ask").replace("{s}", self.rng.choice(STATES[kind])), d=said))
        _, words = self.measure(tool, kind)
        return self.say(tool, kind, said, words)

    def article(self, name: str) -> str:
        return ("" if "'" in name.split()[0] else self.rng.choice(ARTICLES)) + name

    def stranger(self) -> Turn:
        """A device of some other house."""
        other = make_home(self.rng, 1, self.evaluation, 0.55).devices[0]
        if self.reachable(other.name):
            raise Unfit
        return Turn(self.sentence_about(other.kind, self.article(other.name)), words=NO_DEVICE)

    def reachable(self, said: str) -> bool:
        """Whether the words could mean something of this house: a device, or a group of a kind."""
        words = set(said.split())
        if f" {said} " in self.taken or any(words <= known for known in self.word_sets.values()):
            return True
        nouns = {noun for kind, all_nouns in GROUP_NOUNS.items() if self.home.group(kind) for one in all_nouns for noun in (one, plural(one))}
        rest = said
        for area in sorted(self.home.area_names, key=len, reverse=True):
            rest = rest.replace(area, "").strip()
        return rest in nouns or rest in {mass for masses in MASS_NOUNS.values() for mass in masses}

    def near_miss(self) -> Turn:
        """A name that shares words with one of the house: another room, another noun, another number, one word more."""
        rng = self.rng
        device = self.pick(tuple(kind for kind in WEIGHTS if kind != "scene"))
        words = rng.choice(device.names).split()
        form = rng.randrange(5)
        kind = device.kind
        if form == 0 and len(words) > 1:
            words[rng.randrange(len(words))] = rng.choice((any_word(rng, self.evaluation), rng.choice(ADJECTIVES)))
        elif form == 1 and len(words) > 1:
            kind = rng.choice([k for k in WEIGHTS if k not in ("scene", "sensor")])
            words[-1] = rng.choice(NOUNS[kind].split(","))
        elif form == 2 and any(word.isdigit() for word in words):
            words = [str(int(word) + rng.choice((1, 2, 3, 10))) if word.isdigit() else word for word in words]
        elif form == 3:
            words.insert(rng.randrange(len(words)), rng.choice((any_word(rng, self.evaluation), rng.choice(ADJECTIVES), *self.home.area_names[:4])))
        else:
            noun = rng.choice(NOUNS[kind].split(",")) if kind in NOUNS else words[-1]
            words = [rng.choice((*self.home.area_names, *ROOMS[:20])), noun]
        said = " ".join(words)
        if self.reachable(said):
            raise Unfit
        return Turn(self.sentence_about(kind, self.article(said)), words=NO_DEVICE)

    def missing_group(self) -> Turn:
        """A kind that the room or the house lacks, or a room that the house lacks."""
        rng = self.rng
        kind = rng.choice(list(GROUP_NOUNS))
        single = rng.choice(GROUP_NOUNS[kind])
        many = plural(single)
        if rng.random() < 0.55:
            known = self.home.area_names
            area = rng.choice([name for name in (*ROOMS, *FLOORS) if name not in known]) if rng.random() < 0.7 else any_word(rng, self.evaluation) + " room"
            if area in known or any(area in name or name in area for name in known):
                raise Unfit
            words = NO_AREA
        else:
            lacking = [area for area in self.home.area_names if not self.home.group(kind, area)]
            if not lacking:
                raise Unfit
            area = rng.choice(lacking)
            words = NO_GROUP
        if rng.random() < 0.5:
            said = self.filled(rng.choice(P.OF_AREA), a=area, k=many, k1=single)
        else:
            said = self.filled(rng.choice(P.GROUP), k=many, k1=single, ia=rng.choice(P.IN_AREA).format(a=area))
        if any(set(said.split()) - {"the", "all", "my", "in", "of", "every", "on", "any"} <= known for known in self.word_sets.values()):
            raise Unfit
        self.refuse_names(said)
        return Turn(self.sentence_about(kind, said), words=words)

    # -- leaning on the turn before ------------------------------------------------------------------------------

    def follow_up(self, before: Turn) -> Turn:
        rng = self.rng
        if len(before.calls) != 1 or before.calls[0].tool not in KINDS:
            raise Unfit
        call = before.calls[0]
        device = next((d for d in self.home.devices if call.args.get("device") in d.names), None)
        numbers = {key: value for key, value in call.args.items() if key in ("percent", "celsius")}
        if rng.random() < 0.5:
            said, args, kind = self.object(call.tool, 0.2)
            if args == {key: value for key, value in call.args.items() if key not in numbers}:
                raise Unfit
            forms = ("and {d}", "and {d} too", "{d} too", "{d} as well", "also {d}", "the same for {d}", "same with {d}", "what about {d}", "and what about {d}", "now {d}", "do the same with {d}", "and also {d}", "now the same for {d}")
            turn = Turn(self.filled(rng.choice(forms), d=said), [Call(call.tool, {**args, **numbers})])
        else:
            if device is None or device.kind == "scene":
                raise Unfit
            tools = [tool for tool, kinds in KINDS.items() if device.kind in kinds and (tool != call.tool or numbers)]
            if not tools:
                raise Unfit
            tool = OPPOSITE[call.tool] if call.tool in OPPOSITE and OPPOSITE[call.tool] in tools and rng.random() < 0.5 else rng.choice(tools)
            more, words = self.measure(tool, device.kind)
            it = rng.choice(("it", "it", "it", "that", "that one", "this one"))
            if tool == "get_state":
                text = self.asked(self.filled(self.one("state", "ask").replace("{s}", rng.choice(STATES[device.kind])), d=it))
            else:
                text = self.say(tool, device.kind, it, words)
            turn = Turn(text, [Call(tool, {"device": call.args["device"], **more})])
        turn.sort = "follow_up"
        finish(rng, turn, self.home)
        return turn


def spare_name(rng: Random, home: Home, kind: str, evaluation: bool) -> str:
    """A device name that the house does not have."""
    while True:
        name = name_for(rng, kind, None, rng.choice(list(home.rooms)), evaluation, 0.6)
        if name not in home.all_names():
            return name
