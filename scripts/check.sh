#!/usr/bin/env bash
# Formatting, lints as errors, dependency licences and sources, tidy (arrows, headers, generated files fresh).
. "$(dirname "$0")/lib.sh"
toolchain
web
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
have cargo-deny || { say "installing cargo-deny"; cargo install --locked --quiet cargo-deny; }
cargo deny --log-level error check licenses bans sources
cargo test --locked --quiet -p colloquy-server --test tidy
(cd web && npm run --silent check)
say "clean"
