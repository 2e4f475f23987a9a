"""The decoder's constraint over token ids, as an evaluation needs it: which ids may follow inside a call, given the declared
tools and the house. The daemon has its own; this one knows only canonical encodings, which is what training shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import combinations

from .homes import Home

Literal = tuple[str, tuple[int, ...]]
Element = tuple[str, tuple]
"""("literal", ids), ("one", (ids, …)), ("number", ()) or ("free", ())."""
State = tuple[int, int, int, int]
"""Form, element, alternative (-1: none chosen), offset."""


def argument_sets(schema: dict) -> list[list[str]]:
    """Every set of keys that a call may have, sorted: required ones, any optional ones, and device or kind where both exist."""
    properties, required = schema["properties"], schema.get("required", [])
    optional = [key for key in properties if key not in required]
    out = []
    for size in range(len(optional) + 1):
        for chosen in combinations(optional, size):
            keys = {*required, *chosen}
            if "oneOf" in schema and (("device" in keys) == ("kind" in keys) or ("area" in keys and "device" in keys)):
                continue
            out.append(sorted(keys, key=str.lower))
    return out


def values_of(schema: dict, home: Home) -> list[str] | None:
    """What a string argument may be; None: anything."""
    if "x-hob-device" in schema:
        return [name for device in home.devices if device.kind in schema["x-hob-device"] for name in device.names]
    if "x-hob-area" in schema:
        return home.area_names
    if "x-hob-kind" in schema:
        return [kind for kind in schema["x-hob-kind"] if home.group(kind)]
    return schema.get("enum")


class Grammar:
    """The calls that may be written in one session. `encode` gives the ids of a text."""

    def __init__(self, encode: Callable[[str], list[int]], tools: list[dict], home: Home):
        self.encode = cache(lambda text: tuple(encode(text)))
        self.quote = self.encode('<|"|>')[0]
        self.call, self.stop = self.encode("<|tool_call>")[0], self.encode("<|tool_response>")[0]
        self.digits = frozenset(self.encode(sign)[0] for sign in "0123456789.-")
        self.forms: list[list[Element]] = []
        for tool in tools:
            for keys in argument_sets(tool["schema"]):
                form = self.form(tool, keys, home)
                if form is not None:
                    self.forms.append(form)

    def form(self, tool: dict, keys: list[str], home: Home) -> list[Element] | None:
        elements: list[Element] = [("literal", self.encode(f"call:{tool['name']}{{"))]
        for index, key in enumerate(keys):
            schema = tool["schema"]["properties"][key]
            elements.append(("literal", self.encode(("," if index else "") + key + ":")))
            if schema["type"] in ("integer", "number"):
                elements.append(("number", ()))
                continue
            values = values_of(schema, home)
            if values is None:
                elements += [("literal", (self.quote,)), ("free", ())]
            elif not values:
                return None
            else:
                elements += [
                    ("literal", (self.quote,)),
                    ("one", tuple(map(self.encode, values))),
                    ("literal", (self.quote,)),
                ]
        return [*elements, ("literal", self.encode("}<tool_call|>"))]

    def start(self) -> set[State]:
        """Right after `<|tool_call>`."""
        return set().union(*(self.enter(form, 0) for form in range(len(self.forms))))

    def enter(self, form: int, element: int) -> set[State]:
        kind, data = self.forms[form][element]
        if kind == "one":
            return {(form, element, alternative, 0) for alternative in range(len(data))}
        return {(form, element, -1, 0)}

    def after(self, form: int, element: int) -> set[State]:
        return self.enter(form, element + 1) if element + 1 < len(self.forms[form]) else {(form, element + 1, -1, 0)}

    def allowed(self, states: Iterable[State]) -> set[int] | None:
        """The ids that may come next; None: any."""
        out: set[int] = set()
        for form, element, alternative, offset in states:
            if element == len(self.forms[form]):
                out |= {self.call, self.stop}
                continue
            kind, data = self.forms[form][element]
            match kind:
                case "literal":
                    out.add(data[offset])
                case "one":
                    out.add(data[alternative][offset])
                case "number":
                    out |= self.digits
                    if offset:
                        out.add(self.forms[form][element + 1][1][0])
                case _:
                    return None
        return out

    def step(self, states: Iterable[State], token: int) -> set[State]:
        """The states after `token`; none: it was not allowed."""
        out: set[State] = set()
        for form, element, alternative, offset in states:
            if element == len(self.forms[form]):
                if token == self.call:
                    out |= self.start()
                continue
            kind, data = self.forms[form][element]
            match kind:
                case "literal" | "one":
                    ids = data if kind == "literal" else data[alternative]
                    if ids[offset] == token:
                        out |= (
                            self.after(form, element)
                            if offset + 1 == len(ids)
                            else {(form, element, alternative, offset + 1)}
                        )
                case "number":
                    if token in self.digits:
                        out.add((form, element, -1, 1))
                    following = self.forms[form][element + 1][1]
                    if offset and following[0] == token:
                        out |= self.after(form, element + 1) if len(following) == 1 else {(form, element + 1, -1, 1)}
                case _:
                    out |= self.after(form, element) if token == self.quote else {(form, element, -1, 0)}
        return out

    def walk(self, ids: list[int]) -> list[set[int] | None] | None:
        """For each id of an answer, what was allowed there; None when an id was not."""
        if not ids or ids[0] != self.call:
            return [None] * len(ids)
        out: list[set[int] | None] = [None]
        states = self.start()
        for token in ids[1:]:
            allowed = self.allowed(states)
            if allowed is not None and token not in allowed:
                return None
            out.append(allowed)
            states = self.step(states, token)
        return out
