"""Published vectors through the installed package: the executable and the Python module.

The crates run the same files by themselves; here the whole way is run, from a log on the
disk to the printed result.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import primitives
import pytest
from forge import Log, Signer, give_keys, seal
from specification import published
from support import HERE, Provara

VECTORS = HERE.parent / "vectors"
BELIEFS: list[dict[str, Any]] = json.loads((VECTORS / "beliefs.json").read_text())["cases"]
# The same cases with their numbers as they stand in the file: `1` and `1.0` differ there.
TOKENS: list[dict[str, Any]] = primitives.parse((VECTORS / "beliefs.json").read_bytes())["cases"]


@pytest.mark.parametrize("part", ["corpus", "vectors"])
def test_the_copies_are_as_published(part: str) -> None:
    """All files but the READMEs, which are ours."""
    if not published(part).is_dir():
        pytest.skip("the originals are not here; PROVARA_SPEC_DIR leads to them (2026-11-22)")
    names = {path.name for path in published(part).iterdir()} - {"README.md"}
    assert names
    for name in names:
        ours = (HERE.parent / part / name).read_bytes()
        assert ours == (published(part) / name).read_bytes(), name


@pytest.mark.parametrize("number", range(len(BELIEFS)))
def test_beliefs_through_the_executable(provara: Provara, vault: Path, number: int) -> None:
    """Each sequence becomes a log of its own, which keeps the published ids. They are no content
    hashes, and some sequences hold rotations that no honest log has: hence `--unverified`."""
    signer = Signer("beliefs")
    log = Log(signer)
    for event in TOKENS[number]["events"]:
        log.add(event)
    give_keys(vault, signer)
    log.write(vault)
    seal(vault, signer)
    outcome = provara.run("replay", vault, "--json", "--unverified")
    assert outcome.stdout == TOKENS[number]["canonical_state_json"] + "\n"


@pytest.mark.parametrize("number", range(len(BELIEFS)))
def test_beliefs_from_python(number: int) -> None:
    import provara as package

    case = BELIEFS[number]
    state = package.beliefs(case["events"])
    assert state == json.loads(case["canonical_state_json"])
    assert state["metadata"]["state_hash"] == case["state_hash"]


def test_the_reducer_vector_from_python() -> None:
    import provara as package

    vectors = json.loads((VECTORS / "provara_vectors.json").read_text())["vectors"]
    (case,) = [vector for vector in vectors if vector["id"] == "reducer_determinism_01"]
    assert package.beliefs(case["input"])["metadata"]["state_hash"] == case["expected"]
