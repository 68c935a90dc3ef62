"""Writers side by side: is any passed over, and is anything lost?

Run with the Python that has the package, on a machine that is otherwise quiet:

    python benches/fairness.py --seconds 60             # 12 loops, one Vault.writer, one batch
    python benches/fairness.py --seconds 60 --readers   # 20 loops, with readers and verifications
    python benches/fairness.py --provara OLD --alone    # the loops alone, with another executable

It prints how often each loop appended, the slowest against the mean, and what failed; it fails where an
event that was acknowledged is not in the log, or the vault does not verify. With --require it also fails
where the slowest loop comes to less than 0.8 of the mean, or a writer gave up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WRITER = """
import sys, time
from provara import Vault
end = time.time() + float(sys.argv[2])
with Vault(sys.argv[1]).writer() as writer:
    number = 0
    while time.time() < end:
        for _ in range(200):
            writer.append("OBSERVATION", {"subject": "w", "predicate": "n", "value": number}, actor="writer")
            number += 1
        for receipt in writer.flush():
            print(receipt.event_id, flush=False)
"""


class Run:
    """One vault, and what was acknowledged in it."""

    def __init__(self, provara: str, vault: Path, seconds: float) -> None:
        self.provara = provara
        self.vault = vault
        self.seconds = seconds
        self.end = 0.0
        self.acknowledged: list[str] = []
        self.failed: list[str] = []
        self.longest: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def loop(self, name: str) -> None:
        ids, longest = [], 0.0
        while time.time() < self.end:
            begun = time.time()
            done = subprocess.run(
                [
                    self.provara, "append", str(self.vault), "--type", "OBSERVATION", "--actor", name,
                    "--data", '{"subject":"a","predicate":"b","value":1}', "--json",
                ],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            longest = max(longest, time.time() - begun)
            if done.returncode:
                self.failed.append(f"{name}: exit {done.returncode}: {done.stderr.strip()[:300]}")
            else:
                ids.append(json.loads(done.stdout)["event_id"])
        self.counts[name], self.longest[name] = len(ids), longest
        self.acknowledged += ids

    def batch(self) -> None:
        child = subprocess.Popen(
            [self.provara, "append", str(self.vault), "--batch", "-", "--actor", "batch", "--json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdin and child.stdout and child.stderr

        def feed() -> None:
            assert child.stdin
            number = 0
            line = '{"type":"OBSERVATION","data":{"subject":"b","predicate":"n","value":%d}}\n'
            try:
                while time.time() < self.end:
                    child.stdin.write("".join(line % (number + more) for more in range(100)))
                    child.stdin.flush()
                    number += 100
                    time.sleep(0.02)
                child.stdin.close()
            except BrokenPipeError:
                pass

        thread = threading.Thread(target=feed)
        thread.start()
        ids = [json.loads(text)["event_id"] for text in child.stdout]
        thread.join()
        if child.wait():
            self.failed.append(f"batch: exit {child.returncode}: {child.stderr.read()[:300]}")
        self.counts["batch"] = len(ids)
        self.acknowledged += ids

    def writer(self) -> None:
        command = [sys.executable, "-c", WRITER, str(self.vault), str(self.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.failed.append(f"writer: {done.stderr.strip()[-300:]}")
        ids = done.stdout.split()
        self.counts["writer"] = len(ids)
        self.acknowledged += ids

    def reader(self, name: str, *command: str) -> None:
        count = 0
        while time.time() < self.end:
            arguments = [self.provara, command[0], str(self.vault), *command[1:]]
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stdout + done.stderr).strip()
                self.failed.append(f"{name}: exit {done.returncode}: {said[:300]}")
            count += 1
        self.counts[name] = count


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--provara", default=str(Path(sys.executable).with_name("provara")))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--loops", type=int)
    parser.add_argument("--alone", action="store_true", help="the loops alone")
    parser.add_argument(
        "--readers", action="store_true", help="20 loops, readers and verifications"
    )
    parser.add_argument("--require", action="store_true")
    given = parser.parse_args()
    loops = given.loops or (20 if given.readers else 12)
    with tempfile.TemporaryDirectory() as directory:
        vault = Path(directory) / "vault"
        subprocess.run([given.provara, "init", str(vault)], check=True, capture_output=True)
        run = Run(given.provara, vault, given.seconds)
        threads = [threading.Thread(target=run.loop, args=(f"loop-{n:02}",)) for n in range(loops)]
        if given.readers:
            threads += [
                threading.Thread(target=run.reader, args=("verify", "verify")),
                threading.Thread(target=run.reader, args=("verify-2", "verify", "--strict")),
                threading.Thread(target=run.reader, args=("query", "query", "--limit", "5")),
            ]
        elif not given.alone:
            threads += [threading.Thread(target=run.batch), threading.Thread(target=run.writer)]
        run.end = time.time() + given.seconds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = (vault / "events/events.ndjson").read_bytes().split(b"\n")
        there = {json.loads(line)["event_id"] for line in lines if line}
        verified = subprocess.run([given.provara, "verify", str(vault), "--strict"], check=False,
                                  capture_output=True, text=True)  # fmt: skip
    of_loops = [count for name, count in run.counts.items() if name.startswith("loop-")]
    mean = sum(of_loops) / len(of_loops)
    lost = [event for event in run.acknowledged if event not in there]
    print(f"loops          {sorted(of_loops)}")
    print(f"slowest/mean   {min(of_loops) / mean:.2f}   mean {mean:.1f}   in all {sum(of_loops)}")
    print(f"longest wait   {max(run.longest.values()):.2f} s")
    print("others        ", {name: n for name, n in run.counts.items() if "loop" not in name})
    print(f"acknowledged   {len(run.acknowledged)}, of which lost: {len(lost)}")
    print(f"verify         exit {verified.returncode}")
    for text in run.failed[:5]:
        print("failed:", text)
    print(f"failures       {len(run.failed)}")
    if lost or verified.returncode:
        return 1
    unfair = min(of_loops) < 0.8 * mean or run.failed
    return 1 if given.require and unfair else 0


if __name__ == "__main__":
    sys.exit(main())
