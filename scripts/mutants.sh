#!/usr/bin/env bash
# Each mutant of the core (tests/mutants/*.patch) is put into a copy of the tree, and the test its header names must fail there, for
# the reason its header names. The same test must pass on the tree as it is.
#
#   scripts/mutants.sh [NN...]     (no argument: all)
#
# Exit code 0: every mutant was caught.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$PWD/target/mutants
tree=$work/tree
# Neither the repository around the copy nor the working target directory is touched.
export CARGO_TARGET_DIR=$work/build GIT_CEILING_DIRECTORIES=$work
mkdir -p "$work"
rm -rf "$tree" "$work"/*.log
mkdir "$tree"
tar -c --exclude=./target --exclude=./.git . | tar -x -C "$tree"

header() { sed -n "/^--- /q; s/^$2: //p" "$1"; }

# One test of the copy with the settings of the header; how it ended is told by the exit code, what it said is in the log.
run() {
    local target=$1 test=$2 with=$3 log=$4
    (cd "$tree" && eval "env $with timeout 900 cargo test --locked --test $target -- --exact --nocapture $test") >"$log" 2>&1 </dev/null
}

build() { (cd "$tree" && cargo test --locked --no-run --test "$1") >"$2" 2>&1 </dev/null; }

chosen=()
for patch in "$tree"/tests/mutants/*.patch; do
    number=$(basename "$patch" | cut -d- -f1)
    if [ $# = 0 ] || [[ " $* " = *" $number "* ]]; then chosen+=("$patch"); fi
done

declare -A sound
failures=0
printf '%-42s %-12s %5s  %s\n' mutant result s 'by'
for patch in "${chosen[@]}"; do
    name=$(basename "$patch" .patch)
    log=$work/$name.log
    by=$(header "$patch" 'Caught by') with=$(header "$patch" With) says=$(header "$patch" Says)
    read -r target test <<<"$by"
    began=$SECONDS
    key="$by $with"
    if [ -z "${sound[$key]:-}" ]; then
        if build "$target" "$log" && run "$target" "$test" "$with" "$log" && grep -q '^running 1 test' "$log"; then
            sound[$key]=yes
        else
            sound[$key]=no
        fi
    fi
    git -C "$tree" apply "$patch"
    if [ "${sound[$key]}" = no ]; then
        result='FAILS ALONE'
    elif ! build "$target" "$log"; then
        result='NO BUILD'
    elif run "$target" "$test" "$with" "$log"; then
        result=SURVIVED
    elif ! grep -q '^running 1 test' "$log" || ! grep -qE "${says:-panicked}" "$log"; then
        result='OTHERWISE'
    else
        result=caught
    fi
    git -C "$tree" apply -R "$patch"
    [ "$result" = caught ] || failures=$((failures + 1))
    printf '%-42s %-12s %5s  %s\n' "$name" "$result" $((SECONDS - began)) "$by"
done
echo "$((${#chosen[@]} - failures)) of ${#chosen[@]} mutants caught; logs: ${work#"$PWD"/}"
[ $failures = 0 ]
