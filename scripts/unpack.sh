# Gets packages of Debian's for the tests, unpacked below target/ and installed nowhere: some would start a server of their own.
# Idempotent. apt verifies what it downloads. To be sourced; the caller has set FOLDER, PROGRAM (a file of it that is there when all is) and
# PACKAGES, and goes on in a scratch folder in FOLDER, with everything unpacked into whole/, only when there is something to do.
#
# Exit codes: 0 it is there; 3 it cannot be had on this machine (the reason is printed).
# shellcheck shell=bash
cannot() {
    printf '%s: %s\n' "${FOLDER##*/}" "$*" >&2
    exit 3
}

mkdir -p "$FOLDER"
exec 9>"$FOLDER/.lock"
flock 9
[ ! -x "$FOLDER/$PROGRAM" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || cannot "it comes from Debian's package, and this machine has no apt"
scratch=$(mktemp -d "$PWD/$FOLDER/.unpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
fetch() { apt-get download -qq "${PACKAGES[@]}" </dev/null >log 2>&1; }
# A fresh machine has no lists yet.
fetch || { apt-get update -qq </dev/null >log 2>&1 && fetch; } || { tail -n 5 log >&2; cannot "Debian's package ${PACKAGES[0]} cannot be fetched"; }
for package in *.deb; do dpkg-deb -x "$package" whole; done
