"""Greedy decoding twice: through ONNX Runtime over a folder of the published layout, and through Transformers.

`compare` sets one against the other; `golden` writes down what Transformers says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import Gemma4ForCausalLM

from . import layout


@dataclass
class Run:
    """What a model wrote after a prompt, and the logits [V] from which it chose each token."""

    tokens: list[int]
    logits: list[np.ndarray]


class OnnxModel:
    """Both graphs of one variant. `oracle` asks the quantized products for full-precision arithmetic."""

    def __init__(self, folder: Path, suffix: str = layout.FP32, oracle: bool = False, threads: int = 1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if oracle:
            options.add_session_config_entry("mlas.qnbit.force_fp32", "1")
        self.embed, self.decoder = (
            onnxruntime.InferenceSession(str(layout.graph_path(folder, graph, suffix)), options, ["CPUExecutionProvider"])
            for graph in layout.GRAPHS
        )
        self.caches = [i for i in self.decoder.get_inputs() if i.name.startswith("past_key_values.")]

    def empty_cache(self) -> dict[str, np.ndarray]:
        return {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32) for i in self.caches}

    def step(self, ids: list[int], past: dict[str, np.ndarray], keep: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Appends ids to a cache. Returns the last `keep` rows of logits (0: all) and the grown cache."""
        start = next(iter(past.values())).shape[2]
        embeds, per_layer = self.embed.run(["inputs_embeds", "per_layer_inputs"], {"input_ids": np.array([ids])})
        feeds = {
            "inputs_embeds": embeds,
            "per_layer_inputs": per_layer,
            "attention_mask": np.ones((1, start + len(ids)), np.int64),
            "position_ids": np.arange(start, start + len(ids), dtype=np.int64)[None],
            "num_logits_to_keep": np.array(keep, np.int64),
        }
        logits, *present = self.decoder.run(None, feeds | past)
        return logits[0], dict(zip(past, present, strict=True))

    def greedy(self, prompt: list[int], limit: int, stops: list[int]) -> Run:
        run, past, ids = Run([], []), self.empty_cache(), prompt
        while len(run.tokens) < limit and (not run.tokens or run.tokens[-1] not in stops):
            rows, past = self.step(ids, past)
            run.logits.append(rows[-1])
            run.tokens.append(int(rows[-1].argmax()))
            ids = run.tokens[-1:]
        return run


class TorchModel:
    """Transformers' own model of a checkpoint folder, in single precision."""

    def __init__(self, checkpoint: Path):
        self.model = Gemma4ForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Replaces matrices by others of the same name; unties the head, which has its own copy in a quantized folder."""
        head = self.model.lm_head.weight
        self.model.lm_head.weight = torch.nn.Parameter(head.detach().clone())
        with torch.no_grad():
            parameters = dict(self.model.named_parameters())
            for name, array in weights.items():
                parameters[name].copy_(torch.from_numpy(array))

    @torch.no_grad()
    def greedy(self, prompt: list[int], limit: int, stops: list[int]) -> Run:
        run, past, ids = Run([], []), None, prompt
        while len(run.tokens) < limit and (not run.tokens or run.tokens[-1] not in stops):
            out = self.model(input_ids=torch.tensor([ids]), past_key_values=past, use_cache=True, logits_to_keep=1)
            past = out.past_key_values
            run.logits.append(out.logits[0, -1].numpy())
            run.tokens.append(int(run.logits[-1].argmax()))
            ids = run.tokens[-1:]
        return run
