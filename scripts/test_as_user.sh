#!/usr/bin/env bash
# Runs the tests of the sandbox as an ordinary user: root may do things that the kernel refuses others, and
# others have limits that root has not.
#
#   scripts/test_as_user.sh WHEELS PIP_PYTHON [pytest options]
#
# Run by root, it becomes the user whom TEST_UID numbers (65534, `nobody`), who need not be able to read
# this checkout nor root's Python: everything is copied. Run by anybody else, it stays who it is.
set -euo pipefail
cd "$(dirname "$0")/.."

wheels=$(realpath "$1")
pip=("$(realpath -s "$2")" -m pip --disable-pip-version-check --quiet)
shift 2

# By way of `env`, because `setpriv` itself still has root's rights when it looks for the program.
as_user=(env)
if [ "$(id -u)" = 0 ]; then
    uid=${TEST_UID:-65534}
    as_user=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups env)
fi

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
mkdir "$place/home"

# A Python that the user may run: root's own may lie in a home that nobody else can enter.
python=
for candidate in "${PYTHON:-python3}" /usr/bin/python3 /usr/local/bin/python3; do
    found=$(command -v "$candidate") && found=$("$found" -c 'import sys; print(sys._base_executable)') &&
        "${as_user[@]}" "$found" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
        python=$found && break
done
if [ -z "$python" ]; then
    echo "The user has no Python 3.10 or newer; PYTHON names one." >&2
    exit 1
fi
echo "Testing with $("${as_user[@]}" id -un) and $python"

# The tests of the crate.
mkdir -p "$place/target/deps" "$place/target/examples" "$place/crates/provara-plugins/tests"
cp -R crates/provara-plugins/tests/fake_host "$place/crates/provara-plugins/tests"
build=(--locked --quiet --package provara-plugins --message-format=json)
{
    cargo build "${build[@]}" --example launcher
    cargo test "${build[@]}" --no-run --test sandbox --test orphans
} |
    "${pip[0]}" -c '
import json, shutil, sys
for line in sys.stdin:
    found = json.loads(line)
    if found.get("executable"):
        kind = "examples" if "example" in found["target"]["kind"] else "deps"
        name = found["target"]["name"]
        shutil.copy(found["executable"], f"{sys.argv[1]}/{kind}/{name}")
' "$place/target"

# The tests of the installed executable.
cp -R tests examples "$place"
cp -R "$wheels" "$place/wheels"
"$python" -m venv --without-pip "$place/venv"
"${pip[@]}" wheel --wheel-dir "$place/wheels" pip # with which the tests install plugins
"${pip[@]}" --python "$place/venv/bin/python" install --no-index --find-links "$place/wheels" \
    provara-protocol pip pytest

[ "$(id -u)" != 0 ] || chown -R "$uid" "$place"
run=("${as_user[@]}" -i "HOME=$place/home" "TMPDIR=$place/home" PATH=/usr/local/bin:/usr/bin:/bin
    LANG=C.UTF-8 "PROVARA_PYTHON=$python" "PROVARA_WHEELS=$place/wheels"
    "CARGO_MANIFEST_DIR=$place/crates/provara-plugins")
cd "$place"
"${run[@]}" target/deps/sandbox
"${run[@]}" target/deps/orphans
"${run[@]}" venv/bin/python -m pytest -p no:cacheprovider \
    tests/e2e/test_hostile.py tests/e2e/test_secrets.py "$@"
