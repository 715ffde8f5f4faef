#!/usr/bin/env bash
# Gets Debian's prometheus and promtool for the tests of metrics/, unpacked into target/prometheus and installed nowhere: the package
# would start a server of its own. Idempotent. apt verifies what it downloads.
#
# Exit codes: 0 they are there; 3 they cannot be had on this machine (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FOLDER=target/prometheus

cannot() {
    printf 'prometheus: %s\n' "$*" >&2
    exit 3
}

mkdir -p "$FOLDER"
exec 9>"$FOLDER/.lock"
flock 9
[ ! -x "$FOLDER/promtool" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || cannot "it comes from Debian's package, and this machine has no apt"
scratch=$(mktemp -d "$PWD/$FOLDER/.unpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
fetch() { apt-get download -qq prometheus </dev/null >log 2>&1; }
# A fresh machine has no lists yet.
fetch || { apt-get update -qq </dev/null >log 2>&1 && fetch; } || { tail -n 5 log >&2; cannot "Debian's package prometheus cannot be fetched"; }
dpkg-deb -x prometheus_*.deb .
mv usr/bin/prometheus usr/bin/promtool ../
