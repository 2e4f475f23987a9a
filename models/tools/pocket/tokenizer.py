"""The tokenizer: byte-level BPE over lower-cased text, with Gemma's special ids.

Three properties matter for copying names, and each is built in rather than hoped for:
- "x" and " x" split alike: merges are learned on bare words, and "space + piece" merges come last.
- digits stand alone, and so does `_`, so that the words of a tool's name are the words a speaker uses.
- the names of the shipped tools and the frames of a declaration are single tokens, which keeps the prompt short.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from .folder import write_json

SPECIAL = {
    "<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3,
    "<|tool>": 46, "<tool|>": 47, "<|tool_call>": 48, "<tool_call|>": 49,
    "<|tool_response>": 50, "<tool_response|>": 51, '<|"|>': 52,
    "<|image>": 53, "<|image|>": 54, "<image|>": 55, "<|audio>": 56, "<|audio|>": 57, "<audio|>": 58, "<|video|>": 59,
    "<|think|>": 98, "<|channel>": 100, "<channel|>": 101, "<|turn>": 105, "<turn|>": 106,
}  # fmt: skip
NEWLINE = 107
FRAMES = (
    ",parameters:{properties:{",
    ":{type:",
    ":{description:",
    "{description:",
    "}},type:",
    ",type:",
    "declaration:",
)
"""Pieces of a declaration that always stand together. None of them occurs in a call or a response."""


def split_pattern(tool_names: Iterable[str], space: str = " ?") -> str:
    """What is cut apart before merging: frames, shipped tool names, words, single digits, runs of signs, single blanks."""
    names = "|".join(sorted(map(re.escape, tool_names), key=len, reverse=True))
    frames = "|".join(re.escape(frame) for frame in FRAMES)
    return (
        rf"{frames}|(?<![\p{{L}}_])(?:{names})(?![\p{{L}}_])|{space}\p{{L}}+|\p{{N}}|_|{space}[^\s\p{{L}}\p{{N}}_]+|\s"
    )


def pre_tokenizer(pattern: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def build(texts: list[str], tool_names: list[str], whole_words: Iterable[str], merges: int, path: Path) -> Tokenizer:
    """Learns `merges` merges from `texts` and writes tokenizer.json to `path`. `whole_words` become one token each."""
    parts = [part for text in texts for part in re.split("|".join(map(re.escape, SPECIAL)), text.lower()) if part]
    weight = len(texts) // 4 + 200  # often enough to be merged early
    parts += [word for word in [*tool_names, *FRAMES, *whole_words] for _ in range(weight)]
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizer(split_pattern(tool_names, space=""))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare.train_from_iterator(
        parts, trainers.BpeTrainer(vocab_size=len(alphabet) + merges, initial_alphabet=alphabet, show_progress=False)
    )
    learned = [tuple(pair) for pair in json.loads(bare.to_str())["model"]["merges"]]
    after_space = pieces_after_space(bare, parts)
    pieces = alphabet + [left + right for left, right in learned] + ["Ġ" + piece for piece in after_space]
    vocabulary = number(pieces)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=learned + [("Ġ", piece) for piece in after_space]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizer(split_pattern(tool_names))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    write_json(path.parent / "tokenizer_config.json", settings())
    return tokenizer


def pieces_after_space(bare: Tokenizer, parts: list[str]) -> list[str]:
    """The pieces that begin a word after a blank, the commonest first."""
    words = Counter(word for part in parts for word in re.findall(r"(?<= )[^\W\d_]+|(?<= )[^\s\w]+", part))
    starts: Counter[str] = Counter()
    for word, count in words.items():
        starts[bare.encode(word).tokens[0]] += count
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    return list(dict.fromkeys([piece for piece, count in starts.most_common() if count >= 3] + letters))


def number(pieces: list[str], fixed: dict[str, int] = SPECIAL) -> dict[str, int]:
    """Ids for the pieces around the fixed ones; every gap is filled, so that ids are dense."""
    vocabulary = {**fixed, "Ċ": NEWLINE}
    taken = set(vocabulary.values())
    free = (index for index in range(4, 1 << 20) if index not in taken)
    for piece in dict.fromkeys(pieces):
        if piece not in vocabulary:
            vocabulary[piece] = next(free)
    used = set(vocabulary.values())
    for index in range(max(used)):
        if index not in used:
            vocabulary[f"<unused{index}>"] = index
    return vocabulary


def settings() -> dict:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False, "add_bos_token": False, "model_max_length": 8192,
    }  # fmt: skip
