"""The shapes of Gemma 4 E2B and E4B with random weights in the file format of llama.cpp, to measure beside.

Weights are 4-bit blocks with a 6-bit head, as its own converter makes them; `--body` has its 2-bit types for the layers.
Numbers of a block are random and their scales are not, so that everything stays finite.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

from .miniature import Miniature
from .true_size import SHAPES, Pool
from .true_vocabulary import SIZE

SCALES = {
    Kind.Q4_0: (slice(0, 2), 0.006),
    Kind.Q8_0: (slice(0, 2), 0.0003),
    Kind.Q6_K: (slice(-2, None), 2e-5),
    Kind.Q2_K: (slice(-4, None), 0.002),
    Kind.TQ2_0: (slice(-2, None), 0.02),
}
"""Where in a block its scales lie, and one that fits random numbers."""
BODIES = {kind.name: kind for kind in (Kind.Q4_0, Kind.Q2_K, Kind.TQ2_0)}
HEAD, TABLE, PROJECTION = Kind.Q6_K, Kind.Q4_0, Kind.Q8_0
NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "post_norm")


class File(gguf.GGUFWriter):
    """One model in the making."""

    def __init__(self, path: Path, shape: Miniature, body: Kind):
        super().__init__(path, "gemma4")
        self.shape, self.body, self.pool = shape, body, Pool(3)

    def matrix(self, name: str, width: int, rows: int, kind: Kind | None = None) -> None:
        kind = kind or self.body
        block, size = gguf.GGML_QUANT_SIZES[kind]
        length = rows * (width // block) * size
        blocks = np.frombuffer(b"".join(self.pool.blob(length)()), np.uint8).reshape(-1, size).copy()
        place, scale = SCALES[kind]
        blocks[:, place] = np.tile(np.frombuffer(np.float16(scale).tobytes(), np.uint8), len(range(size)[place]) // 2)
        self.add_tensor(f"{name}.weight", blocks.reshape(rows, -1), raw_dtype=kind)

    def vector(self, name: str, count: int) -> None:
        self.add_tensor(f"{name}.weight", self.pool.random.uniform(0.9, 1.1, count).astype(np.float32))

    def written(self) -> None:
        shape = self.shape
        layers, told = shape.group * shape.groups, shape.per_layer
        owners = layers - shape.group * shape.shared_groups
        full = [index % shape.group == shape.group - 1 for index in range(layers)]
        inner = [shape.inner * (2 if shape.double_wide and index >= owners else 1) for index in range(layers)]
        self.about(layers, layers - owners, full, inner)
        self.words()
        self.matrix("token_embd", shape.hidden, SIZE, HEAD)
        self.matrix("per_layer_token_embd", told * layers, SIZE, TABLE)
        self.matrix("per_layer_model_proj", shape.hidden, told * layers, PROJECTION)
        self.vector("per_layer_proj_norm", told)
        self.vector("output_norm", shape.hidden)
        turned = shape.head_width // 4
        turns = [1.0] * turned + [1e30] * (shape.head_width - turned)
        self.add_tensor("rope_freqs.weight", np.array(turns, np.float32))
        for index in range(layers):
            self.layer(f"blk.{index}", shape.head_width * (2 if full[index] else 1), inner[index], index < owners)
        self.write_header_to_file()
        self.write_kv_data_to_file()
        self.write_tensors_to_file()
        self.close()

    def about(self, layers: int, shared: int, full: list[bool], inner: list[int]) -> None:
        shape = self.shape
        self.add_name("random weights")
        self.add_context_length(shape.positions)
        self.add_embedding_length(shape.hidden)
        self.add_block_count(layers)
        self.add_feed_forward_length(inner)
        self.add_head_count(shape.heads)
        self.add_head_count_kv(shape.kv_heads)
        self.add_layer_norm_rms_eps(1e-6)
        for wide, add in ((2, ""), (1, "_swa")):
            for part in ("key_length", "value_length", "rope_dimension_count"):
                getattr(self, f"add_{part}{add}")(wide * shape.head_width)
        self.add_rope_freq_base(1e6)
        self.add_rope_freq_base_swa(1e4)
        self.add_sliding_window(shape.window)
        self.add_sliding_window_pattern([not one for one in full])
        self.add_shared_kv_layers(shared)
        self.add_embedding_length_per_layer_input(shape.per_layer)
        self.add_final_logit_softcapping(30.0)
        self.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)

    def words(self) -> None:
        """As many tokens as Gemma has; nobody reads them here."""
        kinds = gguf.TokenType
        tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        types = [kinds.CONTROL] * 3 + [kinds.UNKNOWN] + [kinds.BYTE] * 256
        left = range(len(tokens), SIZE)
        tokens += [f"\u2581t{index:x}" for index in left]
        self.add_tokenizer_model("llama")
        self.add_token_list(tokens)
        self.add_token_scores([-float(index) for index in range(SIZE)])
        self.add_token_types(types + [kinds.NORMAL] * len(left))
        for add, token in (("pad", 0), ("eos", 1), ("bos", 2), ("unk", 3)):
            getattr(self, f"add_{add}_token_id")(token)
        self.add_add_bos_token(True)

    def layer(self, at: str, width: int, inner: int, owns_cache: bool) -> None:
        shape = self.shape
        hidden, told = shape.hidden, shape.per_layer
        self.matrix(f"{at}.attn_q", hidden, shape.heads * width)
        self.matrix(f"{at}.attn_output", shape.heads * width, hidden)
        self.vector(f"{at}.attn_q_norm", width)
        if owns_cache:
            self.matrix(f"{at}.attn_k", hidden, shape.kv_heads * width)
            self.matrix(f"{at}.attn_v", hidden, shape.kv_heads * width)
            self.vector(f"{at}.attn_k_norm", width)
        for norm in NORMS:
            self.vector(f"{at}.{norm}", hidden)
        self.matrix(f"{at}.ffn_gate", hidden, inner)
        self.matrix(f"{at}.ffn_up", hidden, inner)
        self.matrix(f"{at}.ffn_down", inner, hidden)
        self.matrix(f"{at}.inp_gate", hidden, told)
        self.matrix(f"{at}.proj", told, hidden)
        self.vector(f"{at}.layer_output_scale", 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a file for llama.cpp with the shapes of E2B or E4B and random weights."
    parser.add_argument("--model", choices=sorted(SHAPES), required=True)
    parser.add_argument("--body", choices=sorted(BODIES), default="Q4_0")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    part = args.out.with_suffix(".part")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    File(part, SHAPES[args.model], BODIES[args.body]).written()
    part.replace(args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")
