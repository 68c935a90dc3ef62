"""The host's own search for entry points finds what ``importlib.metadata`` finds."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from provara.plugins import _scan
from samples import Install, MakeModule


def with_metadata(group: str) -> list[tuple[str, str, str, str]]:
    points: Any = importlib.metadata.entry_points()
    return sorted(
        (point.name, point.value, point.dist.name, point.dist.version)
        for point in points.select(group=group)
    )


def with_scan(group: str) -> list[tuple[str, str, str, str]]:
    points = _scan.entry_points(group)
    assert points is not None
    return sorted(
        (point.name, point.value, point.dist.name, point.dist.version) for point in points
    )


@pytest.fixture
def metadata(site: Path) -> Path:
    """Distributions of several forms in ``site``."""

    def write(directory: str, **files: str) -> None:
        target = site / directory
        target.mkdir()
        for name, text in files.items():
            (target / name.replace("_txt", ".txt").replace("_INFO", "-INFO")).write_text(text)

    head = "Metadata-Version: 2.1\nName: {}\nVersion: {}\nSummary: x\n\nName: not this\n"
    write(
        "some_demo-1.0.dist-info",
        METADATA=head.format("Some.Demo", "1.0"),
        entry_points_txt="# comment\n[console_scripts]\ntool = a:main\n\n[provara.plugins]\n"
        "one=demo.mod:Class\n two = demo.mod:Outer.Inner [extra] \n[other]\nx=y:z\n",
    )
    write(
        "old_style-2.0-py3.11.egg-info",
        PKG_INFO=head.format("old-style", "2.0"),
        entry_points_txt="[provara.plugins]\nthree = old:Class\n",
    )
    write("without-3.0.dist-info", METADATA=head.format("without", "3.0"))
    write(
        "mentions-4.0.dist-info",
        METADATA=head.format("mentions", "4.0"),
        entry_points_txt="[console_scripts]\nprovara.plugins = a:b\n",
    )
    (site / "file.egg-info").write_text("Name: file\n")
    importlib.invalidate_caches()
    return site


def test_it_agrees_with_importlib(metadata: Path) -> None:
    found = with_scan("provara.plugins")
    assert ("one", "demo.mod:Class", "Some.Demo", "1.0") in found
    assert ("three", "old:Class", "old-style", "2.0") in found
    assert [point[0] for point in found if point[2] == "Some.Demo"] == ["one", "two"]
    strip = [(name, value.replace(" ", ""), *dist) for name, value, *dist in found]
    expected = with_metadata("provara.plugins")
    assert strip == [(name, value.replace(" ", ""), *dist) for name, value, *dist in expected]


def test_it_agrees_for_every_installed_group() -> None:
    points: Any = importlib.metadata.entry_points()
    groups = {"console_scripts", "pytest11", *getattr(points, "groups", points)}
    for group in groups:
        assert with_scan(group) == with_metadata(group)


def test_the_first_of_two_versions_counts(
    metadata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "newer" / "Some_Demo-9.0.dist-info"
    newer.mkdir(parents=True)
    (newer / "METADATA").write_text("Name: some-demo\nVersion: 9.0\n\n")
    (newer / "entry_points.txt").write_text("[provara.plugins]\nnew = demo:New\n")
    monkeypatch.syspath_prepend(str(newer.parent))
    found = [point for point in with_scan("provara.plugins") if "demo" in point[1]]
    assert found == [("new", "demo:New", "some-demo", "9.0")]


def test_a_leftover_of_an_upgrade_hides_nothing(metadata: Path) -> None:
    """A directory without the file that makes it metadata comes first by its name."""
    leftover = metadata / "some_demo-0.9.dist-info"
    leftover.mkdir()
    (leftover / "entry_points.txt").write_text("[provara.plugins]\nold = demo:Old\n")
    found = [point for point in with_scan("provara.plugins") if "demo" in point[1]]
    assert [point[0] for point in found] == ["one", "two"]
    assert {point[3] for point in found} == {"1.0"}


def test_a_broken_file_costs_only_its_broken_lines(metadata: Path) -> None:
    """``importlib.metadata`` stumbles over the whole search here."""
    with (metadata / "some_demo-1.0.dist-info" / "entry_points.txt").open("ab") as file:
        file.write(b"[provara.plugins]\nno equals sign\n\xff=\xff\nfour=demo:Four\n")
    assert ("four", "demo:Four", "Some.Demo", "1.0") in with_scan("provara.plugins")


def test_loading(metadata: Path, make_module: MakeModule) -> None:
    make_module("demo/mod.py", "class Class: pass\nclass Outer:\n  class Inner: pass\n")
    points = {point.name: point for point in _scan.entry_points("provara.plugins") or []}
    assert points["one"].load().__qualname__ == "Class"
    assert points["two"].load().__qualname__ == "Outer.Inner"
    assert _scan.EntryPoint("m", "demo.mod", points["one"].dist).load().__name__ == "demo.mod"


def test_it_declines_what_it_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.py", "")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(archive))
        assert _scan.entry_points("provara.plugins") is None

    class Finder:
        def find_distributions(self, context: object) -> list[object]:
            return []

        def find_spec(self, *arguments: object) -> None:
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert _scan.entry_points("provara.plugins") is None


def test_the_host_uses_it(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    from provara.plugins import _discovery
    from provara.plugins._registry import PluginRegistry

    install(b="demo:B", a="demo:A")
    monkeypatch.setenv("PROVARA_HOST", "1")
    points = _discovery._entry_points(PluginRegistry())
    assert all(isinstance(point, _scan.EntryPoint) for point in points)
    ours = [point for point in points if point.dist.name == "demo-plugins"]
    assert [(point.name, point.dist.version) for point in ours] == [("a", "1.2.3"), ("b", "1.2.3")]
