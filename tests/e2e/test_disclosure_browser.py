"""Disclosures in Chromium, as a reader has them who has nothing else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page, browser, chromium
from disclosed import (
    Disclosed,
    needs_browser,
    parts,
)
from support import Provara


@pytest.fixture
def disclosed(provara: Provara, vault: Path, tmp_path: Path) -> Disclosed:
    return Disclosed(provara, vault, tmp_path)


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
