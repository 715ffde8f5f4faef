#!/usr/bin/env bash
# Gets Debian's prometheus and promtool for the tests of metrics/ into target/prometheus. Exit codes: see unpack.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FOLDER=target/prometheus
PROGRAM=promtool
PACKAGES=(prometheus)
. scripts/unpack.sh
mv whole/usr/bin/prometheus whole/usr/bin/promtool ../
