"""Transformers' model of a checkpoint with towers: what it makes of pictures and sounds, and what it writes then."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import checkpoints, front_ends
from .nodes import Weights


@dataclass(frozen=True)
class Heard:
    """All that stands in one prompt beside words, in its order within each kind."""

    pictures: list[front_ends.Picture]
    frames: list[front_ends.Picture]
    sounds: list[front_ends.Sound]

    def inputs(self) -> dict[str, torch.Tensor]:
        """As the model takes them."""
        found = {}
        for pictures, values, places in (
            (self.pictures, "pixel_values", "image_position_ids"),
            (self.frames, "pixel_values_videos", "video_position_ids"),
        ):
            if pictures:
                found[values] = torch.from_numpy(np.stack([picture.padded for picture in pictures]))
                found[places] = torch.from_numpy(np.stack([picture.places for picture in pictures]))
        if self.frames:
            found["num_frames_per_video"] = torch.tensor([len(self.frames)])
        if self.sounds:
            found["input_features"] = torch.from_numpy(np.stack([sound.features for sound in self.sounds]))
            found["input_features_mask"] = torch.from_numpy(np.stack([sound.mask for sound in self.sounds]))
        return found


class SeeingModel:
    def __init__(self, checkpoint: Path):
        self.model = checkpoints.whole_model(checkpoint)

    def load(self, text: Weights, towers: Weights) -> None:
        """Replaces matrices: those of the text model by their names when it is alone, the others by their own."""
        checkpoints.untie(self.model.lm_head)
        renamed = {name.replace("model.", "model.language_model.", 1): array for name, array in text.items()}
        checkpoints.load(self.model, renamed | towers)

    @torch.no_grad()
    def picture_features(self, picture: front_ends.Picture) -> np.ndarray:
        """[tokens,H]"""
        values, places = torch.from_numpy(picture.padded)[None], torch.from_numpy(picture.places)[None]
        return torch.cat(list(self.model.model.get_image_features(values, places).pooler_output)).numpy()

    @torch.no_grad()
    def sound_features(self, sound: front_ends.Sound) -> np.ndarray:
        """[tokens,H]"""
        features, mask = torch.from_numpy(sound.features)[None], torch.from_numpy(sound.mask)[None]
        out = self.model.model.get_audio_features(features, mask)
        return out.pooler_output[out.attention_mask].numpy()

    @torch.no_grad()
    def read(self, ids: list[int], heard: Heard):
        """The caches after a prompt's beginning, in which everything seen and heard stands."""
        inputs = heard.inputs()
        return self.model(input_ids=torch.tensor([ids]), use_cache=True, logits_to_keep=1, **inputs).past_key_values

    @torch.no_grad()
    def go_on(self, caches, endings: list[list[int]], steps: int, keep) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """`steps` tokens after each of some endings of one length, all of which follow what `caches` hold.

        `keep` is given the tokens [B] and logits [B,V] of each step and says whose continuation is worth going on with
        [B]. Returns of each that was kept to the end its number, its tokens [steps] and their logits [steps,V].
        """
        caches = deepcopy(caches)
        caches.batch_repeat_interleave(len(endings))
        numbers = torch.arange(len(endings))
        ids, tokens, rows = torch.tensor(endings), [], []
        while len(rows) < steps and len(numbers):
            logits = self.model(input_ids=ids, past_key_values=caches, use_cache=True, logits_to_keep=1).logits[:, -1]
            chosen = logits.argmax(-1)
            tokens.append(chosen)
            rows.append(logits)
            kept = torch.from_numpy(keep(chosen.numpy(), logits.numpy()))
            if not kept.all():
                caches.batch_select_indices(kept.nonzero()[:, 0])
                numbers, chosen = numbers[kept], chosen[kept]
                tokens, rows = ([value[kept] for value in values] for values in (tokens, rows))
            ids = chosen[:, None]
        return [
            (
                int(number),
                torch.stack([step[index] for step in tokens]).numpy(),
                torch.stack([step[index] for step in rows]).numpy(),
            )
            for index, number in enumerate(numbers)
        ]
