#!/usr/bin/env bash
# Gets Debian's sshd for the tests of repositories behind ssh, unpacked into target/sshd and installed nowhere: the package would start
# a server of its own. Idempotent. apt verifies what it downloads.
#
# Exit codes: 0 it is there; 3 it cannot be had on this machine (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FOLDER=target/sshd

cannot() {
    printf 'sshd: %s\n' "$*" >&2
    exit 3
}

mkdir -p "$FOLDER"
exec 9>"$FOLDER/.lock"
flock 9
[ ! -x "$FOLDER/usr/sbin/sshd" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || cannot "it comes from Debian's package, and this machine has no apt"
scratch=$(mktemp -d "$PWD/$FOLDER/.unpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
# libwrap0 is what a machine without the package lacks.
fetch() { apt-get download -qq openssh-server libwrap0 </dev/null >log 2>&1; }
# A fresh machine has no lists yet.
fetch || { apt-get update -qq </dev/null >log 2>&1 && fetch; } || { tail -n 5 log >&2; cannot "Debian's package openssh-server cannot be fetched"; }
for package in *.deb; do dpkg-deb -x "$package" whole; done
mkdir -p ../usr/sbin ../lib
find whole -name 'libwrap.so.0*' -exec cp -P {} ../lib/ \;
mv whole/usr/sbin/sshd ../usr/sbin/sshd
