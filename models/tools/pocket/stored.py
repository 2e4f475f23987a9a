"""A checkpoint on disk, read one tensor at a time, with the matrices of an adapter added where it has any.

An adapter is what PEFT writes: `adapter_config.json` and `adapter_model.safetensors` with two thin matrices A [r,in] and
B [out,r] for each matrix that was trained; B·A, scaled, is added to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from .checkpoints import AXES, TABLE

ROWS = 4096
"""Of a large matrix are read at once."""
PEFT = "base_model.model."
HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"


class UnreadableCheckpoint(Exception):
    """What is wrong with a checkpoint or an adapter, and what to do."""


class Stored:
    """Tensors as f32 by the names that graphs ask for, those of the text model as it names them when it is alone."""

    def __init__(self, checkpoint: Path, adapter: Path | None = None):
        self.files = tensors_of(checkpoint)
        self.adapter = Adapter(adapter) if adapter else None
        if self.adapter:
            self.adapter.check({bare(name) for name in self.files})

    def __contains__(self, name: str) -> bool:
        return self.found(name) is not None

    def __getitem__(self, name: str) -> np.ndarray:
        pieces = list(self.slices(name))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def shape(self, name: str) -> tuple[int, ...]:
        table, axis = self.axis(name)
        shape = tuple(self.opened(table, name).get_shape())
        return shape if axis is None else shape[1:]

    def slices(self, name: str) -> Iterator[np.ndarray]:
        """A tensor in pieces of at most `ROWS` rows. What has no rows comes whole."""
        table, axis = self.axis(name)
        tensor = self.opened(table, name)
        shape = self.shape(name)
        if not shape:
            yield tensor[...].float().numpy()
            return
        for first in range(0, shape[0], ROWS):
            rows = slice(first, min(first + ROWS, shape[0]))
            piece = (tensor[rows] if axis is None else tensor[axis, rows]).float()
            change = self.adapter and self.adapter.change(bare(name), rows)
            yield (piece if change is None else piece + change).numpy()

    def axis(self, name: str) -> tuple[str, int | None]:
        """The table of places in a picture is one for both axes in the file and two in a graph."""
        table, _, axis = name.rpartition(".")
        return (table, AXES.index(axis)) if table == TABLE else (name, None)

    def opened(self, name: str, asked: str):
        found = self.found(name)
        if found is None:
            raise UnreadableCheckpoint(f"the checkpoint has no tensor {asked}: is it a Gemma 4 E2B or E4B?")
        with safe_open(self.files[found], "pt") as file:
            return file.get_slice(found)

    def found(self, name: str) -> str | None:
        """The name in the files: a tied head is the table of embeddings."""
        within = name.replace("model.", "model.language_model.", 1)
        known = next((each for each in (name, within) if each in self.files), None)
        return self.found(EMBEDDINGS) if known is None and name == HEAD else known


class Adapter:
    """The changes of a LoRA, and the tensors that it replaces whole."""

    def __init__(self, folder: Path):
        try:
            self.config = json.loads((folder / "adapter_config.json").read_text())
        except (OSError, ValueError) as error:
            raise UnreadableCheckpoint(f"{folder} is no adapter of PEFT: {error}") from error
        refused = [key for key in ("use_dora", "fan_in_fan_out") if self.config.get(key)]
        if self.config.get("peft_type") != "LORA" or refused or self.config.get("bias", "none") != "none":
            raise UnreadableCheckpoint("only a plain LoRA without biases can be merged here: merge this one with PEFT")
        self.files = tensors_of(folder, "adapter_model.safetensors")
        self.pairs = {
            bare(name.removesuffix(".lora_A.weight") + ".weight"): name for name in self.files if "lora_A" in name
        }
        strange = [name for name in self.files if ".lora_A.weight" not in name and ".lora_B.weight" not in name]
        if strange:
            raise UnreadableCheckpoint(f"the adapter replaces {strange[0]} whole: merge it with PEFT first")
        self.alphas = {name: self.alpha(module_of(stored)) for name, stored in self.pairs.items()}
        self.check_patterns()

    def check(self, known: set[str]) -> None:
        for name in sorted(set(self.pairs) - known):
            raise UnreadableCheckpoint(f"the adapter changes {name}, which the checkpoint does not have")

    def change(self, name: str, rows: slice) -> torch.Tensor | None:
        """What is added to some rows of a matrix."""
        first = self.pairs.get(name)
        if first is None:
            return None
        inner, outer = (self.read(each) for each in (first, first.replace("lora_A", "lora_B")))
        return self.scale(name, len(inner)) * (outer[rows] @ inner)

    def scale(self, name: str, rank: int) -> float:
        return self.alphas[name] / (rank**0.5 if self.config.get("use_rslora") else rank)

    def alpha(self, module: str) -> float:
        """Of a module by the name that it had when it was trained: the first pattern that fits says, as with PEFT."""
        patterns = self.config.get("alpha_pattern") or {}
        return next((alpha for key, alpha in patterns.items() if fits(key, module)), self.config["lora_alpha"])

    def check_patterns(self) -> None:
        """A pattern for nothing means that it was written for other names, and that the scale would be a wrong one."""
        modules = [module_of(stored) for stored in self.pairs.values()]
        for key in self.config.get("alpha_pattern") or {}:
            if not any(fits(key, module) for module in modules):
                raise UnreadableCheckpoint(
                    f"alpha_pattern {key!r} fits none of the adapter's modules, {', '.join(modules[:2])} …: "
                    "correct its adapter_config.json, or merge it with PEFT"
                )

    def read(self, name: str) -> torch.Tensor:
        with safe_open(self.files[name], "pt") as file:
            return file.get_tensor(name).float()


def tensors_of(folder: Path, single: str = "model.safetensors") -> dict[str, Path]:
    """In which file each tensor lies."""
    index = folder / f"{single}.index.json"
    try:
        if index.exists():
            return {name: folder / file for name, file in json.loads(index.read_text())["weight_map"].items()}
        with safe_open(folder / single, "pt") as file:
            return dict.fromkeys(file.keys(), folder / single)
    except Exception as error:  # safetensors raises errors of its own and of the system's
        raise UnreadableCheckpoint(f"{folder / single} cannot be read: {error}") from error


def module_of(stored: str) -> str:
    """The module whose matrix a thin one of an adapter changes."""
    return stored.removeprefix(PEFT).removesuffix(".lora_A.weight")


def fits(pattern: str, module: str) -> bool:
    """Whether a key of `alpha_pattern` is for a module: a regular expression for the whole name or its last parts. This is
    PEFT's `get_pattern_key`."""
    try:
        return re.match(rf"(.*\.)?({pattern})$", module) is not None
    except re.error as error:
        raise UnreadableCheckpoint(f"alpha_pattern {pattern!r} is no regular expression: {error}") from error


def bare(name: str) -> str:
    """A name without what PEFT and the model around the text model put before it."""
    return name.removeprefix(PEFT).replace("model.language_model.", "model.", 1)
