"""Trains the classifier, says how often it is wrong, and writes its graph."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ..ears import clips
from ..ears.hearing import coloured, noise
from ..ears.voices import KEPT, TRAINED, Cast, Voice
from .embedding import STEP, WIDTH, Embedding
from .phrases import PHRASE, near, other_sound

STEPS = 16
"""Vectors that are looked at: 1.28 s, and what the first of them saw before."""
HIDDEN = 48
LATE = 5
"""Steps after the end of the phrase within which it may be noticed."""
THRESHOLD = 0.9
RUN = 2
"""So many steps in a row have to be over the threshold: daemon/senses/src/wake.rs counts the same."""
FOUND = "hey_hob.onnx"


class Classifier(nn.Module):
    """[N,16,96] to the logit of the phrase."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.first = nn.Linear(STEPS * WIDTH, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        hidden = F.relu(self.first(self.norm(vectors).flatten(1)))
        return self.last(F.relu(self.second(hidden)))[:, 0]


def surrounded(samples: np.ndarray, rng: Random) -> np.ndarray:
    """A clip as a microphone hears it: rooms, noise, level."""
    wave = torch.from_numpy(samples.astype(np.float32) / 32_768)
    wave = wave / wave.std().clamp(min=1e-3)
    if rng.random() < 0.6:
        wave = coloured(wave, rng, rng.random() < 0.5, rng.random() < 0.6)
    if rng.random() < 0.85:
        wave = wave + noise(len(wave), rng, wave[None]) * 10 ** (-rng.uniform(3, 35) / 20)
    wave = wave * 10 ** rng.uniform(-2.2, -0.8)
    return (wave.clamp(-1, 1) * 32_767).numpy().astype(np.int16)


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Without the silence around it."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 400)
    return samples[loud[0] : loud[-1]] if len(loud) else samples


def utterance(rng: Random, cast: Cast, after: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """The phrase with silence before it, and silence or a command after it; the step in which it ends."""
    said = trimmed(Voice.drawn(rng, cast).says(rng.choice(PHRASE)))
    before = np.zeros(rng.randint(18_000, 34_000), np.int16)
    gap = np.zeros(rng.randint(0, 6_000), np.int16)
    command = rng.choice(after) if after and rng.random() < 0.6 else np.zeros(16_000, np.int16)
    whole = np.concatenate([before, said, gap, command, np.zeros(8_000, np.int16)])
    return surrounded(whole, rng), (len(before) + len(said)) // STEP


def windows(vectors: np.ndarray) -> np.ndarray:
    """[steps,96] to [steps-15,16,96]: the last begins each."""
    if len(vectors) < STEPS:
        return np.zeros((0, STEPS, WIDTH), np.float32)
    return np.stack([vectors[at : at + STEPS] for at in range(len(vectors) - STEPS + 1)])


def positives(embedding: Embedding, rng: Random, cast: Cast, count: int, after: list[np.ndarray]) -> list[np.ndarray]:
    """For each utterance the windows that end just after the phrase: f32 [few,16,96]."""
    found = []
    for _ in range(count):
        sound, end = utterance(rng, cast, after)
        vectors = embedding(sound)
        found.append(np.stack([vectors[at - STEPS + 1 : at + 1] for at in range(max(end, STEPS - 1), min(max(end, STEPS - 1) + LATE, len(vectors)))]))
    return found


def negatives(embedding: Embedding, rng: Random, spoken: list[np.ndarray], cast: Cast, kept: bool, counts: tuple[int, int, int]) -> list[np.ndarray]:
    """Vectors of sounds without the phrase [steps,96]: commands, phrases that sound like it, and no speech at all."""
    commands, alike, others = counts
    found = []
    for clip in rng.sample(spoken, min(commands, len(spoken))):
        found.append(embedding(surrounded(np.concatenate([np.zeros(8_000, np.int16), clip, np.zeros(8_000, np.int16)]), rng)))
    for _ in range(alike):
        said = Voice.drawn(rng, cast).says(rng.choice(near(kept)))
        if len(said) > 2_000:
            padded = np.concatenate([np.zeros(rng.randint(12_000, 24_000), np.int16), said, np.zeros(10_000, np.int16)])
            found.append(embedding(surrounded(padded, rng)))
    found += [embedding(other_sound(rng, 10)) for _ in range(others)]
    return found


def train(work: Path, graphs: Path, minutes: float) -> None:
    rng = Random(5)
    torch.manual_seed(5)
    embedding = Embedding(graphs)
    spoken = [clip.samples for number in range(0, 14) for clip in clips.read(work / "spoken" / f"train-{number:04}").clips]
    began = time.monotonic()
    good = np.concatenate(positives(embedding, rng, TRAINED, 1_600, spoken))
    bad = np.concatenate([windows(v) for v in negatives(embedding, rng, spoken, TRAINED, False, (3_000, 1_600, 90))])
    print(f"{len(good)} windows with the phrase, {len(bad)} without, made in {time.monotonic() - began:.0f} s", flush=True)
    good, bad = torch.from_numpy(good), torch.from_numpy(bad)
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    weights, began, step = torch.ones(len(bad)), time.monotonic(), 0
    while (progress := (time.monotonic() - began) / (60 * minutes)) < 1:
        # Those that were taken for the phrase come again and again.
        some = torch.multinomial(weights, 768, replacement=True)
        chosen = torch.randint(len(good), (256,))
        inputs = torch.cat([good[chosen], bad[some]])
        inputs = inputs + 0.05 * torch.randn_like(inputs)
        wanted = torch.cat([torch.ones(256), torch.zeros(768)])
        logits = model(inputs)
        value = F.binary_cross_entropy_with_logits(logits, wanted * 0.98 + 0.01)
        optimizer.zero_grad()
        value.backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - progress)
        optimizer.step()
        step += 1
        if step % 300 == 0:
            with torch.no_grad():
                scores = torch.cat([model(part) for part in bad.split(20_000)]).sigmoid()
            weights = 0.02 + scores
            print(f"step {step} loss {value.item():.4f} above a half {int((scores > 0.5).sum())}", flush=True)
    torch.save(model.state_dict(), work / "wake.pt")


def written(model: Classifier) -> onnx.ModelProto:
    """`vectors` [1,16,96] to `score` [1,1], the probability of the phrase."""
    arrays = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    nodes = [
        helper.make_node("LayerNormalization", ["vectors", "norm.weight", "norm.bias"], ["normed"], axis=-1, epsilon=1e-5),
        helper.make_node("Reshape", ["normed", "flat"], ["x0"]),
        helper.make_node("Gemm", ["x0", "first.weight", "first.bias"], ["y0"], transB=1),
        helper.make_node("Relu", ["y0"], ["x1"]),
        helper.make_node("Gemm", ["x1", "second.weight", "second.bias"], ["y1"], transB=1),
        helper.make_node("Relu", ["y1"], ["x2"]),
        helper.make_node("Gemm", ["x2", "last.weight", "last.bias"], ["y2"], transB=1),
        helper.make_node("Sigmoid", ["y2"], ["score"]),
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    constants.append(numpy_helper.from_array(np.array([1, STEPS * WIDTH], np.int64), "flat"))
    graph = helper.make_graph(
        nodes,
        "hey hob",
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [1, STEPS, WIDTH])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="hob")
    made.ir_version = 9
    onnx.checker.check_model(made)
    return made


def scores(model: Classifier, vectors: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found = windows(vectors)
        return model(torch.from_numpy(found)).sigmoid().numpy() if len(found) else np.zeros(0)


def wakes(found: np.ndarray, threshold: float) -> int:
    """How often it would have woken: runs over the threshold, one within two seconds."""
    count, run, until = 0, 0, -1
    for at, score in enumerate(found):
        run = run + 1 if score >= threshold else 0
        if run == RUN and at > until:
            count, until = count + 1, at + 25
    return count


def judge(work: Path, graphs: Path, out: Path) -> None:
    """On voices, phrases and hours that training never heard."""
    rng, embedding, model = Random(77), Embedding(graphs), Classifier()
    model.load_state_dict(torch.load(work / "wake.pt", weights_only=True))
    spoken = [clip.samples for number in range(100, 110) for clip in clips.read(work / "spoken" / f"train-{number:04}").clips]
    utterances = {}
    for name in ("voice", "accent", "klatt", "flite"):
        utterances[name] = []
        for _ in range(130):
            sound, end = utterance(rng, KEPT[name], spoken)
            utterances[name].append(scores(model, embedding(sound))[max(0, end - STEPS - 3) : end - STEPS + 15])
    seconds, others = 0.0, []
    for clip in spoken:
        sound = surrounded(np.concatenate([clip, np.zeros(4_000, np.int16)]), rng)
        seconds += len(sound) / 16_000
        others.append(scores(model, embedding(sound)))
    for _ in range(150):
        others.append(scores(model, embedding(other_sound(rng, 10))))
        seconds += 10
    alike = [scores(model, embedding(surrounded(np.pad(Voice.drawn(rng, KEPT["voice"]).says(p), 14_000), rng))) for p in near(True) * 12]
    print(f"| threshold | {' | '.join(f'{name}: missed of {len(u)}' for name, u in utterances.items())} | wakes an hour in {seconds / 3600:.1f} h | of {len(alike)} phrases that sound alike |")
    print("|---" * (len(utterances) + 3) + "|")
    for threshold in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98):
        missed = [sum(wakes(each, threshold) == 0 for each in found) for found in utterances.values()]
        false = sum(wakes(each, threshold) for each in others) / seconds * 3600
        taken = sum(wakes(each, threshold) > 0 for each in alike)
        print(f"| {threshold} | {' | '.join(map(str, missed))} | {false:.2f} | {taken} |", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(written(model), out / FOUND)
    print(f"{out / FOUND}: {(out / FOUND).stat().st_size:,} bytes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Train the wake phrase on synthetic voices, and judge it on others."
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--graphs", type=Path, default=Path("../../.cache/wake"))
    parser.add_argument("--out", type=Path, default=Path("../wake"))
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--judge-only", action="store_true")


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    if not args.judge_only:
        train(args.work, args.graphs, args.minutes)
    judge(args.work, args.graphs, args.out)
