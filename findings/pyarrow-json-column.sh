#!/usr/bin/env bash
# pyarrow 26.0.1 infers one type for a column of newline-delimited JSON. One integer of 2**63 or more turns the whole column
# into doubles, so identifiers elsewhere in the file, which an int64 holds exactly, come out changed, without an error.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary pyarrow==26.0.1
"$dir/venv/bin/python" - <<'PY'
import io
import sys

import pyarrow
import pyarrow.json

exact = b"{\"id\":9007199254740993}\n{\"id\":9007199254740995}\n"
alone = pyarrow.json.read_json(io.BytesIO(exact)).to_pylist()
beside = pyarrow.json.read_json(io.BytesIO(exact + b"{\"id\":9223372036854775808}\n")).to_pylist()
print("pyarrow", pyarrow.__version__)
print("two records:            ", alone)
print("the same two, and 2**63:", beside)
ids = [row["id"] for row in alone]
sys.exit(0 if ids == [9007199254740993, 9007199254740995] and [row["id"] for row in beside[:2]] == [9007199254740992.0, 9007199254740996.0] else 1)
PY
