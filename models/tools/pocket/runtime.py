"""A model run twice: by ONNX Runtime from a folder of the published layout, and by Transformers from a checkpoint.

`golden` writes down what Transformers says, `compare` sets one against the other.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from . import checkpoints, layout

Cache = dict[str, np.ndarray]
"""Keys and values by the names of the graph's inputs, each [1,KVH,T,D]."""


class OnnxModel:
    """Both graphs of one variant. With `oracle`, quantized products compute in single precision, as PyTorch does."""

    def __init__(self, folder: Path, suffix: str = layout.FP32, oracle: bool = False, threads: int = 1):
        self.embed, self.decoder = (session(folder, graph, suffix, oracle, threads) for graph in layout.GRAPHS)
        self.caches = [i for i in self.decoder.get_inputs() if i.name.startswith("past_key_values.")]

    def empty_cache(self) -> Cache:
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        return {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), kinds[i.type]) for i in self.caches}

    def step(
        self, ids: list[int], past: Cache, keep: int = 1, shown: dict[int, np.ndarray] | None = None
    ) -> tuple[np.ndarray, Cache]:
        """Appends ids to a cache. Returns the last `keep` rows of logits [keep,V] (0: all) and the grown cache.

        `shown` are features [tokens,H] by the place among `ids` of the first placeholder that they stand for.
        """
        start = next(iter(past.values())).shape[2]
        embeds, per_layer = self.embed.run(["inputs_embeds", "per_layer_inputs"], {"input_ids": np.array([ids])})
        for place, rows in (shown or {}).items():
            embeds[0, place : place + len(rows)] = rows
        feeds = {
            "inputs_embeds": embeds,
            "per_layer_inputs": per_layer,
            "attention_mask": np.ones((1, start + len(ids)), np.int64),
            "position_ids": np.arange(start, start + len(ids), dtype=np.int64)[None],
            "num_logits_to_keep": np.array(keep, np.int64),
        }
        logits, *present = self.decoder.run(None, feeds | past)
        return logits[0], dict(zip(past, present, strict=True))

    def follow(
        self, prompt: list[int], tokens: list[int], shown: dict[int, np.ndarray] | None = None
    ) -> np.ndarray:
        """The logits [len(tokens),V] from which each of `tokens` would be chosen, decoding one after another."""
        rows, past, ids = [], self.empty_cache(), prompt
        for token in tokens:
            logits, past = self.step(ids, past, shown=shown)
            rows.append(logits[-1])
            ids, shown = [token], None
        return np.stack(rows)

    def greedy(self, prompt: list[int], limit: int, stops: list[int]) -> list[int]:
        """What the model writes after a prompt, up to and with the first stop."""
        tokens, past, ids = [], self.empty_cache(), prompt
        while len(tokens) < limit and (not tokens or tokens[-1] not in stops):
            logits, past = self.step(ids, past)
            ids = [int(logits[-1].argmax())]
            tokens += ids
        return tokens


class OnnxEncoders:
    """Both encoders of one variant, opened when first asked."""

    def __init__(self, folder: Path, suffix: str = layout.FP32):
        self.folder, self.suffix = folder, suffix

    @cached_property
    def vision(self) -> onnxruntime.InferenceSession:
        return session(self.folder, layout.VISION, self.suffix)

    @cached_property
    def audio(self) -> onnxruntime.InferenceSession:
        return session(self.folder, layout.AUDIO, self.suffix)

    def picture(self, values: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Patches [P,768] and their places [P,2] to features [tokens,H]."""
        return self.vision.run(None, {"pixel_values": values[None], "pixel_position_ids": positions[None]})[0]

    def sound(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Frames [T,128] and which of them are whole [T] to features [tokens,H]."""
        return self.audio.run(None, {"input_features": features[None], "input_features_mask": mask[None]})[0]


def session(
    folder: Path, graph: str, suffix: str, oracle: bool = False, threads: int = 1
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder / "onnx"))
    return onnxruntime.InferenceSession(graph_bytes(folder, graph, suffix, oracle), options, ["CPUExecutionProvider"])


def graph_bytes(folder: Path, graph: str, suffix: str, oracle: bool) -> bytes:
    """The graph alone; without the leave to round activations to 8 bits, where an oracle is wanted."""
    proto = onnx.load(layout.graph_path(folder, graph, suffix), load_external_data=False)
    for node in proto.graph.node if oracle else []:
        for attribute in [a for a in node.attribute if a.name == "accuracy_level"]:
            node.attribute.remove(attribute)
    return proto.SerializeToString()


class TorchModel:
    """Transformers' own model of a checkpoint folder, in single precision."""

    def __init__(self, checkpoint: Path):
        self.model = checkpoints.text_model(checkpoint)

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Replaces matrices by others of the same name, the head's apart from that of the embeddings."""
        checkpoints.untie(self.model.lm_head)
        checkpoints.load(self.model, weights)

    @torch.no_grad()
    def greedy(self, prompt: list[int], limit: int) -> tuple[list[int], np.ndarray]:
        """`limit` tokens after a prompt, stops or not, and the logits [limit,V] they were chosen from."""
        tokens, rows, past, ids = [], [], None, prompt
        while len(tokens) < limit:
            out = self.model(input_ids=torch.tensor([ids]), past_key_values=past, use_cache=True, logits_to_keep=1)
            past = out.past_key_values
            rows.append(out.logits[0, -1].numpy())
            ids = [int(rows[-1].argmax())]
            tokens += ids
        return tokens, np.stack(rows)

    @torch.no_grad()
    def greedy_side_by_side(self, prompts: list[list[int]], limit: int) -> tuple[np.ndarray, np.ndarray]:
        """As `greedy` for prompts of one length at once: tokens [prompts,limit] and logits [prompts,limit,V]."""
        tokens, rows, past, ids = [], [], None, torch.tensor(prompts)
        while len(tokens) < limit:
            out = self.model(input_ids=ids, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = out.past_key_values
            rows.append(out.logits[:, -1])
            tokens.append(rows[-1].argmax(-1))
            ids = tokens[-1][:, None]
        return torch.stack(tokens, 1).numpy(), torch.stack(rows, 1).numpy()

    @torch.no_grad()
    def follow(self, prompt: list[int], tokens: list[int]) -> np.ndarray:
        """The logits [len(tokens),V] from which each of `tokens` would be chosen, in one pass over all of them."""
        out = self.model(input_ids=torch.tensor([prompt + tokens[:-1]]), use_cache=False, logits_to_keep=len(tokens))
        return out.logits[0].numpy()
