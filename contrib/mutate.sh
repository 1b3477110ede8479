#!/bin/sh
# Plants the bugs of tests/sim/mutations one at a time in a copy of the tree, runs the sweep of the
# simulator on it and says which seed caught each. Fails if one survives or does not compile, or if
# the sweep is red without any.
#
#   contrib/mutate.sh [NAME…]   only these; SEEDS=1000 sweeps further than the usual 300,
#                               MUTATE_TARGET=DIR keeps what was built
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
seeds=${SEEDS:-300}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf -) | tar -C "$copy" -xf -
export CARGO_TARGET_DIR="${MUTATE_TARGET:-$copy/target}" CARGO_PROFILE_TEST_DEBUG=0
cd "$copy"

# Says what the sweep found first, nothing if it found nothing; fails if there was nothing to run.
# A sweep that does not end counts as found.
sweep() {
    cargo test -q --test sim --no-run >build.log 2>&1 || return 1
    code=0
    timeout "${LIMIT:-600}" cargo test -q --test sim -- --first --seeds "$seeds" >sweep.log 2>&1 || code=$?
    case $code in
        0) ;;
        124) echo "does not end" ;;
        # What a pipe says for failed is its last command alone: grep, if there is no such line.
        *) sed -n 's/^first: //p' sweep.log | head -n 1 | grep . || echo "fails with $code" ;;
    esac
}

clean=$(sweep) || { cat build.log >&2; exit 1; }
if [ -n "$clean" ]; then
    echo "the sweep is red without any planted bug: $clean" >&2
    exit 1
fi
missed=0
for patch in tests/sim/mutations/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    git apply --unidiff-zero "$patch"
    if ! found=$(sweep); then
        found='DOES NOT COMPILE'
        missed=$((missed + 1))
    elif [ -z "$found" ]; then
        found="SURVIVED $seeds seeds"
        missed=$((missed + 1))
    fi
    git apply --unidiff-zero -R "$patch"
    printf '%-28s %s\n' "$name" "$found"
done
[ "$missed" -eq 0 ]
