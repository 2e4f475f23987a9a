"""Tools that nobody ships, so that a new plugin's tool works: names, descriptions and arguments made up, and the commands
that follow from them. Some are families as plugins have them; most are put together from words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from .homes import GROUP_NOUNS
from .phrases import expand
from .prompt import Call, Turn, shipped_tools
from .refusals import NO_TOOL
from .results import FAILED, failure, receipt
from .speaker import KINDS, Speaker, Unfit
from .words import any_word, held, spoken

VERBS = (
    "water feed mix scan record rinse play pause send order book print count measure heat cool spin clean mow brew pump charge dock mute ring "
    "blink flash pulse tilt rotate shake stir pour grind bake boil roast cook freeze dry wash fold iron polish sweep dust spray mist vent drain fill empty "
    "refill weigh sort pack ship track find locate call text page notify announce tell remind log save load export import copy move swap skip rewind repeat "
    "shuffle cast stream share show hide zoom focus snap film watch guard arm disarm test reset restart pair join split dial tune calibrate level balance "
    "plant harvest prune trim cut slice chop peel press squeeze crush melt light burn smoke alarm wake snooze delay schedule plan cancel skip finish "
    "check read fetch bring carry drop throw push pull raise sink park drive fly land launch dim paint color draw write sing hum whistle beep buzz chime "
    "greet welcome thank praise judge guess pick choose mark tag label rate vote bid buy sell pay rent lend borrow return sign stamp seal wrap tie knit sew"
).split()
NOUNS = (
    "fish cat dog bird hen cow horse rabbit hamster plant tree lawn hedge flower garden pond pool tank barrel bottle cup mug glass plate bowl pan pot oven grill "
    "kettle fridge freezer washer dryer iron vacuum broom mop bucket hose pipe pump engine motor wheel belt crane lift door gate bell horn siren clock timer watch "
    "calendar note letter parcel invoice ticket report picture photo video song playlist radio channel podcast book page story poem joke recipe meal dinner coffee "
    "tea juice soup bread cake pizza salad laundry shirt towel carpet window roof chimney stove fire candle lantern sign banner screen display camera drone robot arm "
    "printer scanner plotter laser saw drill press mill lathe forge kiln furnace sauna shower bath spa gym bike car truck bus train boat plane rocket satellite "
    "sensor meter scale gauge battery panel turbine generator grid relay fuse alarm zone guest visitor neighbor team family weather forecast traffic news stock price score"
).split()
NUMBERS = {
    "minutes": ("for {n} minutes", "for {n} minutes", "{n} minutes", "in {n} minutes", "{n} min"),
    "seconds": ("for {n} seconds", "{n} seconds", "for {n} secs"),
    "hours": ("for {n} hours", "{n} hours", "for {n} h"),
    "percent": ("to {n} percent", "at {n} percent", "{n}%", "at {n}%", "to {n}%"),
    "times": ("{n} times", "{n} times", "for {n} times"),
    "amount": ("{n}", "an amount of {n}", "with {n}", "{n} units"),
    "count": ("{n}", "{n} of them", "a count of {n}", "{n} pieces"),
    "level": ("to level {n}", "at level {n}", "level {n}", "on level {n}"),
    "speed": ("at speed {n}", "with speed {n}", "speed {n}", "to speed {n}"),
    "degrees": ("to {n} degrees", "at {n} degrees", "{n} degrees", "by {n} degrees"),
    "grams": ("{n} grams", "with {n} grams", "of {n} grams", "{n} g"),
    "liters": ("{n} liters", "with {n} liters", "of {n} liters"),
    "watts": ("to {n} watts", "at {n} watts", "{n} watts"),
    "channel": ("to channel {n}", "on channel {n}", "channel {n}"),
    "number": ("number {n}", "{n}", "with number {n}"),
    "step": ("step {n}", "by {n}", "{n} steps"),
    "distance": ("{n} meters", "by {n} meters", "for {n} meters"),
    "cups": ("{n} cups", "with {n} cups", "of {n} cups"),
    "page": ("page {n}", "on page {n}", "to page {n}"),
    "volume": ("at volume {n}", "with a volume of {n}", "volume {n}"),
    "portions": ("{n} portions", "for {n} people", "of {n} portions"),
}
ENUMS = {
    "color": "red green blue yellow purple orange pink white cyan amber", "mode": "eco comfort boost sleep auto manual turbo silent fast slow", "size": "small medium large tiny huge",
    "style": "short long plain fancy modern", "program": "cotton wool delicate quick intensive daily", "direction": "left right up down forward backward north south",
    "priority": "low normal high urgent", "day": "today tomorrow monday tuesday wednesday thursday friday saturday sunday", "flavor": "vanilla mint lemon cherry chocolate",
    "effect": "rainbow strobe pulse fire breathe", "sound": "bell chime buzzer gong bird", "language": "english german french spanish", "strength": "weak mild strong extra", "side": "left right front back both",
}  # fmt: skip
ENUM_FORMS = (
    "in {v} {key}",
    "{v}",
    "in {v}",
    "with {v}",
    "to {v}",
    "{key} {v}",
    "with {key} {v}",
    "on {v}",
    "as {v}",
    "with the {v} {key}",
)
TEXTS = {
    "message": ("saying {x}", "that {x}", "with the message {x}", "message {x}", "the message {x}", "that says {x}"),
    "text": ("saying {x}", "with the text {x}", "{x}", "text {x}"),
    "name": ("called {x}", "named {x}", "with the name {x}", "name {x}", "{x}"),
    "title": ("called {x}", "titled {x}", "with the title {x}", "{x}"),
    "person": ("to {x}", "for {x}", "{x}"),
    "subject": ("about {x}", "on {x}", "with the subject {x}"),
    "query": ("for {x}", "about {x}", "{x}"),
    "reason": ("because of {x}", "with the reason {x}", "for {x}"),
    "product": ("{x}", "for {x}", "of {x}"),
}
DEVICE_KEYS = ("device", "device", "device", "target", "which", "machine", "item", "on", "source")
AREA_KEYS = ("area", "area", "room", "room", "place", "zone", "where")


@dataclass
class Slot:
    """One argument: its schema, whether it must be given, and how a value of it is drawn with its words."""

    key: str
    schema: dict
    required: bool
    draw: Callable[[Speaker], tuple[str, object]]


@dataclass
class Invented:
    """A tool and the ways to ask for it; `{key}` in a phrase is the words of that argument."""

    name: str
    description: str
    slots: list[Slot]
    phrases: list[str] = field(default_factory=list)
    verb_first: bool = True

    def spec(self) -> dict:
        properties = {slot.key: slot.schema for slot in self.slots}
        schema: dict = {
            "type": "object",
            "properties": properties,
            "required": [s.key for s in self.slots if s.required],
            "additionalProperties": False,
        }
        if not schema["required"]:
            del schema["required"]
        return {"name": self.name, "plugin": "extra", "description": self.description, "schema": schema}

    def turn(self, speaker: Speaker) -> Turn:
        rng = speaker.rng
        given = [slot for slot in self.slots if slot.required or rng.random() < 0.55]
        words, args = {}, {}
        for slot in given:
            words[slot.key], args[slot.key] = slot.draw(speaker)
        fitting = [
            phrase
            for phrase in self.phrases
            if all(("{" + slot.key + "}" in phrase) == (slot in given) for slot in self.slots)
        ]
        if not fitting:
            raise Unfit
        text = expand(rng, rng.choice(fitting))
        for key, said in words.items():
            text = text.replace("{" + key + "}", said)
        text = speaker.framed(" ".join(text.split()), self.verb_first)
        turn = Turn(text, [Call(self.name, args)], area=speaker.here, sort="invented_tool")
        if rng.random() < FAILED:
            result, turn.reply = failure(rng, turn.calls[0])
        else:
            result = receipt(rng)
        turn.results = [result]
        return turn


# -- arguments ---------------------------------------------------------------------------------------------------


def described(rng: Random, schema: dict, text: str) -> dict:
    return {**schema, "description": text} if rng.random() < 0.35 else schema


def number_slot(rng: Random, key: str | None = None, required: bool | None = None) -> Slot:
    key = key or rng.choice(list(NUMBERS))
    forms = NUMBERS[key]

    def draw(speaker: Speaker) -> tuple[str, object]:
        value = speaker.rng.choice(
            (speaker.rng.randint(1, 12), speaker.rng.randint(1, 60), speaker.rng.randint(1, 20) * 5)
        )
        return speaker.rng.choice(forms).replace("{n}", spoken(speaker.rng, value)), value

    schema = {"type": rng.choice(("integer", "integer", "number")), "minimum": 0}
    return Slot(
        key,
        described(rng, schema, rng.choice((f"How many {key}.", f"The {key}.", f"{key.capitalize()}."))),
        bool_of(rng, required),
        draw,
    )


def enum_slot(rng: Random, evaluation: bool, key: str | None = None, required: bool | None = None) -> Slot:
    key = key or rng.choice(list(ENUMS))
    values = ENUMS[key].split() if rng.random() < 0.6 else [any_word(rng, evaluation) for _ in range(5)]
    values = rng.sample(values, min(len(values), rng.randint(2, 5)))

    def draw(speaker: Speaker) -> tuple[str, object]:
        value = speaker.rng.choice(values)
        return speaker.rng.choice(ENUM_FORMS).replace("{v}", value).replace("{key}", key), value

    return Slot(key, described(rng, {"type": "string", "enum": values}, f"The {key}."), bool_of(rng, required), draw)


def text_slot(rng: Random, key: str | None = None, required: bool | None = None) -> Slot:
    key = key or rng.choice(list(TEXTS))

    def draw(speaker: Speaker) -> tuple[str, object]:
        inner = speaker.rng
        small = ("the", "is", "we", "are", "in", "a", "my", "will")
        value = " ".join(
            inner.choice(small) if inner.random() < 0.3 else any_word(inner, speaker.evaluation)
            for _ in range(inner.randint(1, 4))
        )
        return inner.choice(TEXTS[key]).replace("{x}", value), value

    return Slot(key, described(rng, {"type": "string", "minLength": 1}, f"The {key}."), bool_of(rng, required), draw)


def device_slot(rng: Random, kinds: list[str], required: bool | None = None, key: str | None = None) -> Slot:
    def draw(speaker: Speaker) -> tuple[str, object]:
        return speaker.mention(speaker.pick(tuple(kinds)))

    key = key or (rng.choice(DEVICE_KEYS) if rng.random() < 0.8 else kinds[0])
    return Slot(
        key,
        described(rng, {"type": "string", "x-hob-device": kinds}, f"Which {kinds[0]}."),
        bool_of(rng, required),
        draw,
    )


def area_slot(rng: Random, required: bool | None = None, key: str | None = None) -> Slot:
    def draw(speaker: Speaker) -> tuple[str, object]:
        if speaker.here and speaker.rng.random() < 0.5:
            return speaker.rng.choice(("here", "in here", "in this room")), speaker.here
        if not speaker.home.area_names:
            raise Unfit
        area = speaker.rng.choice(speaker.home.area_names)
        return speaker.rng.choice(("in the ", "in ", "in the ", "for the ", "on the ", "of the ")) + area, area

    return Slot(
        key or rng.choice(AREA_KEYS),
        described(rng, {"type": "string", "x-hob-area": True}, "Which room."),
        bool_of(rng, required),
        draw,
    )


def bool_of(rng: Random, required: bool | None) -> bool:
    return rng.random() < 0.7 if required is None else required


# -- tools put together from words -------------------------------------------------------------------------------


def word_from(rng: Random, words: list[str], evaluation: bool, random_share: float = 0.25) -> str:
    """A word of the list, or any word; for evaluation one that training keeps out."""
    if rng.random() < random_share:
        return any_word(rng, evaluation)
    while True:
        word = rng.choice(words)
        if held(word) == evaluation:
            return word


def third(verb: str) -> str:
    """feed, feeds; wash, washes; dry, dries."""
    if verb.endswith(("s", "x", "ch", "sh", "z")):
        return verb + "es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def from_words(rng: Random, present: set[str], evaluation: bool = False) -> Invented:
    """A tool of random verb, noun and arguments. `present`: the kinds of device that the house has."""
    verb, noun = word_from(rng, VERBS, evaluation), word_from(rng, NOUNS, evaluation)
    if verb == noun:
        noun = word_from(rng, NOUNS, evaluation, 0)
    kinds = [kind for kind in sorted(present) if kind in GROUP_NOUNS or kind == "sensor"]
    acts_on_device = bool(kinds) and rng.random() < 0.35
    makers: list[Callable[[], Slot]] = [
        lambda: number_slot(rng),
        lambda: number_slot(rng),
        lambda: enum_slot(rng, evaluation),
        lambda: text_slot(rng),
        lambda: area_slot(rng),
    ]
    slots: list[Slot] = []
    if acts_on_device:
        slots.append(device_slot(rng, sorted(rng.sample(kinds, min(len(kinds), rng.choice((1, 1, 2, 3))))), True))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2) if not acts_on_device else (0, 0, 1, 1, 2))):
        slot = rng.choice(makers)()
        if slot.key not in {other.key for other in slots}:
            slots.append(slot)
    name, description, core = wording(rng, verb, noun, slots[0] if acts_on_device else None)
    return Invented(name, description, slots, spread(core, slots, acts_on_device))


def wording(rng: Random, verb: str, noun: str, device: Slot | None) -> tuple[str, str, list[str]]:
    """Name, description and the cores of its commands."""
    style = rng.random()
    if device:
        d = "{" + device.key + "}"
        if style < 0.4:
            return (
                verb,
                f"{third(verb).capitalize()} a device.",
                [f"{verb} {d}", f"{verb} {d}", f"{d} {verb}", f"let {d} {verb}", f"make {d} {verb}"],
            )
        if style < 0.7:
            return (
                f"{verb}_{noun}",
                f"{third(verb).capitalize()} the {noun} of a device.",
                [f"{verb} the {noun} of {d}", f"{verb} the {noun} on {d}", f"{verb} {d} {noun}", f"{d} {verb} {noun}"],
            )
        if style < 0.85:
            return (
                f"set_{noun}",
                f"Sets the {noun} of a device.",
                [
                    f"set the {noun} of {d}",
                    f"set {d} {noun}",
                    f"change the {noun} of {d}",
                    f"set the {noun} on {d}",
                    f"adjust the {noun} of {d}",
                ],
            )
        return (
            f"{noun}_{verb}",
            f"{third(verb).capitalize()} the {noun}.",
            [f"{verb} the {noun} of {d}", f"{verb} the {noun} with {d}", f"{verb} {noun} on {d}"],
        )
    plain = [
        f"{verb} [the|a|my|our|some] {noun}",
        f"{verb} [the|a|my|our|some] {noun}",
        f"{verb} the {noun}",
        f"{verb} {noun}",
        f"{noun} {verb}",
    ]
    does = third(verb).capitalize()
    if style < 0.45:
        return (
            f"{verb}_{noun}",
            rng.choice(
                (
                    f"{does} the {noun}.",
                    f"{does} a {noun}.",
                    f"Use this to {verb} the {noun}.",
                    f"{does} {noun}s for people in the house.",
                    f"Can {verb} the {noun}.",
                )
            ),
            plain,
        )
    if style < 0.55:
        return verb, f"{does} the {noun}.", plain
    if style < 0.65:
        return f"{noun}_{verb}", f"{does} the {noun}.", plain
    if style < 0.75:
        return (
            f"start_{noun}",
            f"Starts the {noun}.",
            [
                f"start the {noun}",
                f"start {noun}",
                f"begin the {noun}",
                f"run the {noun}",
                f"get the {noun} going",
                f"turn the {noun} on",
                f"launch the {noun}",
            ],
        )
    if style < 0.82:
        return (
            f"stop_{noun}",
            f"Stops the {noun}.",
            [f"stop the {noun}", f"stop {noun}", f"end the {noun}", f"cancel the {noun}", f"no more {noun}"],
        )
    if style < 0.9:
        return (
            f"set_{noun}",
            f"Sets the {noun}.",
            [f"set the {noun}", f"set {noun}", f"change the {noun}", f"adjust the {noun}", f"put the {noun}"],
        )
    return (
        f"get_{noun}",
        rng.choice((f"Tells the {noun}.", f"Reads the {noun}.", f"Gets the {noun}.")),
        [
            f"what is the {noun}",
            f"tell me the {noun}",
            f"what's the {noun}",
            f"how is the {noun}",
            f"get the {noun}",
            f"show me the {noun}",
            f"check the {noun}",
        ],
    )


def spread(cores: list[str], slots: list[Slot], device_inside: bool) -> list[str]:
    """Every core with every subset of the optional arguments, in both orders of the first two."""
    loose = slots[1:] if device_inside else slots
    out = []
    for core in cores:
        for mask in range(1 << len(loose)):
            chosen = [slot for bit, slot in enumerate(loose) if mask >> bit & 1]
            tags = ["{" + slot.key + "}" for slot in chosen]
            out.append(" ".join([core, *tags]))
            if len(tags) > 1:
                out.append(" ".join([core, *reversed(tags)]))
            if len(tags) == 1 and not device_inside:
                out.append(f"{tags[0]} {core}")
    return out


# -- families as plugins have them -------------------------------------------------------------------------------

FAMILIES: list[tuple[tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]] = [
    # names, descriptions, slots, phrases. Slots: kind:key, a trailing ? for optional ones.
    (("set_timer", "start_timer", "timer"), ("Starts a timer.", "Sets a timer in minutes."), "n:minutes", ("set a timer {minutes}", "start a timer {minutes}", "timer {minutes}", "remind me {minutes}", "count down {minutes}", "wake me {minutes}")),
    (("cancel_timer", "stop_timer"), ("Cancels the running timer.",), "", ("cancel the timer", "stop the timer", "no more timer", "kill the timer", "forget the timer")),
    (("notify", "announce", "say", "broadcast"), ("Tells everyone in the house something.", "Sends a message to all."), "t:message", ("tell everyone {message}", "announce {message}", "let them know {message}", "say to all {message}", "send a message {message}", "notify everyone {message}")),
    (("set_color", "color_light", "change_color"), ("Sets the color of a light.",), "d:device:light e:color", ("make {device} {color}", "turn {device} {color}", "set {device} {color}", "change the color of {device} {color}", "color {device} {color}", "{device} {color}")),
    (("blink", "flash_light", "flash"), ("Blinks a light.", "Flashes a light a few times."), "d:device:light n:times?", ("blink {device} {times}", "blink {device}", "flash {device}", "flash {device} {times}", "let {device} blink {times}", "let {device} blink")),
    (("pause", "pause_media", "media_pause"), ("Pauses what plays.", "Pauses a player."), "d:device:media", ("pause {device}", "pause the music on {device}", "hold {device}", "freeze {device}", "put {device} on pause")),
    (("next_track", "skip", "next_song"), ("Skips to the next song.",), "d:device:media?", ("next song", "skip this song", "play the next song on {device}", "next song on {device}", "skip the song on {device}", "skip", "next track")),
    (("play_music", "play", "play_media"), ("Plays music by name.",), "t:query d:device:media?", ("play {query}", "play {query} on {device}", "put on {query}", "i want to hear {query}", "start playing {query} on {device}")),
    (("dock", "send_home", "return_to_base"), ("Sends a robot back to its station.",), "d:device:vacuum", ("send {device} home", "dock {device}", "{device} go home", "bring {device} back", "return {device} to its base", "send {device} back")),
    (("clean_room", "clean_area", "vacuum_room"), ("Cleans a room.",), "a:area", ("clean {area}", "vacuum {area}", "clean up {area}", "do the floor {area}", "start cleaning {area}")),
    (("arm_alarm", "arm", "alarm_on"), ("Arms the alarm.",), "e:mode?", ("arm the alarm", "turn on the alarm", "arm the alarm {mode}", "set the alarm {mode}", "activate the alarm", "secure the house")),
    (("take_picture", "snapshot", "photo"), ("Takes a picture with a camera.",), "a:area?", ("take a picture", "take a picture {area}", "snap a photo {area}", "make a photo {area}", "take a snapshot", "show me a picture {area}")),
    (("water_plants", "irrigate", "water"), ("Waters the plants of an area.",), "a:area? n:minutes?", ("water the plants", "water the plants {area}", "water the plants {area} {minutes}", "water the plants {minutes}", "give the plants some water {area}")),
    (("get_weather", "weather", "forecast"), ("Tells the weather.",), "e:day?", ("what is the weather", "how is the weather {day}", "what's the weather {day}", "weather forecast {day}", "will it rain {day}", "will it rain", "weather")),
    (("get_time", "time", "clock"), ("Tells the time.",), "", ("what time is it", "tell me the time", "how late is it", "what's the time", "time please")),
    (("stop_cover", "halt", "stop_moving"), ("Stops a cover where it is.",), "d:device:cover", ("stop {device}", "halt {device}", "hold {device} there", "{device} stop", "leave {device} where it is")),
    (("set_fan_mode", "fan_mode"), ("Sets the mode of a fan.",), "d:device:fan e:mode", ("set {device} {mode}", "put {device} {mode}", "switch {device} {mode}", "change {device} {mode}", "run {device} {mode}")),
    (("brew_coffee", "coffee", "make_coffee"), ("Brews coffee.",), "n:cups? e:strength?", ("brew some coffee", "make coffee", "make {cups} coffee", "make me {cups} coffee", "brew coffee {cups} {strength}", "brew {cups} coffee", "i need coffee", "make coffee {strength}")),
    (("mute", "mute_player"), ("Mutes a player.",), "d:device:media", ("mute {device}", "silence {device}", "no sound on {device}", "make {device} quiet", "cut the sound of {device}")),
    (("change_by", "adjust_level", "step_level"), ("Makes a device brighter, louder or faster by percent.",), "d:device:light,media,fan n:percent", ("raise {device} by {percent}", "turn up {device} by {percent}", "make {device} brighter by {percent}", "turn {device} up by {percent}")),
]  # fmt: skip
# Kept for evaluation: training never sees these tools.
KEPT_FAMILIES: list[tuple[tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]] = [
    (("start_sauna",), ("Heats the sauna.",), "n:degrees n:minutes?", ("start the sauna {degrees}", "heat the sauna {degrees}", "start the sauna {degrees} {minutes}", "warm up the sauna {degrees}")),
    (("ring_bell",), ("Rings the bell.",), "n:times", ("ring the bell {times}", "let the bell ring {times}", "please ring the bell {times}")),
    (("mow_lawn",), ("Mows the lawn of an area.",), "a:area n:hours?", ("mow the lawn {area}", "cut the lawn {area}", "mow the lawn {area} {hours}")),
    (("feed_fish",), ("Feeds the fish.",), "n:grams?", ("feed the fish", "feed the fish {grams}", "give the fish {grams}", "the fish are hungry, feed them")),
    (("play_radio",), ("Plays a radio channel on a player.",), "d:device:media n:channel", ("play radio {channel} with {device}", "play the radio {channel} on {device}", "radio {channel} on {device}")),
    (("identify",), ("Makes a device show where it is.",), "d:device:light,switch,sensor,lock", ("identify {device}", "show me where {device} is", "let {device} identify itself")),
    (("set_mood",), ("Sets the mood of a room.",), "a:area e:style", ("set the mood {area} {style}", "make the mood {area} {style}", "change the mood {area} {style}")),
    (("send_mail",), ("Sends a mail.",), "t:person t:message", ("send a mail {person} {message}", "mail {person} {message}", "write a mail {person} {message}")),
    (("tilt_blind",), ("Tilts the slats of a blind.",), "d:device:cover n:degrees", ("tilt {device} {degrees}", "tilt the slats of {device} {degrees}", "turn the slats of {device} {degrees}")),
    (("boost_heating",), ("Heats at full power for some time.",), "d:device:climate n:minutes", ("boost {device} {minutes}", "boost the heating of {device} {minutes}", "give {device} a boost {minutes}")),
    (("order_pizza",), ("Orders a pizza.",), "e:size n:count?", ("order a pizza {size}", "order {count} pizza {size}", "get me a pizza {size}")),
    (("reboot",), ("Starts a device anew.",), "d:device:switch,media,sensor", ("reboot {device}", "restart {device}", "start {device} anew")),
]  # fmt: skip


def from_family(rng: Random, present: set[str], families=FAMILIES, evaluation: bool = False) -> Invented:
    names, descriptions, slot_text, phrases = rng.choice(families)
    slots = []
    for part in slot_text.split():
        required = not part.endswith("?")
        kind, key, *rest = part.rstrip("?").split(":")
        match kind:
            case "n":
                slots.append(number_slot(rng, key, required))
            case "e":
                slots.append(enum_slot(rng, evaluation, key, required))
            case "t":
                slots.append(text_slot(rng, key, required))
            case "a":
                slots.append(area_slot(rng, required, key))
            case "d":
                kinds = rest[0].split(",")
                if required and not present & set(kinds):
                    raise Unfit
                slots.append(device_slot(rng, kinds, required, key))
    return Invented(rng.choice(names), rng.choice(descriptions), slots, list(phrases))


@dataclass
class Toolset:
    """The tools declared in one house."""

    shipped: list[dict]
    invented: list[Invented]

    def specs(self) -> list[dict]:
        return sorted([*self.shipped, *(tool.spec() for tool in self.invented)], key=lambda spec: spec["name"])

    def names(self) -> frozenset[str]:
        return frozenset(spec["name"] for spec in self.shipped)


def make_toolset(
    rng: Random, speaker: Speaker, count: int, shipped: list[dict], families=None, evaluation: bool = False
) -> Toolset:
    """`count` invented tools beside the shipped ones given."""
    present = {device.kind for device in speaker.home.devices}
    taken = {spec["name"] for spec in shipped_tools()}
    tools: list[Invented] = []
    while len(tools) < count:
        try:
            if families is not None:
                tool = from_family(rng, present, families, evaluation)
            else:
                known = not evaluation and rng.random() < 0.3
                tool = from_family(rng, present) if known else from_words(rng, present, evaluation)
        except Unfit:
            continue
        if tool.name not in taken:
            taken.add(tool.name)
            tools.append(tool)
    return Toolset(shipped, tools)


def some_shipped(rng: Random) -> list[dict]:
    """A part of the shipped tools, as a smaller set of plugins would give."""
    tools = list(shipped_tools())
    return sorted(rng.sample(tools, rng.randint(2, len(tools) - 1)), key=lambda spec: spec["name"])


def invented_turn(speaker: Speaker, toolset: Toolset, evaluation: bool = False) -> Turn:
    """A command for one of the invented tools; now and then for one that is not declared, which is refused."""
    rng = speaker.rng
    for _ in range(100):
        speaker.here = rng.choice(list(speaker.home.rooms)) if rng.random() < 0.15 else None
        try:
            if rng.random() < 0.08:
                other = from_words(rng, {device.kind for device in speaker.home.devices}, evaluation)
                if (
                    other.name.split("_")[0] in " ".join(tool.name for tool in toolset.invented)
                    or other.name.split("_")[0] in KINDS
                ):
                    continue
                turn = other.turn(speaker)
                return Turn(turn.text, words=NO_TOOL, area=turn.area, sort="no_tool")
            return rng.choice(toolset.invented).turn(speaker)
        except Unfit:
            continue
    raise Unfit
