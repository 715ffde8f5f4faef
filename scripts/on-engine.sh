#!/usr/bin/env bash
# Runs a command with a Docker engine of another version in place of the machine's own, and leaves nothing of it behind.
#
#   scripts/on-engine.sh VERSION COMMAND [ARGUMENT]...     (VERSION: 26.1 or 28.5, see scripts/engines.sh)
#
# The engine has its files, its socket, its containerd and its network namespace to itself, and the command runs in that namespace:
# dockerd, docker and what they need are first in its PATH, DOCKER_HOST and TEST_ENGINE name the engine. With TEST_ENGINE set, tests fail
# where they would otherwise be skipped. Needs root.
#
# Exit codes: those of the command; 3 when the engine cannot be had or does not start.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CANNOT=3
say() { printf 'on-engine: %s\n' "$*" >&2; }

[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64; }
version=$1
shift
[ "$(id -u)" = 0 ] || { say "an engine of one's own needs root"; exit "$CANNOT"; }
scripts/engines.sh "$version"
bin=$PWD/target/engines/$version/bin

# A short path: the name of a unix socket has at most 107 bytes.
folder=$(mktemp -d /tmp/ekv.XXXXXX)
socket=$folder/s
holder=""
dockerd=""

on_engine() { nsenter --net="/proc/$holder/ns/net" -- "$@"; }

wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

answers() { DOCKER_HOST=unix://$socket "$bin/docker" version >/dev/null 2>&1; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }
in_namespace() { [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

clean_up() {
    local code=$? ids pid
    trap - EXIT INT TERM
    if [ -n "$dockerd" ] && answers; then
        ids=$(DOCKER_HOST=unix://$socket "$bin/docker" ps --all --quiet)
        # shellcheck disable=SC2086  # one argument per container
        [ -z "$ids" ] || DOCKER_HOST=unix://$socket "$bin/docker" rm --force --volumes $ids >/dev/null 2>&1 || true
    fi
    if [ -n "$dockerd" ]; then
        kill "$dockerd" 2>/dev/null || true
        wait_until 60 has_ended "$dockerd" || kill -KILL "$dockerd" 2>/dev/null || true
    fi
    # The containerd of a dockerd that was killed outlives it.
    pid=$(cat "$folder/exec/containerd/containerd.pid" 2>/dev/null) || pid=""
    if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$folder"; then kill -KILL "$pid" 2>/dev/null || true; fi
    [ -z "$holder" ] || kill "$holder" 2>/dev/null || true
    # The last mounted first.
    awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | tac | while read -r point; do
        umount --lazy "$point" 2>/dev/null || true
    done
    rm -rf "$folder"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
holder=$!
# Until `unshare` has done its work, the process is still in the host's own namespace, where this engine must not start.
wait_until 10 in_namespace || { say "no network namespace of its own"; exit "$CANNOT"; }
# Ports published on 127.0.0.1 need it.
on_engine ip link set lo up

# What the machine's own engine stores its layers with works here.
driver=$(timeout 20 docker info --format '{{.Driver}}' 2>/dev/null) || driver=""
case $driver in overlay2 | fuse-overlayfs | btrfs | zfs | vfs) ;; *) driver="" ;; esac

export PATH=$bin:$PATH
echo '{}' >"$folder/daemon.json"
# Not through the function: its process would be a shell's, and what must end is dockerd.
nsenter --net="/proc/$holder/ns/net" -- dockerd --config-file="$folder/daemon.json" --data-root="$folder/data" --exec-root="$folder/exec" --pidfile="$folder/pid" \
    --host="unix://$socket" ${driver:+"--storage-driver=$driver"} --cgroup-parent=/evenkeel-test >"$folder/log" 2>&1 </dev/null &
dockerd=$!
up_or_gone() { answers || has_ended "$dockerd"; }
if ! wait_until 60 up_or_gone || ! answers; then
    say "Docker $version does not start here; the end of its log:"
    tail -n 5 "$folder/log" >&2
    exit "$CANNOT"
fi

code=0
DOCKER_HOST=unix://$socket TEST_ENGINE=unix://$socket on_engine "$@" || code=$?
exit "$code"
