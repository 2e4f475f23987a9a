#!/usr/bin/env bash
# Everything that must hold before a change lands; `make test` runs it. Prints one line a step, and the figures last.
#
# Goes on after a step that failed, so that one run shows all that is wrong; ends with 1 when any did.
set -uo pipefail
cd "$(dirname "$0")/.."

# Tools that scripts/setup.sh built for this folder.
export PATH=$PWD/.cache/bin:$PATH
# A test's message says what went wrong; a backtrace through the harness buries it.
export RUST_LIB_BACKTRACE=0
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto} INSTA_UPDATE=no
began=$SECONDS
failed=()
# Who watches sees cargo at work; a log keeps only what went wrong.
quiet=(--quiet)
[ ! -t 2 ] || quiet=()

# step NAME COMMAND…: runs it, and remembers that it failed.
step() {
    local name=$1 from=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        printf '== %s: ok, %d s\n' "$name" $((SECONDS - from))
    else
        failed+=("$name")
        printf '== %s: FAILED after %d s\n' "$name" $((SECONDS - from))
    fi
}

guests() { (cd plugins && cargo fmt --all --check && cargo clippy "${quiet[@]}" --locked --workspace --all-targets -- -D warnings); }

# One build for the binary and all tests: built apart, the features that only tests want would build the heavy parts twice.
build() { cargo build "${quiet[@]}" --locked --workspace --all-targets; }

# Only the libraries' tests: the components themselves do not link for this machine.
guest_tests() { (cd plugins && cargo nextest run --locked --workspace --lib --profile ci); }

docs() { RUSTDOCFLAGS="-D warnings" cargo doc "${quiet[@]}" --locked --workspace --no-deps --document-private-items; }

# passed and failed of a nextest run, out of the file that it wrote.
count() {
    local summary
    summary=$(grep -m1 -o '<testsuites [^>]*' "$1" 2>/dev/null) || { echo 0 0; return; }
    local tests failures errors
    tests=$(sed -n 's/.* tests="\([0-9]*\)".*/\1/p' <<<"$summary")
    failures=$(sed -n 's/.* failures="\([0-9]*\)".*/\1/p' <<<"$summary")
    errors=$(sed -n 's/.* errors="\([0-9]*\)".*/\1/p' <<<"$summary")
    echo $((tests - failures - errors)) $((failures + errors))
}

reports=(target/nextest/ci/junit.xml plugins/target/nextest/ci/junit.xml)
rm -f "${reports[@]}"

step "format" cargo fmt --all --check
step "lints" cargo clippy "${quiet[@]}" --locked --workspace --all-targets -- -D warnings
step "plugins" scripts/build-plugins.sh
step "plugin lints" guests
step "build" build
step "tests" cargo nextest run --locked --workspace --profile ci
step "plugin tests" guest_tests
step "docs" docs
step "licences, bans, sources" cargo deny --log-level error check licenses bans sources
step "systemd unit" scripts/check-unit.sh

passed=0 not_passed=0
for report in "${reports[@]}"; do
    read -r good bad < <(count "$report")
    passed=$((passed + good)) not_passed=$((not_passed + bad))
done

printf '\n%d min %d s' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
if [ ${#failed[@]} -gt 0 ]; then
    printf '; failed: %s' "$(IFS=,; echo "${failed[*]}")"
fi
# A step that failed without a failing test counts as one, so that the last line never looks better than the run was.
[ ${#failed[@]} -gt 0 ] && [ "$not_passed" = 0 ] && not_passed=${#failed[@]}
printf '\n%d passed, %d failed\n' "$passed" "$not_passed"
[ ${#failed[@]} = 0 ] && [ "$passed" -gt 0 ]
