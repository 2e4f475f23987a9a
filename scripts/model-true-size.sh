#!/usr/bin/env bash
# Makes folders as large as the published Gemma 4 E2B and E4B, with random weights, into target/true-size: what speed and
# memory are measured on (make bench-model, make show-true-size). Says nothing about those that are there already.
#
#   scripts/model-true-size.sh [NAME...]      (none: e2b)
#
#   e2b  e4b                       4 bits in blocks of 32, as published (3.1 and 4.9 GB)
#   e2b-block128  e4b-block128     the same in blocks of 128; the embedding tables are those of e2b and e4b
#   e2b-2bit                       layers of 2 bits in blocks of 128, as the QAT mobile variant has them
#   e2b.gguf  e4b.gguf  e2b-tq2_0.gguf  e2b-q2_k.gguf     for llama.cpp: 4 bits, and its 2-bit types
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "model-true-size: $*" >&2; }
fail() { say "$1"; say "  $2"; exit 1; }

tools=models/tools
out=$PWD/target/true-size
# What they are made by: another state of any of these makes them anew.
sources=(true_size true_vocabulary llama_cpp published nodes miniature layout tokenizer)
made_by=$(cd "$tools/pocket" && cat ../requirements.txt ../requirements-llama-cpp.txt "${sources[@]/%/.py}" chat_template.jinja | sha256sum)

python=$tools/.venv/bin/python
[ -z "${PYTHON:-}" ] || python=$(command -v "$PYTHON")

bring() {
    "$python" -c "import $1" 2>/dev/null && return
    [ -z "${PYTHON:-}" ] || fail "$PYTHON lacks what $tools/$2 names" "install that, or leave PYTHON out"
    say "installing the packages of $tools/$2 (once)"
    [ -x "$python" ] || python3 -m venv "$tools/.venv" || fail "Python cannot make a folder for packages" "install Debian's python3-venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$tools/$2"
}

make_one() {
    local name=$1 model=${1%%[-.]*} folder=$out/$1 gigabytes options=()
    [ "$(cat "$out/.made/$name" 2>/dev/null)" != "$made_by" ] || return 0
    case $name in
        e2b) gigabytes=4 ;;
        e4b) gigabytes=6 ;;
        e2b-block128 | e4b-block128) gigabytes=3 options=(--block 128) ;;
        e2b-2bit) gigabytes=2 options=(--block 128 --body 2) ;;
        e2b.gguf | e2b-tq2_0.gguf | e2b-q2_k.gguf) gigabytes=3 ;;
        e4b.gguf) gigabytes=5 ;;
        *) fail "there is no \"$name\"" "the head of scripts/model-true-size.sh lists them" ;;
    esac
    local free; free=$(df --output=avail -BG "$out" | tail -n1 | tr -dc 0-9)
    [ "$free" -ge $((gigabytes + 4)) ] || fail "$name takes $gigabytes GB, and $free GB are free" "make room, or leave it out"
    say "writing $name"
    bring "torch, transformers, onnx" requirements.txt
    if [[ $name == *.gguf ]]; then
        bring gguf requirements-llama-cpp.txt
        local body=Q4_0
        [[ $name != *-* ]] || body=$(basename "${name#*-}" .gguf | tr a-z A-Z)
        python_at "$tools" llama-cpp --model "$model" --body "$body" --out "$folder"
    else
        if [ "$name" != "$model" ]; then make_one "$model"; options+=(--tables-of "$out/$model"); fi
        python_at "$tools" true-size --model "$model" --out "$folder" "${options[@]}"
    fi
    echo "$made_by" >"$out/.made/$name"
}

python_at() {
    local there=$1; shift
    local interpreter; interpreter=$(realpath -s "$python")
    (cd "$there" && TRANSFORMERS_VERBOSITY=error "$interpreter" -W ignore -m pocket "$@") >&2
}

mkdir -p "$out/.made"
# Two at once must not write over each other.
exec 9>"$out/.lock"
flock 9
[ $# -gt 0 ] || set -- e2b
for name in "$@"; do make_one "$name"; done
