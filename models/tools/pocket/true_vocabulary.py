"""A tokenizer as large as Gemma's, for folders with random weights: 262,144 tokens, the special ones under their true ids.

What is learned from texts in the real one is invented here: pieces of up to four letters, each with and without a blank
in front. So prompts have about as many tokens, and whoever goes through the vocabulary goes through all of it.
"""

from __future__ import annotations

from itertools import chain, islice, product
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from .folder import write_json
from .tokenizer import NEWLINE, SPECIAL, number, pre_tokenizer, settings, split_pattern

SIZE = 262_144
MEDIA = {
    "<|image>": 255_999, "<|audio>": 256_000, "<|image|>": 258_880, "<|audio|>": 258_881, "<image|>": 258_882,
    "<audio|>": 258_883, "<|video|>": 258_884,
}  # fmt: skip
FIXED = SPECIAL | MEDIA
LETTERS = "etaoinshrdlcumwfgypbvkxjqz"
"""The commonest first: their pieces are the ones that there is room for."""
BLANK = "Ġ"


def merges():
    """Pairs that are joined, endless for our purpose: two letters, a third, two and two, each after a blank too."""
    pairs = ["".join(pair) for pair in product(LETTERS, repeat=2)]
    yield from product(LETTERS, repeat=2)
    yield from ((BLANK, letter) for letter in LETTERS)
    yield from ((BLANK, pair) for pair in pairs)
    yield from product(pairs, LETTERS)
    # What was joined above is not a part of a longer piece after a blank: the blank comes last.
    yield from ((BLANK, pair + letter) for pair, letter in product(pairs, LETTERS))
    yield from product(pairs, pairs)


def build(path: Path) -> Tokenizer:
    """Writes tokenizer.json to `path`, and tokenizer_config.json beside it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    taken = len({*FIXED.values(), NEWLINE})
    # The newline is of the alphabet and has its place already.
    joined = list(islice(merges(), SIZE - taken - (len(alphabet) - 1)))
    vocabulary = number(list(chain(alphabet, (left + right for left, right in joined))), FIXED)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=joined))
    tokenizer.pre_tokenizer = pre_tokenizer(split_pattern([]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(FIXED))
    if tokenizer.get_vocab_size() != SIZE or max(vocabulary.values()) != SIZE - 1:
        raise ValueError(f"{tokenizer.get_vocab_size()} tokens instead of {SIZE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    write_json(path.parent / "tokenizer_config.json", settings())
    return tokenizer
