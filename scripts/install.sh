#!/usr/bin/env bash
# Puts a built hob in place, or takes it away again. `make install` and `make uninstall` call it.
#
#   scripts/install.sh DESTDIR PREFIX SYSCONFDIR LOCALSTATEDIR LIBRARY
#   scripts/install.sh --remove DESTDIR PREFIX SYSCONFDIR LOCALSTATEDIR
#
# BINARY, MODEL and VAD in the environment name others than target/release/hob, models/pocket and Silero's graph in .cache.
#
# Settings, inventory and grants that are there already are the owner's: they are kept, and so is the state.
set -euo pipefail
cd "$(dirname "$0")/.."

remove=
if [ "$1" = --remove ]; then remove=yes; shift; fi
dest=$1 prefix=$1$2 etc=$1$3/hob var=$1$4/lib/hob
program=$prefix/bin/hob library=$prefix/lib/hob model=$prefix/share/hob docs=$prefix/share/doc/hob
unit=$prefix/lib/systemd/system/hob.service
completion=$prefix/share/bash-completion/completions/hob
sysusers=$prefix/lib/sysusers.d/hob.conf tmpfiles=$prefix/lib/tmpfiles.d/hob.conf

if [ -n "$remove" ]; then
    rm -f "$program" "$unit" "$sysusers" "$tmpfiles" "$completion"
    rm -rf "$library" "$model" "$docs"
    echo "uninstalled; left alone: $etc, $var and ${var%lib/hob}cache/hob"
    exit
fi

# keep MODE FILE TARGET: copies a file that the owner may change, unless it is there already.
keep() { [ -e "$3" ] || install -Dm"$1" "$2" "$3"; }

install -Dm755 "${BINARY:-target/release/hob}" "$program"
install -Dm644 "$5" "$library/$(basename "$5")"
install -Dm644 "${VAD:-.cache/silero/silero_vad.onnx}" "$model/senses/silero_vad.onnx"
install -Dm644 -t "$model/senses" "${WAKE:-.cache/wake}"/*.onnx models/wake/hey_hob.onnx
install -d "$model/models"
rm -rf "$model/models/pocket"
cp -R "${MODEL:-models/pocket}" "$model/models/pocket"
install -Dm644 -t "$docs" README.md ARCHITECTURE.md SPECIFICATION.md SECURITY.md CHANGELOG.md LICENSE
install -Dm644 -t "$docs/configs" configs/hob.toml configs/devices.toml
install -Dm644 -t "$docs/docs/how-to" docs/how-to/*.md
install -Dm644 -t "$docs/systemd" systemd/README.md
"$program" completions bash | install -Dm644 /dev/stdin "$completion"

keep 640 configs/hob.toml "$etc/hob.toml"
keep 640 configs/devices.toml "$etc/devices.toml"
sed "s|/usr/bin/hob|$2/bin/hob|" systemd/hob.service | install -Dm644 /dev/stdin "$unit"
install -Dm644 systemd/sysusers.d/hob.conf "$sysusers"
install -Dm644 systemd/tmpfiles.d/hob.conf "$tmpfiles"

# The shipped plugins with all that they ask for; hob itself checks them and writes the grants. It writes below DESTDIR.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOB_PLUGINS__FOLDER=$var/plugins HOB_PLUGINS__GRANTS=$etc/grants HOB_PLUGINS__CACHE=$scratch
install -d "$HOB_PLUGINS__FOLDER" "$HOB_PLUGINS__GRANTS"
for id in home lists; do
    "$program" plugin install "target/plugins/$id" --config configs/hob.toml >/dev/null
    # A grant holds for one build of a plugin. An older one may have been narrowed, so it is not written over.
    if [ -e "$HOB_PLUGINS__GRANTS/$id.toml" ]; then
        cmp -s <(grep '^sha256' "$HOB_PLUGINS__GRANTS/$id.toml") <(grep '^sha256' "target/plugins/$id/plugin.toml") ||
            echo "the grant of $id is kept and names another build: look at it, then run hob plugin grant $id"
    else
        "$program" plugin grant "$id" --config configs/hob.toml >/dev/null
    fi
done

echo "installed below ${dest:-/}: $(du -ch "$program" "$library" "$model" | tail -n1 | cut -f1); next: $docs/systemd/README.md"
