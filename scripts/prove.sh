#!/usr/bin/env bash
# Runs a test that needs evenkeel optimised: scripts/prove.sh prove|simulation [arguments of cargo test]
#   scripts/prove.sh prove converge -- --nocapture
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo test --locked --config tests/prove/optimised.toml --test "$@"
