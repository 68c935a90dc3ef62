"""Anchors and witnesses as their users have them: beside a witness that speaks C2SP tlog-witness, and a
reader that others wrote."""

from __future__ import annotations

import base64
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from support import PATIENCE, Outcome, Provara, fingerprint
from ward import Ward
from witness_server import Witness, key_hash


@pytest.fixture
def ward(provara: Provara, tmp_path: Path) -> Ward:
    return Ward(provara, tmp_path)


def new_witness(ward: Ward, number: int) -> str:
    key = ward.directory / f"w{number}"
    made = ward.provara.run("witness", "new", f"example.org/w{number}", "--key", key)
    return made.stdout.strip()


def sign(ward: Ward, number: int, file: Path, *more: str | Path, expect: int = 0) -> Outcome:
    directory = ward.directory
    words: list[str | Path] = [
        "--key",
        directory / f"w{number}",
        "--state",
        directory / f"seen{number}",
    ]
    return ward.provara.run("witness", "sign", file, *words, *more, expect=expect)


def first_proof(ward: Ward) -> Path:
    path = ward.directory / "first.proof"
    if not path.exists():
        ward.provara.run(
            "prove", ward.vault, "--lines", "1-1", "--head", ward.head, "--output", path
        )
    return path


# ------------------------------------------------------------------ cosigned heads


def test_a_cosignature_is_what_the_page_says(ward: Ward) -> None:
    """C2SP tlog-cosignature, read by `cryptography` alone."""
    before = int(time.time())
    key = new_witness(ward, 1)
    note = sign(ward, 1, first_proof(ward), "--first").stdout
    name, stated, encoded = key.split("+", 2)
    public = base64.b64decode(encoded)
    assert (public[0], len(public)) == (4, 33)
    assert stated == key_hash(name, 4, public[1:]).hex()
    text, _, signatures = note.partition("\n\n")
    assert note.startswith(ward.head.read_text())
    line = signatures.splitlines()[1]
    assert line.startswith(f"\u2014 {name} ")
    signature = base64.b64decode(line.split(" ")[2])
    assert signature[:4].hex() == stated
    (seconds,) = struct.unpack(">Q", signature[4:12])
    assert before <= seconds <= time.time()
    message = f"cosignature/v1\ntime {seconds}\n{text}\n".encode()
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[12:], message)
    assert (ward.directory / "w1").stat().st_mode & 0o777 == 0o600
    assert (ward.directory / "seen1").stat().st_mode & 0o777 == 0o700


def test_as_many_witnesses_as_are_asked_for(ward: Ward) -> None:
    keys = [new_witness(ward, number) for number in (1, 2, 3)]
    for number in (1, 2):
        cosigned = ward.directory / f"{number}.cosigned"
        sign(ward, number, first_proof(ward), "--first", "--output", cosigned)
        ward.provara.run("anchor", "add", ward.vault, cosigned)
    named = [word for key in keys for word in ("--witness", key)]
    ward.append(4)
    assert "as 2 of 3 witnesses say" in ward.verify(*named, "--witnesses", "2").stdout
    told = ward.verify(*named, expect=1).stdout
    assert "PROVARA_E020" in told
    assert "found     example.org/w1, example.org/w2" in told
    twice = ("--witness", keys[0], "--witness", keys[0], "--witnesses", "2")
    assert "that is one witness" in ward.verify(*twice, expect=2).stderr
    assert "asks for 4" in ward.verify(*named, "--witnesses", "4", expect=2).stderr
    ward.verify("--witness", keys[0][:-2], expect=2)
    report = ward.verify(*named, "--witnesses", "1", "--json").json()
    seen = [anchor["seen"][0]["by"] for anchor in report["anchors"]]
    assert sorted(seen) == ["example.org/w1", "example.org/w2"]
    # Who gets a proof for a cosigned head can hold it to the witness instead of a head of their own.
    cosigned, proof = ward.directory / "1.cosigned", ward.directory / "3.proof"
    ward.provara.run("prove", ward.vault, "--lines", "3-3", "--head", cosigned, "--output", proof)
    shown = ward.provara.run("verify-proof", proof, "--witness", keys[0], "--json").json()
    assert [seen["by"] for seen in shown["seen"]] == ["example.org/w1"]
    refused = ward.provara.run("verify-proof", proof, "--witness", keys[1], expect=1)
    assert "too few of the witnesses" in refused.stderr


def test_two_departments_are_each_others_witness(ward: Ward) -> None:
    """What the page tells them to put into cron, three nights."""
    key = new_witness(ward, 1)
    cosigned = ward.directory / "ward.cosigned"
    sign(ward, 1, first_proof(ward), "--first", "--output", cosigned)
    ward.provara.run("anchor", "add", ward.vault, cosigned)
    for night in range(3):
        ward.append(10 + night)
        head, proof = ward.tree_head(f"{night}.head"), ward.directory / f"{night}.proof"
        ward.provara.run("prove", ward.vault, "--from", cosigned, "--head", head, "--output", proof)
        sign(ward, 1, proof, "--output", cosigned, "--force")
        ward.provara.run("anchor", "add", ward.vault, cosigned)
    assert "the first 8 of its 8 events" in ward.verify("--witness", key).stdout
    listed = ward.provara.run("anchor", "list", ward.vault, "--json").json()["anchors"]
    assert [anchor["events"] for anchor in listed] == [5, 6, 7, 8]
    # An earlier proof, as a copy that was put back would make it, is not cosigned.
    refused = sign(ward, 1, first_proof(ward), "--first", expect=1)
    assert "is of an earlier state" in refused.stderr


def test_what_is_in_the_way_is_told_and_changes_nothing(ward: Ward) -> None:
    key = new_witness(ward, 1)
    proof = first_proof(ward)
    assert "--root-key" in sign(ward, 1, proof, expect=2).stderr
    sign(ward, 1, proof, "--root-key", "bp1_0123456789abcdef", expect=1)
    assert (
        "no private key of a witness"
        in ward.provara.run(
            "witness", "sign", proof, "--key", ward.head, "--state", ward.directory / "x", expect=2
        ).stderr
    )
    again = ward.provara.run(
        "witness", "new", "example.org/w1", "--key", ward.directory / "w1", expect=3
    )
    assert "not there yet" in again.stderr
    ward.provara.run("witness", "new", "a b", "--key", ward.directory / "y", expect=2)
    before = fingerprint(ward.vault)
    for file in (ward.head, proof, Path("/dev/null")):
        ward.provara.run("anchor", "add", ward.vault, file, expect=2)
    ward.provara.run("anchor", "add", ward.vault, ward.directory / "absent", expect=3)
    assert fingerprint(ward.vault) == before
    ward.verify("--witness", key, expect=1)


def test_anchors_are_read_up_to_a_bound(ward: Ward) -> None:
    """Seventeen files of four MiB: one is beyond the 64 MiB that are read, and each is told."""
    directory = ward.vault / "anchors"
    directory.mkdir()
    for number in range(17):
        (directory / f"{number:010}-0123456789abcdef.event").write_bytes(b" " * (4 << 20))
    ward.provara.run("manifest", ward.vault)
    told = ward.verify("--all", expect=1).stdout
    assert "or more than 64 MiB of them: 1 were not looked at" in told
    assert told.count("PROVARA_E019") == 17


def test_a_killed_witness_has_given_out_no_more_than_it_remembers(ward: Ward) -> None:
    """Kills at random moments: whatever was printed whole is remembered."""
    new_witness(ward, 1)
    sign(ward, 1, first_proof(ward), "--first")
    state, chance = ward.directory / "seen1", random.Random(20261201)
    last, printed = ward.head, 0
    for number in range(40):
        ward.append(number)
        head, proof = ward.tree_head(f"{number}.head"), ward.directory / f"{number}.proof"
        ward.provara.run("prove", ward.vault, "--from", last, "--head", head, "--output", proof)
        words = ["witness", "sign", proof, "--key", ward.directory / "w1", "--state", state]
        process = subprocess.Popen(
            [str(ward.provara.executable), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ward.provara.environment,
        )
        time.sleep(chance.uniform(0, 0.006))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=PATIENCE)
        origin = head.read_text().splitlines()[0]
        seen = ward.provara.run("witness", "last", origin, "--state", state).stdout
        assert seen in (last.read_text(), head.read_text())
        if output.endswith(b"\n") and b"example.org/w1 " in output:
            printed += 1
            assert seen == head.read_text()
        # It goes on, from whichever of the two it remembers.
        again = sign(ward, 1, proof if seen == last.read_text() else head)
        assert head.read_text() in again.stdout
        last = head
    print(f"{printed} of 40 were printed before the kill")


# ------------------------------------------------------------------ witnesses of others


@contextmanager
def listening(witness: Witness) -> Iterator[str]:
    server, address = witness.serve()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


def introduced(ward: Ward, witness: Witness, address: str) -> None:
    """Tells a witness of the vault, as its operator does with the key that the command prints."""
    told = ward.provara.run(
        "witness", "request", address, ward.vault, "--witness", witness.verifier_key, expect=3
    )
    assert "does not know the origin" in told.stderr
    keys = [word for word in told.stderr.split() if word.startswith("provara/")]
    witness.trust(next(key for key in keys if key.count("+") >= 2))


def test_a_witness_of_somebody_else_is_asked(ward: Ward) -> None:
    witness = Witness()
    ask = ("--witness", witness.verifier_key)
    with listening(witness) as address:
        introduced(ward, witness, address)
        ward.provara.run("witness", "request", address, ward.vault, *ask)
        assert [status for status, _ in witness.requests] == [404, 200]
        for value in range(5):
            ward.append(value)
            ward.provara.run("witness", "request", address + "/", ward.vault, *ask)
        # The anchors tell what the witness has seen: each is one request.
        assert [status for status, _ in witness.requests] == [404] + [200] * 6
        # Where they do not, the witness does.
        shutil.rmtree(ward.vault / "anchors")
        ward.provara.run("manifest", ward.vault)
        ward.append(6)
        ward.provara.run("witness", "request", address, ward.vault, *ask)
        assert [status for status, _ in witness.requests][-2:] == [409, 200]
    told = ward.verify(*ask).stdout
    assert "events existed before 2023-11-14T22:13:21" in told
    refused = ward.provara.run("witness", "request", address, ward.vault, *ask, expect=3)
    assert "was not reached" in refused.stderr


def test_a_witness_that_has_seen_more_or_other_is_evidence(ward: Ward) -> None:
    witness = Witness()
    ask = ("--witness", witness.verifier_key)
    earlier = ward.directory / "earlier"
    shutil.copytree(ward.vault, earlier)
    with listening(witness) as address:
        introduced(ward, witness, address)
        ward.append(4)
        ward.provara.run("witness", "request", address, ward.vault, *ask)
        elsewhere = ward.provara.with_environment(XDG_STATE_HOME=str(ward.directory / "s2"))
        words = ("witness", "request", address, earlier, *ask, "--head", ward.head)
        told = elsewhere.run(*words, expect=1).stderr
        assert "has seen 6 events" in told
        assert "earlier state" in told
        (origin,) = witness.seen
        witness.seen[origin] = (witness.seen[origin][0], bytes(32))
        told = ward.provara.run("witness", "request", address, ward.vault, *ask, expect=1).stderr
        assert "another state" in told


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda line: "", "no cosignature"),
        (lambda line: "no line\n", "no cosignature"),
        (lambda line: line.replace("/w1", "/w2"), "no cosignature of the key"),
        (lambda line: line[:-4] + "AA=\n", "does not verify"),
        (lambda line: changed(line), "does not verify"),
        (lambda line: "x" * 70_000, "was not reached"),
    ],
    ids=["empty", "no line", "another name", "cut", "forged", "endless"],
)
def test_an_answer_that_is_no_cosignature_is_not_kept(
    ward: Ward, answer: object, said: str
) -> None:
    witness = Witness()
    ask = ("--witness", witness.verifier_key)
    with listening(witness) as address:
        introduced(ward, witness, address)
        assert callable(answer)
        witness.answer = answer
        before = fingerprint(ward.vault)
        refused = ward.provara.run("witness", "request", address, ward.vault, *ask, expect=3)
        assert said in refused.stderr, refused
        assert fingerprint(ward.vault) == before
        # Lines of others beside its own are passed over.
        witness.answer = lambda line: line.replace("/w1", "/w2") + line
        ward.provara.run("witness", "request", address, ward.vault, *ask)


def changed(line: str) -> str:
    start, encoded = line.rstrip("\n").rsplit(" ", 1)
    signature = bytearray(base64.b64decode(encoded))
    signature[30] ^= 1
    return f"{start} {base64.b64encode(bytes(signature)).decode()}\n"


@pytest.mark.parametrize("moment", ["asked", "kept", "answered"])
def test_a_request_that_is_killed_is_made_again(ward: Ward, moment: str) -> None:
    """Killed before the witness keeps the head, after that, and before the anchor is in the vault."""
    witness = Witness()
    ask = ("--witness", witness.verifier_key)
    with listening(witness) as address:
        introduced(ward, witness, address)
        ward.provara.run("witness", "request", address, ward.vault, *ask)
        ward.append(7)
        words = ["witness", "request", address, str(ward.vault), *ask]
        asking: list[subprocess.Popen[bytes]] = []

        def kill(at: str) -> None:
            time.sleep(0.05)
            if at == moment:
                asking[0].send_signal(signal.SIGKILL)
                asking[0].wait(timeout=PATIENCE)

        witness.hook = kill
        process = subprocess.Popen(
            [str(ward.provara.executable), *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ward.provara.environment,
        )
        asking.append(process)
        if moment == "answered":
            before = len(witness.requests)
            deadline = time.monotonic() + PATIENCE
            while len(witness.requests) == before and time.monotonic() < deadline:
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
        witness.hook = lambda at: None
        ward.provara.run("witness", "request", address, ward.vault, *ask)
    assert "of its 6 events existed" in ward.verify(*ask).stdout
    ward.verify("--strict")
