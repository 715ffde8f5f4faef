#!/usr/bin/env bash
# Builds the container image from the static binary, and tries it: image.sh [NAME]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=target/static/evenkeel
[ -x "$binary" ] || { echo "there is no $binary yet: make release" >&2; exit 1; }
version=$("$binary" --version | cut -d' ' -f2)
image=${1:-evenkeel:$version}

# A context of its own: what else lies beside the binary is not sent to the engine. No builder is needed beyond the engine's own.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$binary" packaging/Dockerfile "$context/"
chmod 755 "$context/evenkeel"
docker build --quiet --tag "$image" "$context" >/dev/null

# It runs without a C library, a shell or a user database, and reads what is mounted.
[ "$(docker run --rm --network none "$image" --version)" = "evenkeel $version" ]
docker run --rm --network none --volume "$PWD/desired:/etc/evenkeel/desired:ro" "$image" validate
echo "$image"
