"""What an append of a plugin's type costs, beside a Python that imports what the plugin needs.

Every figure is the median of the ratios of interleaved pairs: the machine may be busy, but it is as busy for
one side of a pair as for the other. Time on the clock and processor time, of whole processes and their
children.

  library    an append whose `validate` imports a library, against `python3 -c` that imports the plugin and
             that library
  plain      an append whose plugin imports nothing, against `python3 -c 'import PLUGIN'`
  property   an append with --count packages installed, each with a public schema that it reads when it is
             asked for it, against one of them alone
  import     the same where each package loads its schema when it is imported

    benches/plugin_append.py [--provara FILE] [--python FILE] [--pairs N] [--count N] [--only NAME …]
                             [--against FILE] [--require]

--against names an older executable, with its own Python beside it, which is then held against the first
one in the same pairs. --require ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tools_list import PublicSchema, packages, schemas

ROOT = Path(__file__).resolve().parents[1]
LOGIN = '{"user_id":"alice","success":true,"ip_address":"192.168.1.1"}'

#: The bars, on the ratio of time on the clock or of processor time.
BARS = {"library": 0.95, "plain": 2.0, "property": 1.3, "import": 1.3}

PLAIN = '''"""An event type that needs nothing."""


class Event:
    name = "org.example.plain.event"
    schema = {"type": "object"}

    def validate(self, data):
        return True
'''


#: What a plugin's environment has of the one that it is made from.
NEEDED = [
    "provara",
    "provara_protocol-*",
    "jsonschema*",
    "referencing*",
    "rpds*",
    "attr*",
    "typing_extensions*",
]


def site_of(python: Path) -> Path:
    """Where an interpreter's packages lie."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    said = subprocess.run([python, "-I", "-c", ask], capture_output=True, check=True, text=True)
    return Path(said.stdout.strip())


@dataclass
class Installation:
    """An executable, and the environment that its plugins are installed in."""

    provara: Path
    python: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PROVARA_PYTHON": str(self.python),
        }

    def append(self, event_type: str, data: str = "{}") -> Callable[[], list[str]]:
        vault = self.home / "vault"
        if not vault.exists():
            self.run([str(self.provara), "init", str(vault)])
        words = [str(self.provara), "append", str(vault), "--type", event_type, "--data", data]
        return lambda: words

    def import_of(self, modules: str) -> Callable[[], list[str]]:
        return lambda: [str(self.python), "-c", f"import {modules}"]

    def run(self, words: list[str]) -> tuple[float, float]:
        """Runs a command to its end; gives its time on the clock and its processor time."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, env=self.environment
        )
        clock = time.perf_counter() - began
        if done.returncode != 0:
            sys.exit(f"$ {' '.join(words)}\n{done.stderr.decode()}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return clock, spent


@dataclass
class Side:
    """One side of a comparison, and what its runs took."""

    installation: Installation
    command: Callable[[], list[str]]
    clock: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    def once(self, keep: bool) -> None:
        clock, spent = self.installation.run(self.command())
        if keep:
            self.clock.append(clock)
            self.spent.append(spent)


def compare(name: str, first: Side, second: Side, pairs: int) -> float:
    """Runs both sides in turn, prints what they took, and gives the ratio on the clock."""
    # What a command learns of an environment, when that has been as it is for a while, is learned before
    # anything is measured.
    time.sleep(3)
    for _ in range(6):
        first.once(keep=False)
        second.once(keep=False)
    for _ in range(pairs):
        first.once(keep=True)
        second.once(keep=True)
    ratios = []
    for what, ones, others in (
        ("clock", first.clock, second.clock),
        ("processor", first.spent, second.spent),
    ):
        ratio = statistics.median(one / other for one, other in zip(ones, others, strict=True))
        ratios.append(ratio)
        print(
            f"{name:10} {what:10} {statistics.median(ones) * 1e3:8.1f} ms against "
            f"{statistics.median(others) * 1e3:8.1f} ms: {ratio:6.2f}",
            flush=True,
        )
    return ratios[0]


def library_site(site: Path) -> None:
    """The example package, as an installer leaves it."""
    source = ROOT / "examples" / "acme-provara-plugins" / "acme_provara_plugins"
    shutil.copytree(source, site / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    points = "login_event = acme_provara_plugins:LoginEventPlugin\n"
    declare(site, "acme_provara_plugins", points)


def declare(site: Path, name: str, points: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[provara.plugins]\n{points}")
    (info / "RECORD").write_text("")


def plain_site(site: Path) -> None:
    (site / "plain_event.py").write_text(PLAIN)
    declare(site, "plain_event", "event = plain_event:Event\n")


class Bench:
    """The comparisons, each with places of its own."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.arguments = arguments
        self.work = work
        self.public: list[PublicSchema] = []

    def install(self, label: str, fill: Callable[[Path], None]) -> list[Installation]:
        """Makes an environment, and a home beside it, for each executable."""
        provara: list[tuple[Path, Path]] = [(self.arguments.provara, self.arguments.python)]
        if self.arguments.against:
            provara.append((self.arguments.against, self.arguments.against.parent / "python3"))
        found = []
        for number, (executable, python) in enumerate(provara):
            place = self.work / f"{label}-{number}"
            home = place / "home"
            home.mkdir(parents=True)
            installed = site_of(python)
            subprocess.run(
                [python, "-m", "venv", "--without-pip", place / "environment"], check=True
            )
            own = place / "environment" / "bin" / "python3"
            site = site_of(own)
            for name in NEEDED:
                for path in installed.glob(name):
                    copy = shutil.copytree if path.is_dir() else shutil.copy
                    copy(path, site / path.name)
            fill(site)
            subprocess.run([own, "-m", "compileall", "-q", site], check=True)
            found.append(Installation(executable, own, home))
        return found

    def against_python(
        self, name: str, fill: Callable[[Path], None], event_type: str, data: str, modules: str
    ) -> float:
        installed = self.install(name, fill)
        sides = [Side(one, one.append(event_type, data)) for one in installed]
        if len(sides) == 2:
            return compare(name, sides[0], sides[1], self.arguments.pairs)
        bare = Side(installed[0], installed[0].import_of(modules))
        return compare(name, sides[0], bare, self.arguments.pairs)

    def many(self, name: str, on_demand: bool) -> float:
        """Packages with public schemas beside the plain one, against the plain one alone."""
        if not self.public:
            (self.work / "schemas").mkdir()
            self.public = schemas(self.work / "schemas")[: self.arguments.count - 1]

        def fill(site: Path) -> None:
            packages(site, self.public, on_demand)
            plain_site(site)

        many = self.install(f"{name}-many", fill)
        sides = [Side(place, place.append("org.example.plain.event")) for place in many]
        if len(sides) == 2:
            return compare(name, sides[0], sides[1], self.arguments.pairs)
        one = self.install(f"{name}-one", plain_site)[0]
        alone = Side(one, one.append("org.example.plain.event"))
        return compare(name, sides[0], alone, self.arguments.pairs)

    def run(self, name: str) -> float:
        match name:
            case "library":
                modules = "acme_provara_plugins, jsonschema"
                return self.against_python(
                    name, library_site, "com.acme.audit.login", LOGIN, modules
                )
            case "plain":
                return self.against_python(
                    name, plain_site, "org.example.plain.event", "{}", "plain_event"
                )
            case "property":
                return self.many(name, on_demand=True)
            case _:
                return self.many(name, on_demand=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    beside = Path(sys.executable).parent
    parser.add_argument("--provara", type=Path, default=beside / "provara")
    parser.add_argument("--python", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--count", type=int, default=41)
    parser.add_argument("--only", nargs="+", choices=list(BARS), default=list(BARS))
    parser.add_argument("--require", action="store_true")
    arguments = parser.parse_args()
    arguments.python = arguments.python or arguments.provara.parent / "python3"
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(arguments, Path(scratch))
        for name in arguments.only:
            ratio = bench.run(name)
            if not arguments.against and ratio > BARS[name]:
                missed.append(f"{name}: {ratio:.2f}, where at most {BARS[name]} is wanted")
    for line in missed:
        print(line)
    if missed and arguments.require:
        sys.exit(1)


if __name__ == "__main__":
    main()
