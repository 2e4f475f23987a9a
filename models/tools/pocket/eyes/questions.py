"""What is asked about a picture, and what the model should say or do."""

from __future__ import annotations

from random import Random

from ..actions import action
from ..phrases import expand
from ..prompt import Turn
from ..speaker import Speaker, Unfit
from ..words import spoken
from .scenes import Scene

NAMED = {
    "gauge": ("gauge", "gauge", "dial", "meter", "needle", "pressure gauge", "manometer"),
    "tank": ("tank", "tank", "level", "water level", "container"),
    "lamp": ("lamp", "light", "status lamp", "status light", "signal", "indicator"),
    "door": ("door", "door", "gate", "cabinet door"),
}
ASKED = {
    "gauge": ("what does the {n} (show|say|read|indicate)", "read the {n}", "how much does the {n} show", "what is the [value of the] {n}", "tell me what the {n} (shows|reads)", "what value do you see [on the {n}]"),
    "tank": ("how full is the {n}", "what is the [fill level of the] {n}", "how high is the {n}", "read the {n}", "how much is in the {n}", "tell me how full the {n} is"),
    "lamp": ("what colour (is|has|shows) the {n}", "which colour is the {n}", "what does the {n} show", "is the {n} on", "how is the {n}", "what colour do you see"),
    "door": ("is the {n} (open|closed|shut)", "how is the {n}", "is the {n} open or closed", "what is the state of the {n}", "did someone leave the {n} open", "check the {n}"),
}  # fmt: skip
ABOVE = ("(is|shows|reads) (more than|above|over) {v}", "is higher than {v}", "has passed {v}", "goes above {v}", "exceeds {v}")
BELOW = ("(is|shows|reads) (less than|below|under) {v}", "is lower than {v}", "has fallen below {v}", "drops below {v}")
NOTHING = "nothing to do."
CLEAR = 5
"""How far a value is from a limit that is asked about: nearer ones nobody can see."""


def reading(scene: Scene) -> str:
    """What the model says of a picture."""
    match scene.kind:
        case "gauge":
            return f"the gauge shows {scene.value}."
        case "tank":
            return f"the tank is at {scene.value} percent."
        case "lamp":
            return f"the lamp is {scene.word}."
        case _:
            return f"the door is {scene.word}."


def value_read(kind: str, answer: str) -> int | str | None:
    """What an answer of the model says, where it says something of that kind of scene."""
    words = answer.replace(".", " ").replace("%", " ").split()
    if kind in ("gauge", "tank"):
        numbers = [word for word in words if word.isdigit()]
        return int(numbers[-1]) if numbers else None
    return words[-1] if words else None


def question(rng: Random, scene: Scene) -> Turn:
    text = expand(rng, rng.choice(ASKED[scene.kind])).replace("{n}", rng.choice(NAMED[scene.kind]))
    return Turn(" ".join(text.split()) + rng.choice(("", "", "?")), words=reading(scene), sort="seen")


def condition(rng: Random, scene: Scene) -> tuple[str, bool]:
    """A condition in words, and whether the picture fulfils it."""
    name = rng.choice(NAMED[scene.kind])
    if scene.kind in ("gauge", "tank"):
        limit = rng.choice((rng.randint(0, 100), rng.randint(1, 19) * 5))
        if abs(limit - scene.value) < CLEAR:
            raise Unfit
        above = rng.random() < 0.6
        said = expand(rng, rng.choice(ABOVE if above else BELOW)).replace("{v}", spoken(rng, limit))
        return f"the {name} {said}" + rng.choice(("", "", " percent")), (scene.value > limit) == above
    words = ("red", "green", "yellow", "off") if scene.kind == "lamp" else ("open", "closed")
    asked = scene.word if rng.random() < 0.5 else rng.choice(words)
    return f"the {name} is {asked}", asked == scene.word


def order(speaker: Speaker, scene: Scene) -> Turn:
    """ "If the gauge is above 80, turn the pump off": a call, or words where there is nothing to do."""
    rng = speaker.rng
    said, holds = condition(rng, scene)
    tool = rng.choices(("turn_on", "turn_off", "open", "close", "lock", "set_level"), (6, 8, 3, 4, 1, 1))[0]
    text, call = action(speaker, tool, framed=False)
    forms = ("if {c} {a}", "if {c}, {a}", "{a} if {c}", "when {c} {a}", "{a} when {c}", "if {c} then {a}")
    whole = rng.choice(forms).replace("{c}", said).replace("{a}", text)
    return Turn(whole, [call], sort="seen_order") if holds else Turn(whole, words=NOTHING, sort="seen_order")


def seen_turn(speaker: Speaker, scene: Scene) -> Turn:
    while True:
        try:
            return order(speaker, scene) if speaker.rng.random() < 0.5 else question(speaker.rng, scene)
        except Unfit:
            continue
