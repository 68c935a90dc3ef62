#!/usr/bin/env bash
# jsonschema-rs 0.61.2 (the Python package of the crate jsonschema) reads `.` in a pattern as ECMA-262 does: it
# stands for no line terminator, so for none of LF, CR, U+2028 and U+2029. In a pattern with a backreference,
# which another engine matches, it stands for all but LF. One pattern thus changes what `.` means when `\1` is
# added to it. ECMA-262, `Atom :: .` and LineTerminator; JSON Schema Core 2020-12, section 6.4.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary jsonschema-rs==0.61.2
"$dir/venv/bin/python" - <<'PY'
import sys

import jsonschema_rs

NAMES = {"x": "x", "\n": "LF", "\r": "CR", "\u2028": "U+2028", "\u2029": "U+2029"}
PLAIN, WITH_BACKREFERENCE = r"^a.b$", r"^(a).b\1$"
seen = {}
for pattern, end in ((PLAIN, "b"), (WITH_BACKREFERENCE, "ba")):
    seen[pattern] = [
        name
        for character, name in NAMES.items()
        if jsonschema_rs.is_valid({"pattern": pattern}, f"a{character}{end}")
    ]
    print(f"jsonschema-rs 0.61.2: in {pattern} the dot stands for", ", ".join(seen[pattern]))
expected = {PLAIN: ["x"], WITH_BACKREFERENCE: ["x", "CR", "U+2028", "U+2029"]}
sys.exit(0 if seen == expected else 1)
PY
