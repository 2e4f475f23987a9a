#!/usr/bin/env bash
# Shows what a model of true size takes in memory through its life: opened, prepared, asked, asked again, changed for another,
# and refused where it would not fit. Random weights (scripts/model-true-size.sh), the real binary, the kernel's own figures.
#
#   scripts/show-true-size.sh [HOB]      the binary (target/debug/hob)
set -euo pipefail
cd "$(dirname "$0")/.."

hob=${1:-target/debug/hob}
models=$PWD/target/true-size
first=$models/e2b second=$models/e2b-2bit
: "${HOB_ONNX__LIBRARY:=$PWD/.cache/onnxruntime/libonnxruntime.so.1.32.0}"
export HOB_ONNX__LIBRARY
room=$(mktemp -d)
group=
daemon=

end() {
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null; } || true
    [ -z "$group" ] || rmdir "$group" 2>/dev/null || true
    rm -rf "$room"
}
trap end EXIT

# Everything in a folder of its own but what takes long to make: prepared graphs and packed weights.
settings() {
    mkdir -p "$room/grants" "$room/plugins"
    printf '' >"$room/devices.toml"
    cat >"$room/hob.toml" <<TOML
[model]
folder = "$first"
cache = "$models/.cache/show"
context_tokens = ${1:-4096}
[agent]
max_tokens = 16
[mqtt]
enabled = false
[doors]
socket = "$room/control.sock"
[plugins]
folder = "$room/plugins"
grants = "$room/grants"
cache = "$room/components"
[devices]
file = "$room/devices.toml"
[state]
folder = "$room/state"
TOML
}

row() { printf '| %-46s | %9s | %9s | %9s | %7s |\n' "$@"; }

# RSS, anonymous and file-backed, in MiB.
measured() {
    local stage=$1 since=$2 rss anonymous file
    read -r rss anonymous file < <(awk '/^VmRSS/ {r=$2} /^RssAnon/ {a=$2} /^RssFile/ {f=$2} END {printf "%d %d %d\n", r/1024, a/1024, f/1024}' "/proc/$daemon/status")
    row "$stage" "$rss" "$anonymous" "$file" "$(awk -v from="$since" -v to="$(now)" 'BEGIN {printf "%.1f s", to-from}')"
}

now() { date +%s.%N; }

# Begins hob and waits until its model answers.
open() {
    "$hob" run --config "$room/hob.toml" >"$room/log" 2>&1 &
    daemon=$!
    local deadline=$((SECONDS + 300))
    until "$hob" status --json --config "$room/hob.toml" 2>/dev/null | grep -Eq '"model_is": *"open"'; do
        kill -0 "$daemon" 2>/dev/null || { tail -n 5 "$room/log" >&2; exit 1; }
        [ $SECONDS -lt $deadline ] || { echo "show-true-size: the model was not open after five minutes" >&2; exit 1; }
        sleep 0.2
    done
}

close() { kill "$daemon"; wait "$daemon" || true; daemon=; }

ask() { "$hob" ask --config "$room/hob.toml" "$1" >"$room/said" 2>&1 || true; }

settings
"$hob" model info --config "$room/hob.toml" | sed 's/^/    /'
echo
row stage "RSS MiB" anonymous "of files" took
row "$(printf -- '-%.0s' {1..46})" --------- --------- --------- -------
since=$(now); open; measured "opened: prepared and packed where it was not yet" "$since"
since=$(now); ask "turn on the lamp"; measured "asked" "$since"
since=$(now); ask "turn on the lamp"; measured "asked the same again" "$since"
close
since=$(now); open; measured "opened again" "$since"
since=$(now); ask "is the door locked"; measured "asked" "$since"
since=$(now); "$hob" model swap "$second" --config "$room/hob.toml" >/dev/null; measured "changed for the one with layers of 2 bits" "$since"
since=$(now); ask "turn off the lamp"; measured "asked" "$since"
close

# The limit of a control group, where this shell may make one; what hob says then names what would fit.
echo
bytes=$((1500 * 1024 * 1024))
own=$(awk -F: '$2 == "memory" {print $3}' /proc/self/cgroup)
unified=$(awk -F: '$1 == "0" {print $3}' /proc/self/cgroup)
if [ -n "$own" ] && mkdir "/sys/fs/cgroup/memory$own/hob-show" 2>/dev/null; then
    group=/sys/fs/cgroup/memory$own/hob-show
    echo $bytes >"$group/memory.limit_in_bytes"
elif mkdir "/sys/fs/cgroup$unified/hob-show" 2>/dev/null; then
    group=/sys/fs/cgroup$unified/hob-show
    echo $bytes >"$group/memory.max" || { echo "no memory limit can be set here: the refusal is not shown"; exit 0; }
else
    echo "no control group can be made here: run as root, or under systemd-run -p MemoryMax=1500M"
    exit 0
fi
echo "the same, with 1,500 MiB for hob:"
# A hob that takes the model would run for ever: two minutes are more than the refusal needs.
(echo $BASHPID >"$group/cgroup.procs"; exec timeout --foreground --kill-after=10 120 "$hob" run --config "$room/hob.toml") >"$room/log" 2>&1 && said=0 || said=$?
refusal=$(grep -oE 'this model takes.*' "$room/log" | head -n 1 || true)
case $said in
    0 | 124)
        echo "show-true-size: hob took a model that does not fit (exit code $said)" >&2
        exit 1
        ;;
esac
if [ -z "$refusal" ]; then
    echo "show-true-size: hob ended (exit code $said) without saying that the model does not fit; it said" >&2
    tail -n 5 "$room/log" >&2
    exit 1
fi
echo "    $refusal"
echo "    exit code $said"
