"""Disclosures: chosen events for somebody who has only a browser.

The checker of the page runs in Chromium as a reader has it, and in Node, where thousands of changed
pages are cheap. It is held to `verify-proof` and to the checker of docs/proofs.md: what one refuses,
all refuse.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page, browser, chromium
from support import ROOT, Provara, assert_one_error, fingerprint
from test_anchors import first_proof, new_witness, sign
from test_proof_checker import CHANGES, TOMBSTONE, canonical, payload
from test_schemas import check
from test_time_stamps import Authority, needs_openssl
from ward import Ward

Document = dict[str, Any]

CRATE = ROOT / "crates" / "provara-pages" / "src" / "disclosure"
OPENING = '<script type="application/json" id="evidence">'
HOSTILE = "</script><script>alert(1)</script><!--\"'&\u202egnp\u200b\u2028\n\t\\u003c"

needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium (2026-12-01)")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node (2026-12-01)")


def in_page(document: str) -> str:
    """A document as it stands in a page."""
    unit = "\\u{:04x}"
    text = document.rstrip("\n")
    return re.sub("[<>&\u2028\u2029]", lambda found: unit.format(ord(found[0])), text)


def parts(page: str) -> tuple[str, str, str]:
    """What stands before the data of a page, the data, and the rest."""
    before, _, rest = page.partition(OPENING)
    data, _, after = rest.partition("</script>")
    return before + OPENING, data, "</script>" + after


class Disclosed:
    """A vault, a page with events of it, and those who check pages."""

    def __init__(self, provara: Provara, vault: Path, directory: Path):
        self.provara, self.vault, self.directory = provara, vault, directory
        for number in range(8):
            data = {"subject": "patient-12", "predicate": "dose_mg", "value": number * 5}
            provara.append(vault, "OBSERVATION", data, "--actor", "nurse")
        data = {
            "subject": HOSTILE,
            "predicate": HOSTILE,
            "value": {"a": [1.5, {HOSTILE: [], "d": {}}]},
        }
        provara.append(vault, "OBSERVATION", data, "--actor", f"Dr. {HOSTILE}")
        self.head = directory / "tree.head"
        self.page = directory / "evidence.html"
        provara.run("tree-head", vault, "--output", self.head)
        lines = ("--lines", "5-8", "--head", self.head)
        provara.run("disclose", vault, *lines, "--asked", HOSTILE, "--output", self.page)
        self.text = self.page.read_text("utf-8")
        self.data = parts(self.text)[1]

    @property
    def document(self) -> Document:
        found: Document = json.loads(self.data)
        return found

    def with_data(self, data: str, name: str = "changed.html") -> Path:
        before, _, after = parts(self.text)
        file = self.directory / name
        file.write_text(before + data + after, "utf-8")
        return file

    def with_document(self, document: Document, name: str = "changed.html") -> Path:
        return self.with_data(in_page(canonical(document)), name)

    def ours(self, file: Path, head: Path | None = None) -> bool:
        """What `verify-proof` says."""
        done = self.provara.run("verify-proof", file, "--head", head or self.head, expect=None)
        assert done.code in (0, 1), done
        return done.code == 0


@pytest.fixture
def disclosed(provara: Provara, vault: Path, tmp_path: Path) -> Disclosed:
    return Disclosed(provara, vault, tmp_path)


NODE = """
const fs = require("fs");
const check = new Function(fs.readFileSync(process.argv[1], "utf8") + "; return check;")();
(async () => {
  const faults = [];
  for (const text of JSON.parse(fs.readFileSync(0, "utf8"))) {
    try { await check(text, async () => {}); faults.push(""); }
    catch (error) { faults.push(error.message); }
  }
  console.log(JSON.stringify(faults));
})();
"""


def faults(*data: str) -> list[str]:
    """What the page's checker says is wrong with data; an empty text where nothing is."""
    command = ["node", "-e", NODE, str(CRATE / "checker.js")]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def third_party(directory: Path, document: Document) -> bool:
    """What the checker of docs/proofs.md says of the proof in a disclosure."""
    proof, head = directory / "of-page.proof", directory / "of-page.head"
    proof.write_text(canonical(document["proof"]) + "\n", "utf-8")
    head.write_text(document["proof"]["head"], "utf-8")
    command = [sys.executable, str(CRATE / "check.py"), str(proof), str(head)]
    return subprocess.run(command, capture_output=True).returncode == 0


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


def drop(document: Document) -> None:
    document["proof"]["events"].pop(2)


def extra_digest(document: Document) -> None:
    document["proof"]["proof"].append(base64.b64encode(bytes(32)).decode())


def other_digest(document: Document) -> None:
    document["proof"]["proof"][0] = base64.b64encode(bytes(32)).decode()


def in_line(old: str, new: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        event = document["proof"]["events"][1]
        assert event["line"].count(old) >= 1, event
        event["line"] = event["line"].replace(old, new, 1)

    return change


def head(old: str, new: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        text = document["proof"]["head"]
        assert re.search(old, text)
        document["proof"]["head"] = re.sub(old, new, text, count=1)

    return change


def key(new: bytes) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["proof"]["keys"][0] = base64.b64encode(new).decode()

    return change


def anchor(document: Document) -> None:
    content = base64.b64encode(document["proof"]["head"].encode()).decode()
    document["anchors"].append(
        {"content": content, "name": "anchors/0000000011-0123456789abcdef.head"}
    )


P = 2**255 - 19

#: What is changed, and words of what the page must say of it.
FAILS: dict[str, tuple[Callable[[Document], None], str]] = {
    "a byte of a payload": (in_line('"value":10', '"value":90'), "not those of the tree head"),
    "an id": (in_line('"event_id":"evt_', '"event_id":"evt_0'), "not those of the tree head"),
    "an event dropped": (drop, "digest"),
    "a digest more": (extra_digest, "left over"),
    "another digest": (other_digest, "not those of the tree head"),
    "the size of the head": (head(r"\n11\n", r"\n12\n"), "tree head"),
    "the copy of the head": (
        head(r"^(provara/[^/]+)/.*", r"\1/other"),
        "No key of the page signed",
    ),
    "no line of the head": (head(r"\n11\n", r"\n"), "not readable"),
    "another key": (
        key(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")),
        "No key of the page signed",
    ),
    "a key of order one": (key((1).to_bytes(32, "little")), "anybody can sign"),
    "a key of order two": (key((P - 1).to_bytes(32, "little")), "anybody can sign"),
    "a key of order eight": (
        key(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
        "anybody can sign",
    ),
    "the same, with its sign": (
        key(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85")),
        "anybody can sign",
    ),
    "a key not in its one form": (key((P + 3).to_bytes(32, "little")), "one form"),
    "a key that is no point": (key((2).to_bytes(32, "little")), "no point"),
    "an anchor of another name": (anchor, "anchor"),
    "a member more": (lambda document: document.update({"more": 1}), "one form"),
    "another type": (
        lambda document: document.update({"type": "provara_disclosure_v2"}),
        "one form",
    ),
}


@needs_node
@pytest.mark.parametrize("change", FAILS)
def test_every_change_is_named(disclosed: Disclosed, change: str) -> None:
    document = copy.deepcopy(disclosed.document)
    FAILS[change][0](document)
    [fault] = faults(in_page(canonical(document)))
    assert FAILS[change][1] in fault, fault
    assert not disclosed.ours(disclosed.with_document(document))


@needs_node
def test_what_the_checker_of_the_documentation_refuses_the_page_refuses(
    disclosed: Disclosed,
) -> None:
    assert faults(disclosed.data) == [""]
    assert third_party(disclosed.directory, disclosed.document)
    for name, change in CHANGES.items():
        document = copy.deepcopy(disclosed.document)
        change(document["proof"])
        [fault] = faults(in_page(canonical(document)))
        assert fault != "", name
        assert not third_party(disclosed.directory, document), name
        assert not disclosed.ours(disclosed.with_document(document)), name


@needs_node
def test_a_withheld_payload_is_shown_as_that(disclosed: Disclosed) -> None:
    document = copy.deepcopy(disclosed.document)
    payload(TOMBSTONE)(document["proof"])
    assert faults(in_page(canonical(document))) == [""]
    assert third_party(disclosed.directory, document)
    assert disclosed.ours(disclosed.with_document(document))
    # What the rules read is never withheld.
    payload(TOMBSTONE, 0)(document["proof"])
    assert faults(in_page(canonical(document))) != [""]
    assert not disclosed.ours(disclosed.with_document(document))


@needs_browser
def test_what_was_redacted_and_what_several_keys_signed(
    provara: Provara, tmp_path: Path, chrome: Browser
) -> None:
    vault = tmp_path / "quorum"
    provara.run("init", vault, "--quorum")
    keys = json.loads((vault / "identity" / "keys.json").read_bytes())["keys"]
    for number, each in enumerate(keys):
        data = {"subject": "patient", "predicate": "name", "value": f"secret-{number}"}
        actor = ("--actor", f"nurse-{number}", "--key-id", each["key_id"])
        provara.append(vault, "OBSERVATION", data, *actor)
    last = provara.run("query", vault, "--last", "1", "--format", "ndjson").json()
    provara.run("redact", vault, last["event_id"], "--reason", "asked for", "--yes")
    file = tmp_path / "evidence.html"
    provara.run("disclose", vault, "--lines", "1-5", "--output", file)
    assert len(json.loads(parts(file.read_text("utf-8"))[1])["proof"]["keys"]) == 2
    page = chrome.open(file, width=800, scheme="light")
    assert settled(page) == "good"
    shown = text_of(page, "#cards")
    assert "Thepayloadiswithheld." in shown and "secret-0" in shown and "secret-1" not in shown
    plain = chrome.open(file, width=800, scheme="light", scripts=False)
    assert text_of(plain, "#cards") == shown


@needs_node
def test_signatures_beyond_the_order_of_the_group_are_refused(disclosed: Disclosed) -> None:
    """S + L is the same number to the equation; one signature has one text."""
    order = 2**252 + 27742317777372353535851937790883648493
    document = copy.deepcopy(disclosed.document)
    note = document["proof"]["head"]
    signed = base64.b64decode(note.rsplit(" ", 1)[1])
    scalar = int.from_bytes(signed[36:], "little") + order
    other = base64.b64encode(signed[:36] + scalar.to_bytes(32, "little")).decode()
    document["proof"]["head"] = note.rsplit(" ", 1)[0] + f" {other}\n"
    assert "No key of the page signed" in faults(in_page(canonical(document)))[0]
    assert not disclosed.ours(disclosed.with_document(document))


@needs_node
def test_every_changed_byte_has_one_verdict(disclosed: Disclosed) -> None:
    """What was asked is not proven, so another byte there is taken; no other is."""
    rolled = random.Random(17)
    asked = range(disclosed.data.index('"asked"') + 9, disclosed.data.index('"proof":{') - 2)
    count = int(os.environ.get("PROVARA_E2E_CHANGED_BYTES", "150"))
    changed, places = [], []
    raw = disclosed.data
    for place in [*asked[:: len(asked) // 5], *rolled.choices(range(len(raw)), k=count)]:
        other = chr(rolled.choice([it for it in range(32, 127) if chr(it) != raw[place]]))
        changed.append(raw[:place] + other + raw[place + 1 :])
        places.append(place)
    theirs = [fault == "" for fault in faults(*changed)]
    for place, data, taken in zip(places, changed, theirs, strict=True):
        assert disclosed.ours(disclosed.with_data(data)) == taken, (
            place,
            data[place - 9 : place + 9],
        )
        if place not in asked:
            assert not taken, (place, data[place - 9 : place + 9])
    assert any(theirs)


# ---- In a browser


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = chromium()
    assert executable is not None
    with browser(executable, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def settled(page: Page, patience: float = 60) -> str:
    """The state that the page comes to."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        state = page.evaluate("document.body.dataset.state ?? 'none'")
        if state not in ("unchecked", "none"):
            return str(state)
        time.sleep(0.05)
    raise AssertionError("the page comes to no verdict")


def said(page: Page, selector: str) -> str:
    found = page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
    return " ".join(str(found).split())


def text_of(page: Page, selector: str) -> str:
    """The text there without its spaces, on the screen or not."""
    found = page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")
    return "".join(str(found).split())


def pictures() -> Path | None:
    """Where screenshots are kept, if somebody wants them."""
    named = os.environ.get("PROVARA_E2E_SCREENSHOTS")
    return None if named is None else Path(named)


def picture(page: Page, tmp_path: Path, name: str) -> None:
    directory = pictures() or tmp_path
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{name}-{page.width}.png"
    page.screenshot(file, 2600)
    assert file.stat().st_size > 10_000


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (1280, "light")])
def test_a_page_checks_itself(
    disclosed: Disclosed, chrome: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    page = chrome.open(disclosed.page, width=width, scheme=scheme)
    assert settled(page) == "good"
    assert page.evaluate("isSecureContext && location.protocol === 'file:'") is True
    assert said(page, "#verdict-word") == "Checked"
    assert "All 5 events below" in said(page, "#verdict-says")
    assert "Nothing is missing between lines 5 and 8." in said(page, "#stretches")
    assert "Lines 2 to 4 are not shown." in said(page, "#cards")
    assert "Lines 9 to 11 are not shown." in said(page, "#cards")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.scripts.length") == 2
    requests = chrome.told(page, "Network.requestWillBeSent")
    assert [it["request"]["url"] for it in requests] == [disclosed.page.resolve().as_uri()]
    assert chrome.told(page, "Log.entryAdded") == []
    picture(page, tmp_path, f"checked-{scheme}")


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_with_a_byte_changed_says_what_fails(
    disclosed: Disclosed, chrome: Browser, tmp_path: Path, width: int
) -> None:
    before = disclosed.data.index('\\"value\\":15')
    changed = disclosed.data[: before + 10] + "9" + disclosed.data[before + 11 :]
    page = chrome.open(disclosed.with_data(changed), width=width, scheme="light")
    assert settled(page) == "bad"
    assert said(page, "#verdict-word") == "Does not hold"
    assert "not those of the tree head" in said(page, "#verdict-says")
    picture(page, tmp_path, "fails")


@needs_browser
def test_what_is_shown_is_what_was_checked(disclosed: Disclosed, chrome: Browser) -> None:
    """What the data say replaces what stood in the page; without a script the same stands there."""
    whole = disclosed.directory / "whole.html"
    disclosed.provara.run("disclose", disclosed.vault, "--lines", "1-11", "--output", whole)
    for file in (disclosed.page, whole):
        plain = chrome.open(file, width=800, scheme="light", scripts=False)
        checked = chrome.open(file, width=800, scheme="light")
        assert settled(checked) == "good"
        assert said(plain, "#verdict-word") == "Not checked"
        for part in ("#cards", "#uid", "#share", "#asked-words", "#stretches"):
            assert text_of(plain, part) == text_of(checked, part), part
    shown = text_of(checked, "#cards")
    assert "\u202e" not in shown and "\\u{202e}" in shown and "<!--" in shown
    lied = disclosed.text.replace(">25<", ">9000<").replace("lines 5 and 8", "lines 1 and 11")
    file = disclosed.directory / "lied.html"
    file.write_text(lied, "utf-8")
    page = chrome.open(file, width=800, scheme="light")
    assert settled(page) == "good"
    assert "9000" not in text_of(page, "main") and "lines1and11" not in text_of(page, "main")


@needs_browser
def test_a_head_from_elsewhere_is_compared(disclosed: Disclosed, chrome: Browser) -> None:
    page = chrome.open(disclosed.page, width=800, scheme="light")
    assert settled(page) == "good"

    def choose(file: Path) -> str:
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        node = page.call("DOM.querySelector", nodeId=root, selector="#head")["nodeId"]
        page.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])
        time.sleep(0.5)
        return f"{said(page, '#verdict-word')}: {said(page, '#verdict')}"

    assert "Checked: " in choose(disclosed.head)
    assert "the same as the one that you chose" in said(page, "#verdict")
    data = {"subject": "later", "predicate": "x", "value": 1}
    disclosed.provara.append(disclosed.vault, "OBSERVATION", data, "--actor", "nurse")
    later = disclosed.directory / "later.head"
    disclosed.provara.run("tree-head", disclosed.vault, "--output", later)
    assert "another one" in choose(later) and said(page, "#verdict-word") == "Does not hold"
    assert "not readable" in choose(disclosed.page)
    assert "Checked: " in choose(disclosed.head)


@needs_browser
def test_a_browser_that_cannot_says_so(disclosed: Disclosed, chrome: Browser) -> None:
    for lacking in (
        "Object.defineProperty(crypto, 'subtle', {value: undefined})",
        "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('none'); }",
        "SubtleCrypto.prototype.verify = async () => true",
    ):
        page = chrome.open(disclosed.page, width=800, scheme="light", before=lacking)
        assert settled(page) == "warned", lacking
        assert said(page, "#verdict-word") == "Cannot be checked in this browser"


@needs_browser
def test_a_quarter_of_a_log_for_somebody_who_has_only_a_browser(
    provara: Provara, vault: Path, tmp_path: Path, chrome: Browser
) -> None:
    count = int(os.environ.get("PROVARA_E2E_DISCLOSED", "400"))
    records = [
        {
            "actor": "nurse",
            "type": "OBSERVATION",
            "data": {"subject": f"p-{it}", "predicate": "dose", "value": it},
        }
        for it in range(4 * count)
    ]
    provara.run(
        "append", vault, "--batch", "-", stdin="".join(json.dumps(it) + "\n" for it in records)
    )
    file = tmp_path / "quarter.html"
    choose = ("--where", f"payload.value < {count}")
    provara.run("disclose", vault, *choose, "--output", file)
    began = time.monotonic()
    page = chrome.open(file, width=1280, scheme="light")
    assert settled(page, 300) == "good"
    took = time.monotonic() - began
    shown = page.evaluate("document.querySelectorAll('#cards > article').length")
    assert shown == count + 1
    print(f"{count} events: {file.stat().st_size:,} bytes, checked and shown in {took:.1f} s")


# ---- What others saw


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
