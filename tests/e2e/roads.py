"""The road of the plugin contract through an environment: init, append, reduce, export, a look at all.

What is installed is one small package, written as a wheel here, so that no build tool is needed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from support import Outcome, Provara, run_checked

MODULE = """
class RoadEvent:
    name = "com.example.road.step"
    schema = {"type": "object", "required": ["step"], "properties": {"step": {"type": "integer"}}}
    def validate(self, data):
        from road_plugins import words
        return data["step"] > words.LEAST
    def cli_command(self):
        return "step"

class RoadReducer:
    name = "com.example.road.sum"
    def reduce(self, events):
        steps = [event["payload"]["step"] for event in events if "step" in event["payload"]]
        return {"sum": sum(steps)}

class RoadExport:
    name = "road"
    def export(self, vault_path, output_path):
        import decimal, json, sqlite3  # parts of the standard library that are compiled
        with open(output_path, "w") as output:
            json.dump({"events": len(open(vault_path + "/events/events.ndjson").readlines())}, output)
"""

POINTS = """[provara.plugins]
step = road_plugins:RoadEvent
sum = road_plugins:RoadReducer
road = road_plugins:RoadExport
"""


def wheel(directory: Path) -> Path:
    """Writes the package as a wheel, and gives its path."""
    info = "road_plugins-1.0.dist-info"
    files = {
        "road_plugins/__init__.py": MODULE,
        "road_plugins/words.py": "LEAST = 0\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: road-plugins\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": POINTS,
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "road_plugins-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def travel(provara: Provara, directory: Path, sandbox: str = "require") -> Outcome:
    """Goes the whole road in an environment that has the package; gives what `doctor` said."""
    directory.mkdir(parents=True, exist_ok=True)
    vault, output = directory / "vault", directory / "output.json"
    there = provara.with_environment(PROVARA_SANDBOX=sandbox)
    there.run("init", vault)
    there.run("append", vault, "--type", "step", "--set", "step=3")
    there.append(vault, "com.example.road.step", {"step": 4})
    assert there.append(vault, "com.example.road.step", {"step": "x"}, expect=2).stderr
    reduced = there.run("reduce", vault, "--plugin", "com.example.road.sum", "--check")
    assert reduced.json() == {"sum": 7}, str(reduced)
    there.run("export", vault, "--format", "road", "--output", output)
    assert output.read_text() == '{"events": 4}'
    there.run("verify", vault, "--strict")
    listed = there.run("plugins", "list")
    assert listed.stdout.count("road-plugins v1.0") == 3, str(listed)
    return there.run("doctor", expect=None)


def site_packages(environment: Path) -> Path:
    """The directory of an environment's packages."""
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def link_files(site: Path, store: Path) -> None:
    """Puts links in the place of a site directory's files, each to the package's place in a store.

    As `uv` does; the list of the installed files (`RECORD`) is the installer's own and stays a file.
    """
    for record in sorted(site.glob("*.dist-info/RECORD")):
        place = store / record.parent.name
        for line in record.read_text().splitlines():
            name = line.rsplit(",", 2)[0].strip('"')
            file, target = site / name, place / name
            if name.startswith("..") or file == record or not file.is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
            file.symlink_to(target)


def link_directories(site: Path, store: Path) -> None:
    """Puts links in the place of what lies at the top of a site directory."""
    store.mkdir(parents=True)
    for entry in sorted(site.iterdir()):
        entry.rename(store / entry.name)
        entry.symlink_to(store / entry.name)


def compile_all(python: Path, site: Path) -> None:
    """Compiles what is installed, as installers do that are asked to."""
    run_checked([python, "-m", "compileall", "-q", site])
