#!/usr/bin/env bash
# Makes the stand-ins for Gemma 4 E2B and E4B into target/standins: random miniatures, with what PyTorch writes with them.
# Says nothing when they are there already, made by the tools as they are now. The first time, the tools' Python packages
# (PyTorch among them) are installed into models/tools/.venv; PYTHON names another interpreter that has them.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=models/tools
out=$PWD/target/standins
# What the stand-ins are made by: another state of any of these makes them anew.
sources=(standins published nodes miniature long_goldens export layout quantize runtime golden tiny folder tokenizer)
sources+=(towers checkpoints stored sparing tracing encoders vision_graph audio_graph front_ends pictures sounds asked seen media_goldens)
made_by=$(cd "$tools/pocket" && cat ../requirements.txt "${sources[@]/%/.py}" tools.json chat_template.jinja | sha256sum)

if [ "$(cat "$out/made-by" 2>/dev/null)" = "$made_by" ]; then exit 0; fi

python=$tools/.venv/bin/python
[ -z "${PYTHON:-}" ] || python=$(command -v "$PYTHON")
if ! "$python" -c 'import torch, transformers, onnxruntime, PIL' 2>/dev/null; then
    [ -z "${PYTHON:-}" ] || { echo "model-standins: $PYTHON lacks what $tools/requirements.txt names" >&2; exit 1; }
    echo "model-standins: installing the packages of $tools/requirements.txt (once; some minutes, some gigabytes)" >&2
    python3 -m venv "$tools/.venv" || { echo "model-standins: install Debian's python3-venv, then call make again" >&2; exit 1; }
    "$python" -m pip install --quiet --disable-pip-version-check -r "$tools/requirements.txt"
fi

rm -rf "$out"
python=$(realpath -s "$python")
# The libraries' remarks and progress bars say nothing about the outcome.
export HF_HUB_DISABLE_PROGRESS_BARS=1 TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error TORCH_LOGS=-torch.onnx
models=()
for model in e2b e4b; do # side by side: each keeps one core busy
    (cd "$tools" && exec "$python" -W ignore -m pocket standins --out "$out" --model "$model") &
    models+=("$!")
done
for made in "${models[@]}"; do wait "$made"; done
echo "$made_by" > "$out/made-by"
