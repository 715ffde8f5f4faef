#!/usr/bin/env bash
# Tries a Debian package under a running systemd, as root: a Debian of its own in a container of this host's engine, whose process 1 is
# systemd, and which is given the engine's socket. Installs, converges, kills, hangs, restarts, upgrades and removes it there, and looks each
# time whether the containers it looks after are the ones they were.   try-service.sh FILE.deb
# Needs a Docker engine, debootstrap and a Debian mirror (MIRROR, by default Debian's own).
set -euo pipefail

deb=$(realpath "${1:?which package? try-service.sh target/debian/evenkeel_....deb}")
mirror=${MIRROR:-http://deb.debian.org/debian}
name=evenkeel-try-service image=evenkeel-try-service:1
fail() { echo "FAILED: $*" >&2; inside journalctl -u evenkeel --no-pager -n 30 >&2 || true; exit 1; }
inside() { docker exec "$name" "$@"; }

[ "$(id -u)" = 0 ] || { echo "only root may make a Debian: sudo $0 $1" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt install debootstrap" >&2; exit 1; }
[ -z "$(docker ps -aq --filter "name=^$name$")" ] || { echo "a container $name is there already: this host is left alone" >&2; exit 1; }

work=$(mktemp -d)
tidy() {
    docker rm -f "$name" >/dev/null 2>&1 || true
    docker ps -aq --filter "label=dev.evenkeel.owner=$name" | xargs -r docker rm -f >/dev/null || true
    docker network ls -q --filter "label=dev.evenkeel.owner=$name" | xargs -r docker network rm >/dev/null || true
    docker images -q --filter "reference=evenkeel/default-try*" | sort -u | xargs -r docker rmi -f >/dev/null 2>&1 || true
    docker rmi -f "$image" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap tidy EXIT

echo "== a Debian with systemd"
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps bookworm "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -5 "$work/log" >&2; exit 1; }
tar -C "$work/root" -c . | docker import - "$image" >/dev/null
rm -rf "$work/root"
socket=$(docker context inspect --format '{{.Endpoints.docker.Host}}' | sed 's|^unix://||')
docker run --detach --name "$name" --cgroupns host --cap-add SYS_ADMIN --cap-add SYS_PTRACE --cap-add DAC_READ_SEARCH --security-opt seccomp=unconfined \
    --security-opt apparmor=unconfined --tmpfs /run:exec --tmpfs /run/lock --tmpfs /tmp --volume /sys/fs/cgroup:/sys/fs/cgroup:rw \
    --volume "$socket:/run/docker.sock" "$image" /lib/systemd/systemd >/dev/null
for _ in $(seq 60); do
    case $(inside systemctl is-system-running 2>/dev/null) in running | degraded) break ;; esac
    sleep 0.5
done
inside systemctl is-system-running >/dev/null || inside systemctl --failed --no-legend

# The same package with a later version.
dpkg-deb --raw-extract "$deb" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group --build "$work/next" "$work/next.deb" >/dev/null
docker cp "$deb" "$name:/root/evenkeel.deb" >/dev/null
docker cp "$work/next.deb" "$name:/root/next.deb" >/dev/null

active() { [ "$(inside systemctl is-active evenkeel)" = active ]; }
main() { inside systemctl show -p MainPID --value evenkeel; }
served() { docker ps -q --no-trunc --filter "label=dev.evenkeel.owner=$name"; }
until_true() { # what it waits for, seconds, a command
    local what=$1 seconds=$2
    shift 2
    for _ in $(seq $((seconds * 2))); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done
    fail "not within $seconds s: $what"
}
ready() { inside evenkeel status --json | grep -q '"kind": *"ready"'; }
other_process() { active && [ "$(main)" != "$before" ]; }

echo "== install: the unit is enabled, started, and said that it is ready"
inside dpkg --install /root/evenkeel.deb >/dev/null 2>&1
until_true "the unit is active" 30 active
inside systemctl is-enabled evenkeel >/dev/null || fail "the unit is not enabled"
[ "$(inside systemctl show -p Type --value evenkeel)" = notify ] || fail "it is not a unit of Type=notify"
[ "$(inside stat -c '%a %U' /var/lib/evenkeel)" = "700 root" ] || fail "the state directory is open"

echo "== a service is started"
inside sed -i "1i instance = \"$name\"" /etc/evenkeel/evenkeel.toml
# The watchdog's minute and a half is long for a test.
inside mkdir -p /etc/systemd/system/evenkeel.service.d
printf '[Service]\nWatchdogSec=6\n' | docker exec -i "$name" tee /etc/systemd/system/evenkeel.service.d/try.conf >/dev/null
inside systemctl daemon-reload
inside systemctl restart evenkeel || fail "it does not start under another instance id"
printf '[services.try]\nimage = "%s"\npull_policy = "never"\ncommand = ["sleep", "infinity"]\nstop_grace_period = "1s"\nrestart = "always"\nnetwork_mode = "none"\n' "$image" |
    docker exec -i "$name" tee /etc/evenkeel/desired/try.toml >/dev/null
until_true "the service is ready" 60 ready
kept=$(served)
[ "$(wc -w <<<"$kept")" = 1 ] || fail "not one container: $kept"

echo "== reload, kill -9, a hang, a restart"
before=$(main)
inside systemctl reload evenkeel
sleep 1
[ "$(main)" = "$before" ] || fail "a reload is no restart"
inside kill -9 "$before"
until_true "systemd starts it anew after kill -9" 20 other_process
before=$(main)
inside kill -STOP "$before"
until_true "the watchdog notices that it hangs" 60 other_process
[ "$(inside systemctl show -p NRestarts --value evenkeel)" -ge 2 ] || fail "systemd counts $(inside systemctl show -p NRestarts --value evenkeel) restarts"
inside systemctl restart evenkeel
until_true "the service is known as ready again" 30 ready
[ "$(served)" = "$kept" ] || fail "the container is another one"

echo "== upgrade: another process, the same memory, the same container"
before=$(main)
inside dpkg --install /root/next.deb >/dev/null 2>&1
until_true "the later version runs" 30 other_process
until_true "the service is ready under the later version" 30 ready
inside evenkeel history default/try --json | grep -q '"committed"' || fail "the history was lost"
[ "$(served)" = "$kept" ] || fail "the upgrade made another container"

echo "== the hardening of the unit"
inside systemd-analyze security evenkeel --no-pager | tail -1

echo "== remove"
inside dpkg --remove evenkeel >/dev/null 2>&1
active && fail "it still runs"
[ "$(served)" = "$kept" ] || fail "removing the package touched the container"
echo "installed, converged, reloaded, killed, hung, restarted, upgraded and removed under systemd; one container, never another"
