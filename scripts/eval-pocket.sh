#!/usr/bin/env bash
# Scores models/pocket (or MODEL=folder) on homes and commands that it was not trained on, through the daemon's own prompt,
# grammar and decoding. CASES_PER_SET bounds the time; VARIANT names other graphs than the daemon would take.
# Home Assistant's sentences are scored as well when they lie beside the repository (or at HOME_ASSISTANT=file); nothing of
# them is copied into it.
set -euo pipefail
cd "$(dirname "$0")/.."

model=${MODEL:-models/pocket}
most=${CASES_PER_SET:-300}
sentences=${HOME_ASSISTANT:-../shared/data/ha_intents_en_dev.jsonl}
cases=target/eval-cases

python=(python3)
if ! python3 -c 'import yaml' 2>/dev/null; then
    [ -x .cache/eval/bin/python ] || { python3 -m venv .cache/eval && .cache/eval/bin/pip install --quiet pyyaml==6.0.3; }
    python=("$PWD/.cache/eval/bin/python")
fi

rm -rf "$cases"
arguments=(--out "$PWD/$cases")
if [ -f "$sentences" ]; then
    arguments+=(--home-assistant "$(realpath "$sentences")")
else
    echo "eval-pocket: no Home Assistant sentences at $sentences; that set is left out" >&2
fi
(cd models/tools && "${python[@]}" -m pocket cases "${arguments[@]}")

cargo build --quiet --locked -p e2e --bin eval
HOB_ONNX_LIBRARY=$(echo "$PWD"/.cache/onnxruntime/libonnxruntime.so*) \
    target/debug/eval "$model" "$cases" "$most" ${VARIANT:+"$VARIANT"}
