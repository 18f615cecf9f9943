#!/usr/bin/env bash
# Sets up what is missing and passes every test: Rust, web units, and the browser against the real binary. Two runs at once do not disturb
# each other: each starts a CQL server of its own on free ports.
. "$(dirname "$0")/lib.sh"
toolchain
# Chromium drives the widget, the console and the pages; the two documentation packages are the real sites that the responder is
# measured on; espeak-ng speaks in test calls; the tests start Redis servers of their own, show a server another time with libfaketime, and read the WordPress plugin with PHP.
packages chromium git-doc sqlite3-doc redis-server libfaketime php-cli espeak-ng
scripts/fetch-weights.sh || die "the tests need the embedding weights; check the network and run 'make test' again"
export COLLOQUY_EMBEDDINGS__LOCAL_PATH="$WEIGHTS"
web
peers
say "web: types, units and the size budgets"
(cd web && npm run --silent check && npm test --silent)
scripts/cql-server fetch
say "rust: the whole workspace, the ScyllaDB store against a CQL server of its own"
cargo test --workspace --locked --no-run
# These mostly wait, for leases to run out, servers to start and reminders to come: they run beside all others, and what they say is shown at their end.
waiting="appointments campaigns cluster"
others=$(cargo metadata --no-deps --locked --format-version 1 | python3 -c '
import json, sys
waiting = sys.argv[1].split()
targets = [target for package in json.load(sys.stdin)["packages"] for target in package["targets"] if target["kind"] == ["test"]]
print(*("--test=" + target["name"] for target in targets if target["test"] and target["name"] not in waiting))' "$waiting")
said=$(mktemp)
# shellcheck disable=SC2086 # a list of words
setsid scripts/cql-server run -- cargo test --workspace --locked $(printf -- '--test=%s ' $waiting) >"$said" 2>&1 &
beside=$!
trap 'kill -TERM -- "-$beside" 2>/dev/null || true; rm -f "$said"' EXIT
# shellcheck disable=SC2086 # a list of words
scripts/cql-server run -- cargo test --workspace --locked --lib --bins $others
cargo test --workspace --locked --doc
wait "$beside" && passed=yes || passed=
cat "$said"
[ -n "$passed" ] || die "tests of: $waiting failed"
[ -z "$(git status --porcelain -- web/generated)" ] || die "web/generated was stale and has been written anew: commit it"
say "browser: the widget, the console and the pages against the real binary"
# The server stands there already: the tests of whole processes ran it.
(cd web && COLLOQUY_BIN="$(cd .. && realpath "${CARGO_TARGET_DIR:-target}")/debug/colloquy" npm run --silent e2e)
say "all tests passed"
