"""What tools answer, and the sentence that the model says then (PROMPT.md, "What tools answer")."""

from __future__ import annotations

from random import Random

from .homes import Home
from .prompt import Call, Turn
from .words import any_word

FAILED = 0.09
UNITS = {
    "temperature": "degrees", "humidity": "percent humidity", "battery": "percent battery", "power": "watts", "energy": "kilowatt hours", "co2": "ppm co2",
    "pressure": "hectopascals", "illuminance": "lux", "wind": "kilometers per hour", "rain": "millimeters of rain", "noise": "decibels", "uv": "uv", "moisture": "percent moisture",
}  # fmt: skip
FIELD_OF_QUANTITY = {
    "temperature": "temperature", "humidity": "humidity", "battery": "battery", "power": "power", "energy": "energy", "co2": "co2", "pressure": "pressure", "brightness": "illuminance",
    "wind": "wind", "rain": "rain", "noise": "noise", "uv": "uv", "soil": "moisture", "phone": "battery", "level": "percent",
}  # fmt: skip
STATES = {
    "light": ("on", "off"), "switch": ("on", "off"), "fan": ("on", "off"), "cover": ("open", "closed", "opening", "closing"), "valve": ("open", "closed"), "lock": ("locked", "unlocked", "jammed"),
    "climate": ("heat", "cool", "off", "auto", "idle"), "media": ("on", "off", "playing", "paused", "idle"), "vacuum": ("cleaning", "docked", "returning", "idle", "error"),
    "sensor": ("on", "off", "open", "closed", "detected", "clear", "wet", "dry", "ok", "low", "unknown"),
}  # fmt: skip


def finish(rng: Random, turn: Turn, home: Home) -> None:
    """Gives every call of the turn a result, and the turn the reply that follows."""
    if not turn.calls:
        return
    pairs = [result_of(rng, call, home) for call in turn.calls]
    turn.results = [result for result, _ in pairs]
    spoken = [said for _, said in pairs if said]
    turn.reply = (
        spoken[0] if len(spoken) == 1 else " ".join(said if said.endswith(".") else said + "." for said in spoken)
    )


def result_of(rng: Random, call: Call, home: Home) -> tuple[dict, str]:
    """An answer of the tool, and what is said of it ("" when the reply is composed from the receipt)."""
    if rng.random() < FAILED:
        return failure(rng, call)
    if call.tool == "get_state":
        return device_state(rng, call, home) if "device" in call.args else group_state(rng, call, home)
    if call.tool == "list_read":
        return list_contents(rng, call)
    return receipt(rng), ""


def receipt(rng: Random) -> dict:
    fields: dict = {"ok": True}
    if rng.random() < 0.25:
        fields |= rng.choice(
            (
                {"state": "sent"},
                {"delivery": "confirmed"},
                {"devices": rng.randint(1, 9)},
                {"percent": rng.randint(0, 100)},
                {"list": "shopping"},
                {"note": any_word(rng)},
                {"confirmed": True},
                {"changed": rng.randint(0, 5)},
            )
        )
    return fields


def failure(rng: Random, call: Call) -> tuple[dict, str]:
    from .phrases import ERRORS

    named = str(call.args.get("device", "device"))
    error = (
        rng.choice(ERRORS).replace("{d}", named)
        if rng.random() < 0.75
        else f"{any_word(rng)} {any_word(rng)} {any_word(rng)}"
    )
    return {"error": error}, f"that did not work: {error}."


def device_state(rng: Random, call: Call, home: Home) -> tuple[dict, str]:
    name = call.args["device"]
    device = next((d for d in home.devices if name in d.names), None)
    kind = device.kind if device else rng.choice(list(STATES))
    fields: dict = {}
    if kind == "sensor":
        wanted = FIELD_OF_QUANTITY.get(device.quantity if device else "", None)
        if wanted is None or rng.random() < 0.15:
            fields["state"] = rng.choice(STATES["sensor"])
        else:
            fields[wanted] = number(rng)
        if rng.random() < 0.12:
            fields[rng.choice(list(UNITS))] = number(rng)
    else:
        fields["state"] = rng.choice(STATES[kind]) if rng.random() < 0.9 else any_word(rng)
        if kind in ("light", "cover", "fan", "media", "valve") and rng.random() < 0.5:
            fields["percent"] = rng.randint(0, 100)
            if rng.random() < 0.15:
                del fields["state"]
        if kind == "climate":
            if rng.random() < 0.6:
                fields["celsius"] = rng.choice((rng.randint(15, 26), rng.randint(15, 26) + 0.5))
            if rng.random() < 0.5:
                fields["temperature"] = number(rng)
        if kind == "switch" and rng.random() < 0.1:
            fields["power"] = number(rng)
    return fields, f"{name} is {describe(fields)}."


def number(rng: Random) -> int | float:
    return rng.choice(
        (
            rng.randint(0, 99),
            rng.randint(100, 999),
            round(rng.uniform(10, 35), 1),
            round(rng.uniform(10, 35), 1),
            round(rng.uniform(0, 5), 2),
        )
    )


def describe(fields: dict) -> str:
    """ "on at 40 percent", "at 21.5 degrees", "heat at 20 degrees, set to 21 degrees"."""
    at = [f"{fields['percent']} percent"] if "percent" in fields else []
    at += [f"{fields[key]} {unit}" for key, unit in sorted(UNITS.items()) if key in fields]
    words = ([fields["state"]] if "state" in fields else []) + (["at " + " and ".join(at)] if at else [])
    text = " ".join(words)
    if "celsius" in fields:
        text += (", " if text else "") + f"set to {fields['celsius']} degrees"
    return text


def group_state(rng: Random, call: Call, home: Home) -> tuple[dict, str]:
    names = [d.name for d in home.group(call.args["kind"], call.args.get("area"))][:4]
    states = list(dict.fromkeys(rng.choices(STATES[call.args["kind"]], k=2)))
    sorted_names: dict[str, list[str]] = {state: [] for state in states}
    for name in names:
        sorted_names[rng.choice(states)].append(name)
    summary = "; ".join(f"{state}: {', '.join(named)}" for state, named in sorted_names.items() if named) or "none"
    return {"summary": summary}, summary


def list_contents(rng: Random, call: Call) -> tuple[dict, str]:
    from .phrases import ITEMS

    name = str(call.args.get("list", "shopping")).removesuffix(" list")
    items = [rng.choice(ITEMS) if rng.random() < 0.7 else any_word(rng) for _ in range(rng.choice((0, 1, 2, 2, 3, 4)))]
    items = list(dict.fromkeys(items))
    said = ", ".join(items) + "." if items else f"the {name} list is empty."
    return {"items": items, "list": name}, said
