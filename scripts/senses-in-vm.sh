#!/bin/bash
# The first process of the machine that scripts/test-senses-vm.sh boots.
set -uo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc none /proc
mount -t tmpfs none /tmp
# The initrd may have brought these two.
mountpoint -q /sys || mount -t sysfs none /sys
mountpoint -q /dev || mount -t devtmpfs none /dev
cd /opt/hob
export HOB_CONFIG=/opt/hob/hob.toml HOB_ONNX__LIBRARY=/opt/hob/libonnxruntime.so HOB_SENSES__VAD=/opt/hob/silero_vad.onnx

off() { sync; echo o >/proc/sysrq-trigger; sleep 20; }
fail() { echo "senses-in-vm: $*"; tail -n 20 /tmp/seen /tmp/heard 2>/dev/null; dmesg | tail -n 5; off; }
until_true() { # WHAT COMMAND...
    local what=$1 tries=600; shift
    until "$@"; do
        tries=$((tries - 1)); [ $tries -gt 0 ] || fail "waited in vain for $what"
        sleep 0.2
    done
}
count() { grep -c "\"told\":\"$2\"" "/tmp/$1" || true; }
told() { [ "$(count "$1" "$2")" -ge "$3" ]; }
row() { printf '| %-54s | %9s |\n' "$1" "$2"; }
ms() { grep -o '"lost_ms":[0-9][0-9]*' "/tmp/$1" | tail -n1 | cut -d: -f2; }

row "devices of the kernel" "away for"

# ---- a camera -----------------------------------------------------------------------------------------------------

modprobe vivid n_devs=1 || fail "there is no vivid"
until_true "/dev/video0" test -e /dev/video0
./hob senses look /dev/video0 --out /tmp/look.jpg || fail "one look at /dev/video0 failed"
[ "$(head -c 3 /tmp/look.jpg | od -An -tx1 | tr -d ' ')" = ffd8ff ] || fail "what was looked at is no JPEG"
./hob senses watch --json --seconds 600 /dev/video0 >/tmp/seen 2>&1 &
until_true "frames of /dev/video0" told seen frame 5
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
until_true "the camera to be lost" told seen lost 1
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
until_true "frames again" grep -q '"lost_ms":[0-9]' /tmp/seen
row "/dev/video0: unplugged and plugged in" "$(ms seen) ms"
kill %1; wait

# ---- a sound card -------------------------------------------------------------------------------------------------

modprobe snd-aloop || fail "there is no snd-aloop"
until_true "a sound card" test -e /proc/asound/Loopback
./hob senses list || fail "the list failed"
device=$(./hob senses list --json 2>/dev/null | grep -o '"alsa:[^"]*Loopback[^"]*DEV=1[^"]*"' | grep -v dsnoop | head -n1 | tr -d '"')
[ -n "$device" ] || fail "the list has no Loopback"
speak() {
    local before; before=$(count heard said)
    aplay -q -D plughw:CARD=Loopback,DEV=0 words.wav || fail "nothing could be played"
    until_true "the words to be heard" told heard said $((before + 1))
}
./hob senses test --json --seconds 600 --device "$device" >/tmp/heard 2>&1 &
until_true "$device to open" told heard opened 1
speak
echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind
until_true "the microphone to be lost" told heard lost 1
echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind
until_true "the microphone to open again" told heard opened 2
row "$device: unplugged and plugged in" "$(ms heard) ms"
speak
kill %1; wait
echo "senses-in-vm: whole"
off
