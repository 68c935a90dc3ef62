#!/usr/bin/env bash
# Makes what a release publishes, from the commit that is checked out: bash scripts/dist/make.sh ENV OUT
#
# ENV is the environment with the tools (`make dist` makes it). Into OUT go the wheel, the source distribution,
# a bill of materials for each program, and SHA256SUMS. The same commit gives the same bytes in any directory, with the
# same tools: nothing of the clock, the paths or the machine may reach them.
set -euo pipefail

glibc=2.28
machine=$(uname -m)
triple=$machine-unknown-linux-gnu
tag=manylinux_${glibc/./_}_$machine

root=$(git rev-parse --show-toplevel)
env=$(realpath "$1")
out=$(realpath -m "$2")
work=$root/build/dist
python=$env/bin/python

export PATH=$env/bin:$PATH LC_ALL=C TZ=UTC
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export CARGO_TARGET_DIR=$work/target PYO3_PYTHON=$python
export ZIG_GLOBAL_CACHE_DIR=$env/zig-cache ZIG_LOCAL_CACHE_DIR=$env/zig-cache
umask 022

say() { printf '\n== %s\n' "$*"; }

if [ -n "$(git -C "$root" status --porcelain)" ]; then
    echo "Note: what is not committed is not in it." >&2
fi
rm -rf "$work/checkout" "$work/raw" "$work/source" "$out"
mkdir -p "$work/checkout" "$work/raw" "$work/source" "$out"
git -C "$root" archive HEAD | tar -x -C "$work/checkout"

say "The source distribution"
"$python" -m build --sdist --no-isolation --outdir "$work/raw" "$work/checkout" >"$work/sdist.log" 2>&1 \
    || { cat "$work/sdist.log" >&2; exit 1; }
raw=("$work"/raw/*.tar.gz)
name=$(basename "${raw[0]}" .tar.gz)
tar -xzf "${raw[0]}" -C "$work/source"
# setuptools writes the time and the user into it.
tar -c -C "$work/source" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' "$name" | gzip -9n >"$out/$name.tar.gz"

say "The wheel, from the source distribution, against glibc $glibc"
source=$work/source/$name
cargo fetch --locked --quiet --manifest-path "$source/Cargo.toml"
# Places of panics name files: the registry's directory, the standard library's where its source is installed,
# this build's own.
sysroot=$(rustc --print sysroot)
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
flags=("--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit")
flags+=("--remap-path-prefix=$CARGO_TARGET_DIR=target" "--remap-path-prefix=$source=.")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    flags+=("--remap-path-prefix=${registry%/}=crates.io")
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
# A target that is named, although it is this machine's: build scripts and macros are then linked as ever.
export CARGO_BUILD_TARGET=$triple DIST_ZIG_TARGET=$machine-linux-gnu.$glibc
linker=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$triple")_LINKER
export "$linker=$root/scripts/dist/linker"
"$python" -m build --wheel --no-isolation --outdir "$work/raw" "$source" >"$work/wheel.log" 2>&1 \
    || { cat "$work/wheel.log" >&2; exit 1; }
# Refuses a wheel that asks for more than the tag says.
auditwheel repair --plat "$tag" --only-plat --wheel-dir "$out" "$work"/raw/*.whl
auditwheel show "$out"/*.whl

say "The bills of materials"
cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries --target "$triple" \
    --manifest-path "$work/checkout/crates/provara-cli/Cargo.toml"
for bill in "$work"/checkout/{crates/provara-cli/provara_bin,bindings/python/_native_cdylib}.cdx.json; do
    # Its references to the workspace's own packages are absolute.
    sed -E 's#path\+file://[^"\#]*/(crates|bindings)/#path+file:///\1/#g' "$bill" >"$out/$name-$(basename "$bill")"
done

say "The check of what a registry would take"
twine check --strict "$out"/*.whl "$out"/*.tar.gz

say "No path of this machine"
for path in "$root" "${CARGO_HOME:-$HOME/.cargo}" "$sysroot"; do
    rm -rf "$work/unpacked"
    "$python" -m zipfile -e "$out"/*.whl "$work/unpacked"
    if grep -rlF -- "$path" "$work/unpacked"; then
        echo "$path is in the files above: they depend on where they were built." >&2
        exit 1
    fi
done

(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
say "Made in $out"
ls -l "$out"
