#!/usr/bin/env bash
# Leaves the release binary, web assets inside, in $CARGO_TARGET_DIR/release (default target/release).
. "$(dirname "$0")/lib.sh"
toolchain
web
server
say "built ${CARGO_TARGET_DIR:-target}/release/colloquy"
