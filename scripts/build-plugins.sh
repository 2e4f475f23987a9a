#!/bin/sh
# Builds the shipped plugins into target/plugins/<id>/{plugin.toml,<id>.wasm}, ready for `hob plugin install`, and the
# guests of the tests into target/guests.
#
# Two ways to the same components:
#   wasip2   the compiler's own target, when it is installed or rustup can fetch it
#   debian   Debian's rustc for the web, unpacked under .cache/rustweb, with std built from source; for machines that
#            reach Debian's packages and the crates registry only. Takes some minutes the first time.
# The first that works is taken; HOB_PLUGIN_ROUTE=wasip2 or debian insists on one.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
plugins="home lists"
# Guests that only the tests install.
guests="press"
route=${HOB_PLUGIN_ROUTE:-}

say() { printf '%s\n' "$*" >&2; }

have_wasip2() {
    rustup target list --installed 2>/dev/null | grep -qx wasm32-wasip2 && return 0
    [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-wasip2" ] && return 0
    say "adding the target wasm32-wasip2"
    rustup target add wasm32-wasip2 2>/dev/null
}

# A lock file keeps the guests' dependencies as they were tested.
build_wasip2() {
    (cd "$root/plugins" && cargo build --locked --release --target wasm32-wasip2 --workspace --exclude hob-plugin-componentize)
    for id in $plugins $guests; do
        package "$id" "$root/plugins/target/wasm32-wasip2/release/hob_plugin_$id.wasm"
    done
}

build_debian() {
    rustweb="$root/.cache/rustweb"
    "$root/scripts/fetch-rustweb.sh" "$rustweb"
    # The tool that makes components of core modules runs here, so the usual compiler builds it.
    (cd "$root/plugins" && cargo build --locked --release -p hob-plugin-componentize)
    for id in $plugins $guests; do
        (
            cd "$root/plugins"
            PATH="$rustweb/usr/bin:$rustweb/usr/lib/llvm-22/bin:/usr/bin:/bin"
            LD_LIBRARY_PATH="$rustweb/usr/lib/x86_64-linux-gnu:$rustweb/usr/lib/llvm-22/lib"
            RUSTC="$rustweb/usr/bin/rustc"
            # Building std is not a stable feature; its source and the compiler come from one package, so they fit.
            RUSTC_BOOTSTRAP=1
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
            export PATH LD_LIBRARY_PATH RUSTC RUSTC_BOOTSTRAP CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
            cargo build --locked --release --target wasm32-unknown-unknown -Z build-std=std,panic_abort \
                --target-dir target/rustweb -p "hob-plugin-$id"
        )
        module="$root/plugins/target/rustweb/wasm32-unknown-unknown/release/hob_plugin_$id.wasm"
        component="$root/plugins/target/rustweb/$id.wasm"
        "$root/plugins/target/release/hob-plugin-componentize" "$module" "$component"
        package "$id" "$component"
    done
}

# Puts a component beside its manifest, with the hash that a grant will name.
package() {
    id=$1
    component=$2
    case " $guests " in
        *" $id "*) source="$root/tests/guests/$id" out="target/guests/$id" ;;
        *) source="$root/plugins/$id" out="target/plugins/$id" ;;
    esac
    mkdir -p "$root/$out"
    cp "$component" "$root/$out/$id.wasm"
    hash=$(sha256sum "$root/$out/$id.wasm" | cut -d ' ' -f 1)
    sed "s/^sha256 = .*/sha256 = \"$hash\"/" "$source/plugin.toml" > "$root/$out/plugin.toml"
    say "built $out: $(wc -c < "$root/$out/$id.wasm") bytes, sha256 $hash"
}

if [ "$route" != debian ] && have_wasip2; then
    build_wasip2
elif [ "$route" = wasip2 ]; then
    say "the target wasm32-wasip2 is not to be had: install rustup, or leave HOB_PLUGIN_ROUTE out"
    exit 1
else
    build_debian
fi
