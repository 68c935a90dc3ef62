"""The oracle itself: published vectors, judged vaults, and vaults of the independent writer.

A judge that accepts everything would make every test that relies on it pass, and one that refuses
everything would hide what the product accepts: both are looked for.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle
import pytest
import tree
import writing
from forge import Signer
from names import KEYS, LOG, SIGNATURE
from oracle_log import Judge
from writing import Files, Writer

TESTS = Path(__file__).resolve().parents[1]
VECTORS = json.loads((TESTS / "vectors" / "event_tree.json").read_text())
ROOT_KEY, QUORUM, NEW, ADDED, STRANGER = (
    Signer(word) for word in ("root", "quorum", "new", "added", "stranger")
)

#: The leaves of the published example of Certificate Transparency, and the roots of the trees over
#: the first 1, 2, … 8 of them (RFC 6962 reference implementation, `merkle_tree_test`).
CT_INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


# ------------------------------------------------------------------- the tree


def test_the_published_trees() -> None:
    leaves = [tree.leaf_hash(bytes.fromhex(each)) for each in CT_INPUTS]
    assert [tree.root(leaves[:size]).hex() for size in range(1, 9)] == CT_ROOTS
    assert [root.hex() for root in tree.grown(leaves)] == CT_ROOTS
    assert tree.root([]).hex() == hashlib.sha256(b"").hexdigest()


def test_leaves_and_roots_of_the_vectors() -> None:
    lines = [line.encode() for line in VECTORS["lines"]]
    originals = [
        json.loads(line)["payload"]["original_payload_hash"]
        if at in VECTORS["tombstones"]
        else None
        for at, line in enumerate(lines)
    ]
    pairs = list(zip(lines, originals, strict=True))
    assert [tree.preimage(*pair).decode() for pair in pairs] == VECTORS["preimages"]
    leaves = [tree.leaf(*pair) for pair in pairs]
    assert [each.hex() for each in leaves] == VECTORS["leaves"]
    assert [tree.root(leaves[:size]).hex() for size in range(1, 8)] == VECTORS["roots"]
    assert [root.hex() for root in tree.grown(leaves)] == VECTORS["roots"]
    before = VECTORS["line_2_before"].encode()
    assert tree.leaf(before).hex() == VECTORS["leaves"][2]
    bare = VECTORS["bare"]
    assert tree.preimage(bare["line"].encode()).decode() == bare["preimage"]
    assert tree.leaf(bare["line"].encode()).hex() == bare["leaf"]


def test_the_oracle_finds_the_leaves_of_the_vectors() -> None:
    """The lines of the vectors are a log: which of them is a tombstone follows from them."""
    judged = Judge({LOG: writing.joined(line.encode() for line in VECTORS["lines"])})
    judged.judge()
    assert [leaf.hex() for leaf in judged.leaves()] == VECTORS["leaves"]


@pytest.mark.parametrize(
    "module", ["oracle", "oracle_line", "oracle_keys", "oracle_log", "oracle_seal", "names", "tree"]
)
def test_it_imports_nothing_of_the_project(module: str) -> None:
    """Nor does it share more than names with the writer that it is tried on."""
    parsed = ast.parse(Path(sys.modules[module].__file__ or "").read_text())
    imported = set()
    for each in ast.walk(parsed):
        if isinstance(each, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            imported.add(str(each.module).split(".")[0])
    own = {name for name in imported if name.startswith("oracle")}
    assert imported - set(sys.stdlib_module_names) - own <= {"names", "primitives", "tree"}


# ----------------------------------------------------------------- judged vaults


def judged_vaults() -> list[tuple[str, str]]:
    with open(TESTS / "corpus" / "INDEX.tsv", newline="") as file:
        return [(row["name"], row["expected"]) for row in csv.DictReader(file, delimiter="\t")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("corpus")
    with tarfile.open(TESTS / "corpus" / "vaults.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return directory


@pytest.mark.parametrize(("name", "expected"), judged_vaults())
def test_the_judged_vaults(corpus: Path, name: str, expected: str) -> None:
    """None of them is marked: what the page says of such vaults still holds."""
    files = oracle.read(corpus / name)
    verdict = oracle.judge(files)
    assert not verdict.marked
    if expected == "invalid":
        assert not verdict.valid or verdict.unsure, str(verdict)
    else:
        assert verdict.valid, str(verdict)


# ----------------------------------------------------- what the writer makes


def everything() -> Writer:
    """A marked vault with one of each."""
    writer = Writer(ROOT_KEY, QUORUM)
    writer.append("alice", {"a": 1})
    writer.batch([("bob", {"b": 1}), ("carol", {"c": 1}), ("bob", {"b": 2})])
    writer.state_files({"artifacts/a.bin": b"artifact"})
    target = writer.append("bob", {"secret": "é"})
    lines = writing.lines_of(writer.files[LOG])
    writer.redact(target, tree.leaf(lines[-1]).hex())
    writer.add_key(ADDED, ROOT_KEY, "attestation")
    writer.append("dora", {"d": 1}, ADDED)
    writer.adopt()
    writer.rotate(ROOT_KEY, NEW, QUORUM)
    writer.append("alice", {"a": 2}, NEW)
    return writer


def test_every_state_of_an_honest_vault_is_valid() -> None:
    writer = everything()
    for files in writer.states:
        verdict = oracle.judge(files)
        assert verdict.valid and verdict.warned <= {"W001", "W003"}, str(verdict)
        assert verdict.standing in ("current", "continued")
    assert oracle.judge(writer.files).standing == "current"
    assert len(writer.states) > 20


def test_an_adopted_vault() -> None:
    writer = Writer(ROOT_KEY, QUORUM, marked=False)
    writer.append("alice", {"a": 1})
    assert not oracle.judge(writer.files).marked
    assert oracle.judge(writer.files).valid
    writer.adopt()
    writer.append("alice", {"a": 2})
    verdict = oracle.judge(writer.files)
    assert verdict.marked and verdict.valid and verdict.standing == "current", str(verdict)


Change = Callable[[Files], Any]


def relisted(change: Change) -> Change:
    def both(files: Files) -> None:
        change(files)
        writing.relist(files, writing.Clock(10**12).now())

    return both


def sealed_by(change: Change, signer: Signer) -> Change:
    def both(files: Files) -> None:
        change(files)
        writing.reseal(files, signer, writing.Clock(10**12).now())

    return both


def drop_line(number: int) -> Change:
    def change(files: Files) -> None:
        lines = writing.lines_of(files[LOG])
        del lines[number]
        files[LOG] = writing.joined(lines)

    return change


def list_key(signer: Signer) -> Change:
    def change(files: Files) -> None:
        document = json.loads(files[KEYS])
        document["keys"].append(signer.entry())
        files[KEYS] = (json.dumps(document, indent=2) + "\n").encode()

    return change


def edit_tombstone(old: bytes, new: bytes) -> Change:
    def change(files: Files) -> None:
        lines = writing.lines_of(files[LOG])
        at = next(i for i, line in enumerate(lines) if b'"redacted":true' in line)
        assert old in lines[at]
        lines[at] = lines[at].replace(old, new)
        files[LOG] = writing.joined(lines)

    return change


def without(path: str) -> Change:
    def change(files: Files) -> None:
        del files[path]

    return change


def put(path: str, data: bytes) -> Change:
    def change(files: Files) -> None:
        files[path] = data

    return change


FORGERIES: dict[str, tuple[Change, str]] = {
    "the last line dropped": (relisted(drop_line(-1)), "E015"),
    "an actor's only event dropped": (relisted(drop_line(4)), "E015"),
    "seal removed": (without(SIGNATURE), "E014"),
    "sealed by a listed key": (sealed_by(list_key(STRANGER), STRANGER), "E205"),
    "sealed by the revoked key": (sealed_by(lambda files: None, ROOT_KEY), "E202"),
    "a key listed": (relisted(list_key(STRANGER)), "E302"),
    "an artifact changed": (relisted(put("artifacts/a.bin", b"evil")), "E015"),
    "an artifact added": (relisted(put("artifacts/b.bin", b"evil")), "E015"),
    "an artifact added, not listed": (put("artifacts/b.bin", b"evil"), "E302"),
    "an artifact gone": (relisted(without("artifacts/a.bin")), "E015"),
    "the time of the manifest": (
        lambda files: writing.relist(files, writing.Clock(10**12).now()),
        "E012",
    ),
    "the tombstoned line's type": (
        relisted(edit_tombstone(b"com.acme.note.taken", b"com.acme.note.other")),
        "E016",
    ),
    "the tombstone's hash": (
        relisted(edit_tombstone(writing.sha256(b'{"secret":"\xc3\xa9"}').encode(), b"0" * 64)),
        "E016",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_found(name: str) -> None:
    change, code = FORGERIES[name]
    files = dict(everything().files)
    change(files)
    verdict = oracle.judge(files)
    assert code in verdict.codes, str(verdict)
