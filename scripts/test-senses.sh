#!/usr/bin/env bash
# Real sound through a real server of sounds: a voice speaks into a virtual microphone, and hob says when something was said. Then
# the server is killed, frozen and started again, and the time is printed after which hob listens again.
#
#   scripts/test-senses.sh [HOB]      the binary (target/debug/hob)
set -euo pipefail
cd "$(dirname "$0")/.."

hob=$(realpath "${1:-target/debug/hob}")
export HOB_ONNX__LIBRARY=${HOB_ONNX__LIBRARY:-$PWD/.cache/onnxruntime/libonnxruntime.so.1.32.0}
export HOB_SENSES__VAD=$PWD/.cache/silero/silero_vad.onnx HOB_CONFIG=$PWD/configs/hob.toml
room=$(mktemp -d)
server= listener=
# A server of its own: nobody's sound is touched.
export HOME=$room XDG_RUNTIME_DIR=$room/run PULSE_SERVER=unix:$room/run/pulse/native
mkdir -m 700 "$XDG_RUNTIME_DIR"

end() {
    local status=$?
    [ $status = 0 ] || { echo "--- what the listener said" >&2; cat "$room"/heard >&2 2>/dev/null || true; }
    for process in $listener $server; do kill -CONT "$process" 2>/dev/null; kill "$process" 2>/dev/null && wait "$process" 2>/dev/null; done || true
    rm -rf "$room"
}
trap end EXIT
fail() { echo "test-senses: $*" >&2; exit 1; }

cat >"$room/test.pa" <<'PA'
load-module module-native-protocol-unix
load-module module-null-sink sink_name=voice rate=48000 channels=2
load-module module-remap-source source_name=vmic master=voice.monitor
load-module module-null-sink sink_name=array rate=8000 channels=8
load-module module-remap-source source_name=amic master=array.monitor rate=8000 channels=8
set-default-source vmic
set-default-sink voice
PA
printf 'pcm.!default { type pulse }\nctl.!default { type pulse }\n' >"$room/.asoundrc"

until_true() { # WHAT COMMAND...
    local what=$1 tries=300; shift
    until "$@"; do
        tries=$((tries - 1)); [ $tries -gt 0 ] || fail "waited in vain for $what"
        sleep 0.1
    done
}
serve() {
    pulseaudio -n -F "$room/test.pa" --daemonize=no --exit-idle-time=-1 >"$room/server.log" 2>&1 &
    server=$!
    until_true "the server of sounds" pactl info >/dev/null 2>&1
}
listen() { # DEVICE
    : >"$room/heard"
    "$hob" senses test --json --seconds 600 --device "$1" >"$room/heard" 2>&1 &
    listener=$!
    until_true "the microphone $1 to open" told opened 1
}
leave() { kill "$listener" 2>/dev/null; wait "$listener" 2>/dev/null || true; listener=; }
told() { [ "$(grep -c "\"told\":\"$1\"" "$room/heard")" -ge "$2" ]; }
count() { grep -c "\"told\":\"$1\"" "$room/heard" || true; }
speak() { # WORDS [SINK]
    local before; before=$(count said)
    paplay -d "${2:-voice}" "$room/$1.wav" || fail "$1 could not be played"
    until_true "$1 to be heard" told said $((before + 1))
}
again() { # WHAT: after a loss, how long it took to listen again
    local opened=$1; shift
    until_true "the microphone to be lost" told lost 1
    until_true "the microphone to open again" told opened $((opened + 1))
    local ms; ms=$(grep -o '"lost_ms":[0-9][0-9]*' "$room/heard" | tail -n1 | cut -d: -f2)
    rows+=("$(printf '| %-54s | %6s ms |' "$*" "$ms")")
}

espeak-ng -w "$room/plain.wav" "Turn on the kitchen light please"
sox -q "$room/plain.wav" "$room/words.wav" pad 0.3 1.5
sox -q "$room/plain.wav" "$room/clipped.wav" gain 40 pad 0.3 1.5 2>/dev/null
sox -q -n -r 48000 -c 1 "$room/tone.wav" synth 3 sine 440 vol 0.5
sox -q -n -r 48000 -c 1 "$room/noise.wav" synth 3 whitenoise vol 0.1
sox -q -n -r 48000 -c 1 "$room/alarm.wav" synth 0.25 sine 2000 vol 0.6 pad 0 0.25 repeat 7
rows=()

serve
"$hob" senses list | grep -q "pulseaudio:vmic" || fail "the list has no virtual microphone"
for device in pulseaudio:vmic alsa:default; do
    listen "$device"
    speak words
    for sound in tone noise alarm; do
        before=$(count said)
        paplay -d voice "$room/$sound.wav"
        sleep 1
        [ "$(count said)" = "$before" ] || fail "$sound was taken for speech on $device"
    done
    opened=$(count opened)
    kill -9 "$server"; wait "$server" 2>/dev/null || true
    until_true "the microphone to be lost" told lost 1
    serve
    again "$opened" "$device: the server was killed and started"
    speak words
    opened=$(count opened)
    kill -STOP "$server"
    sleep 4
    kill -CONT "$server"
    until_true "the microphone to open again" told opened $((opened + 1))
    ms=$(grep -o '"lost_ms":[0-9][0-9]*' "$room/heard" | tail -n1 | cut -d: -f2)
    rows+=("$(printf '| %-54s | %6s ms |' "$device: the server stood still for 4 s" "$ms")")
    # The server itself has to catch up with what it missed before it plays anything whole.
    sleep 2
    speak words
    leave
done
# An array of eight microphones with the rate of a telephone, and a voice far too loud.
listen pulseaudio:amic
speak words array
speak clipped array
before=$(count said)
sleep 3
[ "$(count said)" = "$before" ] || fail "silence was taken for speech"
leave
printf '| %-54s | %9s |\n|%s|%s|\n' "what went away" "silent for" "--------------------------------------------------------" "-----------"
printf '%s\n' "${rows[@]}"
echo "test-senses: speech is heard, over eight channels at 8 kHz and clipped too, and tones, noise, alarms and silence are none; the microphone came back each time"
