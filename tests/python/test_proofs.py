"""Tree heads and proofs: ``provara.proofs``, and what ``provara.Vault`` has of them."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import provara
import pymerkle  # type: ignore[import-untyped]
import pytest
from provara import Vault
from provara.errors import InvalidEvidenceError, UsageError
from provara.proofs import TreeHead, verify_proof
from test_vault import tree

#: What stands for no range of lines.
WRONG_LINES: tuple[Any, ...] = (
    (0, 1),
    (3, 2),
    (-1, 2),
    (1,),
    (1, 2, 3),
    ("1", "2"),
    3,
    (1, 1 << 64),
)
OBSERVATION: dict[str, Any] = {"subject": "door", "predicate": "state"}


@pytest.fixture
def kept(vault: Vault) -> tuple[Vault, TreeHead, TreeHead]:
    """A vault, and two tree heads that were kept of it, over five events and over six."""
    for value in range(3):
        vault.append("OBSERVATION", OBSERVATION | {"value": value})
    first = vault.tree_head(copy="ward-3")
    vault.append("OBSERVATION", OBSERVATION | {"value": "shut"})
    return vault, first, vault.tree_head()


def ids(vault: Vault) -> list[str]:
    return [event["event_id"] for event in vault.events()]


def root_key(vault: Vault) -> str:
    return str(next(vault.events())["actor_key_id"])


def other_vault(tmp_path: Path) -> Vault:
    return Vault.init(tmp_path / "other", uid="other")


def test_a_tree_head_is_what_the_vault_holds(kept: tuple[Vault, TreeHead, TreeHead]) -> None:
    vault, first, second = kept
    before = tree(vault.path)
    assert (first.size, second.size) == (5, 6)
    assert first.origin == second.origin
    assert first.origin.endswith("/ward-3")
    assert first.note.splitlines()[:2] == [first.origin, "5"]
    assert str(first) == first.note
    assert TreeHead.parse(first.note) == first
    assert vault.tree_head() == second
    assert vault.verify(strict=True, heads=[first, second]).valid
    assert vault.verify(heads=first, root_keys=root_key(vault)).valid  # type: ignore[arg-type]
    assert vault.verify(heads=iter([first]), root_keys=["bp1_" + "0" * 16, root_key(vault)]).valid
    assert tree(vault.path) == before


def test_a_tree_head_from_a_file(kept: tuple[Vault, TreeHead, TreeHead], tmp_path: Path) -> None:
    file = tmp_path / "head"
    file.write_text(kept[1].note, encoding="utf-8")
    assert TreeHead.read(file) == kept[1]
    assert TreeHead.read(str(file)) == kept[1]
    for wrong in (b"", b"\xff", kept[1].note.encode()[:-9], kept[1].note.encode() * 2):
        file.write_bytes(wrong)
        with pytest.raises(UsageError, match="no tree head"):
            TreeHead.read(file)
    with pytest.raises(FileNotFoundError):
        TreeHead.read(tmp_path / "nowhere")


def test_a_vault_that_is_not_what_was_kept(
    kept: tuple[Vault, TreeHead, TreeHead], tmp_path: Path
) -> None:
    vault, first, second = kept
    other = other_vault(tmp_path)

    def codes(report: provara.Report) -> list[str]:
        assert not report.valid
        return [finding.code for finding in report.findings]

    assert codes(other.verify(heads=[first])) == ["PROVARA_E017"]
    assert codes(vault.verify(heads=[first, other.tree_head()])) == ["PROVARA_E017"]
    assert codes(vault.verify(root_keys=[root_key(other)])) == ["PROVARA_E207"]
    changed = TreeHead.parse(second.note.replace("\n6\n", "\n5\n"))
    assert codes(vault.verify(heads=[changed])) == ["PROVARA_E018"]
    # The verdict without any is not touched by them.
    assert vault.verify().valid


def test_heads_of_a_copy_do_not_contradict_each_other(
    kept: tuple[Vault, TreeHead, TreeHead], tmp_path: Path
) -> None:
    vault, first, _ = kept
    with pytest.raises(UsageError, match="and so not as 'other'"):
        vault.tree_head(copy="other")
    with pytest.raises(UsageError, match="lower-case"):
        vault.tree_head(copy="Ward 3", break_heads=True)
    with pytest.raises(UsageError, match="key id"):
        vault.tree_head(key_id="me")
    with pytest.raises(UsageError, match="not a str"):
        vault.tree_head(continues=first.note)  # type: ignore[arg-type]
    anew = vault.tree_head(copy="other", break_heads=True)
    assert anew.origin.endswith("/other")
    assert vault.verify(heads=[first, anew]).valid
    broken = other_vault(tmp_path)
    with pytest.raises(InvalidEvidenceError, match="does not go on from"):
        broken.tree_head(continues=first)


def test_events_are_proven(kept: tuple[Vault, TreeHead, TreeHead]) -> None:
    vault, first, second = kept
    known = ids(vault)
    for number, event_id in enumerate(known):
        proof = vault.prove(event_id, head=second)
        proven = verify_proof(proof, head=second, root_keys=[root_key(vault)])
        assert [event.line for event in proven.events] == sorted({1, number + 1})
        assert proven.events[-1].event_id == event_id
        assert (proven.head, proven.older) == (second, None)
        assert proven.signed_by == proven.root_key == root_key(vault)
        assert verify_proof(proof.decode(), root_keys=root_key(vault)) == proven
    proof = vault.prove(head=first, lines=(2, 4))
    proven = verify_proof(proof, head=first)
    assert [event.line for event in proven.events] == [1, 2, 3, 4]
    assert [event.event_id for event in proven.events] == known[:4]
    assert [event.brings_keys for event in proven.events] == [True, False, False, False]
    several = verify_proof(vault.prove(known[4], known[2], head=first), head=first)
    assert [event.line for event in several.events] == [1, 3, 5]


def test_a_tree_head_goes_on_from_another(kept: tuple[Vault, TreeHead, TreeHead]) -> None:
    vault, first, second = kept
    proof = vault.prove_consistency(first, second)
    proven = verify_proof(proof, head=first)
    assert (proven.older, proven.head) == (first, second)
    with pytest.raises(InvalidEvidenceError, match="another tree head"):
        verify_proof(proof, head=second)
    with pytest.raises(UsageError, match="goes on from none"):
        vault.prove_consistency(second, first)
    with pytest.raises(UsageError, match="not a str"):
        vault.prove_consistency(first.note, second)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two tree heads"):
        vault.prove_consistency(first, None)  # type: ignore[arg-type]


def test_a_proof_of_something_else(kept: tuple[Vault, TreeHead, TreeHead], tmp_path: Path) -> None:
    vault, first, second = kept
    other = other_vault(tmp_path)
    proof = vault.prove(ids(vault)[3], head=first)
    with pytest.raises(InvalidEvidenceError, match="another tree head"):
        verify_proof(proof, head=second)
    with pytest.raises(InvalidEvidenceError, match="not made by"):
        verify_proof(proof, root_keys=[root_key(other)])
    lines = vault.log_path.read_text().splitlines()
    exchanged = proof.replace(json.dumps(lines[3]).encode(), json.dumps(lines[2]).encode())
    assert exchanged != proof
    with pytest.raises(InvalidEvidenceError, match="not those of the tree head"):
        verify_proof(exchanged, head=first)
    for wrong in (b"", b"{}", proof[:-2], proof + b"\n", b"\xff"):
        with pytest.raises(InvalidEvidenceError, match="no proof"):
            verify_proof(wrong, head=first)
    with pytest.raises(InvalidEvidenceError, match="does not begin with"):
        vault.prove(head=other.tree_head(), lines=(1, 2))
    with pytest.raises(UsageError, match="is among the 5"):
        vault.prove(ids(vault)[5], head=first)
    with pytest.raises(UsageError, match="lines 1 to 5"):
        vault.prove(head=first, lines=(5, 6))


def test_arguments_that_are_none(kept: tuple[Vault, TreeHead, TreeHead]) -> None:
    vault, first, _ = kept
    event_id = ids(vault)[2]
    proof = vault.prove(event_id, head=first)
    note: Any = first.note
    for lines in WRONG_LINES:
        with pytest.raises(UsageError, match="lines"):
            vault.prove(head=first, lines=lines)
    wrong_id: Any
    for wrong_id in ("evt_1", 7, None, b"evt"):
        with pytest.raises(UsageError):
            vault.prove(wrong_id, head=first)
    prove: Callable[[], bytes]
    for prove in (
        lambda: vault.prove(event_id, head=first, lines=(1, 2)),
        lambda: vault.prove(head=first),
        lambda: vault.prove(event_id, head=note),
        lambda: vault.prove(event_id, head=None),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            prove()
    for verify in (
        lambda: vault.verify(heads=[note]),
        lambda: vault.verify(heads=note),
        lambda: vault.verify(root_keys=["bp1_"]),
        lambda: vault.verify(root_keys=[7]),  # type: ignore[list-item]
        lambda: verify_proof(proof),
        lambda: verify_proof(proof, root_keys=[]),
        lambda: verify_proof(proof, root_keys=["me"]),
        lambda: verify_proof(proof, head=note),
        lambda: verify_proof(7, head=first),  # type: ignore[arg-type]
        lambda: verify_proof(None, head=first),  # type: ignore[arg-type]
        lambda: verify_proof(proof, head=first, root_keys=[None]),  # type: ignore[list-item]
        lambda: TreeHead.parse(first.note.encode()),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            verify()


def preimage(line: str) -> bytes:
    """What is hashed to the leaf of a line that is no tombstone (spec/VAULT_FORMAT, section 5)."""
    members = json.loads(line)
    payload = json.dumps(
        members["payload"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert line.count(f'"payload":{payload}') == 1
    digest = hashlib.sha256(payload.encode()).hexdigest()
    return line.replace(f'"payload":{payload}', f'"payload":"{digest}"').encode()


def test_pymerkle_has_the_trees_of_the_heads(tmp_path: Path) -> None:
    """A library of others: the same leaves, the same roots, and proofs that hold between them."""
    vault = Vault.init(tmp_path / "v")
    heads = [vault.tree_head()]
    for value in range(20):
        vault.append("OBSERVATION", OBSERVATION | {"value": value})
        heads.append(vault.tree_head())
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    lines = vault.log_path.read_text("utf-8").splitlines()
    for line in lines:
        theirs.append_entry(preimage(line))
    for head in heads:
        assert theirs.get_root(head.size).hex() == head.root
    root = bytes.fromhex(heads[-1].root)
    for index, line in enumerate(lines, 1):
        leaf = hashlib.sha256(b"\0" + preimage(line)).digest()
        proof = theirs.prove_inclusion(index)
        pymerkle.verify_inclusion(leaf, root, proof, index=index, size=heads[-1].size)
        with pytest.raises(pymerkle.InvalidProof):
            pymerkle.verify_inclusion(hashlib.sha256(leaf).digest(), root, proof)
    # Of the first event alone, the digests of our proof are those on its way to the root.
    first = json.loads(vault.prove(ids(vault)[0], head=heads[-1]))
    digests = {base64.b64decode(text, validate=True) for text in first["proof"]}
    assert digests == set(theirs.prove_inclusion(1).path[1:])
    for at, old in enumerate(heads):
        for new in heads[at:]:
            proof = theirs.prove_consistency(old.size, new.size)
            roots = bytes.fromhex(old.root), bytes.fromhex(new.root)
            pymerkle.verify_consistency(*roots, proof, prior_size=old.size, later_size=new.size)
            with pytest.raises(pymerkle.InvalidProof):
                pymerkle.verify_consistency(bytes(32), roots[1], proof)
            assert verify_proof(vault.prove_consistency(old, new), head=old).head == new


def test_a_disclosure_is_read_and_not_run(
    kept: tuple[Vault, TreeHead, TreeHead], tmp_path: Path
) -> None:
    vault, first, _ = kept
    (tmp_path / "head").write_text(first.note, "utf-8")
    choose = ["--lines", "3-4", "--head", str(tmp_path / "head"), "--asked", "the doors"]
    for name in ("evidence.html", "evidence.zip"):
        file = tmp_path / name
        executable = Path(sys.executable).parent / "provara"
        command = [str(executable), "disclose", str(vault.path), *choose, "--output", str(file)]
        subprocess.run(command, check=True, capture_output=True)
        given = file.read_bytes()
        proven = verify_proof(given, head=first)
        assert [event.line for event in proven.events] == [1, 3, 4]
        assert proven.as_written is True
        assert proven.asked == "the doors\n\nThe events in lines 3 to 4 of the log."
        with pytest.raises(InvalidEvidenceError):
            verify_proof(given[:3000], head=first)
    page = (tmp_path / "evidence.html").read_bytes()
    assert verify_proof(page.replace(b"Not checked", b"Checked"), head=first).as_written is False
    with pytest.raises(InvalidEvidenceError, match="not those of the tree head"):
        verify_proof(page.replace(rb"\"actor\":", rb"\"actol\":"), head=first)
    proof = verify_proof(vault.prove(ids(vault)[2], head=first), head=first)
    assert (proof.asked, proof.as_written) == (None, None)
