#!/usr/bin/env bash
# jcs 0.2.1 formats a Python int beyond 2**53 as the double nearest to it. Two records whose identifiers differ by
# one get the same canonical bytes, so the same hash, and no error says so. rfc8785 0.1.4 refuses both.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary jcs==0.2.1 rfc8785==0.1.4
"$dir/venv/bin/python" - <<'PY'
import sys

import jcs
import rfc8785

one, two = 9007199254740992, 9007199254740993
forms = [jcs.canonicalize({"id": value}) for value in (one, two)]
print("jcs 0.2.1:", one, "->", forms[0])
print("jcs 0.2.1:", two, "->", forms[1])
refused = 0
for value in (one, two):
    try:
        rfc8785.dumps({"id": value})
    except rfc8785.IntegerDomainError as error:
        refused += 1
        print("rfc8785 0.1.4:", error)
sys.exit(0 if forms[0] == forms[1] == b"{\"id\":9007199254740992}" and refused == 2 else 1)
PY
