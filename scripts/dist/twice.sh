#!/usr/bin/env bash
# Makes the distribution in two clones, at paths of different lengths, and compares: bash scripts/dist/twice.sh ENV
set -euo pipefail

root=$(git rev-parse --show-toplevel)
env=$(realpath "$1")
work=$root/build/twice
rm -rf "$work"
mkdir -p "$work"
for clone in one a-longer-name/two; do
    git clone --quiet "$root" "$work/$clone"
    (cd "$work/$clone" && bash scripts/dist/make.sh "$env" dist)
done
diff "$work/one/dist/SHA256SUMS" "$work/a-longer-name/two/dist/SHA256SUMS"
cat "$work/one/dist/SHA256SUMS"
echo "Two builds, the same bytes."
