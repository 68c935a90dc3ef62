"""The page about a verification: ``provara.Vault.verify(report=...)``."""

from __future__ import annotations

from pathlib import Path

import pytest
from provara import Vault
from provara.errors import UsageError
from test_vault import tree


def test_the_page_is_written_beside_the_report(vault: Vault, tmp_path: Path) -> None:
    vault.append("OBSERVATION", {"subject": "door", "predicate": "state", "value": "<b>shut"})
    heads = [vault.tree_head()]
    vault.append("OBSERVATION", {"subject": "door", "predicate": "state", "value": "open"})
    heads.append(vault.tree_head())
    before = tree(vault.path)
    page = tmp_path / "page.html"
    report = vault.verify(heads=heads, report=page)
    assert report.valid and report == vault.verify(heads=heads)
    assert tree(vault.path) == before
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>") and "<strong>Valid</strong>" in html
    assert f"All {report.event_count} events" in html
    assert html.count("✓ The vault goes on from it.") == 2
    assert "--head FILE --head FILE" in html


def test_a_vault_that_is_not_valid_has_a_page_too(vault: Vault, tmp_path: Path) -> None:
    other = Vault.init(tmp_path / "other")
    heads = [vault.tree_head(), other.tree_head()]
    page = tmp_path / "page.html"
    assert not vault.verify(heads=heads, report=str(page)).valid
    html = page.read_text(encoding="utf-8")
    assert "<strong>Not valid</strong>" in html
    # Of two heads without files each has its own verdict.
    assert html.count("✓ The vault goes on from it.") == 1
    assert html.count("✕ It contradicts the vault.") == 1


def test_nothing_is_replaced_unasked(vault: Vault, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(UsageError, match="force=True"):
        vault.verify(report=page)
    with pytest.raises(UsageError, match="nothing may be written"):
        vault.verify(report=vault.path / "page.html")
    with pytest.raises(UsageError, match="give report"):
        vault.verify(force=True)
    assert page.read_text() == "mine"
    vault.verify(report=page, force=True)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert list(tmp_path.glob(".*provara*")) == []
