# The commands of the project. Each target is one line into scripts/, which explain themselves.
.PHONY: run test build check bench cluster-up cluster-down clean help

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: ## set up what is missing, build, and start on http://127.0.0.1:8080 with SQLite under ./data
	@scripts/run.sh

test: ## set up what is missing and pass every test
	@scripts/test.sh

build: ## leave the release binary, web assets inside, in $$CARGO_TARGET_DIR/release
	@scripts/build.sh

check: ## formatting, lints as errors, dependency licences, tidy
	@scripts/check.sh

bench: ## run the load scenarios and write docs/benchmarks.md; ARGS="chat-idle --scale 0.1" for a part
	@scripts/bench.sh $(ARGS)

cluster-up: ## start three nodes, Redis and a CQL server on this machine; target/cluster.json says where
	@scripts/cluster up

cluster-down: ## stop them; ARGS=--remove deletes their data too
	@scripts/cluster down $(ARGS)

clean: ## remove what the build made inside the checkout
	@rm -rf target web/node_modules web/*/dist
