#!/usr/bin/env bash
# Real cameras: an RTSP server of GStreamer that is killed, frozen and started again, and cameras over HTTP as they should and
# should not be. Prints how long nothing was seen each time.
#
#   scripts/test-cameras.sh [HOB]      the binary (target/debug/hob)
set -euo pipefail
cd "$(dirname "$0")/.."

hob=$(realpath "${1:-target/debug/hob}")
export HOB_CONFIG=$PWD/configs/hob.toml
room=$(mktemp -d)
server= watcher= web=
end() {
    local status=$?
    [ $status = 0 ] || { echo "--- what the watcher said last" >&2; tail -n 5 "$room"/seen >&2 2>/dev/null || true; }
    for process in $watcher $server $web; do kill -CONT "$process" 2>/dev/null; kill "$process" 2>/dev/null && wait "$process" 2>/dev/null; done || true
    rm -rf "$room"
}
trap end EXIT
fail() { echo "test-cameras: $*" >&2; exit 1; }
until_true() { # WHAT COMMAND...
    local what=$1 tries=600; shift
    until "$@"; do
        tries=$((tries - 1)); [ $tries -gt 0 ] || fail "waited in vain for $what"
        sleep 0.1
    done
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
serve() {
    /usr/bin/python3 scripts/gauge_camera.py "$port" 3 >"$room/server.log" 2>&1 &
    server=$!
    until_true "the RTSP server" grep -q ready "$room/server.log"
}
watch() { # SOURCE
    : >"$room/seen"
    "$hob" senses watch --json --seconds 600 "$1" >"$room/seen" 2>&1 &
    watcher=$!
}
leave() { kill "$watcher" 2>/dev/null; wait "$watcher" 2>/dev/null || true; watcher=; }
count() { grep -c "\"told\":\"$1\"" "$room/seen" || true; }
seen() { [ "$(count "$1")" -ge "$2" ]; }
back() { # WHAT: how long nothing was seen
    until_true "frames to come again" grep -q '"lost_ms":[0-9]' "$room/seen"
    local ms; ms=$(grep -o '"lost_ms":[0-9][0-9]*' "$room/seen" | tail -n1 | cut -d: -f2)
    rows+=("$(printf '| %-54s | %6s ms |' "$1" "$ms")")
}
says() { # SOURCE WORDS: one look fails with them
    local said; said=$("$hob" senses look "$1" --out "$room/none.jpg" 2>&1) && fail "$1 was looked at"
    grep -q -- "$2" <<<"$said" || fail "$1 said: $said"
    ! grep -q "geheim" <<<"$said" || fail "a password was told: $said"
}
rows=()

port=$(free_port)
serve
watch "rtsp://127.0.0.1:$port/gauge"
until_true "frames over RTSP" seen frame 5
kill -9 "$server"; wait "$server" 2>/dev/null || true
until_true "the camera to be lost" seen lost 1
serve
back "RTSP: the server was killed and started"
leave
watch "rtsp://127.0.0.1:$port/gauge"
until_true "frames over RTSP" seen frame 5
kill -STOP "$server"
until_true "the camera to be lost" seen lost 1
kill -CONT "$server"
back "RTSP: the server stood still until it was given up"
leave

"$hob" senses look "rtsp://127.0.0.1:$port/gauge" --out "$room/gauge.jpg"
web_port=$(free_port)
/usr/bin/python3 scripts/odd_camera.py "$web_port" "$room/gauge.jpg" & web=$!
at=http://127.0.0.1:$web_port
until_true "the cameras over HTTP" "$hob" senses look "$at/picture" --out "$room/picture.jpg"
"$hob" senses look "$at/elsewhere" --out "$room/led.jpg" || fail "it was not led to the picture"
"$hob" senses look "http://me:word@127.0.0.1:$web_port/secret" --out "$room/secret.jpg" || fail "the right password was refused"
says "http://me:geheim@127.0.0.1:$web_port/secret" "401 Unauthorized"
# The file is a picture, and would be shown were it not refused.
says "$at/inside" "Invalid argument"
says "$at/nothing" "404 Not Found"
watch "$at/film"
until_true "frames over HTTP" seen frame 5
[ "$(grep -c '"motion":0.0[,}]' "$room/seen")" -ge 4 ] || fail "a film that stands still moves"
leave
watch "$at/frozen"
until_true "the frozen film to be given up" seen lost 1
back "HTTP: a film that stands still, until it was given up and began anew"
leave
for odd in broken endless; do
    watch "$at/$odd"
    sleep 6
    kill -0 "$watcher" || fail "$odd brought the watcher down"
    # With the ffmpeg that takes in what the camera sends.
    kib=$(for process in "$watcher" $(pgrep -P "$watcher"); do awk '/VmRSS/ { print $2 }' "/proc/$process/status" 2>/dev/null; done |
        awk '{ sum += $1 } END { print sum }')
    [ "$kib" -lt 1600000 ] || fail "$odd took $kib KiB"
    ! seen frame 1 || fail "$odd was taken for a picture"
    until_true "$odd to be given up" seen lost 1
    rows+=("$(printf '| %-54s | %5s MiB |' "HTTP: $odd pictures, memory after 6 s" $((kib / 1024)))")
    leave
done
printf '| %-54s | %9s |\n|%s|%s|\n' "what went wrong" "unseen" "--------------------------------------------------------" "-----------"
printf '%s\n' "${rows[@]}"
echo "test-cameras: films and pictures are seen; wrong passwords, files and broken pictures are not; what went away came back"
