"""`python -m pocket COMMAND`: makes and judges the pocket model. Run it in models/tools."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

EXAMPLES = """examples:
  python -m pocket data --sessions 2            samples of what training sees
  python -m pocket tokenizer --work work        work/tokenizer/tokenizer.json
  python -m pocket train --work work            work/checkpoint.pt and the folder work/pocket (72 minutes)
  touch work/finish                             ends that run early, with its tail
  python -m pocket train --work work --resume   goes on after a crash
  python -m pocket evaluate --folder work/pocket
  python -m pocket cases --out cases --home-assistant DATA/ha_intents_en_dev.jsonl
  python -m pocket check --folder work/pocket   template = hand rendering, our logits = transformers'
  python -m pocket release --checkpoint work/pocket --out ../pocket     the shipped folder, its goldens, a comparison
  python -m pocket standins --out ../../target/standins       miniatures of E2B and E4B
  python -m pocket true-size --model e2b --out ../../target/true-size/e2b     as large as the real one, weights random
"""

SENSES = {
    "speak": ("ears.clips", "spoken commands for the ears, by synthetic voices"),
    "listen": ("ears.listening", "train the ears alone"),
    "see": ("eyes.seeing", "train the eyes alone, on drawn pictures"),
    "understand": ("ears.understanding", "train ears, eyes and text model together"),
    "judge": ("ears.judging", "count right answers to what is said and seen"),
    "whole": ("whole", "text model, ears and eyes as one checkpoint"),
    "keep": ("keep", "ears and eyes as the repository keeps them"),
    "wake": ("wake.classifier", "train and judge the wake phrase"),
}
"""Modules by command."""
SHIPPING = {
    "export": "checkpoint to the published ONNX layout, traced (fp32) or in a variant's published form",
    "restore": "the shipped folder back as a checkpoint, to train it further",
    "quantize": "quantized variants of an exported folder",
    "golden": "what Transformers says to fixed prompts, for the tests of the daemon",
    "compare": "the exported graphs against Transformers",
    "answers": "how many answers each graph of a folder gets right",
    "release": "all of these at once: the folder that is shipped",
    "tiny": "the tiny random folder that unit tests open",
    "media": "small pictures and sounds, and what Transformers makes of them before an encoder",
    "standins": "random miniatures of E2B and E4B in the published graph form, with goldens",
    "true-ears": "an audio encoder as large as the published E2B's, for measuring",
    "true-size": "a folder as large as the published E2B or E4B, with random weights, for measuring",
    "llama-cpp": "the same shapes in one file for llama.cpp, to measure beside",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pocket",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_data(commands)
    add_tokenizer(commands)
    add_train(commands)
    add_evaluate(commands)
    add_cases(commands)
    add_check(commands)
    add_shipping(commands)
    add_senses(commands)
    arguments = parser.parse_args()
    return arguments.run(arguments) or 0


def add_data(commands) -> None:
    command = commands.add_parser(
        "data",
        help="print samples of the generated data",
        epilog="example: python -m pocket data --sessions 3 --seed 7",
    )
    command.add_argument("--sessions", type=int, default=1)
    command.add_argument("--talks", type=int, default=20)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--declared", action="store_true", help="show the declared tools too")

    def run(args) -> None:
        from .corpus import sample

        for text in sample(args.seed, args.sessions, args.talks, args.declared):
            sys.stdout.write(text + "\n")

    command.set_defaults(run=run)


def add_tokenizer(commands) -> None:
    command = commands.add_parser(
        "tokenizer", help="learn the tokenizer", epilog="example: python -m pocket tokenizer --work work --merges 1500"
    )
    command.add_argument("--work", type=Path, default=Path("work"))
    command.add_argument("--merges", type=int, default=1500)

    def run(args) -> None:
        from .corpus import learn_tokenizer

        made = learn_tokenizer(args.work / "tokenizer", args.merges)
        sys.stdout.write(f"vocabulary {made.get_vocab_size()}\n")

    command.set_defaults(run=run)


def add_train(commands) -> None:
    from .plan import Plan

    command = commands.add_parser(
        "train", help="train the model", epilog="example: nice -n 5 python -m pocket train --work work --minutes 72"
    )
    command.add_argument("--work", type=Path, default=Path("work"))
    command.add_argument("--resume", action="store_true", help="go on from work/checkpoint.pt")
    command.add_argument("--initial", type=Path, help="begin with the weights of this folder")
    for field in fields(Plan):
        command.add_argument("--" + field.name.replace("_", "-"), type=type(field.default), default=field.default)

    def run(args) -> None:
        from .train import train

        train(
            args.work,
            Plan(**{field.name: getattr(args, field.name) for field in fields(Plan)}),
            args.resume,
            args.initial,
        )

    command.set_defaults(run=run)


def add_shipping(commands) -> None:
    """The way from a checkpoint to the shipped folder: a module each, imported only when its command is the one given."""
    for name, purpose in SHIPPING.items():
        command = commands.add_parser(name, help=purpose)
        if sys.argv[1:2] == [name]:
            module = import_module(f".{name.replace('-', '_')}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)


def add_senses(commands) -> None:
    for name, (module, purpose) in SENSES.items():
        command = commands.add_parser(name, help=purpose)
        if sys.argv[1:2] == [name]:
            module = import_module(f".{module}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)


def add_evaluate(commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="score a folder on the generated sets",
        epilog="example: python -m pocket evaluate --folder work/pocket --sets near_miss two_step --show 20",
    )
    command.add_argument("--folder", type=Path, default=Path("work/pocket"))
    command.add_argument("--houses", type=int, default=24)
    command.add_argument("--talks", type=int, default=12, help="commands in each house")
    command.add_argument("--sets", nargs="*", help="only these sets")
    command.add_argument("--plain", action="store_true", help="without declared tools, as in stage one")
    command.add_argument("--show", type=int, default=0, help="print so many wrong answers of each set")
    command.add_argument("--threads", type=int, default=1)

    def run(args) -> None:
        from .evaluate import evaluate

        evaluate(args.folder, args.houses, args.talks, args.sets, not args.plain, args.show, args.threads)

    command.set_defaults(run=run)


def add_cases(commands) -> None:
    command = commands.add_parser(
        "cases",
        help="write the evaluation cases of the daemon's evaluator",
        epilog="example: python -m pocket cases --out cases --home-assistant DATA/ha_intents_en_dev.jsonl",
    )
    command.add_argument("--out", type=Path, required=True, help="folder for one JSONL file a set")
    command.add_argument("--houses", type=int, default=24)
    command.add_argument("--talks", type=int, default=12, help="commands in each house")
    command.add_argument(
        "--home-assistant",
        type=Path,
        help="Home Assistant's sentences (JSONL; its homes/ folder beside it); read, never copied",
    )

    def run(args) -> None:
        from .cases import write_cases

        write_cases(args.out, args.houses, args.talks, args.home_assistant)

    command.set_defaults(run=run)


def add_check(commands) -> None:
    command = commands.add_parser(
        "check",
        help="hand rendering = template, our logits = transformers'",
        epilog="example: python -m pocket check --folder work/pocket",
    )
    command.add_argument("--folder", type=Path, help="check the logits of this folder too")
    command.add_argument("--cases", type=int, default=300, help="random conversations to render")

    def run(args) -> int:
        from .check import check

        return check(args.folder, args.cases)

    command.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
