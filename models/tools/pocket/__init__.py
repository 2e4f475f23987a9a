"""Pocket: a few-million-parameter model of the Gemma 4 architecture, made from nothing for home commands.

The modules, in the order in which they are used: `words` and `homes` invent houses, `phrases` and `commands` what people
say in them, `invented` tools nobody ships, `prompt` renders what the model sees, `tokenizer` learns the pieces, `model` is
the network, `batches` packs and `train` teaches it, `grammar` and `evaluate` watch it, `cases` writes the evaluation cases
of the Rust evaluator, `folder` reads and writes Hugging Face folders. `python -m pocket --help` lists the commands.
"""
