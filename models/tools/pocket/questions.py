"""Questions: the state of a device, of a group, and sensors asked by what they measure."""

from __future__ import annotations

from . import phrases as P
from .homes import QUANTITIES, Device
from .prompt import Call, Turn
from .speaker import KINDS, STATES, Speaker, Unfit


def state_question(speaker: Speaker) -> Turn:
    device = speaker.pick(KINDS["get_state"])
    said, name = speaker.mention(device)
    state = speaker.rng.choice(STATES[device.kind])
    text = speaker.filled(speaker.one("state", "ask").replace("{s}", state), d=said)
    return Turn(asked(speaker, text), [Call("get_state", {"device": name})])


def asked(speaker: Speaker, text: str) -> str:
    rng = speaker.rng
    if rng.random() < 0.1:
        text = rng.choice(P.LEADS[:36]) + text
    if rng.random() < 0.07:
        text += rng.choice((" please", " now", " right now", " for me", " at the moment", " thanks"))
    return text + rng.choice(("", "", "?"))


def group_question(speaker: Speaker) -> Turn:
    kinds = tuple(kind for kind in KINDS["get_state"] if kind != "sensor")
    _, args, parts = speaker.group(kinds, plain_noun=True)
    state = speaker.rng.choice(STATES[args["kind"]])
    text = speaker.filled(speaker.one("group", "ask").replace("{s}", state), **parts)
    speaker.refuse_names(text)
    return Turn(asked(speaker, text), [Call("get_state", args)])


def quantity_question(speaker: Speaker) -> Turn:
    """A sensor asked by what it measures; for warmth a thermostat will do."""
    rng = speaker.rng
    sensors = [
        d for d in speaker.home.devices if d.kind == "sensor" and d.quantity in P.BY_QUANTITY and tells(speaker, d)
    ]
    climate = [area for area in speaker.home.area_names if speaker.home.group("climate", area)]
    if climate and (not sensors or rng.random() < 0.3):
        area = speaker.here if speaker.here in climate and rng.random() < 0.6 else rng.choice(climate)
        if any(d.quantity == "temperature" and speaker.home.lies_in(d, area) for d in speaker.home.devices):
            raise Unfit
        where = (
            rng.choice(("", " here", " in here")) if area == speaker.here else rng.choice(P.IN_AREA[:5]).format(a=area)
        )
        text = speaker.filled(rng.choice(P.BY_QUANTITY["temperature"]), a=where, r="the " + area)
        return Turn(asked(speaker, text), [Call("get_state", {"area": area, "kind": "climate"})])
    if not sensors:
        raise Unfit
    device = rng.choice(sensors)
    same = [d for d in speaker.home.devices if d.quantity == device.quantity]
    near = [d for d in same if d.area == device.area]
    if len(near) > 1:
        raise Unfit
    if len(same) == 1 and rng.random() < 0.3 and not speaker.here:
        where = ""
    elif device.area == speaker.here and speaker.here:
        where = rng.choice(("", " here", " in here", " in this room"))
    elif device.area:
        where = rng.choice(P.IN_AREA[:5]).format(a=device.area)
    else:
        raise Unfit
    phrase = rng.choice(P.BY_QUANTITY[device.quantity])
    if "{r}" in phrase and not device.area:
        raise Unfit
    text = speaker.filled(phrase, a=where, r=device.area or "")
    if f" {text} " in speaker.taken:
        raise Unfit
    return Turn(asked(speaker, text), [Call("get_state", {"device": device.name})])


def tells(speaker: Speaker, device: Device) -> bool:
    """Whether the sensor's name says what it measures."""
    return any(noun in device.name for noun in QUANTITIES[device.quantity].split(","))
