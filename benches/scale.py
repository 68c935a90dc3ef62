"""Measures each command over 1k, 100k and 1M events, beside the raw limits of the same machine.

    make bench

Every vault is made by the seeded generator beside this file and ``provara append --batch``, which is
itself measured.  Everything runs through the executable.  The raw limits (single Ed25519
verifications and signatures on all cores, SHA-256 of the log on one core, a bare write and sync of
an append's files) are taken for each vault right beside its measurements, the first two before and
after, so that a slow phase of a shared machine hits both sides of a ratio.  The largest vault is also
verified by each back end for signatures, and one as large whose events 20 keys sign in turn; OpenSSL's
single verifications stand beside them where ``openssl`` is there.  The PyPI package
``provara-protocol==1.0.3``, in an environment of its own, does the same jobs where it finishes in 60 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALARM = "com.example.audit.alarm"
READING = '{"subject":"door","predicate":"state","value":"open"}'
OTHER = "provara-protocol==1.0.3"
PATIENCE = 60.0

READER = """
import sys, time
if sys.argv[1] == "orjson":
    import orjson
    begin = time.perf_counter()
    count = 0
    for line in open(sys.argv[2], "rb"):
        orjson.loads(line)
        count += 1
else:
    from provara import Vault
    begin = time.perf_counter()
    count = 0
    for _ in Vault(sys.argv[2]).events():
        count += 1
print(count / (time.perf_counter() - begin))
"""


@dataclass
class Row:
    """A measured figure, and how it stands to a raw limit or a bar."""

    name: str
    figure: str
    against: str = ""


class Bench:
    """The executable in a directory of its own, with a cache of its own."""

    def __init__(
        self, executable: Path, examples: Path, directory: Path, tools: Path | None
    ) -> None:
        self.executable = executable
        self.limits = examples / "limits"
        self.many_keys = examples / "many_keys"
        self.directory = directory
        self.tools = tools
        self.environment = {
            "PATH": f"{executable.parent}:/usr/bin:/bin",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            # There are no plugins to look for: the types are allowed unregistered.
            "PROVARA_PYTHON": "/nonexistent",
        }

    def run(self, *words: str, **more: str) -> tuple[float, int]:
        """Seconds of wall-clock time, and the peak of resident memory in bytes."""
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(self.executable), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment | more,
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - begin
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"$ provara {' '.join(words)}\n{said.decode()}")
        return elapsed, usage.ru_maxrss * 1024

    def has_back_end(self, name: str) -> bool:
        """Whether the processor can run a back end for signatures."""
        done = subprocess.run(
            [str(self.executable), "doctor"],
            capture_output=True,
            text=True,
            env=self.environment | {"PROVARA_SIGNATURES": name},
        )
        return f"signatures  {name}\n" in done.stdout

    def best(self, runs: int, *words: str) -> float:
        return min(self.run(*words)[0] for _ in range(runs))

    def raw(self, log: Path) -> dict[str, float]:
        done = subprocess.run(
            [str(self.limits), str(log), str(self.directory)], check=True, capture_output=True
        )
        return {name: float(value) for name, value in json.loads(done.stdout).items()}

    def bare(self, line: int) -> float:
        """Seconds of a process that writes and syncs what an append must, and does nothing else."""
        words = [str(self.limits), "--once", str(line), str(self.directory)]
        begin = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin

    def reader(self, which: str, path: Path) -> float | None:
        """Events a second of a bare loop in Python."""
        environment = dict(self.environment)
        if which == "orjson":
            if self.tools is None:
                return None
            environment["PYTHONPATH"] = str(self.tools)
        done = subprocess.run(
            [sys.executable, "-c", READER, which, str(path)],
            capture_output=True,
            env=environment,
        )
        return float(done.stdout) if done.returncode == 0 else None


def lines(directory: Path, count: int, *options: str) -> Path:
    path = directory / f"events-{count}{''.join(options)}.ndjson"
    with path.open("wb") as out:
        subprocess.run(
            [sys.executable, HERE / "generate.py", str(count), *options], check=True, stdout=out
        )
    return path


def measure(bench: Bench, count: int) -> list[Row]:
    vault = bench.directory / f"vault-{count}"
    log = vault / "events" / "events.ndjson"
    source = lines(bench.directory, count)
    bench.run("init", str(vault))
    before = bench.raw(log)
    os.sync()  # what was written before the batch must not slow its syncs
    batch, _ = bench.run("append", str(vault), "--batch", str(source), "--allow-unregistered")
    between = bench.raw(log)
    cold, memory = bench.run("verify", str(vault), "--no-cache")
    after = bench.raw(log)
    raw = after | {
        "sign_per_s": statistics.mean([before["sign_per_s"], between["sign_per_s"]]),
        "verify_per_s": statistics.mean([between["verify_per_s"], after["verify_per_s"]]),
    }
    size = log.stat().st_size
    rows = [
        Row("raw: verifications, all cores", f"{raw['verify_per_s']:,.0f} /s"),
        Row("raw: signatures, all cores", f"{raw['sign_per_s']:,.0f} /s"),
        Row("raw: SHA-256, one core", f"{raw['sha256_bytes_per_s'] / 1e9:.2f} GB/s"),
        Row("raw: write and sync, 4 files", f"{raw['write_sync_s'] * 1e3:.1f} ms"),
        Row(
            "append --batch",
            f"{count / batch:,.0f} events/s",
            f"{count / batch / raw['sign_per_s']:.2f} of raw signatures",
        ),
    ]
    words = ("append", str(vault), "--type", "OBSERVATION", "--data", READING)
    bench.run(*words)
    pairs = [(bench.run(*words)[0], bench.bare(size // count)) for _ in range(30)]
    single = statistics.median(ours for ours, _ in pairs)
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    rows.append(
        Row(
            "append, one event",
            f"{single * 1e3:.1f} ms",
            f"{ratio:.2f} x a bare process that writes and syncs",
        )
    )
    rows.append(
        Row(
            "verify, cold",
            f"{cold:.2f} s, {count / cold:,.0f} events/s",
            f"{count / cold / raw['verify_per_s']:.2f} of raw verifications",
        )
    )
    rows.append(Row("  memory beyond the log", f"{max(0, memory - size) / 1e6:.0f} MB"))
    bench.run("verify", str(vault))
    warm = bench.best(5, "verify", str(vault))
    rows.append(
        Row(
            "verify, warm",
            f"{warm:.3f} s, {size / warm / 1e9:.2f} GB/s",
            f"{size / warm / raw['sha256_bytes_per_s']:.2f} of raw SHA-256",
        )
    )
    for name, more in [
        ("replay", ("replay", str(vault), "--unverified")),
        ("reduce", ("reduce", str(vault), "--unverified")),
        ("query --type", ("query", str(vault), "--type", ALARM, "--unverified")),
    ]:
        took = bench.best(3, *more)
        rows.append(
            Row(
                name, f"{took:.3f} s, {count / took:,.0f} events/s", f"{size / took / 1e9:.2f} GB/s"
            )
        )
    ours, theirs = bench.reader("provara", vault), bench.reader("orjson", log)
    if ours is not None:
        against = "" if theirs is None else f"{ours / theirs:.2f} of a loop over orjson.loads"
        rows.append(Row("Python: Vault.events()", f"{ours:,.0f} events/s", against))
    return rows


def back_ends(bench: Bench, count: int) -> list[Row]:
    """The vault of so many events verified by each back end, and one that 20 keys signed in turn."""
    vault = bench.directory / f"vault-{count}"
    many = bench.directory / "many-keys"
    with tarfile.open(HERE.parent / "tests" / "corpus" / "vaults.tar.xz") as corpus:
        members = [it for it in corpus if it.name.startswith("./v_init_quorum/")]
        corpus.extractall(bench.directory, members, filter="data")
    (bench.directory / "v_init_quorum").rename(many)
    source = bench.directory / f"events-{count}.ndjson"
    subprocess.run([str(bench.many_keys), str(many), "20", str(source)], check=True)
    rows = []
    openssl = openssl_verifications()
    for name in ("dalek", "portable", "avx2", "avx512"):
        if not bench.has_back_end(name):
            print(
                f"(this processor has not what {name} needs: its rows are left out)",
                file=sys.stderr,
            )
            continue
        for which, path in (("one key", vault), ("20 keys in turn", many)):
            before = bench.raw(path / "events" / "events.ndjson")["verify_per_s"]
            took, _ = bench.run("verify", str(path), "--no-cache", PROVARA_SIGNATURES=name)
            after = bench.raw(path / "events" / "events.ndjson")["verify_per_s"]
            ratio = count / took / statistics.mean([before, after])
            against = f"{ratio:.2f} of raw verifications"
            if openssl:
                against += f", {count / took / openssl:.1f} of OpenSSL's"
            rows.append(Row(f"verify, cold, {name}, {which}", f"{took:.2f} s", against))
    return rows


def openssl_verifications() -> float | None:
    """Single verifications a second on all cores, by ``openssl speed``."""
    words = ["openssl", "speed", "-seconds", "3", "-multi", str(os.cpu_count()), "ed25519"]
    try:
        done = subprocess.run(words, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return float(done.stdout.split()[-1])


def contested(bench: Bench, count: int) -> Row:
    vault = bench.directory / "contested"
    bench.run("init", str(vault))
    bench.run("append", str(vault), "--batch", str(lines(bench.directory, count, "--contested")))
    took = bench.best(3, "replay", str(vault), "--unverified")
    return Row(f"replay, one key contested {count:,} times", f"{took:.2f} s")


def other_package(python: Path, bench: Bench, count: int) -> list[Row]:
    """The same jobs by the package from PyPI, on a vault of its own format's making: ours."""
    provara, vault = str(python.parent / "provara"), str(bench.directory / f"vault-{count}")
    keyfile = f"{vault}/identity/private_keys.json"
    rows = []
    jobs: list[tuple[str, list[str]]] = [
        ("verify", [provara, "verify", vault]),
        ("replay", [provara, "replay", vault]),
        (
            "append",
            [
                *(provara, "append", vault, "--type", "OBSERVATION", "--data", READING),
                *("--keyfile", keyfile),
            ],
        ),
    ]
    for name, words in jobs:
        begin = time.perf_counter()
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            rows.append(Row(f"{OTHER}: {name}", f"not done in {PATIENCE:.0f} s"))
            continue
        took = time.perf_counter() - begin
        figure = f"{took:.2f} s" if done.returncode == 0 else f"failed after {took:.2f} s"
        rows.append(Row(f"{OTHER}: {name}", figure))
    return rows


def try_install(what: str, make: Callable[[], Path]) -> Path | None:
    try:
        return make()
    except (subprocess.CalledProcessError, OSError):
        print(f"({what} could not be installed: its rows are left out)", file=sys.stderr)
        return None


def install_orjson(directory: Path) -> Path:
    target = directory / "tools"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--target", str(target), "orjson"], check=True)
    return target


def install_other(directory: Path) -> Path:
    home = directory / "other"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", OTHER], check=True)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure each command over vaults of several sizes."
    )
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--executable", type=Path, default=Path(sys.executable).parent / "provara")
    parser.add_argument("--examples", type=Path, required=True, help="where the examples are built")
    parser.add_argument("--directory", type=Path, help="where the vaults are made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="provara-scale-", dir=arguments.directory) as name:
        directory = Path(name)
        tools = try_install("orjson", lambda: install_orjson(directory))
        python = try_install(OTHER, lambda: install_other(directory))
        bench = Bench(arguments.executable, arguments.examples, directory, tools)
        sizes = [int(size) for size in arguments.sizes.split(",")]
        for size in sizes:
            rows = measure(bench, size)
            if python is not None:
                rows += other_package(python, bench, size)
            show(f"{size:,} events", rows)
        show("signatures", back_ends(bench, max(sizes)))
        show("one contested key", [contested(bench, 100_000)])
    load = os.getloadavg()[0]
    print(f"\nload {load:.1f} on {os.cpu_count()} processors at the end")


def show(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        print(f"  {row.name:44}{row.figure:>32}   {row.against}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
