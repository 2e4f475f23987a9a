# hob. `make` lists the targets. Each brings what it needs (scripts/setup.sh), prints its figures last, and fails when what
# it must show does not hold.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Tools that scripts/setup.sh built for this folder.
export PATH := $(CURDIR)/.cache/bin:$(PATH)

PREFIX ?= /usr
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var
DESTDIR ?=

SETUP := scripts/setup.sh
ONNXRUNTIME := .cache/onnxruntime/libonnxruntime.so.1.32.0

.PHONY: help setup build plugins demo run demo-senses test test-kill test-arm test-senses test-systemd bench bench-model bench-senses eval-pocket model-standins test-parity model-true-size show-true-size provider-openvino install uninstall

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | awk -F '\t' '{ printf "make %-17s %s\n", $$1, $$2 }'

setup: ## bring what the machine lacks: packages, Rust target, tools, ONNX Runtime
	@$(SETUP)

build: ## build the optimised binary into target/release
	@$(SETUP) rust packages
	cargo build --locked --release -p hob
	ls -lh target/release/hob | awk '{ print "target/release/hob: " $$5 }'

plugins: ## build the shipped plugins into target/plugins
	@$(SETUP) rust packages wasm
	scripts/build-plugins.sh

# MODEL=folder shows another model of the same layout.
demo: ## a house, a broker, and hob in it: a dozen commands and what became of each
	@$(SETUP) rust packages wasm onnxruntime
	scripts/build-plugins.sh
	cargo build --locked -p hob -p e2e --bins
	$(if $(MODEL),HOB_MODEL__FOLDER="$(abspath $(MODEL))") target/debug/demo

run: ## run hob here with settings of your own: make run CONFIG=path/to/hob.toml
	@$(SETUP) rust packages onnxruntime
	if [ -z "$(CONFIG)" ]; then echo "run: name your settings: make run CONFIG=path/to/hob.toml (begin with configs/hob.toml)" >&2; exit 64; fi
	HOB_ONNX__LIBRARY=$${HOB_ONNX__LIBRARY:-$(CURDIR)/$(ONNXRUNTIME)} cargo run --locked -p hob -- run --config "$(CONFIG)"

test: ## everything that must hold: format, lints, tests, docs, licences, unit
	@$(SETUP)
	scripts/test.sh

demo-senses: ## a voice, a gauge before a camera, a sensor that falls silent: what hob does about each, and how soon
	@$(SETUP) rust packages wasm onnxruntime vad sound camera
	scripts/build-plugins.sh
	cargo build --quiet --locked -p hob -p e2e --bins
	$(if $(MODEL),HOB_MODEL__FOLDER="$(abspath $(MODEL))") target/debug/demo-senses

test-kill: ## thirty kill -9 under load: nothing lost, nothing sent twice, the audit chain whole
	@$(SETUP) rust packages wasm onnxruntime
	scripts/build-plugins.sh
	cargo build --quiet --locked -p hob -p e2e --bins
	target/debug/kill-rounds

test-arm: ## the kernels as compiled for 64-bit Arm, under QEMU where this machine is none
	@$(SETUP) rust packages arm
	scripts/test-arm.sh

test-senses: ## a voice through a real server of sounds, cameras over RTSP and HTTP, kernel devices in a VM; what is killed or unplugged comes back
	@$(SETUP) rust packages onnxruntime vad wake sound camera vm
	cargo build --quiet --locked -p hob
	scripts/test-senses.sh
	scripts/test-cameras.sh
	scripts/test-senses-vm.sh

test-systemd: ## boot a small Debian with hob installed: ready, watched, restarted, without loss
	@$(SETUP) rust packages wasm onnxruntime vad wake boot
	scripts/build-plugins.sh
	cargo build --quiet --locked -p hob
	scripts/test-systemd.sh

bench: ## measure: grammars and masks, pictures and sounds, the memo, rules, then a whole command from the broker and back
	@$(SETUP) rust packages wasm onnxruntime
	scripts/build-plugins.sh
	cargo bench --quiet --locked --profile dev -p hob-model --bench grammar -- --warm-up-time 1 --measurement-time 2
	cargo bench --quiet --locked --profile dev --config profile.dev.package.hob-model.opt-level=3 -p hob-model --bench media -- --warm-up-time 1 --measurement-time 2
	HOB_ONNX_LIBRARY="$(CURDIR)/$(ONNXRUNTIME)" cargo bench --quiet --locked --profile dev -p hob-model --bench known -- --warm-up-time 1 --measurement-time 2
	HOB_ONNX_LIBRARY="$(CURDIR)/$(ONNXRUNTIME)" cargo bench --quiet --locked --profile dev -p hob-model --bench draft -- --warm-up-time 1 --measurement-time 2
	cargo bench --quiet --locked --profile dev --config profile.dev.package.hob-agent.opt-level=3 -p hob-agent --bench rules -- --warm-up-time 1 --measurement-time 2
	cargo build --quiet --locked -p hob -p e2e --bins
	target/debug/bench

eval-pocket: ## score the shipped model on homes and commands that it was not trained on
	@$(SETUP) rust packages wasm onnxruntime
	scripts/eval-pocket.sh

model-standins: ## make miniatures of Gemma 4 E2B and E4B in the published graph form, into target/standins
	@$(SETUP) packages
	scripts/model-standins.sh

# The stand-ins are not made on the way: whoever asks for proof is told when there is none.
test-parity: ## hold the decoder to PyTorch, token by token, on the stand-ins (make model-standins first)
	@$(SETUP) rust packages onnxruntime
	cargo build --quiet --locked -p e2e --bin parity
	RUST_LIB_BACKTRACE=0 HOB_ONNX_LIBRARY="$(CURDIR)/$(ONNXRUNTIME)" target/debug/parity target/standins

# What it needs takes half an hour to bring the first time, and 12 GB. OPTIONS="--only decode --model e2b" measures a part.
bench-model: ## measure true shapes of Gemma 4 beside llama.cpp: speed, first token, memory (docs/benchmarks.md)
	@$(SETUP) rust packages onnxruntime cmake
	scripts/fetch-llama-cpp.sh >/dev/null
	scripts/model-true-size.sh $(if $(findstring e4b,$(OPTIONS)),e4b e4b-block128 e4b.gguf,e2b e2b-block128 e2b-2bit e2b.gguf e2b-tq2_0.gguf e2b-q2_k.gguf)
	cargo build --quiet --locked --release -p e2e --bin bench-model
	HOB_ONNX_LIBRARY="$(CURDIR)/$(ONNXRUNTIME)" target/release/bench-model $(OPTIONS)

show-true-size: ## open, ask and change models of true size, and show what each stage takes in memory
	@$(SETUP) rust packages onnxruntime
	scripts/model-true-size.sh e2b e2b-2bit
	cargo build --quiet --locked -p hob
	scripts/show-true-size.sh

bench-senses: ## measure: rules beside JSON, an idle microphone, from the end of speech to the first token, motion
	@$(SETUP) rust packages onnxruntime vad wake
	scripts/true-ears.sh target/true-ears
	cargo bench --quiet --locked --profile dev --config profile.dev.package.hob-agent.opt-level=3 -p hob-agent --bench rules -- --warm-up-time 1 --measurement-time 2
	HOB_ONNX_LIBRARY="$(CURDIR)/$(ONNXRUNTIME)" cargo run --quiet --locked --profile dev --config profile.dev.package.hob-senses.opt-level=3 --config profile.dev.package.hob-model.opt-level=3 -p e2e --bin bench-senses -- tests/fixtures/published target/true-ears

# FOLDERS="e2b e2b-block128" names others; the head of the script lists them.
model-true-size: ## make a folder as large as the published E2B, with random weights, into target/true-size (3 GB)
	@$(SETUP) packages
	scripts/model-true-size.sh $(FOLDERS)

provider-openvino: ## bring OpenVINO's plugin for Intel's devices into .cache (docs/how-to/providers.md)
	@$(SETUP) packages
	scripts/fetch-openvino.sh plugin

# Writes to the machine only below DESTDIR. What the owner may have changed is kept.
install: ## install binary, library, model, plugins, settings and units (DESTDIR, PREFIX)
	@if [ ! -x target/release/hob ]; then echo "install: run make build first" >&2; exit 1; fi
	if [ ! -d target/plugins/home ]; then echo "install: run make plugins first" >&2; exit 1; fi
	if [ ! -f $(ONNXRUNTIME) ] || [ ! -f .cache/silero/silero_vad.onnx ] || [ ! -f .cache/wake/embedding_model.onnx ]; then echo "install: run make setup first" >&2; exit 1; fi
	scripts/install.sh "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)" "$(LOCALSTATEDIR)" "$(ONNXRUNTIME)"

uninstall: ## take away what install brought; settings and state stay
	@scripts/install.sh --remove "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)" "$(LOCALSTATEDIR)"
