#!/usr/bin/env bash
# Brings OpenVINO into .cache, out of Python wheels that are checked against the sums written here (docs/how-to/providers.md):
#
#   scripts/fetch-openvino.sh plugin    the provider as a plugin for the ONNX Runtime of `make setup`; it takes the processors
#                                       and the graphics of Intel alone. Into .cache/openvino, where hob finds it.
#   scripts/fetch-openvino.sh whole     an older ONNX Runtime that has the provider in it, for every x86-64 processor. Into
#                                       .cache/openvino-onnxruntime; `[onnx] library` names it.
#
# Nothing else needs either. The path of the library is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "fetch-openvino: $*" >&2; }
fail() { say "$1"; say "  $2"; exit 1; }

part=${1:-plugin}
case $part in
    plugin)
        package=onnxruntime-ep-openvino==1.8.1 size="53 MB; 150 MB unpacked"
        sum=3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924
        inside=onnxruntime_ep_openvino folder=.cache/openvino copies=("*_plugin.so.*")
        library=$folder/libonnxruntime_providers_openvino_plugin.so
        ;;
    whole)
        package=onnxruntime-openvino==1.24.1 size="84 MB; 160 MB unpacked"
        sum=3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8
        inside=onnxruntime/capi folder=.cache/openvino-onnxruntime
        copies=("*pybind11*" "libopenvino.so" "libopenvino_c.so" "*.so.2025*")
        library=$folder/libonnxruntime.so.1.24.1
        ;;
    *) fail "there is no part \"$part\"" "the head of scripts/fetch-openvino.sh lists them" ;;
esac

[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "Intel has this for x86-64 alone, and this is $(uname -m)" "docs/how-to/providers.md says what there is for it"

mkdir -p .cache
# Two at once must not unpack over each other.
exec 9>.cache/openvino.lock
flock 9
if [ -s "$library" ]; then echo "$library"; exit 0; fi

say "fetching $package ($size)"
rm -rf "$folder.new"
mkdir -p "$folder.new/wheel"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 --dest "$folder.new/wheel" "$package" >&2 ||
    fail "it could not be fetched" "look at pip's message above, then call this again"
wheel=$(echo "$folder.new"/wheel/*.whl)
echo "$sum  $wheel" | sha256sum --check --quiet - >&2 ||
    fail "what was fetched is not what was pinned" "it was left at $wheel and is not used"
# The libraries and what lies beside them; not Python's own, nor second and third copies that stand in for links.
python3 - "$wheel" "$inside" "$folder.new" "*.py" "${copies[@]}" <<'PYTHON'
import fnmatch, pathlib, shutil, sys, zipfile
wheel, inside, folder, *left_out = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in archive.namelist():
        place, _, name = member.rpartition("/")
        if place != inside or any(fnmatch.fnmatch(name, pattern) for pattern in left_out):
            continue
        with archive.open(member) as source, open(pathlib.Path(folder) / name, "wb") as target:
            shutil.copyfileobj(source, target)
PYTHON
rm -r "$folder.new/wheel"
# The last step makes it whole: a fetch that was cut off is begun again.
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "$library"
