#!/usr/bin/env bash
# Removes what `make run` made: the containers, networks and the volume of the example, its images and its memory. Everything
# is found by the owner label of the example's own instance; nothing else is touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

label=label=dev.evenkeel.owner=${EVENKEEL_INSTANCE:-example}
images=${EXAMPLE_IMAGE:-evenkeel-example/web}

# Runs a command with the words of a list, if there are any.
with() {
    local list=$1
    shift
    [ -z "$list" ] || printf '%s\n' "$list" | sort -u | xargs -r "$@"
}

with "$(docker ps --all --quiet --no-trunc --filter "$label")" docker rm --force
with "$(docker network ls --quiet --no-trunc --filter "$label")" docker network rm
with "$(docker volume ls --quiet --filter "$label")" docker volume rm
# By id and with force: the tags evenkeel kept them by go with them.
with "$(docker image ls --quiet --no-trunc "$images")" docker image rm --force
rm -rf "${EVENKEEL_STATE:-.evenkeel}"
