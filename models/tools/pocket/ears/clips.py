"""Spoken commands on disk, in shards that a training run takes up while more are made.

A shard is drawn from its name alone: houses with a few commands each, every command said once. `NAME.npz` has the samples
of all clips in a row (i16) and where each begins, `NAME.pickle` what each one says and in which house.
"""

from __future__ import annotations

import argparse
import os
import pickle
import zlib
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from random import Random

import numpy as np

from ..homes import make_home
from ..prompt import INSTRUCTIONS, Turn, shipped_tools
from ..sessions import Session, training_session
from ..sets import fitting
from ..speaker import Speaker
from .spoken import said
from .voices import KEPT, TRAINED, Cast, Voice

HOUSES, TALKS = 40, 12
MOST_LETTERS = 110
LEAST_SAMPLES = 4_000
EVALUATED = 240
"""Clips of a set for evaluation."""
EVALUATION_DEVICES = 20


@dataclass
class Clip:
    """One spoken command."""

    words: str
    """What is said, as `spoken.said` writes it."""
    house: int
    """Which of the shard's sessions."""
    turn: Turn
    voice: Voice
    samples: np.ndarray


@dataclass
class Shard:
    sessions: list[Session]
    clips: list[Clip]


def training_shard(number: int) -> Shard:
    """Houses and commands as training draws them; the first turn of each conversation is said."""
    rng = Random(f"spoken {number}")
    sessions = [training_session(rng, TALKS, 0.15) for _ in range(HOUSES)]
    return spoken(rng, sessions, TRAINED)


def evaluation_shard(name: str, cast: Cast, new_names: bool) -> Shard:
    """Commands of sets for evaluation; no phrase of another rank than training's."""
    rng = Random(zlib.crc32(f"{name} {new_names}".encode()))
    sessions = []
    for _ in range(EVALUATED // TALKS):
        speaker = Speaker(rng, make_home(rng, EVALUATION_DEVICES, new_names, 0.6), "", new_names)
        turns = [[fitting(rng, speaker, ())] for _ in range(TALKS)]
        sessions.append(Session(speaker.home, list(shipped_tools()), INSTRUCTIONS, turns))
    return spoken(rng, sessions, cast)


def spoken(rng: Random, sessions: list[Session], cast: Cast) -> Shard:
    clips = []
    for house, session in enumerate(sessions):
        for talk in session.talks:
            words, voice = said(talk[0].text), Voice.drawn(rng, cast)
            if not words or len(words) > MOST_LETTERS:
                continue
            samples = voice.says(words)
            if len(samples) >= LEAST_SAMPLES:
                clips.append(Clip(words, house, talk[0], voice, samples))
    return Shard(sessions, clips)


def keep(shard: Shard, path: Path) -> None:
    starts = np.cumsum([0, *(len(clip.samples) for clip in shard.clips)])
    samples = np.concatenate([clip.samples for clip in shard.clips])
    about = [(clip.words, clip.house, clip.turn, clip.voice) for clip in shard.clips]
    path.with_suffix(".pickle").write_bytes(pickle.dumps((shard.sessions, about)))
    part = path.with_suffix(".part.npz")
    np.savez(part, samples=samples, starts=starts)
    part.replace(path.with_suffix(".npz"))


def read(path: Path) -> Shard:
    """A shard that `keep` wrote. These pickles are our own, made on this machine."""
    stored = np.load(path.with_suffix(".npz"))
    samples, starts = stored["samples"], stored["starts"]
    sessions, about = pickle.loads(path.with_suffix(".pickle").read_bytes())
    clips = [Clip(*each, samples[starts[i] : starts[i + 1]]) for i, each in enumerate(about)]
    return Shard(sessions, clips)


def words_of(path: Path) -> list[str]:
    """What is said in a shard, without its samples."""
    _, about = pickle.loads(path.with_suffix(".pickle").read_bytes())
    return [words for words, *_ in about]


def make_training_shard(number: int, folder: Path) -> None:
    path = folder / f"train-{number:04}"
    if not path.with_suffix(".npz").exists():
        keep(training_shard(number), path)


def speak(folder: Path, shards: int, processes: int) -> None:
    """Makes what is missing of the sets for evaluation and of `shards` shards for training."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, cast in {"known": TRAINED, **KEPT}.items():
        for new_names in (False, True):
            path = folder / f"{name}-{'new' if new_names else 'old'}"
            if not path.with_suffix(".npz").exists():
                keep(evaluation_shard(name, cast, new_names), path)
                print(f"{path.name} made", flush=True)
    os.nice(5)
    with Pool(processes) as pool:
        done = pool.imap_unordered(partial(make_training_shard, folder=folder), range(shards))
        for count, _ in enumerate(done, 1):
            print(f"\r{count} of {shards} shards", end="", flush=True)
    print()

def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--shards", type=int, default=110, help="of some 480 clips each")
    parser.add_argument("--processes", type=int, default=2)


def run(args: argparse.Namespace) -> None:
    speak(args.work / "spoken", args.shards, args.processes)
