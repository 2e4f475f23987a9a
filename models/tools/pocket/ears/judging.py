"""How many spoken commands give the right call, and how many pictures the right reading: the text model with its towers, in torch.

A command is right when tool, values and devices are those that were meant, under the grammar that the daemon decodes with;
nothing has to be called for one that is to be refused. The same commands typed stand beside.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import torch

from ..batches import AUDIO, IGNORED, IMAGE, Encoder, forward, make_batch
from ..evaluate import holds
from ..eyes.questions import order, question, value_read
from ..eyes.scenes import KINDS, Look
from ..eyes.seeing import NEAR, pictures
from ..grammar import Grammar
from ..homes import make_home
from ..prompt import INSTRUCTIONS, Turn, shipped_tools
from ..sessions import Session
from ..speaker import Speaker, Unfit
from . import clips
from .hearing import heard, tested
from .understanding import Understanding, load, rows_of

LONGEST_READING = 12


def is_right(grammar: Grammar, turn: Turn, wanted: list[int], scores: torch.Tensor) -> bool:
    best = scores.argmax(-1).tolist()
    return holds(grammar, wanted, scores) if turn.calls else best[0] != grammar.call


def judged(whole: Understanding, encoder: Encoder, session: Session, turns: list[Turn], rows, placeholder: int) -> list[bool]:
    """Whether each turn's first answer is right, after its words or after the rows of what was said or seen."""
    media = [(placeholder, len(row)) if row is not None else None for row in rows]
    talks = [encoder.talk([turn], False, each) for turn, each in zip(turns, media, strict=True)]
    batch = make_batch([encoder.prefix(session, True)], [talks], whole.text.shape.window, chunks=2)
    width = whole.text.shape.hidden
    soft = [row if row is not None else torch.zeros(0, width) for row in rows]
    grammar, found = Grammar(encoder.ids, session.tools, session.home), {}
    for logits, part in zip(forward(whole.text, batch, soft), batch.parts, strict=True):
        for row, number in enumerate(part.numbers):
            kept = part.labels[row] != IGNORED
            found[number] = is_right(grammar, turns[number], part.labels[row][kept].tolist(), logits[row][kept])
    return [found[number] for number in range(len(turns))]


@torch.no_grad()
def spoken(whole: Understanding, encoder: Encoder, path: Path, snr: float | None, most: int) -> dict[str, float]:
    """Shares of right answers: spoken and typed; of all, and of those that call something."""
    shard, rng = clips.read(path), Random(1)
    found: list[tuple[bool, bool, bool]] = []
    for index, session in enumerate(shard.sessions):
        said = [clip for clip in shard.clips if clip.house == index]
        if not said or len(found) >= most:
            continue
        sound = heard([clip.samples for clip in said], rng, tested(snr))
        _, rows = rows_of(whole.ears, sound)
        turns = [clip.turn for clip in said]
        aloud = judged(whole, encoder, session, turns, rows, AUDIO)
        typed = judged(whole, encoder, session, turns, [None] * len(turns), AUDIO)
        found += [(bool(turn.calls), *each) for turn, *each in zip(turns, aloud, typed, strict=True)]
    share = lambda rows, place: sum(row[place] for row in rows) / max(1, len(rows))  # noqa: E731
    calls = [row for row in found if row[0]]
    return {"spoken": share(found, 1), "typed": share(found, 2), "calls spoken": share(calls, 1), "calls typed": share(calls, 2), "count": len(found)}  # fmt: skip


@torch.no_grad()
def read_out(whole: Understanding, encoder: Encoder, session: Session, turns: list[Turn], rows) -> list[str]:
    """What the model says about pictures, greedily."""
    answers: list[list[int]] = [[] for _ in turns]
    window, end = whole.text.shape.window, encoder.ids("<turn|>")[0]
    prefix = encoder.prefix(session, True)
    for _ in range(LONGEST_READING):
        talks = []
        for turn, row, answer in zip(turns, rows, answers, strict=True):
            ids, _ = encoder.talk([Turn(turn.text, words="x")], False, (IMAGE, len(row)))
            ids = ids[: ids.index(encoder.ids("model")[0], len(row)) + 2] + answer
            talks.append((ids, [IGNORED] * (len(ids) - 1) + [0]))
        batch = make_batch([prefix], [talks], window, chunks=1)
        [logits], [part] = forward(whole.text, batch, rows), batch.parts
        for place, number in enumerate(part.numbers):
            if not answers[number] or answers[number][-1] != end:
                answers[number].append(int(logits[place, 0].argmax()))
    return [encoder.tokenizer.decode(answer) for answer in answers]


@torch.no_grad()
def seen(whole: Understanding, encoder: Encoder, count: int, kept: bool) -> dict[str, float]:
    """Shares of right readings by kind, and of right decisions on orders that hang on a picture."""
    rng, found = Random(7), {kind: [] for kind in (*KINDS, "orders")}
    for _ in range(count // 8):
        speaker = Speaker(rng, make_home(rng, 12, True, 0.6), "", True, 0.0)
        session = Session(speaker.home, list(shipped_tools()), INSTRUCTIONS, [])
        pixels, scenes = pictures(rng, 8, Look(kept))
        rows = list(whole.eyes.projection(whole.eyes(pixels)))
        turns = [question(rng, scene) for scene in scenes]
        for scene, said in zip(scenes, read_out(whole, encoder, session, turns, rows), strict=True):
            told = value_read(scene.kind, said)
            right = told == scene.word if scene.word else isinstance(told, int) and abs(told - scene.value) <= NEAR
            found[scene.kind].append(right)
        orders = []
        for scene, row in zip(scenes, rows, strict=True):
            try:
                orders.append((order(speaker, scene), row))
            except Unfit:
                continue
        if orders:
            turns, some = zip(*orders, strict=True)
            found["orders"] += judged(whole, encoder, session, list(turns), list(some), IMAGE)
    return {kind: sum(each) / max(1, len(each)) for kind, each in found.items()}


def report(work: Path, snr: float | None, most: int, pictures_: int) -> None:
    whole, tokenizer = load(work)
    whole.eval()
    encoder = Encoder(tokenizer)
    percent = lambda share: f"{100 * share:.1f} %"  # noqa: E731
    print(f"spoken at {'no noise' if snr is None else f'{snr:.0f} dB'}\n")
    print("| set | commands | spoken, right | typed, right | calls spoken | calls typed |\n|---|---|---|---|---|---|")
    for path in sorted((work / "spoken").glob("*-*.npz")):
        if not path.name.startswith("train") and ".part" not in path.name:
            found = spoken(whole, encoder, path, snr, most)
            cells = (found["spoken"], found["typed"], found["calls spoken"], found["calls typed"])
            print(f"| {path.stem} | {found['count']} | {' | '.join(map(percent, cells))} |", flush=True)
    print("\n| pictures | gauge | lamp | door | tank | orders |\n|---|---|---|---|---|---|")
    for kept in (False, True):
        shares = seen(whole, encoder, pictures_, kept)
        cells = [shares[kind] for kind in ("gauge", "lamp", "door", "tank", "orders")]
        print(f"| looks {'never seen' if kept else 'of training'} | {' | '.join(map(percent, cells))} |", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--snr", type=float, default=20.0, help="decibels of speech over noise")
    parser.add_argument("--commands", type=int, default=240, help="of each set")
    parser.add_argument("--pictures", type=int, default=240, help="of each kind of look")


def run(args: argparse.Namespace) -> None:
    report(args.work, args.snr, args.commands, args.pictures)
