"""`python -m pocket COMMAND`: each command is a module of this package with `add_arguments(parser)` and `run(args)`.

Only the chosen module is imported, since some of them load torch.
"""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "export": "checkpoint to the published ONNX layout (fp32)",
    "quantize": "4-bit and 8-bit variants of an exported folder",
    "tiny": "the tiny random folder that unit tests open",
}


def main() -> None:
    listing = "\n".join(f"  {name:12} {purpose}" for name, purpose in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="pocket", epilog=f"commands:\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    command = parser.parse_args(sys.argv[1:2]).command
    module = importlib.import_module(f"pocket.{command}")
    options = argparse.ArgumentParser(prog=f"pocket {command}")
    module.add_arguments(options)
    module.run(options.parse_args(sys.argv[2:]))


if __name__ == "__main__":
    main()
