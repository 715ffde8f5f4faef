#!/usr/bin/env bash
# Gets Debian's age for the tests of encrypted secrets into target/age. Exit codes: see unpack.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FOLDER=target/age
PROGRAM=usr/bin/age
PACKAGES=(age)
. scripts/unpack.sh
mkdir -p ../usr/bin
mv whole/usr/bin/age-keygen ../usr/bin/age-keygen
mv whole/usr/bin/age ../usr/bin/age
