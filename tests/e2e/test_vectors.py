"""Published vectors through the installed package: the executable and the Python module.

The crates run the same files by themselves; here the whole way is run, from a log on the
disk to the printed result.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import independent
import pytest
from forge import Log, Signer, give_keys, seal
from support import Provara

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
BELIEFS: list[dict[str, Any]] = json.loads((VECTORS / "beliefs.json").read_text())["cases"]
# The same cases with their numbers as they stand in the file: `1` and `1.0` differ there.
TOKENS: list[dict[str, Any]] = independent.parse((VECTORS / "beliefs.json").read_bytes())["cases"]


def renamed(value: Any, names: dict[str, str]) -> Any:
    """The value with event ids replaced, in strings and in keys, numbers kept as tokens."""
    if isinstance(value, dict):
        return {renamed(key, names): renamed(member, names) for key, member in value.items()}
    if isinstance(value, list):
        return [renamed(member, names) for member in value]
    return names.get(value, value) if isinstance(value, str) else value


def state_hash(state: dict[str, Any]) -> str:
    """Section 6 of the format, recomputed: the four maps and the metadata without the hash."""
    hashed = independent.without(state, "metadata")
    hashed["metadata_partial"] = independent.without(state["metadata"], "state_hash")
    return hashlib.sha256(independent.token_preserving(hashed)).hexdigest()


@pytest.mark.parametrize("number", range(len(BELIEFS)))
def test_beliefs_through_the_executable(provara: Provara, vault: Path, number: int) -> None:
    """Each sequence becomes a signed log of its own. Ids are then content hashes, so they
    are replaced in the expected state, whose hash is recomputed; everything else is as
    published. Some sequences hold rotations that no honest log has: hence `--unverified`."""
    signer = Signer("beliefs")
    log = Log(signer)
    names: dict[str, str] = {}
    for event in TOKENS[number]["events"]:
        made = log.add(renamed(event, names))
        names[event["event_id"]] = made["event_id"]
    give_keys(vault, signer)
    log.write(vault)
    seal(vault, signer)
    published = independent.parse(TOKENS[number]["canonical_state_json"].encode())
    assert state_hash(published) == TOKENS[number]["state_hash"], "the recomputation is right"
    expected = renamed(published, names)
    expected["metadata"]["state_hash"] = state_hash(expected)
    outcome = provara.run("replay", vault, "--json", "--unverified")
    assert independent.parse(outcome.stdout.encode()) == expected


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
