#!/usr/bin/env bash
# Kernel devices that this machine need not have: a small Debian is booted under QEMU with a camera of the kernel's own (vivid, as
# /dev/video0) and a sound card (snd-aloop); hob looks and listens there, both are unplugged and plugged in again, and the time is
# printed after which it sees and hears again. It is emulated, which runs everywhere and takes minutes.
#
#   scripts/test-senses-vm.sh [HOB]      the binary (target/debug/hob)
#
# The disk's content is made once and kept in .cache/vm. Needs root (debootstrap).
set -euo pipefail
cd "$(dirname "$0")/.."

hob=$(realpath "${1:-target/debug/hob}")
TREE=$PWD/.cache/vm/tree
PATIENCE_S=900
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
fail() { echo "test-senses-vm: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "it needs root: run sudo make test-senses"

if [ ! -e "$TREE/made" ]; then
    scripts/debian-tree.sh "$TREE" libasound2,alsa-utils,kmod,ca-certificates || fail "there is no Debian to boot"
    log=$TREE.log
    DEBIAN_FRONTEND=noninteractive chroot "$TREE" apt-get install -y --no-install-recommends linux-image-amd64 \
        initramfs-tools ffmpeg >>"$log" 2>&1 || { tail -n5 "$log" >&2; fail "it has no kernel; $log says more"; }
    rm -rf "$TREE"/var/cache/apt "$TREE"/usr/share/doc "$TREE"/usr/share/locale
    touch "$TREE/made"
fi

# ---- what is put into it ------------------------------------------------------------------------------------------

mkdir -p "$room/extra/opt/hob"
install -m755 "$hob" "$room/extra/opt/hob/hob"
strip "$room/extra/opt/hob/hob"
cp .cache/onnxruntime/libonnxruntime.so.1.32.0 "$room/extra/opt/hob/libonnxruntime.so"
cp .cache/silero/silero_vad.onnx configs/hob.toml "$room/extra/opt/hob/"
espeak-ng -w "$room/plain.wav" "Turn on the kitchen light please"
sox -q "$room/plain.wav" -r 48000 -c 2 "$room/extra/opt/hob/words.wav" pad 0.3 1.5
install -m755 scripts/senses-in-vm.sh "$room/extra/opt/hob/run"

# ---- the disk, and the machine ------------------------------------------------------------------------------------

cp -al "$TREE" "$room/disk" 2>/dev/null || cp -a "$TREE" "$room/disk"
cp -a "$room/extra/." "$room/disk/"
mkfs.ext4 -q -d "$room/disk" "$room/disk.img" 2500M >/dev/null
kernel=$(ls "$TREE"/boot/vmlinuz-* | tail -n1) initrd=$(ls "$TREE"/boot/initrd.img-* | tail -n1)
timeout "$PATIENCE_S" qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1536 -nographic -no-reboot -nic none \
    -kernel "$kernel" -initrd "$initrd" -append "root=/dev/vda rw console=ttyS0 quiet init=/opt/hob/run" \
    -drive "file=$room/disk.img,format=raw,if=virtio,cache=unsafe" </dev/null >"$room/console" 2>&1 || true
tr -d '\r' <"$room/console" | grep -a '^|' || true
tr -d '\r' <"$room/console" | grep -aq '^senses-in-vm: whole$' || { tail -n 30 "$room/console" >&2; fail "the machine did not come to its end"; }
echo "test-senses-vm: a camera and a sound card of the kernel are used, and came back after they were unplugged"
