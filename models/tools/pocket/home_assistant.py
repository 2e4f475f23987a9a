"""Home Assistant's English test sentences as evaluation cases: what the shipped tools would have to do for each.

The sentences are read from a path and never copied into the project; training has none of them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import yaml

from .homes import Device, Home
from .prompt import Call
from .speaker import KINDS

KIND_OF_DOMAIN = {
    "light": "light", "switch": "switch", "fan": "fan", "cover": "cover", "lock": "lock", "climate": "climate", "media_player": "media", "vacuum": "vacuum", "valve": "valve",
    "sensor": "sensor", "binary_sensor": "sensor", "scene": "scene", "script": "scene",
}  # fmt: skip
TOOL_OF_INTENT = {
    "HassTurnOn": "turn_on", "HassTurnOff": "turn_off", "HassLightSet": "set_level", "HassSetPosition": "set_level", "HassSetVolume": "set_level",
    "HassClimateSetTemperature": "set_temperature", "HassGetState": "get_state", "HassClimateGetTemperature": "get_state",
    "HassListAddItem": "list_add", "HassShoppingListAddItem": "list_add", "HassListCompleteItem": "list_complete", "HassShoppingListCompleteItem": "list_complete",
}  # fmt: skip
KIND_OF_INTENT = {
    "HassLightSet": "light",
    "HassSetVolume": "media",
    "HassClimateSetTemperature": "climate",
    "HassClimateGetTemperature": "climate",
}
OPENED = {"cover": ("open", "close"), "valve": ("open", "close"), "lock": ("lock", "unlock")}
"""Home Assistant turns these on and off."""
NUMBERS = {"brightness": "percent", "position": "percent", "volume_level": "percent", "temperature": "celsius"}
OTHER_SENSORS = 6
"""Sensors of the house that stand in the inventory beside the one that a row is about: all 80 would not fit."""


class Unmapped(Exception):
    """Why no shipped tool answers the row."""


def read_home(path: Path) -> Home:
    """The house of the sentences. Names that several entities share are left out, because a name must be unique."""
    text = yaml.safe_load(path.read_text())
    floors = {floor["id"]: floor["name"] for floor in text["floors"]}
    rooms = {area["id"]: area["name"] for area in text["areas"]}
    devices = []
    for entity in text["entities"]:
        kind = KIND_OF_DOMAIN.get(entity["id"].split(".")[0])
        if kind:
            name = re.sub(r"\[.*?\]", "", str(entity["name"]))
            devices.append(Device(name, kind, rooms.get(entity.get("area"))))
    count = Counter(device.name.lower() for device in devices)
    placed = {area["name"]: floors.get(area.get("floor")) for area in text["areas"]}
    return Home([device for device in devices if count[device.name.lower()] == 1], placed)


def one(value: object) -> object:
    return value[-1] if isinstance(value, list) else value


def wanted(row: dict, home: Home) -> Call:
    """The call that grants the row."""
    slots, intent = row["slots"] or {}, row["intent"]
    tool = TOOL_OF_INTENT.get(intent)
    if tool is None:
        raise Unmapped(f"no shipped tool for {intent}")
    if "color" in slots:
        raise Unmapped("no shipped tool sets colors")
    name = one(slots.get("name"))
    if tool.startswith("list_"):
        return Call(tool, {"item": str(one(slots["item"])).lower(), **list_named(row, name)})
    args: dict = {}
    if name and name != "all":
        device = next((d for d in home.devices if d.name.lower() == str(name).lower()), None)
        if device is None:
            raise Unmapped("the name is not that of one device of a kind we have")
        kind = device.kind
        args["device"] = device.name
    else:
        domain = one(slots.get("domain"))
        kind = KIND_OF_DOMAIN.get(str(domain)) if domain else KIND_OF_INTENT.get(intent)
        if kind is None or kind == "sensor":
            raise Unmapped("asks for all sensors of a class" if kind else "a domain we do not have")
        args["kind"] = kind
        area = one(slots.get("area") or slots.get("floor"))
        if area:
            args["area"] = str(area)
    if kind in OPENED and tool in ("turn_on", "turn_off"):
        tool = OPENED[kind][tool == "turn_off"]
    if kind not in KINDS[tool]:
        raise Unmapped(f"{tool} takes no {kind}")
    args |= {ours: slots[theirs] for theirs, ours in NUMBERS.items() if theirs in slots}
    return Call(tool, args)


def list_named(row: dict, name: object) -> dict:
    """The list, when the sentence names one."""
    if name:
        return {"list": f"{name} list".lower()}
    return {"list": "shopping list"} if "shopping list" in row["text"].lower() else {}


def rows(path: Path) -> Iterator[dict]:
    """Labelled rows only."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["intent"]:
            yield row


def mapped(path: Path) -> tuple[list[tuple[Home, str | None, str, list[Call]]], Counter]:
    """For every row that maps: its inventory, the speaker's room, the words, the calls (none when the house lacks what is
    asked for). And why the others do not."""
    whole = read_home(path.parent / "homes" / "intents_en_home.yaml")
    rng = Random(3)
    sensors = [device for device in whole.devices if device.kind == "sensor"]
    out, refused = [], Counter()
    for row in rows(path):
        try:
            call = wanted(row, whole)
        except Unmapped as reason:
            refused[str(reason)] += 1
            continue
        shown = {call.args.get("device")} | {device.name for device in rng.sample(sensors, OTHER_SENSORS)}
        home = Home([d for d in whole.devices if d.kind != "sensor" or d.name in shown], whole.rooms)
        room = one((row["context"] or {}).get("area"))
        empty = "kind" in call.args and not home.group(call.args["kind"], call.args.get("area"))
        out.append((home, room, row["text"], [] if empty else [call]))
    return out, refused
