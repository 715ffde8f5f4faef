#!/usr/bin/env bash
# Builds images from scratch around the program in this folder: nothing is downloaded, no registry is asked.
#
#   images.sh program PATH              compile the program to PATH (only when it changed)
#   images.sh image REF [NAME=VALUE]... [-- COMMAND...]
#                                       one image: environment, and the command (default: serve)
#   images.sh stand-in REF [NAME=VALUE]... [-- LINK...]
#                                       one that stands in for others: whatever it is told to run (a path below /, or a name in PATH)
#                                       runs, and USERS (environment) are known in it
#   images.sh example                   the images of the example in desired/: evenkeel-example/web:{1.0,1.1,broken,sick}
#
# LABEL (environment): a label `key=value` put on the image, so that a test's images can be found again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PROGRAM_CACHE:-$here/../../target/test-program}

compile() {
    local to=$1 stamp
    mkdir -p "$(dirname "$to")"
    # Several test processes may ask at once; one compiles, the others find the result.
    exec 8>"$to.lock"
    flock 8
    stamp=$(sha256sum "$here/main.rs" | cut -d' ' -f1)
    if [ ! -x "$to" ] || [ "$(cat "$to.stamp" 2>/dev/null)" != "$stamp" ]; then
        "${RUSTC:-rustc}" --edition 2021 -O -C target-feature=+crt-static -C panic=abort -C strip=symbols \
            "$here/main.rs" -o "$to.new"
        mv "$to.new" "$to"
        printf '%s' "$stamp" >"$to.stamp"
    fi
    exec 8>&-
}

# Text as a JSON string, which is also how a Dockerfile quotes a label.
quoted() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# The same for ENV, where the engine would expand variables.
quoted_env() {
    local text
    text=$(quoted "$1")
    printf '%s' "${text//\$/\\\$}"
}

image() {
    local reference=$1 binary=$cache/program variables=() command=() changes=() list="" item recipe
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        variables+=("$1")
        shift
    done
    [ $# -gt 0 ] && shift
    command=("$@")
    [ ${#command[@]} -gt 0 ] || command=(serve)
    compile "$binary"

    for item in "${variables[@]}"; do
        changes+=("ENV ${item%%=*}=$(quoted_env "${item#*=}")")
    done
    [ -z "${LABEL:-}" ] || changes+=("LABEL ${LABEL%%=*}=$(quoted "${LABEL#*=}")")
    for item in "${command[@]}"; do
        list+="${list:+, }$(quoted "$item")"
    done
    changes+=('EXPOSE 8080' 'ENTRYPOINT ["/program"]' "CMD [$list]")
    # An image made again would have another id, and so be another revision: leave it when nothing changed.
    recipe=$( (cat "$binary.stamp"; printf '%s\n' "${changes[@]}") | sha256sum | cut -d' ' -f1)
    changes+=("LABEL evenkeel-example.recipe=$recipe")
    if [ "$(docker image inspect --format '{{index .Config.Labels "evenkeel-example.recipe"}}' "$reference" 2>/dev/null)" = "$recipe" ]; then
        return
    fi

    # `import` makes an image of one layer in one call, on every engine and without a builder.
    local arguments=()
    for item in "${changes[@]}"; do arguments+=(--change "$item"); done
    tar -C "$(dirname "$binary")" --owner=0 --group=0 -c program | docker import "${arguments[@]}" - "$reference" >/dev/null
}

stand_in() {
    local reference=$1 binary=$cache/program root name arguments=() number=1000
    shift
    compile "$binary"
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        arguments+=(--change "ENV ${1%%=*}=$(quoted_env "${1#*=}")")
        shift
    done
    [ $# -gt 0 ] && shift
    [ -z "${LABEL:-}" ] || arguments+=(--change "LABEL ${LABEL%%=*}=$(quoted "${LABEL#*=}")")
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,etc,tmp}
    cp "$binary" "$root/program"
    ln -s /program "$root/stand-in"
    for name in "$@"; do
        case $name in */*) ;; *) name=/bin/$name ;; esac
        mkdir -p "$root/${name%/*}"
        [ -e "$root/$name" ] || [ -L "$root/$name" ] || ln -s /program "$root/$name"
    done
    printf 'root:x:0:0::/:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    for name in ${USERS:-}; do
        printf '%s:x:%s:%s::/:/bin/sh\n' "$name" $number $number >>"$root/etc/passwd"
        printf '%s:x:%s:\n' "$name" $number >>"$root/etc/group"
        number=$((number + 1))
    done
    tar -C "$root" --owner=0 --group=0 -c . |
        docker import "${arguments[@]}" --change 'ENV PATH=/bin' --change 'ENTRYPOINT ["/stand-in"]' - "$reference" >/dev/null
    rm -rf "$root"
}

case ${1:-} in
    program)
        compile "$2"
        ;;
    image)
        shift
        image "$@"
        ;;
    stand-in)
        shift
        stand_in "$@"
        ;;
    example)
        name=${EXAMPLE_IMAGE:-evenkeel-example/web}
        image "$name:1.0" VERSION=1.0
        image "$name:1.1" VERSION=1.1
        # Ends at once: what a release with a typing error in its start script looks like.
        image "$name:broken" VERSION=broken -- fail 3
        # Runs, but never becomes healthy.
        image "$name:sick" VERSION=sick NEVER_HEALTHY=1
        ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 64
        ;;
esac
