"""The report of a verification: one page of HTML, read by a parser and by a browser."""

from __future__ import annotations

import hashlib
import html.parser
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser, chromium
from forge import Log, Signer
from support import (
    LOG,
    Outcome,
    Provara,
    assert_one_error,
    events,
    fingerprint,
    run_checked,
)

#: Elements without an end tag; what SVG closes in place is among the others.
VOID = {"meta", "br", "link", "img", "input", "hr", "base"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")

#: A text that would be markup, would end an attribute, and would turn the text around it.
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp\u200b"
SHOWN = HOSTILE.replace("\u202e", "\\u{202e}").replace("\u200b", "\\u{200b}")


@dataclass
class Page(html.parser.HTMLParser):
    """A page that was parsed; it complains of what is not balanced."""

    text: str
    open: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.text)
        self.close()
        assert self.open == []

    def __hash__(self) -> int:
        return id(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def said(self) -> str:
        """What it says, with one space between words."""
        return " ".join(" ".join(self.words).split())


def page_of(file: Path) -> Page:
    """A report, with all that every report must hold to."""
    page = Page(file.read_text(encoding="utf-8"))
    assert page.text.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {
        tag for tag, _ in page.elements
    }
    levels = [HEADINGS.index(tag) for tag, _ in page.elements if tag in HEADINGS]
    assert all(after <= before + 1 for before, after in zip([-1, *levels], levels, strict=False))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("style", "src"), (tag, name)
            if name == "href":
                assert value is not None and value.startswith("#") and value[1:] in ids
            if name == "aria-labelledby":
                assert value in ids
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
        if tag == "svg" and attributes.get("aria-hidden") != "true" and "x" not in attributes:
            assert attributes.get("role") == "img" and attributes.get("aria-label")
    policies = [
        attributes["content"]
        for attributes in page.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1 and policies[0] is not None
    assert policies[0].startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"https?:|url\(|@import", page.text)
    unsafe = re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", page.text)
    assert unsafe == []
    return page


def report(provara: Provara, vault: Path, file: Path, *more: str | Path, expect: int = 0) -> Page:
    """Has a vault verified with a report; what else the command does is what it does without."""
    plain = provara.run("verify", vault, *more, expect=expect)
    outcome = provara.run("verify", vault, "--report", file, *more, expect=expect)
    assert outcome.stdout == plain.stdout
    assert outcome.stderr == f"{plain.stderr}note: The report was written to '{file}'.\n"
    assert stat.S_ISREG(file.lstat().st_mode)
    assert [path.name for path in file.parent.glob(".*provara*")] == []
    return page_of(file)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    directory = tmp_path / "reports"
    directory.mkdir()
    return directory


def test_a_valid_vault(provara: Provara, vault: Path, reports: Path) -> None:
    provara.run("append", vault, "--actor", "nurse", "--type", "OBSERVATION", "--data", "{}")
    verified: dict[str, Any] = provara.run("verify", vault, "--json").json()["verified"]
    before = fingerprint(vault)
    page = report(provara, vault, reports / "page.html")
    assert fingerprint(vault) == before
    assert "Valid All 3 events of this vault and all of its files are as they" in page.said
    assert "What was found" not in page.said
    for name in ("vault_uid", "root_key_id", "log_sha256", "tree_root", "merkle_root"):
        assert verified[name] in page.said, name
    for name in ("manifest_sha256", "seal_sha256"):
        assert verified[name] in page.said, name
    assert verified["last_event"]["event_id"] in page.said
    genesis = hashlib.sha256((vault / "identity" / "genesis.json").read_bytes()).hexdigest()
    assert genesis in page.said
    assert "nurse 1 event, line 3" in page.said
    assert "provara verify vault --no-cache" in page.said
    assert "Whether this is the latest state, and the only one." in page.said


def test_a_vault_with_warnings(provara: Provara, corpus: Path, reports: Path) -> None:
    vault = corpus / "x_other_actors_key"
    page = report(provara, vault, reports / "page.html")
    assert "Valid, with warnings" in page.said
    assert "An actor went over to another key, and no event says why." in page.said
    assert "PROVARA_W003" in page.said
    strict = report(provara, vault, reports / "strict.html", "--strict", expect=1)
    assert "Not valid" in strict.said and "Warnings were counted as faults." in strict.said
    assert "verify x_other_actors_key --no-cache --strict" in strict.said


def test_a_broken_vault(provara: Provara, corpus: Path, reports: Path) -> None:
    vault = corpus / "x_non_utf8_byte"
    page = report(provara, vault, reports / "page.html", expect=1)
    assert "Not valid" in page.said
    findings = provara.run("verify", vault, "--json", expect=1).json()["findings"]
    first = next(each for each in findings if each["code"] == "PROVARA_E104")
    assert f"line {first['line']}, byte {first['offset']:,}" in page.said
    assert f"<mark>{chr(92)}xff</mark>" in page.text
    assert all(each["code"] in page.said for each in findings)
    # What is at fault stands before what it proves.
    assert page.said.index("What was found") < page.said.index("What this proves")


@pytest.mark.parametrize("name", ["v_rotated", "v_successor", "x_truncated_last_line"])
def test_every_kind_of_judged_vault_has_a_page(
    provara: Provara, corpus: Path, reports: Path, name: str
) -> None:
    code = provara.run("verify", corpus / name, expect=None).code
    report(provara, corpus / name, reports / "page.html", expect=code)


def test_all_judged_vaults(provara: Provara, corpus: Path, reports: Path) -> None:
    vaults = [path for path in sorted(corpus.iterdir()) if path.is_dir()]
    assert len(vaults) > 30
    for vault in vaults:
        file = reports / f"{vault.name}.html"
        code = provara.run("verify", vault, "--report", file, expect=None).code
        verdict = page_of(file).all("section")[0]["class"]
        assert verdict in (["verdict bad"] if code == 1 else ["verdict good", "verdict warned"])


def test_revocations_stand_in_the_history_of_keys(
    provara: Provara, corpus: Path, reports: Path
) -> None:
    page = report(provara, corpus / "v_rotated", reports / "page.html")
    assert "Revoked by event evt_" in page.said and "Brought by event evt_" in page.said


def hostile_vault(provara: Provara, vault: Path) -> None:
    """Puts hostile texts wherever an event takes one, and breaks the last line."""
    data = {"subject": HOSTILE, "predicate": HOSTILE, "value": HOSTILE}
    for _ in range(2):
        provara.append(vault, "OBSERVATION", data, "--actor", HOSTILE)
    log = vault / LOG
    log.write_bytes(log.read_bytes().replace(b'"ts_logical":2', b'"ts_logical": 2'))


def test_texts_of_the_vault_are_shown_and_not_obeyed(
    provara: Provara, tmp_path: Path, reports: Path
) -> None:
    vault = tmp_path / "<b>vault & co"
    provara.run("init", vault, "--uid", HOSTILE)
    hostile_vault(provara, vault)
    page = report(provara, vault, reports / "page.html", expect=1)
    assert "<script" not in page.text and "<img" not in page.text and "<b>vault" not in page.text
    assert "<b>vault & co" in page.said
    # The uid, the actor, and the line that is shown.
    assert page.said.count(SHOWN.split("gnp")[0]) >= 3
    assert "<mark> </mark>" in page.text


@pytest.mark.parametrize("suffix", ["gztar", "zip"])
def test_a_vault_in_an_archive(
    provara: Provara, vault: Path, tmp_path: Path, reports: Path, suffix: str
) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), suffix, vault.parent, vault.name))
    page = report(provara, packed, reports / "page.html")
    assert "All 2 events" in page.said and "sha256sum" not in page.said
    before = packed.read_bytes()
    for more in ([], ["--force"]):
        outcome = provara.run("verify", packed, "--report", packed, *more, expect=None)
        assert outcome.code == 2 and packed.read_bytes() == before, str(outcome)


def test_what_the_vault_is_held_to(
    provara: Provara, vault: Path, tmp_path: Path, reports: Path
) -> None:
    heads = tmp_path / "heads"
    heads.mkdir()
    provara.run("tree-head", vault, "--output", heads / "first.head")
    provara.run("append", vault, "--actor", "nurse", "--type", "OBSERVATION", "--data", "{}")
    key = provara.run("verify", vault, "--json").json()["verified"]["root_key_id"]
    head = str(heads / "first.head")
    page = report(provara, vault, reports / "page.html", "--head", head, "--root-key", key)
    assert "The first 2 events are those that were there when a tree head" in page.said
    assert "The key that whoever verified had named made the vault." in page.said
    assert "Whether the events after the first 2 are all, and the only ones." in page.said
    assert f"--head {head} --root-key {key}" in page.said
    in_folder = provara.with_environment(PROVARA_HEADS=str(heads))
    page = report(in_folder, vault, reports / "folder.html")
    assert "✓ The vault goes on from it." in page.said
    assert f"PROVARA_HEADS={heads} provara verify vault --no-cache" in page.said
    # An earlier state, put back.
    other = tmp_path / "other"
    provara.run("init", other)
    page = report(provara, other, reports / "other.html", "--head", head, expect=1)
    assert "✕ It contradicts the vault." in page.said
    assert "Whether this is the latest state, and the only one." in page.said


def test_nothing_is_replaced_unasked_and_nothing_is_written_where_it_may_not(
    provara: Provara, vault: Path, reports: Path
) -> None:
    file = reports / "page.html"
    file.write_text("mine")

    def refused(*more: str | Path, code: int = 3) -> Outcome:
        before = fingerprint(vault)
        outcome = provara.run("verify", *more, expect=code)
        assert_one_error(outcome)
        assert outcome.stdout == "" and fingerprint(vault) == before
        assert sorted(reports.iterdir()) == [file] and file.read_text() == "mine"
        return outcome

    assert "--force" in refused(vault, "--report", file).stderr
    refused(vault, "--report", vault / "page.html", code=2)
    refused(vault, "--report", vault / "artifacts" / "page.html", "--force", code=2)
    refused(vault, "--report", vault, "--force", code=2)
    assert "standard output" in refused(vault, "--report", "-", code=2).stderr
    refused(reports / "none", "--report", reports / "new.html")
    refused(vault, "--report", reports / "none" / "new.html")
    refused(vault, "--force", code=2)
    provara.run("verify", vault, "--report", file, "--force")
    assert "All 2 events" in page_of(file).said


def test_the_report_is_of_what_json_tells(provara: Provara, corpus: Path, reports: Path) -> None:
    vault = corpus / "x_payload_edited"
    file = reports / "page.html"
    plain = provara.run("verify", vault, "--json", expect=1)
    outcome = provara.run("verify", vault, "--json", "--report", file, expect=1)
    assert json.loads(outcome.stdout) == json.loads(plain.stdout)
    page = page_of(file)
    assert "2 faults were found" in page.said
    edited = events(vault)[100]
    assert f"<mark>&quot;{edited['event_id']}&quot;</mark>" in page.text


def absurd_log(count: int, actors: int) -> Log:
    """Many actors, and times of which some are absurd."""
    log = Log(Signer("founder"))
    for number in range(count):
        second, minute = number % 60, number // 60 % 60
        time = f"2026-01-01T{number // 3600 % 24:02}:{minute:02}:{second:02}.000000Z"
        if number == count // 2:
            time = "9999-12-31T23:59:59.999999Z"
        log.add({"actor": f"actor-{number % actors}", "timestamp_utc": time})
    return log


def test_a_page_is_bounded_whatever_the_log_says(
    provara: Provara, vault: Path, reports: Path
) -> None:
    """Two thousand actors, none of whose events the vault's keys signed: every line is at fault."""
    log = absurd_log(4_000, 2_000)
    with open(vault / LOG, "ab") as file:
        file.write(b"".join(line + b"\n" for line in log.lines))
    provara.run("verify", vault, "--report", reports / "page.html", expect=1)
    page = page_of(reports / "page.html")
    assert len(page.text) < 200_000
    assert len([each for each in page.all("svg") if each.get("class") == "lane-picture"]) == 13
    assert "1,989 more actors" in page.said
    # Beside the absurd one the two with which the vault began: the others state a day long before.
    later = "3 events state a time after the time that is drawn, the latest 9999-12-31 23:59:59 UTC"
    assert later in page.said
    assert "3,995 more of this kind" in page.said


@pytest.mark.skipif(
    "PROVARA_E2E_LARGE" not in os.environ,
    reason="a million events take a minute and 500 MB: PROVARA_E2E_LARGE=1 asks for it (2026-12-01)",
)
def test_the_page_of_a_million_events_is_small(
    provara: Provara, vault: Path, tmp_path: Path, reports: Path
) -> None:
    batch = tmp_path / "batch.ndjson"
    with open(batch, "w") as file:
        for number in range(1_000_000):
            data = {"subject": f"s-{number % 999}", "predicate": "n", "value": number}
            record = {"type": "OBSERVATION", "actor": f"probe-{number % 10_000}", "data": data}
            file.write(json.dumps(record) + "\n")
    # Longer than the patience that other tests have.
    run_checked([provara.executable, "append", vault, "--batch", batch], env=provara.environment)
    run_checked(
        [provara.executable, "verify", vault, "--report", reports / "page.html"],
        env=provara.environment,
    )
    page = page_of(reports / "page.html")
    assert "All 1,000,002 events" in page.said and "9,989 more actors" in page.said
    assert len(page.text.encode()) < 2_000_000


# --------------------------------------------------------------------------- in a browser

CHROMIUM = chromium()
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: how a page looks is not looked at (2026-12-01)"
)
WIDTHS = (360, 390, 1280)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as running:
        yield running


@needs_chromium
@pytest.mark.parametrize("kind", ["valid", "warned", "broken", "hostile"])
def test_it_is_readable_at_every_width_in_light_and_dark_and_on_paper(
    provara: Provara, corpus: Path, tmp_path: Path, reports: Path, shown: Browser, kind: str
) -> None:
    """The pictures stay in the test's directory, for people: `--basetemp` says where that is."""
    vault = {"warned": corpus / "v_base200", "broken": corpus / "x_non_utf8_byte"}.get(
        kind, tmp_path / "vault"
    )
    if not vault.exists():
        provara.run("init", vault)
        for dose in range(20):
            provara.append(vault, "OBSERVATION", {"n": dose}, "--actor", f"nurse-{dose % 3}")
    if kind == "hostile":
        # No place to break in the longest of texts.
        provara.append(vault, "OBSERVATION", {"x": "W" * 5_000}, "--actor", "W" * 400)
        hostile_vault(provara, vault)
    file = reports / f"{kind}.html"
    provara.run("verify", vault, "--report", file, expect=None)
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            page = shown.open(file, width=width, scheme=scheme)
            page.screenshot(reports / f"{kind}-{scheme}-{width}.png")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("window.innerWidth") == width
            # Nothing but the file was asked for, and nothing was refused.
            requests = [
                told["request"]["url"] for told in shown.told(page, "Network.requestWillBeSent")
            ]
            assert requests == [file.resolve().as_uri()]
            assert shown.told(page, "Log.entryAdded") == []
            assert shown.told(page, "Runtime.consoleAPICalled") == []
            paper, ink = colours(page)
            assert contrast(paper, ink) > 7
            assert (luminance(paper) > luminance(ink)) == (scheme == "light")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert colours(page) == ((255, 255, 255), (0, 0, 0))
    page.pdf(reports / f"{kind}.pdf")
    pages = re.findall(rb"/Type /Page\b(?!s)", (reports / f"{kind}.pdf").read_bytes())
    assert 2 <= len(pages) <= 14


def colours(page: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours of the paper and of the text."""
    style = "getComputedStyle(document.body)"
    found = [page.evaluate(f"{style}.{name}") for name in ("backgroundColor", "color")]
    paper, ink = (tuple(int(number) for number in re.findall(r"\d+", each)) for each in found)
    return paper, ink


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast of two colours (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
