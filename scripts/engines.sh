#!/usr/bin/env bash
# Gets later Docker engines to test against, unpacked from Debian's later releases and installed nowhere.
#
#   scripts/engines.sh [26.1] [28.5]     (no argument: both)
#
# Each comes to target/engines/<version>/bin: dockerd, containerd with its shim, docker, docker-compose and what dockerd runs. runc is the
# machine's own, because a later one needs a later libc. Idempotent: what is there is left alone. The mirror, its proxy and its keys are
# those that apt uses on this machine; every signature is verified as apt does it.
#
# Exit codes: 0 they are there; 3 they cannot be had on this machine (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CANNOT=3
FOLDER=target/engines

say() { printf 'engines: %s\n' "$*" >&2; }
cannot() {
    say "$*"
    exit "$CANNOT"
}

# The release of Debian that has a version of the engine.
release_of() {
    case $1 in
        26.1) echo trixie ;;
        28.5) echo forky ;;
        *) cannot "only 26.1 and 28.5 are known, not $1" ;;
    esac
}

# This machine's sources of Debian's main archive, in apt's format of one file per release, with the other release in place of this one's.
# Security and updates are left out: a later release may have none yet, and nothing here serves anybody.
sources_of() {
    local own=$1 other=$2 files
    files=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
    printf '%s\n' "$files" | awk -v own="$own" -v other="$other" 'BEGIN { RS = ""; ORS = "\n\n"; FS = "\n" }
        {
            fits = 0; text = ""
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^#/) continue
                if ($i ~ /^Suites:/) { if ($i ~ ("[: \t]" own "([ \t]|$)")) fits = 1; text = text "Suites: " other "\n" }
                else if ($i ~ /^Types:/) text = text "Types: deb\n"
                else if ($i ~ /^Components:/) text = text "Components: main\n"
                else text = text $i "\n"
            }
            if (fits) printf "%s\n", text
        }'
    # The older form, one line per source: "deb [options] address suite components".
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | awk -v own="$own" -v other="$other" '
        $1 == "deb" {
            options = ""; at = 2
            if ($2 ~ /^\[/) { while ($at !~ /\]$/) at++; for (i = 2; i <= at; i++) options = options " " $i; at++ }
            if ($(at + 1) != own) next
            gsub(/[][]/, "", options)
            key = match(options, /signed-by=[^ ]+/) ? substr(options, RSTART + 10, RLENGTH - 10) : ""
            printf "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n%s\n", $at, other, key == "" ? "" : "Signed-By: " key "\n"
        }' || true
}

# apt with lists, downloads and sources of its own; the machine's proxy and credentials stay in force.
private_apt() {
    local command=$1 scratch=$2
    shift 2
    "$command" -qq \
        -o Dir::State="$scratch/state" -o Dir::State::status=/dev/null -o Dir::Cache="$scratch/cache" \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$scratch/sources" -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o APT::Update::Post-Invoke-Success= -o APT::Update::Post-Invoke= \
        "$@" </dev/null
}

# Runs something quietly, and shows what it said when it fails.
quietly() {
    local scratch=$1
    shift
    "$@" >"$scratch/log" 2>&1 || { tail -n 10 "$scratch/log" >&2; return 1; }
}

unpack() {
    local version=$1 own=$2 release scratch found package init
    release=$(release_of "$version")
    scratch=$(mktemp -d "$PWD/$FOLDER/.unpack.XXXXXX")
    # shellcheck disable=SC2064  # this very folder
    trap "rm -rf '$scratch'" EXIT
    mkdir -p "$scratch"/{sources,state/lists/partial,cache/archives/partial,packages,root}
    sources_of "$own" "$release" >"$scratch/sources/debian.sources"
    [ -s "$scratch/sources/debian.sources" ] || cannot "no source of Debian's $own is set up for apt on this machine"
    quietly "$scratch" private_apt apt-get "$scratch" update || cannot "apt cannot read the lists of Debian's $release"
    found=$(private_apt apt-cache "$scratch" policy docker.io | sed -n 's/^ *Candidate: *//p')
    case $found in
        "$version".*) ;;
        *) cannot "Debian's $release has docker.io ${found:-of no version}, and no longer $version" ;;
    esac
    say "fetching Docker $version from Debian's $release"
    # docker-init is in one or the other.
    init=$(private_apt apt-cache "$scratch" pkgnames tini | grep -x tini-static || echo tini)
    for package in docker.io docker-cli docker-compose containerd "$init"; do
        # apt-get checks each against the signed lists.
        (cd "$scratch/packages" && quietly "$scratch" private_apt apt-get "$scratch" download "$package") ||
            cannot "$package of Debian's $release cannot be fetched"
    done
    for package in "$scratch"/packages/*.deb; do
        dpkg-deb -x "$package" "$scratch/root"
        # shellcheck disable=SC2016  # dpkg's own fields
        dpkg-deb --show --showformat '${Package} ${Version}\n' "$package" >>"$scratch/versions"
    done
    gather "$scratch"
    "$scratch/done/bin/dockerd" --version >/dev/null 2>"$scratch/log" || { head -n 3 "$scratch/log" >&2; cannot "dockerd $version does not run here"; }
    rm -rf "${FOLDER:?}/$version"
    mv "$scratch/done" "$FOLDER/$version"
    rm -rf "$scratch"
    trap - EXIT
}

# What is needed of the unpacked packages, in one folder to put before PATH.
gather() {
    local scratch=$1 bin=$1/done/bin name
    mkdir -p "$bin"
    for name in sbin/dockerd sbin/docker-proxy bin/containerd bin/containerd-shim-runc-v2 bin/ctr bin/docker; do
        mv "$scratch/root/usr/$name" "$bin/"
    done
    mv "$scratch/root/usr/libexec/docker/cli-plugins/docker-compose" "$bin/"
    mv "$scratch/root/usr/bin/tini-static" "$bin/docker-init"
    mv "$scratch/versions" "$scratch/done/versions"
}

[ $# -gt 0 ] || set -- 26.1 28.5
for version in "$@"; do release_of "$version" >/dev/null; done
mkdir -p "$FOLDER"
exec 9>"$FOLDER/.lock"
flock 9
for version in "$@"; do
    [ -x "$FOLDER/$version/bin/dockerd" ] && continue
    # shellcheck disable=SC1091
    own=$(. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") || own=
    [ -n "$own" ] || cannot "this machine is not Debian's; other engines are unpacked from Debian's packages only"
    unpack "$version" "$own"
done
