#!/usr/bin/env bash
# Runs the kernels' tests as they are compiled for 64-bit Arm: on such a machine itself, else under QEMU, with a processor that has
# dot products (Cortex-A76, as on a Raspberry Pi 5) and one that has none (Cortex-A72, Raspberry Pi 4). QEMU shows that they are
# right, and nothing of how fast they are.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
if [ "$(uname -m)" = aarch64 ]; then
    cargo test --quiet --locked -p hob-kernels
    echo "test-arm: the kernels hold on this processor"
    exit
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# It ends with 1 after its list.
known=$(qemu-aarch64 -cpu help || true)
shown=0
for processor in cortex-a72 cortex-a76 max; do
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu $processor"
    # Debian's older QEMU does not know the A76; its "max" has dot products too.
    if ! grep -qw "$processor" <<<"$known"; then
        echo "test-arm: this QEMU has no $processor, and it is passed over"
        continue
    fi
    cargo test --quiet --locked --target "$target" -p hob-kernels --lib
    echo "test-arm: the kernels hold on $processor"
    shown=$((shown + 1))
done
echo "test-arm: $shown processors"
[ "$shown" -gt 0 ]
