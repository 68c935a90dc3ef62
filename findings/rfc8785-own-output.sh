#!/usr/bin/env bash
# rfc8785 0.1.4 writes 1e20 as RFC 8785 asks (100000000000000000000, ECMAScript's Number::toString). Read
# back with Python's json, that token is an int, and rfc8785 refuses every int beyond 2**53 - 1: a document in
# canonical form cannot be put into canonical form again. RFC 8785, section 3.2.2.3, knows only doubles.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary rfc8785==0.1.4
"$dir/venv/bin/python" - <<'PY'
import json
import sys

import rfc8785

written = rfc8785.dumps({"energy": 1e20})
print("rfc8785 0.1.4 wrote", written)
try:
    again = rfc8785.dumps(json.loads(written))
except rfc8785.IntegerDomainError as error:
    print("and refuses it when it is read back:", error)
    same = written == b"{\"energy\":100000000000000000000}"
    as_double = rfc8785.dumps(json.loads(written, parse_int=float))
    print("read with parse_int=float it comes out as", as_double)
    sys.exit(0 if same and as_double == written else 1)
print("and takes it again as", again)
sys.exit(1)
PY
