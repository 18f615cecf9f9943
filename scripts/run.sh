#!/usr/bin/env bash
# Sets up what is missing, builds web and binary, and starts Colloquy on its embedded default.
. "$(dirname "$0")/lib.sh"
toolchain
if ! scripts/fetch-weights.sh; then
    say "the embedding weights could not be fetched: answers use keyword search until 'make run' can fetch them"
fi
web
server
export COLLOQUY_EMBEDDINGS__LOCAL_PATH="$WEIGHTS"
# Whoever tries it out sees it at work on its own front page.
export COLLOQUY_DEMO__ENABLED="${COLLOQUY_DEMO__ENABLED:-true}"
exec "${CARGO_TARGET_DIR:-target}/release/colloquy" serve "$@"
