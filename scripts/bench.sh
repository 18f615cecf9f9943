#!/usr/bin/env bash
# Runs the load scenarios that need no second machine and writes their table to docs/benchmarks.md.
. "$(dirname "$0")/lib.sh"
toolchain
scripts/fetch-weights.sh || say "without the weights the rows that need the local embedder are left out"
export COLLOQUY_EMBEDDINGS__LOCAL_PATH="$WEIGHTS"
web
cargo build --release --locked -p colloquy-server -p colloquy-loadtest
exec "${CARGO_TARGET_DIR:-target}/release/colloquy-loadtest" all --write docs/benchmarks.md "$@"
