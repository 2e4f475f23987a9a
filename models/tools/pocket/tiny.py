"""A folder of the published layout with random weights, small enough to lie in the repository as a test fixture.

Everything a real folder has is there, and every special case of the architecture: both kinds of layer, shared caches,
the double-wide layers above them, per-layer inputs, the soft cap. It writes nonsense, the same nonsense each time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer

from . import export, folder, golden, layout, quantize, tokenizer
from .model import Pocket, Shape

SEED = 20261124
MERGES = 64
SIZES = {"hidden": 32, "inter": 16, "pattern": "SFSF", "kv_shared": 2, "heads": 2, "head_dim": 8, "global_head_dim": 16}
SIZES |= {"ple": 8, "window": 16}
VERBS = ("turn on", "turn off", "open", "close up", "what is the state of", "dim", "lock", "please read me")
THINGS = ("lamp", "kitchen light", "front door", "blinds in the study", "shopping list", "old fan", "radio", "hall heater")
SAID = ("on", "lights off", "turn on the kitchen light", "is the front door locked?", "close the blinds halfway")
SAID += ("add milk to the list", "set the hall to 21 degrees and open the window", "read the list to me")
SAID += tuple(f"{verb} the {thing}" for verb in VERBS for thing in THINGS)
CASES = 56
"""Golden prompts; a few more are there for those that end in a tie."""
LOUD = 2.0
"""Start of the post-norm weights: quiet layers would leave a tied head repeating the last token for ever."""
TOOLS = Path(__file__).parent / "tools.json"


def texts() -> list[str]:
    """Descriptions of the shipped tools: enough English for a few merges."""
    return [f"{tool['name']} {tool['description']}" for tool in json.loads(TOOLS.read_text())]


def checkpoint(out: Path) -> None:
    """A random Transformers checkpoint whose norms and scalars differ from one, so that none can be forgotten."""
    source = out / "tokenizer" / "tokenizer.json"
    words = tokenizer.build(texts(), [], [], MERGES, source)
    torch.manual_seed(SEED)
    model = Pocket(Shape(vocab=words.get_vocab_size(), **SIZES), post=LOUD)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.ndim == 1:
                tensor.mul_(1 + 0.2 * torch.randn_like(tensor))
    folder.save(model, source, out)


def prompts(checkpoint: Path) -> list[tuple[str, list[int]]]:
    """Short turns, most of them longer than the window."""
    words = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    texts = {said: f"<bos><|turn>user\n{said}<turn|>\n<|turn>model\n" for said in SAID}
    return [(said, words.encode(text, add_special_tokens=False).ids) for said, text in texts.items()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make the tiny random folder that unit tests open."
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", action="store_true", help="only the variant with caches in half precision")


def run(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder_name:
        scratch = Path(folder_name)
        checkpoint(scratch)
        shutil.rmtree(args.out / "onnx", ignore_errors=True)
        export.export(scratch, args.out)
        golden.write(scratch, args.out / "golden.json", prompts(scratch), CASES)
    quantize.quantize(args.out, layout.Q4F16 if args.half else layout.Q4)
    if args.half:
        layout.remove_variant(args.out, layout.FP32)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size:,} bytes")
