#!/usr/bin/env bash
# What `make run` does: set up, build, and keep this machine's engine converged to the example in desired/.
# Further arguments go to `evenkeel run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh --tools
PATH=$PATH:$HOME/.cargo/bin

engine=()
code=0
scripts/setup.sh --engine || code=$?
case $code in
    0) ;;
    3)
        printf '\n%s\n%s\n%s\n\n' \
            '***  SIMULATED ENGINE: no real container is started by this run.  ***' \
            '     The reason is above. evenkeel does the same job on an engine that exists in its own memory only;' \
            '     http://127.0.0.1:8088/ will not answer, while status, plan and metrics do.' >&2
        engine=(--engine simulated)
        ;;
    *) exit "$code" ;;
esac

# The dev profile: ready after about a minute and a half instead of six, and this job waits for the engine, not for the CPU.
# PROFILE=release builds what you would install.
cargo build --locked --profile "${PROFILE:-dev}"
folder=${PROFILE:-debug}
[ "$folder" != dev ] || folder=debug

[ ${#engine[@]} -gt 0 ] || tests/program/images.sh example

# An instance of its own: what a real installation on this machine owns has another owner label.
exec "${CARGO_TARGET_DIR:-target}/$folder/evenkeel" run --desired desired --state .evenkeel --instance example "${engine[@]}" "$@"
