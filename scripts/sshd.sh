#!/usr/bin/env bash
# Gets Debian's sshd for the tests of repositories behind ssh into target/sshd. Exit codes: see unpack.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FOLDER=target/sshd
PROGRAM=usr/sbin/sshd
# libwrap0 is what a machine without the package lacks.
PACKAGES=(openssh-server libwrap0)
. scripts/unpack.sh
mkdir -p ../usr/sbin ../lib
find whole -name 'libwrap.so.0*' -exec cp -P {} ../lib/ \;
mv whole/usr/sbin/sshd ../usr/sbin/sshd
