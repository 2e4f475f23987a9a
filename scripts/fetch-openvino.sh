#!/usr/bin/env bash
# Brings the OpenVINO provider into .cache/openvino, where hob and its tests look for it (docs/how-to/providers.md): Intel's
# plugin with OpenVINO itself, out of a Python wheel that is checked against the sum written here. Nothing else needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=1.8.1
SUM=3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924

folder=.cache/openvino
library=$folder/libonnxruntime_providers_openvino_plugin.so

say() { echo "fetch-openvino: $*" >&2; }
fail() { say "$1"; say "  $2"; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "Intel has this for x86-64 alone, and this is $(uname -m)" "docs/how-to/providers.md says what there is for it"
if [ -s "$library" ]; then echo "$library"; exit 0; fi

mkdir -p .cache
# Two at once must not unpack over each other.
exec 9>.cache/openvino.lock
flock 9
if [ -s "$library" ]; then echo "$library"; exit 0; fi

say "fetching onnxruntime-ep-openvino $VERSION (53 MB; 150 MB unpacked)"
rm -rf "$folder.new"
mkdir -p "$folder.new/wheel"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 --dest "$folder.new/wheel" \
    "onnxruntime-ep-openvino==$VERSION" >&2 ||
    fail "it could not be fetched" "look at pip's message above, then call this again"
wheel=$(echo "$folder.new"/wheel/*.whl)
echo "$SUM  $wheel" | sha256sum --check --quiet - >&2 ||
    fail "what was fetched is not what was pinned" "it was left at $wheel and is not used"
# All but the Python side and the second and third copy of the plugin that stand in for links.
python3 - "$wheel" "$folder.new" <<'PYTHON'
import pathlib, shutil, sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in archive.namelist():
        package, _, name = member.partition("/")
        if package != "onnxruntime_ep_openvino" or name.endswith(".py") or "plugin.so." in name:
            continue
        with archive.open(member) as source, open(pathlib.Path(folder) / name, "wb") as target:
            shutil.copyfileobj(source, target)
PYTHON
rm -r "$folder.new/wheel"
# The last step makes it whole: a fetch that was cut off is begun again.
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "$library"
