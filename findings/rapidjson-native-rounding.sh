#!/usr/bin/env bash
# python-rapidjson 1.25 with number_mode=NM_NATIVE reads an integer of more than 64 bits as a double, and not as the one
# nearest to it: the last digits of the result differ from those of float() and of every reader that rounds once.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary python-rapidjson==1.25
"$dir/venv/bin/python" - <<'PY'
import fractions
import sys

import rapidjson

token = "123456789012345678901234567890"
read = rapidjson.loads(token, number_mode=rapidjson.NM_NATIVE)
nearest = float(token)
print("token    ", token)
print("NM_NATIVE", repr(read))
print("float()  ", repr(nearest))
error = [abs(fractions.Fraction(value) - int(token)) for value in (read, nearest)]
print("distance from the token:", error[0], "and", error[1])
sys.exit(0 if isinstance(read, float) and read != nearest and error[0] > error[1] else 1)
PY
