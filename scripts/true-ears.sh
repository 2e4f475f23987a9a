#!/usr/bin/env bash
# Makes an audio encoder as large as the published E2B's, with random weights, for `make bench-senses`: 182 MiB, two minutes.
#
#   scripts/true-ears.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
[ ! -s "$1/onnx/audio_encoder_q4.onnx" ] || exit 0
python=models/tools/.venv/bin/python
[ -x "$python" ] || python3 -m venv models/tools/.venv
"$python" -c "import torch, transformers, onnx" 2>/dev/null || {
    echo "true-ears: installing the packages of models/tools/requirements.txt (once)" >&2
    "$python" -m pip install --quiet --disable-pip-version-check -r models/tools/requirements.txt
}
folder=$(realpath -m "$1")
cd models/tools && .venv/bin/python -m pocket true-ears --out "$folder"
