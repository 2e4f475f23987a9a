"""Two promises that training rests on: the hand rendering equals the chat template, and our logits equal transformers'."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from jinja2 import Environment

from .folder import TEMPLATE, logits_gap
from .prompt import answer, functions, messages, responses, user_turn
from .sessions import Session, training_session

LOGITS_TOLERANCE = 1e-4


def rendered(session: Session, turns: list, closed: bool) -> str:
    """The conversation by the template; `closed` without the generation prompt."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        messages=messages(session.home, turns, session.instructions),
        tools=functions(session.tools),
        add_generation_prompt=not closed,
        bos_token="<bos>",
    )


def by_hand(session: Session, turns: list) -> str:
    """The same conversation as training renders it, every turn finished."""
    text = session.prefix()
    for turn in turns:
        text += user_turn(turn) + answer(turn)
        if turn.calls:
            text += responses(turn) + turn.reply + "<turn|>"
        text += "\n"
    return text


def differences(cases: int, seed: int = 3) -> list[tuple[str, str]]:
    """Conversations whose two renderings differ, at three moments: asked, called but unanswered, finished."""
    rng = Random(seed)
    out = []
    for _ in range(cases):
        session = training_session(rng, 1, 0.5, (0, 12))
        turns = session.talks[0]
        pairs = [(by_hand(session, turns), rendered(session, turns, True))]
        last = turns[-1]
        before = by_hand(session, turns[:-1]) + user_turn(last)
        if last.calls:
            results, last.results = last.results, []
            pairs.append((before + answer(last), rendered(session, turns, False)))
            last.results = results
        asked = messages(session.home, turns, session.instructions)
        while asked[-1]["role"] != "user":
            asked.pop()
        pairs.append((before, rendered_messages(session, asked)))
        out += [pair for pair in pairs if pair[0] != pair[1]]
    return out


def rendered_messages(session: Session, asked: list[dict]) -> str:
    template = Environment(trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE.read_text())
    return template.render(
        messages=asked, tools=functions(session.tools), add_generation_prompt=True, bos_token="<bos>"
    )


def check(folder: Path | None, cases: int) -> int:
    """Prints both results; the exit status is 1 when one fails."""
    wrong = differences(cases)
    sys.stdout.write(f"rendering: {len(wrong)} differences in {cases} conversations\n")
    for left, right in wrong[:2]:
        sys.stdout.write(f"by hand:  {left!r}\ntemplate: {right!r}\n")
    failed = bool(wrong)
    if folder:
        gap = logits_gap(folder)
        sys.stdout.write(f"logits: largest difference to transformers {gap:.2e}, allowed {LOGITS_TOLERANCE:.0e}\n")
        failed = failed or gap > LOGITS_TOLERANCE
    return int(failed)
