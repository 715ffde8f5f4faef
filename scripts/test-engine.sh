#!/usr/bin/env bash
# Tests that are about an engine, on the one that scripts/on-engine.sh puts in place of the machine's: the contract, the facts that a
# real engine can show, requests and answers, and everything end to end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${TEST_ENGINE:?is set by scripts/on-engine.sh}"
printf '==> Docker %s\n' "$(docker version --format '{{.Server.Version}}')"
# Four at a time also on two cores: they mostly wait for the engine. Nothing is fetched: the engine's namespace has no way out.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
cargo test --locked --offline --test engine -- real:: facts_private:: docker::
cargo test --locked --offline --test it -- e2e_
