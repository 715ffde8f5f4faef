#!/usr/bin/env bash
# Gets a machine ready to build, test and run evenkeel. Idempotent: what is there already is left alone. Asks nothing.
#
#   scripts/setup.sh [--tools] [--engine] [--tests]     (no argument: all three)
#     --tools    compiler, linker, Rust toolchain
#     --engine   a running Docker engine
#     --tests    what only the tests use: a registry for loopback, strace, git, gpg
#
# Exit codes: 0 ready; 1 the tools are missing and could not be installed; 3 all is well but for a Docker engine, which is
# not there and may not be installed or started here (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NO_ENGINE=3
export DEBIAN_FRONTEND=noninteractive

say() { printf 'setup: %s\n' "$*" >&2; }

# Runs a command as root, if that is possible without asking for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_lists_read=no
install_packages() {
    command -v apt-get >/dev/null || return 1
    if [ "$apt_lists_read" = no ]; then
        as_root apt-get update -qq </dev/null >&2 || return 1
        apt_lists_read=yes
    fi
    say "installing $*"
    local log
    log=$(mktemp)
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

tools() {
    local missing=()
    # SQLite and ring are C: they need a compiler, and nothing else.
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v curl >/dev/null || missing+=(curl ca-certificates)
    if [ ${#missing[@]} -gt 0 ]; then
        install_packages "${missing[@]}" || { say "cannot install ${missing[*]}: install them, then run this again"; exit 1; }
    fi
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    if ! command -v cargo >/dev/null; then
        install_rustup || { say "cannot install Rust: see https://rustup.rs, then run this again"; exit 1; }
        PATH=$HOME/.cargo/bin:$PATH
    fi
    # rust-toolchain.toml names the version and its components; rustup fetches what is missing. A cargo that is not
    # rustup's is taken as it is.
    if command -v rustup >/dev/null && ! cargo --version >/dev/null 2>&1; then
        rustup toolchain install >&2 || { say "cannot install the Rust toolchain named in rust-toolchain.toml"; exit 1; }
    fi
    cargo --version >&2
}

# rustup's own installer, checked against the digest published beside it. It installs no toolchain: rust-toolchain.toml says which.
install_rustup() {
    say "installing rustup into $HOME/.cargo"
    local folder base
    base=https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu
    folder=$(mktemp -d)
    # Chained, because `set -e` does not hold inside a condition.
    curl --proto '=https' --tlsv1.2 --retry 3 -sSf "$base/rustup-init" -o "$folder/rustup-init" &&
        curl --proto '=https' --tlsv1.2 --retry 3 -sSf "$base/rustup-init.sha256" -o "$folder/digest" &&
        printf '%s  %s\n' "$(cut -d' ' -f1 "$folder/digest")" "$folder/rustup-init" | sha256sum --check --quiet &&
        chmod +x "$folder/rustup-init" &&
        "$folder/rustup-init" -y --quiet --no-modify-path --profile minimal --default-toolchain none </dev/null >&2
    local code=$?
    rm -rf "$folder"
    return $code
}

engine_answers() { command -v docker >/dev/null && timeout 20 docker version >/dev/null 2>&1; }

wait_for_engine() {
    local end=$((SECONDS + 30))
    while [ $SECONDS -lt $end ]; do
        engine_answers && return 0
        # A daemon of ours that has ended will not answer any more.
        [ -z "${1:-}" ] || as_root kill -0 "$1" 2>/dev/null || return 1
        sleep 0.5
    done
    return 1
}

without_engine() {
    say "no Docker engine: $*"
    exit "$NO_ENGINE"
}

# Starts dockerd by hand where no init system does it. Storage drivers in order: what the machine is configured for, then
# the ones that work inside other containers and virtual machines.
start_by_hand() {
    local log=${DOCKERD_LOG:-/var/log/evenkeel-dockerd.log} driver pid
    for driver in "" fuse-overlayfs vfs; do
        if [ "$driver" = fuse-overlayfs ] && ! command -v fuse-overlayfs >/dev/null; then continue; fi
        if [ -n "$driver" ] && grep -qs storage-driver /etc/docker/daemon.json; then continue; fi
        say "starting dockerd ${driver:+with storage driver $driver }(log: $log)"
        # setsid: the engine outlives this script and does not get the terminal's Ctrl-C.
        # shellcheck disable=SC2016  # the inner shell expands
        pid=$(as_root sh -c 'setsid dockerd ${1:+--storage-driver "$1"} >>"$0" 2>&1 </dev/null & echo $!' "$log" "$driver")
        wait_for_engine "$pid" && return 0
        as_root kill "$pid" 2>/dev/null || true
        while as_root kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
    done
    say "the end of $log:"
    as_root tail -n 20 "$log" | grep -v level=info | tail -n 5 >&2 || true
    return 1
}

engine() {
    engine_answers && return 0
    if [ -n "${DOCKER_HOST:-}" ]; then
        without_engine "DOCKER_HOST is $DOCKER_HOST, and nothing answers there. Correct it, or unset it to use this machine's engine."
    fi
    if [ -S /var/run/docker.sock ] && command -v docker >/dev/null && ! as_root true; then
        without_engine "/var/run/docker.sock is there, but $(id -un) may not use it: add yourself to the group docker, or run as root."
    fi
    as_root true || without_engine "installing or starting one needs root, and sudo asks for a password here."
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
        # iptables: docker.io only recommends it, and without it dockerd does not start.
        install_packages docker.io iptables || without_engine "Debian's package docker.io could not be installed (see above)."
    fi
    wait_for_socket_of_init && return 0
    start_by_hand || without_engine "dockerd does not run on this machine (its reasons are above)."
}

# Where an init system is in charge, the engine is its to start.
wait_for_socket_of_init() {
    [ -d /run/systemd/system ] || return 1
    as_root systemctl start docker >&2 || return 1
    wait_for_engine
}

tests() {
    # strace kills the store's writer at every system call, and answers calls with errors.
    command -v strace >/dev/null || install_packages strace || say "without strace the store is not killed at every write, and the tests say so"
    # Engines of the tests' own live in network namespaces of their own.
    command -v ip >/dev/null || install_packages iproute2 || say "without iproute2 the tests with an engine of their own fail"
    # Steps of the wall clock; the tool is a preloaded library.
    command -v faketime >/dev/null || install_packages faketime ||
        say "without faketime the tests of clock steps are skipped, and say so"
    # Repositories, and who signed what is in them.
    local missing=()
    command -v git >/dev/null || missing+=(git)
    command -v ssh-keygen >/dev/null || missing+=(openssh-client)
    command -v gpg >/dev/null || missing+=(gnupg)
    command -v openssl >/dev/null || missing+=(openssl)
    if [ ${#missing[@]} -gt 0 ]; then
        install_packages "${missing[@]}" || say "without ${missing[*]} the tests of repositories fail"
    fi
    command -v docker-registry >/dev/null && return 0
    install_packages docker-registry || say "without docker-registry the tests that pull from a registry are skipped, and say so"
}

[ $# -gt 0 ] || set -- --tools --tests --engine
for part in "$@"; do
    case $part in
        --tools) tools ;;
        --engine) engine ;;
        --tests) tests ;;
        *) say "unknown argument: $part"; exit 64 ;;
    esac
done
