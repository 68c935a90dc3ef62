"""Disclosures, read without running them: what is chosen, archives, and what others saw."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from disclosed import (
    CRATE,
    HOSTILE,
    Disclosed,
    Document,
    faults,
    in_page,
    parts,
)
from support import ROOT, Provara, assert_one_error, fingerprint
from test_anchors import first_proof, new_witness, sign
from test_proof_checker import canonical
from test_schemas import check
from test_time_stamps import Authority, needs_openssl
from ward import Ward


@pytest.fixture
def disclosed(provara: Provara, vault: Path, tmp_path: Path) -> Disclosed:
    return Disclosed(provara, vault, tmp_path)


def test_the_checker_in_archives_is_that_of_the_documentation() -> None:
    page = (ROOT / "docs" / "proofs.md").read_text("utf-8")
    block = re.search(r"^`check\.py`:\n\n```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert block is not None
    assert block[1] == (CRATE / "check.py").read_text("utf-8")


def test_a_page_is_checked_without_running_it(disclosed: Disclosed) -> None:
    before = fingerprint(disclosed.vault)
    told = disclosed.provara.run("verify-proof", disclosed.page, "--head", disclosed.head)
    assert "PROVEN" in told.stdout and "the page is as this version writes it" in told.stdout
    result = disclosed.provara.run(
        "verify-proof", disclosed.page, "--head", disclosed.head, "--json"
    ).json()
    assert [event["line"] for event in result["events"]] == [1, 5, 6, 7, 8]
    assert result["as_written"] is True and result["anchors"] == 0
    assert result["asked"].startswith(HOSTILE)
    assert fingerprint(disclosed.vault) == before
    # Whatever the page shows: the data speak.
    changed = disclosed.directory / "changed.html"
    changed.write_text(disclosed.text.replace(">25<", ">9000<", 1), "utf-8")
    assert changed.read_text("utf-8") != disclosed.text
    told = disclosed.provara.run("verify-proof", changed, "--head", disclosed.head)
    assert "believe what is printed here, not the page" in told.stdout
    again = disclosed.directory / "again.html"
    again.write_text(disclosed.text + disclosed.text, "utf-8")
    assert (
        "two elements"
        in disclosed.provara.run("verify-proof", again, "--head", disclosed.head, expect=1).stderr
    )
    again.write_text("<p>nothing</p>", "utf-8")
    assert not disclosed.ours(again)


def test_what_is_chosen(disclosed: Disclosed) -> None:
    provara, vault = disclosed.provara, disclosed.vault

    def lines(*how: str) -> list[int]:
        file = disclosed.directory / "chosen.html"
        provara.run("disclose", vault, *how, "--output", file, "--force")
        key = ("--root-key", root)
        found = provara.run("verify-proof", file, *key, "--json").json()
        return [event["line"] for event in found["events"]]

    root = provara.run("verify", vault, "--json").json()["verified"]["root_key_id"]
    query = provara.run("query", vault, "--type", "OBSERVATION", "--format", "ndjson").stdout
    ids = [json.loads(line)["event_id"] for line in query.split("\n") if line]
    assert lines("--where", "payload.value >= 25", "--actor", "nurse") == [1, 8, 9, 10]
    assert lines(ids[0], ids[3][:20]) == [1, 2, 5]
    assert lines("--after", "1h", "--type", "OBSERVATION") == list(range(1, 12))
    assert lines("--lines", "1-11") == list(range(1, 12))

    out = disclosed.directory / "none.html"
    before = fingerprint(vault)

    def refused(*how: str | Path, code: int = 2) -> str:
        outcome = provara.run("disclose", vault, *how, expect=code)
        assert_one_error(outcome)
        assert not out.exists() and fingerprint(vault) == before
        return outcome.stderr

    assert "No event" in refused("--where", "payload.value == 77", "--output", out)
    assert "not said which" in refused("--output", out)
    assert "more than one way" in refused("--lines", "1-2", "--actor", "nurse", "--output", out)
    assert ".html" in refused("--lines", "1-2", "--output", disclosed.directory / "e.pdf")
    refused("--lines", "1-2")
    refused("--lines", "1-2", "--output", vault / "e.html")
    refused("--lines", "3-99999999999999", "--output", out)
    refused("--lines", "2-1", "--output", out)
    refused("evt_" + "0" * 24, "--output", out)
    refused("--lines", "1-2", "--head", vault, "--output", out, code=3)
    refused("--lines", "1-2", "--output", disclosed.page, code=3)
    assert disclosed.page.read_text("utf-8") == disclosed.text


def test_the_archive(disclosed: Disclosed) -> None:
    archive = disclosed.directory / "evidence.zip"
    choose = ("--lines", "5-8", "--head", disclosed.head, "--asked", HOSTILE)
    disclosed.provara.run("disclose", disclosed.vault, *choose, "--output", archive)
    first = archive.read_bytes()
    disclosed.provara.run("disclose", disclosed.vault, *choose, "--output", archive, "--force")
    assert archive.read_bytes() == first
    told = disclosed.provara.run("verify-proof", archive, "--head", disclosed.head)
    assert "all else in the archive are as this version writes them" in told.stdout
    unpacked = disclosed.directory / "unpacked"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(unpacked)
    names = [
        "README.txt",
        "check.py",
        "events.proof",
        "evidence.html",
        "evidence.json",
        "tree.head",
    ]
    assert sorted(path.name for path in unpacked.iterdir()) == names
    assert (unpacked / "evidence.html").read_text("utf-8") == disclosed.text
    assert (unpacked / "tree.head").read_bytes() == disclosed.head.read_bytes()
    # Somebody who has Python alone.
    command = [sys.executable, "check.py", "events.proof", str(disclosed.head)]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=True)
    assert "line 8 OBSERVATION by nurse" in done.stdout
    for file in ("evidence.json", "evidence.html", "events.proof"):
        assert disclosed.ours(unpacked / file)

    def packed(change: Callable[[dict[str, bytes]], None]) -> Path:
        files = {path.name: path.read_bytes() for path in unpacked.iterdir()}
        change(files)
        file = disclosed.directory / "changed.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in files.items():
                out.writestr(name, content)
        return file

    assert disclosed.ours(packed(lambda files: None))
    noted = packed(lambda files: files.update({"check.py": b"print('these are in')"}))
    told = disclosed.provara.run("verify-proof", noted, "--head", disclosed.head)
    assert "do not run what is in it" in told.stdout
    for name in ("evidence.json", "evidence.html", "events.proof", "tree.head"):

        def without(files: dict[str, bytes], name: str = name) -> None:
            del files[name]

        def spoilt(files: dict[str, bytes], name: str = name) -> None:
            files[name] = files[name][:-3] + b"x\n"

        assert not disclosed.ours(packed(without)), name
        # What stands around the data of a page is noted, and no more.
        assert disclosed.ours(packed(spoilt)) == (name == "evidence.html"), name


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives(disclosed: Disclosed) -> None:
    document = canonical(disclosed.document).encode() + b"\n"
    file = disclosed.directory / "hostile.zip"

    def refused() -> str:
        outcome = disclosed.provara.run("verify-proof", file, "--head", disclosed.head, expect=None)
        assert outcome.code in (1, 2, 3) and outcome.stdout == "", outcome
        assert_one_error(outcome)
        return outcome.stderr

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("evidence.json", document)
        out.writestr("evidence.json", document)
    assert "two entries of one name" in refused()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        with out.open("evidence.json", "w", force_zip64=True) as entry:
            for _ in range(1024):
                entry.write(bytes(1 << 20))
    assert file.stat().st_size < 2 << 20
    refused()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("../evidence.json", document)
    refused()
    file.write_bytes(b"PK\x03\x04" + bytes(100))
    refused()


def disclosed_lines(provara: Provara, file: Path, *held: str | Path) -> Document:
    found: Document = provara.run("verify-proof", file, *held, "--json").json()
    check("verify-proof", found)
    return found


def test_the_latest_anchor_that_covers_the_events_comes_with_them(
    provara: Provara, tmp_path: Path
) -> None:
    ward = Ward(provara, tmp_path)
    key = new_witness(ward, 1)
    cosigned = tmp_path / "cosigned.head"
    sign(ward, 1, first_proof(ward), "--first", "--output", cosigned)
    provara.run("anchor", "add", ward.vault, cosigned)
    for value in range(2):
        ward.append(value)
    early, late = tmp_path / "early.html", tmp_path / "late.html"
    before = fingerprint(ward.vault)
    provara.run("disclose", ward.vault, "--lines", "3-4", "--output", early)
    provara.run("disclose", ward.vault, "--lines", "6-7", "--output", late)
    assert fingerprint(ward.vault) == before
    found = disclosed_lines(provara, early, "--witness", key)
    assert (found["size"], found["anchors"]) == (5, 1)
    assert [seen["by"] for seen in found["seen"]] == ["example.org/w1"]
    # The anchor covers other events: of these it says nothing, and a head of all is signed.
    found = disclosed_lines(provara, late, "--head", ward.tree_head("now.head"))
    assert (found["size"], found["anchors"]) == (7, 0)
    provara.run("verify-proof", late, "--witness", key, expect=1)
    # An anchor of a smaller tree that somebody puts beside the events.
    data = parts(early.read_text("utf-8"))[1]
    other = json.loads(parts(late.read_text("utf-8"))[1])
    other["anchors"] = json.loads(data)["anchors"]
    before_data, _, after = parts(late.read_text("utf-8"))
    late.write_text(before_data + in_page(canonical(other)) + after, "utf-8")
    refused = provara.run("verify-proof", late, "--head", tmp_path / "now.head", expect=1)
    assert "another tree head" in refused.stderr
    if shutil.which("node"):
        assert faults(data) == [""]
        assert "another tree head" in faults(in_page(canonical(other)))[0]
        spoilt = json.loads(data)
        content = base64.b64decode(spoilt["anchors"][0]["content"])
        spoilt["anchors"][0]["content"] = base64.b64encode(content[:-4] + b"AA=\n").decode()
        assert "anchor" in faults(in_page(canonical(spoilt)))[0]


@needs_openssl
def test_a_time_stamp_comes_with_the_events(provara: Provara, tmp_path: Path) -> None:
    ward = Ward(provara, tmp_path)
    authority, other = Authority(tmp_path / "tsa"), Authority(tmp_path / "other")
    reply = authority.stamp(ward.head)
    provara.run("anchor", "add", ward.vault, reply, "--head", ward.head)
    file = tmp_path / "evidence.zip"
    provara.run("disclose", ward.vault, "--lines", "3-4", "--output", file)
    head = ("--head", ward.head)
    found = disclosed_lines(provara, file, *head, "--tsa-cert", authority.root)
    assert [seen["by"] for seen in found["seen"]] == ["Test authority"]
    assert disclosed_lines(provara, file, *head)["seen"] == []
    refused = provara.run("verify-proof", file, *head, "--tsa-cert", other.root, expect=1)
    assert "No time-stamp" in refused.stderr
    provara.run("verify-proof", file, "--tsa-cert", authority.root, expect=2)
    if shutil.which("node"):
        with zipfile.ZipFile(file) as archive:
            assert faults(parts(archive.read("evidence.html").decode())[1]) == [""]
