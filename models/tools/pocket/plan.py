"""What a training run is made of. By itself, so that the command line can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Plan:
    """What a run is made of. Shares are of its time."""

    minutes: float = 72
    seed: int = 1
    undeclared: float = 0.3
    """Stage one: no tools in the prompt, which is twice as fast."""
    hold: float = 0.4
    """Until here at full rates, then a cosine down."""
    declared_scale: float = 0.6
    """Rates with declared tools, beside the schedule."""
    rate: float = 1.0
    """Share of the full rates for the whole run; less when it goes on from a trained folder."""
    houses: int = 1
    """In each process and step."""
    talks: int = 18
    talks_declared: int = 22
    invented: float = 0.35
    """Share of houses with tools that nobody ships, in stage two."""
    reply: float = 0.3
    """Share of conversations that go on after the tool's answer."""
    tail: float = 4
    """Minutes of the rest of the schedule once the end was asked for."""
    processes: int = 2
    threads: int = 1
    """Of each process."""
