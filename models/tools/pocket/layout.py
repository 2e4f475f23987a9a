"""The published folder of a Gemma 4 in ONNX: file names, input and output names, configuration files.

onnx/<graph><suffix>.onnx          graph, suffix "" (fp32), "_fp16", "_quantized" (8 bit), "_q4", "_q4f16" or "_q2f16"
onnx/<graph><suffix>.onnx_data     its weights, in `.onnx_data_1` and so on where one file would be too large
config.json generation_config.json tokenizer.json tokenizer_config.json chat_template.jinja
preprocessor_config.json processor_config.json     where there are encoders
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
from onnx import external_data_helper
from tokenizers import Tokenizer

EMBED = "embed_tokens"
DECODER = "decoder_model_merged"
VISION = "vision_encoder"
AUDIO = "audio_encoder"
GRAPHS = (EMBED, DECODER)
"""Those of text, which every folder has."""
ENCODERS = (VISION, AUDIO)
"""Those of pictures and sounds."""
FP32, FP16, Q4, Q4F16, Q8, Q2F16 = "", "_fp16", "_q4", "_q4f16", "_quantized", "_q2f16"
EXTERNAL_BYTES = 1024
"""Weights of so many bytes lie beside the graph."""
DECODER_INPUTS = ["inputs_embeds", "attention_mask", "position_ids", "num_logits_to_keep", "per_layer_inputs"]
COPIED_FILES = ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

# Tokens that config.json names; each is looked up in the tokenizer of the checkpoint.
CONFIG_TOKENS = {
    "boi_token_id": "<|image>",
    "image_token_id": "<|image|>",
    "eoi_token_id": "<image|>",
    "boa_token_id": "<|audio>",
    "audio_token_id": "<|audio|>",
    "eoa_token_id": "<audio|>",
    "video_token_id": "<|video|>",
}
# What Transformers adds to every configuration, or writes in a newer form (`per_layer_config`) than the published one.
NOT_PUBLISHED = (
    *("_attn_implementation", "_name_or_path", "per_layer_config", "architectures", "transformers_version"),
    *("id2label", "label2id", "problem_type"),
    *("chunk_size_feed_forward", "is_encoder_decoder", "output_attentions", "output_hidden_states", "return_dict"),
)
MEDIA_KEYS = ("image_token_id", "audio_token_id", "video_token_id")


def cached_layers(config) -> int:
    """How many layers own a cache; the rest reuse those of the last owner of their kind."""
    return config.num_hidden_layers - config.num_kv_shared_layers


def cache_shapes(config) -> list[tuple[int, int]]:
    """(key-value heads, head width) of each cache."""
    layers = [config.per_layer_config[index] for index in range(cached_layers(config))]
    return [(layer.num_key_value_heads, layer.head_dim) for layer in layers]


def cache_names(prefix: str, config) -> list[str]:
    return [f"{prefix}.{index}.{part}" for index in range(cached_layers(config)) for part in ("key", "value")]


def dimension_names(value: str) -> tuple[str | None, ...]:
    """Names of a value's dimensions, None where the size is fixed."""
    if value.startswith("past_key_values."):
        return ("batch_size", None, "past_sequence_length", None)
    if value.startswith("present."):
        return ("batch_size", None, "total_sequence_length", None)
    return {
        "attention_mask": ("batch_size", "total_sequence_length"),
        "logits": ("batch_size", "num_logits", None),
        "pixel_values": ("num_images", "num_patches", None),
        "pixel_position_ids": ("num_images", "num_patches", None),
        "image_features": ("num_image_tokens", None),
        "input_features": ("batch_size", "num_frames", None),
        "input_features_mask": ("batch_size", "num_frames"),
        "audio_features": ("num_audio_tokens", None),
        "num_logits_to_keep": (),
    }.get(value, ("batch_size", "sequence_length", None, None))


def graph_path(folder: Path, graph: str, suffix: str = FP32) -> Path:
    return folder / "onnx" / f"{graph}{suffix}.onnx"


def graphs_in(folder: Path, suffix: str = FP32) -> tuple[str, ...]:
    """Those of text, and of the encoders those that are there."""
    return GRAPHS + tuple(graph for graph in ENCODERS if graph_path(folder, graph, suffix).exists())


def save(proto: onnx.ModelProto, folder: Path, graph: str, suffix: str = FP32, chunks: int = 1) -> None:
    """Writes the graph, and everything of a kilobyte or more beside it in `.onnx_data`, cut between weights."""
    path = graph_path(folder, graph, suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    for data in path.parent.glob(path.name + "_data*"):
        data.unlink()  # onnx appends to an existing file
    large = [weight for weight in proto.graph.initializer if len(weight.raw_data) >= EXTERNAL_BYTES]
    whole, before = sum(len(weight.raw_data) for weight in large), 0
    for weight in large:
        chunk = before * chunks // whole
        before += len(weight.raw_data)
        external_data_helper.set_external_data(weight, f"{path.name}_data" + (f"_{chunk}" if chunk else ""))
    onnx.save(proto, path)
    for data in path.parent.glob(path.name + "_data*"):
        data.chmod(path.stat().st_mode)  # onnx makes it private


def remove_variant(folder: Path, suffix: str) -> None:
    """Deletes the graphs and weights of a variant, and its line in config.json."""
    for graph in (*GRAPHS, *ENCODERS):
        path = graph_path(folder, graph, suffix)
        for file in [path, *path.parent.glob(path.name + "_data*")]:
            file.unlink(missing_ok=True)
    write_json(folder / "config.json", with_data_files(folder / "config.json"))


def media_tokens(folder: Path) -> dict[str, int | None]:
    """The ids that config.json has to name, as the folder's tokenizer knows them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {key: tokenizer.token_to_id(token) for key, token in CONFIG_TOKENS.items()}


def media_ids(folder: Path) -> list[int]:
    """The placeholders that stand for pictures, sounds and films in a prompt."""
    tokens = media_tokens(folder)
    return [tokens[key] for key in MEDIA_KEYS if tokens[key] is not None]


def stop_ids(folder: Path) -> list[int]:
    return json.loads((folder / "generation_config.json").read_text())["eos_token_id"]


def write_side_files(checkpoint: Path, config, out: Path) -> None:
    """Configuration as the published folders have it, and the rest of the checkpoint's small files unchanged.

    `config` is that of a text model alone, or of one with towers beside it.
    """
    towers = [name for name in PROCESSOR_FILES if (checkpoint / name).exists()]
    for name in (*COPIED_FILES, *towers):
        shutil.copyfile(checkpoint / name, out / name)
    write_json(out / "config.json", model_config(config, out))


def model_config(config, out: Path) -> dict:
    return {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "audio_config": tower_config(config, "audio_config"),
        "eos_token_id": stop_ids(out),
        "model_type": "gemma4",
        "text_config": text_config(config.get_text_config()),
        "tie_word_embeddings": True,
        "vision_config": tower_config(config, "vision_config"),
        **media_tokens(out),
        "transformers.js_config": {"use_external_data_format": data_files(out)},
    }


def text_config(config) -> dict:
    text = published_settings(config)
    full = config.layer_types.index("full_attention")
    text["global_head_dim"] = config.per_layer_config[full].head_dim
    text["model_type"] = "gemma4_text"
    return text


def tower_config(config, name: str) -> dict | None:
    tower = getattr(config, name, None)
    return None if tower is None else published_settings(tower)


def published_settings(config) -> dict:
    return {key: value for key, value in config.to_dict().items() if key not in NOT_PUBLISHED}


def with_data_files(path: Path) -> dict:
    """The configuration at `path`, its list of data files brought up to date."""
    config = json.loads(path.read_text())
    config["transformers.js_config"]["use_external_data_format"] = data_files(path.parent)
    return config


def data_files(folder: Path) -> dict[str, int]:
    """How many data files each graph has."""
    return {path.name: len(list(path.parent.glob(path.name + "_data*"))) for path in sorted(folder.glob("onnx/*.onnx"))}


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
