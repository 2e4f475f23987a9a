"""What the model sees and writes, rendered by hand: the same bytes as chat_template.jinja, many times faster.

The contract is PROMPT.md. `messages` gives the same conversation for the template; `check` compares the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .homes import Home

INSTRUCTIONS = (
    "You look after this house by calling tools. Name devices as listed. If no device or tool fits, say so briefly."
)
KEPT_KEYS = ("type", "description", "enum", "items", "properties", "required")

Args = dict[str, str | int | float]


@dataclass
class Call:
    tool: str
    args: Args


@dataclass
class Turn:
    """One command with its answer. Without calls the answer is `words`."""

    text: str
    calls: list[Call] = field(default_factory=list)
    words: str = ""
    area: str | None = None
    results: list[dict] = field(default_factory=list)
    reply: str = ""
    sort: str = ""


@cache
def shipped_tools() -> tuple[dict, ...]:
    """The tools of `hob tools --json`."""
    return tuple(json.loads((Path(__file__).parent / "tools.json").read_text()))


def normalised(schema: dict) -> dict:
    """A schema with only the keys that the declaration shows."""
    kept = {key: schema[key] for key in KEPT_KEYS if key in schema}
    if "enum" in kept and not all(isinstance(value, str) for value in kept["enum"]):
        del kept["enum"]
    if "items" in kept:
        kept["items"] = normalised(kept["items"])
    if "properties" in kept:
        kept["properties"] = {name: normalised(value) for name, value in kept["properties"].items()}
    return kept


def quoted(text: str) -> str:
    return f'<|"|>{text}<|"|>'


def value_text(value: object) -> str:
    """A value of a call or a response."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + fields_text(value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(value_text, value)) + "]"
    return str(value)


def fields_text(fields: dict) -> str:
    return ",".join(f"{key}:{value_text(fields[key])}" for key in sorted(fields, key=str.lower))


def schema_text(schema: dict) -> str:
    parts = []
    if schema.get("description"):
        parts.append("description:" + quoted(schema["description"]))
    if schema.get("enum"):
        parts.append("enum:[" + ",".join(map(quoted, schema["enum"])) + "]")
    if schema.get("items"):
        parts.append("items:{" + schema_text(schema["items"]) + "}")
    if schema.get("properties"):
        properties = schema["properties"]
        inner = ",".join(f"{name}:{{{schema_text(properties[name])}}}" for name in sorted(properties, key=str.lower))
        parts.append("properties:{" + inner + "}")
    if schema.get("required"):
        parts.append("required:[" + ",".join(map(quoted, schema["required"])) + "]")
    parts.append("type:" + quoted(schema["type"].upper()))
    return ",".join(parts)


def declaration(tool: dict) -> str:
    schema = schema_text(normalised(tool["schema"]))
    return (
        f"<|tool>declaration:{tool['name']}{{description:{quoted(tool['description'])},parameters:{{{schema}}}}}<tool|>"
    )


def system_text(home: Home, instructions: str = INSTRUCTIONS) -> str:
    lines = [instructions]
    if home.area_names:
        lines.append("areas: " + ", ".join(home.area_names))
    lines.append("devices (name/alias|area|kind):")
    lines += [f"{'/'.join(device.names)}|{device.area or ''}|{device.kind}" for device in home.devices]
    return "\n".join(lines)


def system_turn(home: Home, declarations: str = "", instructions: str = INSTRUCTIONS) -> str:
    return f"<bos><|turn>system\n{system_text(home, instructions)}{declarations}<turn|>\n"


def user_text(turn: Turn) -> str:
    return f"({turn.area}) {turn.text}" if turn.area else turn.text


def user_turn(turn: Turn) -> str:
    """The user's turn and the opening of the model's."""
    return f"<|turn>user\n{user_text(turn)}<turn|>\n<|turn>model\n"


def call_text(call: Call) -> str:
    return f"<|tool_call>call:{call.tool}{{{fields_text(call.args)}}}<tool_call|>"


def answer(turn: Turn) -> str:
    """What the model writes first, with the token it stops at."""
    if turn.calls:
        return "".join(map(call_text, turn.calls)) + "<|tool_response>"
    return turn.words + "<turn|>"


def responses(turn: Turn) -> str:
    """What the tools answered. The first `<|tool_response>` is the model's own stop token, left out here."""
    pairs = zip(turn.calls, turn.results, strict=True)
    whole = "".join(
        f"<|tool_response>response:{call.tool}{{{fields_text(result)}}}<tool_response|>" for call, result in pairs
    )
    return whole.removeprefix("<|tool_response>")


def messages(home: Home, turns: list[Turn], instructions: str = INSTRUCTIONS) -> list[dict]:
    """The conversation in the form that the chat template takes; a turn without results is left unanswered."""
    out: list[dict] = [{"role": "system", "content": system_text(home, instructions)}]
    for turn in turns:
        out.append({"role": "user", "content": user_text(turn)})
        if not turn.calls:
            out.append({"role": "assistant", "content": turn.words})
            continue
        calls = [{"type": "function", "function": {"name": call.tool, "arguments": call.args}} for call in turn.calls]
        message: dict = {"role": "assistant", "tool_calls": calls}
        out.append(message)
        if turn.results:
            pairs = zip(turn.calls, turn.results, strict=True)
            message["tool_responses"] = [{"name": call.tool, "response": result} for call, result in pairs]
            out.append({"role": "assistant", "content": turn.reply})
    return out


def functions(tools: list[dict]) -> list[dict]:
    """Tools in OpenAI's form."""
    return [
        {
            "type": "function",
            "function": {"name": t["name"], "description": t["description"], "parameters": normalised(t["schema"])},
        }
        for t in tools
    ]
