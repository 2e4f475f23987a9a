#!/usr/bin/env bash
# Builds llama.cpp's own benchmark into .cache/llama-cpp, for this processor, out of the Python package that carries its
# sources (pip checks them against the sum written here). Only `make bench-model` needs it: it is what hob's decoding is
# measured beside. The path of the program is printed. JOBS says how many compilers run at once (all processors).
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.3.36  # carries ggml 0.25.3
SUM=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

say() { echo "fetch-llama-cpp: $*" >&2; }
fail() { say "$1"; say "  $2"; exit 1; }

folder=.cache/llama-cpp
program=$folder/llama-bench
mkdir -p .cache
# Two at once must not build over each other.
exec 9>.cache/llama-cpp.lock
flock 9
if [ -x "$program" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$VERSION" ]; then echo "$program"; exit 0; fi

for tool in cmake c++ make; do
    command -v $tool >/dev/null || fail "$tool is missing" "install Debian's cmake, g++ and make: scripts/setup.sh cmake"
done
say "fetching the sources of llama.cpp (77 MB), then building its benchmark (once; some twenty minutes on two cores)"
rm -rf "$folder.new"
mkdir -p "$folder.new/package" "$folder.new/sources"
# pip asks a source package for its name by running its build backend, so the sum is pip's to check: it does so before it
# unpacks what it fetched, and refuses what the sum does not fit.
echo "llama-cpp-python==$VERSION --hash=sha256:$SUM" >"$folder.new/pinned.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary=llama-cpp-python \
    --require-hashes --requirement "$folder.new/pinned.txt" --dest "$folder.new/package" >&2 ||
    fail "they could not be fetched, or are not what was pinned" "look at pip's message above, then call this again"
package=$(echo "$folder.new"/package/*.tar.gz)
tar -xzf "$package" -C "$folder.new/sources" --strip-components=3 "llama_cpp_python-$VERSION/vendor/llama.cpp"
settings=(
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF
)
{
    cmake -S "$folder.new/sources" -B "$folder.new/build" "${settings[@]}"
    cmake --build "$folder.new/build" --target llama-bench -j "${JOBS:-$(nproc)}"
} >"$folder.new/build.log" 2>&1 || { tail -n 20 "$folder.new/build.log" >&2; fail "it could not be built" "all of it: $folder.new/build.log"; }
cp "$folder.new/build/bin/llama-bench" "$folder.new/llama-bench"
echo "$VERSION" >"$folder.new/version"
rm -rf "$folder.new/package" "$folder.new/pinned.txt" "$folder.new/sources" "$folder.new/build"
# The last step makes it whole: a build that was cut off is begun again.
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "$program"
