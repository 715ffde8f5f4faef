#!/usr/bin/env bash
# Removes what `make run` made: the containers, networks and volume of the example, its images and .evenkeel/. Everything is
# found by the owner label of the example's own instance; nothing else is touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

label=label=dev.evenkeel.owner=example
containers=$(docker ps --all --quiet --no-trunc --filter "$label")
[ -z "$containers" ] || docker rm --force $containers
networks=$(docker network ls --quiet --no-trunc --filter "$label")
[ -z "$networks" ] || docker network rm $networks
volumes=$(docker volume ls --quiet --filter "$label")
[ -z "$volumes" ] || docker volume rm $volumes
for repository in evenkeel-example/web evenkeel/hello-web evenkeel/hello-store; do
    tags=$(docker image ls --format '{{.Repository}}:{{.Tag}}' "$repository")
    [ -z "$tags" ] || docker image rm $tags
done
rm -rf .evenkeel
