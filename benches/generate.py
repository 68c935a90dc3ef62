"""A seeded generator of events, as lines for ``provara append --batch``.

    python benches/generate.py COUNT [--seed N] [--sensors N] > events.ndjson

The same count, seed and sensors give the same bytes: logins of a custom type by eight services, and
readings of 20,000 sensors by eight probes, half and half, and an alarm every 5,000 events.  With
``--contested`` every event is a reading of one sensor that contradicts the one before it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator

LOGIN = "com.example.audit.login"
ALARM = "com.example.audit.alarm"


def events(count: int, seed: int, sensors: int) -> Iterator[dict[str, object]]:
    rng = random.Random(seed)
    for number in range(count):
        if number % 5000 == 0:
            yield {"type": ALARM, "data": {"number": number}, "actor": "service-0"}
        elif rng.random() < 0.5:
            octets = [rng.randrange(256) for _ in range(3)]
            data: dict[str, object] = {
                "user_id": f"user{rng.randrange(500):04d}",
                "success": rng.random() < 0.9,
                "ip_address": f"10.{octets[0]}.{octets[1]}.{octets[2]}",
                "latency_ms": round(rng.random() * 100, 3),
            }
            yield {"type": LOGIN, "data": data, "actor": f"service-{rng.randrange(8)}"}
        else:
            data = {
                "subject": f"sensor-{rng.randrange(sensors)}",
                "predicate": "temperature",
                "value": round(rng.random() * 40, 2),
                "confidence": 0.4,
            }
            yield {"type": "OBSERVATION", "data": data, "actor": f"probe-{rng.randrange(8)}"}


def contested(count: int) -> Iterator[dict[str, object]]:
    for number in range(count):
        data = {"subject": "door", "predicate": "state", "value": number, "confidence": 0.9}
        yield {"type": "OBSERVATION", "data": data, "actor": "probe"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write events as lines for append --batch.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--sensors", type=int, default=20000)
    parser.add_argument("--contested", action="store_true")
    arguments = parser.parse_args()
    source = (
        contested(arguments.count)
        if arguments.contested
        else events(arguments.count, arguments.seed, arguments.sensors)
    )
    for event in source:
        sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
