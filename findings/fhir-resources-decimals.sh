#!/usr/bin/env bash
# FHIR R5 (datatypes, decimal) says that the precision of a decimal has meaning: 0.010 is not 0.01, and implementations
# must keep it. fhir.resources 8.3.0 reads a value of a Quantity and writes it with fewer digits, or as another number.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary fhir.resources==8.3.0 fhir-core==1.1.12
"$dir/venv/bin/python" - <<'PY'
import sys

from fhir.resources.observation import Observation

START = "{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"},\"valueQuantity\":{\"value\":"
changed = 0
for token, expected in (("6.30", "6.3"), ("1.00000000000000000001", "1.0")):
    written = Observation.model_validate_json(START + token + "}}").model_dump_json()
    value = written.split("\"value\":")[1].rstrip("}")
    print("fhir.resources 8.3.0:", token, "->", value)
    changed += value == expected
sys.exit(0 if changed == 2 else 1)
PY
