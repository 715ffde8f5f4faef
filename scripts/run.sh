#!/usr/bin/env bash
# What `make run` does: set up, build, and keep this machine's engine converged to the example in desired/.
# Arguments go to `evenkeel run`.
#
# PROFILE            cargo profile to build (dev)
# EXAMPLE_BINARY     a binary that is built already: nothing is set up or built then
# EVENKEEL_INSTANCE, EVENKEEL_LISTEN, ...   settings of the daemon, as always
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export EVENKEEL_DESIRED=${EVENKEEL_DESIRED:-desired} EVENKEEL_STATE=${EVENKEEL_STATE:-.evenkeel}
# An instance of its own: what a real installation on this machine owns has another owner label.
export EVENKEEL_INSTANCE=${EVENKEEL_INSTANCE:-example}

if [ -z "${EXAMPLE_BINARY:-}" ]; then
    scripts/setup.sh --tools
    PATH=$PATH:$HOME/.cargo/bin
    # The dev profile: ready after a minute or two instead of six, and this job waits for the engine, not for the CPU.
    # PROFILE=release builds what you would install.
    cargo build --locked --profile "${PROFILE:-dev}"
    folder=${PROFILE:-debug}
    [ "$folder" != dev ] || folder=debug
    EXAMPLE_BINARY=${CARGO_TARGET_DIR:-target}/$folder/evenkeel
fi

engine=()
code=0
scripts/setup.sh --engine || code=$?
case $code in
    0) tests/program/images.sh example ;;
    3)
        printf '\n%s\n' \
            '***  SIMULATED ENGINE: no real container is started by this run.  ***' \
            '     The reason is above. evenkeel does the same job on an engine that exists in its own memory only;' \
            '     http://127.0.0.1:8088/ does not answer, while status, plan and metrics do.' '' >&2
        engine=(--engine simulated)
        ;;
    *) exit "$code" ;;
esac

exec "$EXAMPLE_BINARY" run "${engine[@]}" "$@"
