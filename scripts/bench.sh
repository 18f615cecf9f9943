#!/usr/bin/env bash
# Measures this machine and writes the table to docs/benchmarks.md: scripts/bench.sh [SCENARIO] [--scale F] [--seconds N] [--write FILE]
# (make bench ARGS="chat-idle --scale 0.1"). Without a scenario all are run, which takes most of an hour at full scale. Never run in CI.
. "$(dirname "$0")/lib.sh"

[ -z "${CI:-}" ] || die "a benchmark on a shared runner measures the runner: run this on a quiet machine of your own"

scenario=all
case "${1:-}" in
    "" | -*) ;;
    *)
        scenario=$1
        shift
        ;;
esac
scale=1
seconds=10
write=()
# A part of the run must not replace the whole table, so only a full one is written unless a file is named.
[ "$scenario" != all ] || write=(--write docs/benchmarks.md)
arguments=("$@")
for ((at = 0; at < ${#arguments[@]}; at++)); do
    case "${arguments[at]}" in
        --scale) scale=${arguments[at + 1]:-} ;;
        --scale=*) scale=${arguments[at]#--scale=} ;;
        --seconds) seconds=${arguments[at + 1]:-} ;;
        --seconds=*) seconds=${arguments[at]#--seconds=} ;;
        --write | --write=*) write=() ;;
    esac
done

toolchain
scripts/fetch-weights.sh || say "without the weights the rows that need the local embedder are left out"
export COLLOQUY_EMBEDDINGS__LOCAL_PATH="$WEIGHTS"
web
say "building the server, the load test and the benchmark of crates/knowledge, in release mode"
cargo build --release --locked -p colloquy-server -p colloquy-loadtest
target=$(cargo metadata --format-version 1 --no-deps --locked | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

rows=()
measured="$target/measured-rows.jsonl"
: >"$measured"
if [ "$scenario" = all ] || [ "$scenario" = knowledge ]; then
    cargo bench --locked -p colloquy-knowledge --bench knowledge --no-run
    say "measuring inside crates/knowledge"
    # What only that crate can time; its rows go into the same table.
    cargo bench --quiet --locked -p colloquy-knowledge --bench knowledge -- --rows "$target/knowledge-rows.jsonl" --scale "$scale" >&2
    cat "$target/knowledge-rows.jsonl" >>"$measured"
fi
if [ "$scenario" = all ] || [ "$scenario" = remote ]; then
    say "measuring inside cluster"
    cargo bench --quiet --locked -p colloquy-cluster --bench remote -- --rows "$target/remote-rows.jsonl" --seconds "$seconds" >&2
    cat "$target/remote-rows.jsonl" >>"$measured"
fi
# What runs over a CQL server starts one for as long as it measures.
case "$scenario" in
    all | move | crash | journal)
        packages redis-server
        scripts/cql-server fetch
        ;;
esac
if [ "$scenario" = all ] || [ "$scenario" = journal ]; then
    cargo bench --locked -p colloquy-store --features scylla --bench journal --no-run
    say "measuring inside crates/store"
    scripts/cql-server run -- cargo bench --quiet --locked -p colloquy-store --features scylla --bench journal -- \
        --rows "$target/journal-rows.jsonl" --seconds "$seconds" >&2
    cat "$target/journal-rows.jsonl" >>"$measured"
fi
if [ "$scenario" = all ] || [ "$scenario" = console ]; then
    say "measuring the console in Chromium"
    rm -f "$target/console-rows.jsonl"
    # The goals stand in the rows: a slow machine is written down, not refused.
    (cd web/e2e && COLLOQUY_BIN="$target/release/colloquy" SPEED_ROWS="$target/console-rows.jsonl" SPEED_SLACK=1000 node --test console-speed.test.mjs) >&2
    cat "$target/console-rows.jsonl" >>"$measured"
fi
if [ "$scenario" = console ]; then
    cat "$target/console-rows.jsonl"
    exit 0
fi
[ ! -s "$measured" ] || rows=(--rows "$measured")
say "measuring: $scenario"
exec "$target/release/colloquy-loadtest" "$scenario" "${write[@]}" "${rows[@]}" "$@"
