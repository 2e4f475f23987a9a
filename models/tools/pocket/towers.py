"""The towers of a miniature: what turns pictures and sounds into rows that the text model reads as tokens.

Both are the original's in everything but their sizes: patches of 16 × 16 pooled three by three, a table of positions
for each axis, rotation in two dimensions; two convolutions that halve time, blocks of 12 frames that look 12 back,
relative positions, a cap on the scores. Every product clips what goes in and what comes out, at bounds that are met.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Gemma4ForConditionalGeneration
from transformers.models.gemma4.configuration_gemma4 import Gemma4AudioConfig, Gemma4VisionConfig

from .folder import write_json
from .front_ends import BUDGETS, FRAME_BUDGET

LAYERS = 2
BOUNDS = ("input_min", "input_max", "output_min", "output_max")
NARROW, WIDE = 1.5, 3.5
"""Between these bounds are drawn: at them one value in 15 and one in 2,000 of a normal distribution is clipped."""
SHARPNESS = 1.5
"""How far attention is from an even share."""
SOFT_TOKENS = {"image_seq_length": 280, "audio_seq_length": 750, "audio_ms_per_token": 40}


@dataclass(frozen=True)
class Towers:
    """Sizes of both towers. The sound's frequencies are 32 after its convolutions, whatever its channels."""

    vision_hidden: int = 32
    vision_inner: int = 64
    vision_heads: int = 2
    positions: int = 1024
    """Columns and rows of patches a picture may have."""
    audio_hidden: int = 64
    audio_heads: int = 8
    channels: int = 8
    """What the second convolution makes; the first makes 128, four to a frequency that is left."""
    audio_out: int = 64

    def vision(self) -> Gemma4VisionConfig:
        return Gemma4VisionConfig(
            hidden_size=self.vision_hidden,
            intermediate_size=self.vision_inner,
            num_hidden_layers=LAYERS,
            num_attention_heads=self.vision_heads,
            num_key_value_heads=self.vision_heads,
            head_dim=self.vision_hidden // self.vision_heads,
            patch_size=16,
            pooling_kernel_size=3,
            position_embedding_size=self.positions,
            use_clipped_linears=True,
            standardize=False,
        )

    def audio(self) -> Gemma4AudioConfig:
        return Gemma4AudioConfig(
            hidden_size=self.audio_hidden,
            num_hidden_layers=LAYERS,
            num_attention_heads=self.audio_heads,
            subsampling_conv_channels=[128, self.channels],
            output_proj_dims=self.audio_out,
            use_clipped_linears=True,
        )


@torch.no_grad()
def fill(model: Gemma4ForConditionalGeneration, seed: int) -> None:
    """Random weights in both towers and behind them, in bfloat16's numbers."""
    torch.manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if "language_model" in name or name == "lm_head.weight":
            continue
        tensor.copy_(drawn(name, tensor).bfloat16().float())


def drawn(name: str, tensor: torch.Tensor) -> torch.Tensor:
    random = torch.randn_like(tensor)
    if name.endswith(BOUNDS):
        bound = NARROW + (WIDE - NARROW) * torch.rand_like(tensor)
        return -bound if name.endswith("min") else bound
    if name.endswith(".q_norm.weight"):
        return SHARPNESS * len(tensor) ** -0.5 * (1 + 0.2 * random)
    if name.endswith(("per_dim_scale", ".bias", "position_embedding_table")):
        return 0.5 * random
    if tensor.ndim == 1:
        return 1 + 0.2 * random
    return random * tensor[0].numel() ** -0.5


def write_side_files(out: Path) -> None:
    """What a processor reads: the settings of both front ends, as the published folders have them."""
    write_json(out / "preprocessor_config.json", {"processor_class": "Gemma4Processor"})
    patches = {"patch_size": 16, "pooling_kernel_size": 3, "resample": 3, "rescale_factor": 1 / 255}
    patches |= {"do_convert_rgb": True, "do_normalize": False, "do_rescale": True, "do_resize": True}
    sound = {"feature_size": 128, "sampling_rate": 16000, "frame_length": 320, "hop_length": 160, "fft_length": 512}
    sound |= {"min_frequency": 0.0, "max_frequency": 8000.0, "mel_floor": 0.001, "padding_side": "right"}
    sound |= {"dither": 0.0, "preemphasis": 0.0, "padding_value": 0.0, "return_attention_mask": True}
    write_json(
        out / "processor_config.json",
        {
            "processor_class": "Gemma4Processor",
            **SOFT_TOKENS,
            "feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor", **sound},
            "image_processor": {
                "image_processor_type": "Gemma4ImageProcessor",
                "max_soft_tokens": BUDGETS[2],
                **patches,
            },
            "video_processor": {
                "video_processor_type": "Gemma4VideoProcessor",
                "max_soft_tokens": FRAME_BUDGET,
                "num_frames": 32,
                **patches,
            },
        },
    )
