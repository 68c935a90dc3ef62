"""Five kinds of real logs, each way through a vault and back, held against their source.

    python benches/real_records.py [--count 20000] [--provara PATH] [--keep DIRECTORY]

Makes ``--count`` records of each kind, always the same: Windows events, CloudTrail, Zeek connections
with dotted names, posts with ids beyond 2^53, and FHIR resources with decimals; each in the form that
such files have (a byte order mark and CR LF; documents with an array, several in one gzip file; zstd
where the system has it; one indented document). Each goes through ``append --batch --rejects``, and what
``query --format ndjson`` and the built-in exports ``ndjson``, ``json`` and ``csv`` give is compared with
the source, record by record, by the decimal value of every number. Nothing of Provara's is used to
compare.

Where ``append`` knows ``--numbers``, integers beyond 2^53 - 1 go in as strings (``--numbers string``) and
must come out as strings of the same digits. Where it does not, the records that have one must be refused,
each with its line and the code ``number``, and no other.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

SAFE = 2**53 - 1
DOCUMENT = 1000
#: The audit bits of Windows security events, and those of the other channels, as signed integers.
KEYWORDS = [-9214364837600034816, -9218868437227405312, -9223372036854775808, 36028797018963968]


class Raw(str):
    """A number to be written as it is."""


def dumps(value: object, indent: int = 0, depth: int = 0) -> str:
    """JSON in which a :class:`Raw` stands as it is; indented where that is asked for."""
    pad = "\n" + " " * indent * (depth + 1) if indent else ""
    end = "\n" + " " * indent * depth if indent else ""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        members = (
            f"{pad}{json.dumps(name, ensure_ascii=False)}: {dumps(it, indent, depth + 1)}"
            for name, it in value.items()
        )
        return "{" + ",".join(members) + (end if value else "") + "}"
    if isinstance(value, list):
        items = (pad + dumps(it, indent, depth + 1) for it in value)
        return "[" + ",".join(items) + (end if value else "") + "]"
    return json.dumps(value, ensure_ascii=False)


def a_uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def clock(second: int) -> str:
    return f"{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def windows(rng: random.Random, number: int) -> dict[str, object]:
    user = f"user{rng.randrange(200)}"
    success = rng.random() < 0.9
    record: dict[str, object] = {
        "EventTime": f"2026-03-{1 + number % 28:02d} {clock(number)}",
        "Hostname": f"WS-{rng.randrange(40):03d}.corp.example",
        "Keywords": KEYWORDS[0] if success else rng.choice(KEYWORDS[1:]),
        "EventType": "AUDIT_SUCCESS" if success else "AUDIT_FAILURE",
        "SeverityValue": 2,
        "EventID": rng.choice([4624, 4625, 4634, 4672, 4688]),
        "SourceName": "Microsoft-Windows-Security-Auditing",
        "ProviderGuid": "{54849625-5478-4994-A5BA-3E3B0328C30D}",
        "Version": rng.randrange(3),
        "RecordNumber": 981_000_000 + number,
        "ProcessID": rng.randrange(1 << 16),
        "Channel": "Security",
        "Message": "An account was logged on.\r\n\r\nSubject:\r\n\tSecurity ID:\tS-1-5-18\r\n"
        f"\tAccount Name:\t{user}$\r\n",
        "TargetUserName": user,
        "TargetLogonId": f"0x{rng.getrandbits(32):x}",
        "ProcessName": "C:\\Windows\\System32\\svchost.exe",
        "IpAddress": "::1"
        if rng.random() < 0.1
        else f"10.1.{rng.randrange(256)}.{rng.randrange(256)}",
        "ElevatedToken": "%%1842",
    }
    if rng.random() < 0.2:
        # Other providers give no keywords, or few.
        record["Keywords"] = rng.choice([None, 0, SAFE, "0x8020000000000000"])
    return record


def cloudtrail(rng: random.Random, number: int) -> dict[str, object]:
    name = rng.choice(["PutObject", "GetObject", "AssumeRole", "ConsoleLogin", "RunInstances"])
    record: dict[str, object] = {
        "eventVersion": "1.10",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROA{rng.getrandbits(64):016X}:session",
            "arn": f"arn:aws:sts::{rng.randrange(10**12):012d}:assumed-role/ops/session",
            "sessionContext": {
                "attributes": {"mfaAuthenticated": "false"},
                "webIdFederationData": {},
            },
        },
        "eventTime": f"2026-03-01T{clock(number)}Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": f"192.0.2.{rng.randrange(256)}",
        "userAgent": '[aws-cli/2.15 Python/3.11 "quoted" \\ path]',
        "requestParameters": {
            "bucketName": "logs",
            "key": f"a/b=c/{a_uuid(rng)}.json.gz",
            "x-amz-acl": "private",
            "tagSet": [{"key": "ümlaut", "value": "\u2028\u2029"}, {}],
        },
        "responseElements": None,
        "additionalEventData": {
            "bytesTransferredIn": Raw(f"{rng.randrange(10**9)}.0"),
            "bytesTransferredOut": Raw("0.0"),
            "x-amz-id-2": "abc+/==",
        },
        "requestID": f"{rng.getrandbits(64):016X}",
        "eventID": a_uuid(rng),
        "readOnly": name.startswith("Get"),
        "resources": [{"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::logs/"}],
        "managementEvent": False,
        "recipientAccountId": f"{rng.randrange(10**12):012d}",
    }
    return record


def zeek(rng: random.Random, number: int) -> dict[str, object]:
    return {
        "ts": Raw(f"{1_772_323_200 + number}.{rng.randrange(10**6):06d}"),
        "uid": f"C{rng.getrandbits(96):024x}",
        "id.orig_h": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}",
        "id.orig_p": rng.randrange(1024, 65536),
        "id.resp_h": "2001:db8::5" if rng.random() < 0.2 else "198.51.100.7",
        "id.resp_p": rng.choice([22, 53, 80, 443]),
        "proto": rng.choice(["tcp", "udp"]),
        "duration": Raw(f"{rng.random() * 10 ** rng.randrange(-5, 4):.6f}"),
        "orig_bytes": rng.randrange(1 << 40),
        "missed_bytes": 0,
        "history": "ShADadFf",
        "tunnel_parents": [],
        "small": Raw(f"{rng.randrange(1, 10)}.{rng.randrange(10**9)}e-{rng.randrange(5, 40)}"),
    }


def post(rng: random.Random, number: int) -> dict[str, object]:
    id_ = (1_700_000_000_000 + number * 977 << 22) | rng.getrandbits(22)
    reply: dict[str, object] | None = {"id": id_ - rng.getrandbits(40), "lang": "de"}
    return {
        "id": id_,
        "id_str": str(id_),
        "text": rng.choice(
            [
                "grüße 😀",
                "line\nbreak \u0000 end",
                "日本語\u202e\u0085",
                '"quoted" \\ \x7f',
                "e\u0301 vs é",
            ]
        ),
        "user": {
            "id": rng.randrange(1 << 31),
            "followers_count": rng.randrange(10**7),
            "verified": None,
        },
        "coordinates": {
            "type": "Point",
            "coordinates": [round(rng.uniform(-180, 180), 7), round(rng.uniform(-90, 90), 7)],
        },
        "quoted_status": reply if rng.random() < 0.3 else None,
        "entities": {"hashtags": [{"indices": [0, rng.randrange(1, 99)]}], "urls": []},
        "discord": {
            "guild_id": str(rng.getrandbits(63)),
            "position": rng.choice([0, -1, 1e-7, 1e21]),
        },
    }


def fhir(rng: random.Random, number: int) -> dict[str, object]:
    decimals = ["6.30", "98.60", "0.10", "1.0", "37.000", "1E+2", "5e-3", "0.0"]
    decimals.append(f"{rng.randrange(1000)}.{rng.randrange(10**4):04d}")
    return {
        "resourceType": "Observation",
        "id": f"obs-{number}",
        "status": "final",
        "code": {
            "coding": [
                {
                    "system": "http://loinc.org",
                    "code": "15074-8",
                    "display": "Glucose [Moles/volume] in Blood",
                }
            ]
        },
        "subject": {"reference": f"Patient/{rng.randrange(500)}", "_display": {"extension": []}},
        "effectiveDateTime": f"2026-04-02T09:30:{number % 60:02d}+01:00",
        "valueQuantity": {"value": Raw(rng.choice(decimals)), "unit": "mmol/l", "code": "mmol/L"},
        "referenceRange": [{"low": {"value": Raw("3.1")}, "high": {"value": Raw("6.20")}}],
        "text": {"div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>&lt;6.3&gt; µg</p></div>'},
    }


@dataclass
class Kind:
    """A kind of record, how its files are written, and what ``append`` is told of them."""

    name: str
    make: Callable[[random.Random, int], dict[str, object]]
    write: Callable[[list[dict[str, object]]], bytes]
    options: tuple[str, ...] = ()


def crlf(records: list[dict[str, object]]) -> bytes:
    """Lines as Windows writes them: a mark, CR LF, a blank line now and then, no last end."""
    lines = [
        dumps(it) + ("\r\n" if number % 500 == 499 else "") for number, it in enumerate(records)
    ]
    return b"\xef\xbb\xbf" + "\r\n".join(lines).encode()


def documents(records: list[dict[str, object]]) -> bytes:
    """Documents as CloudTrail delivers them, each a gzip member."""
    parts = (records[at : at + DOCUMENT] for at in range(0, len(records), DOCUMENT))
    return b"".join(gzip.compress(dumps({"Records": part}).encode(), mtime=0) for part in parts)


def lines(records: list[dict[str, object]]) -> bytes:
    return "".join(dumps(it) + "\n" for it in records).encode()


def zstd(records: list[dict[str, object]]) -> bytes:
    """Lines in two zstd frames, if the system has the tool, and as they are if not."""
    if shutil.which("zstd") is None:
        return lines(records)
    half = len(records) // 2
    frames = (lines(records[:half]), lines(records[half:]))
    return b"".join(
        subprocess.run(["zstd", "-qc"], input=it, stdout=subprocess.PIPE, check=True).stdout
        for it in frames
    )


def bundle(records: list[dict[str, object]]) -> bytes:
    """One indented document, in which the array is not the only member."""
    head = {
        "resourceType": "Bundle",
        "meta": {"entry": [0]},
        "entry": records,
        "total": len(records),
    }
    return dumps(head, indent=2).encode() + b"\n"


KINDS = [
    Kind("windows", windows, crlf),
    Kind(
        "cloudtrail",
        cloudtrail,
        documents,
        ("--records", ".Records", "--idempotency-key-from", "eventID"),
    ),
    Kind("zeek", zeek, lines),
    Kind("posts", post, zstd, ("--idempotency-key-from", "id_str")),
    Kind("fhir", fhir, bundle, ("--records", ".entry")),
]


def parse(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def source(record: dict[str, object], as_strings: bool) -> Any:
    """What the record says, read from its text; large integers, also those that are written with an
    exponent, as strings where they go in so."""

    def number(token: str) -> object:
        value = Decimal(token)
        large = value == value.to_integral_value() and abs(value) > SAFE
        return token if as_strings and large else value

    return json.loads(dumps(record), parse_float=number, parse_int=number)


def has_large(value: object) -> bool:
    """Whether an integer without a fraction in it is beyond 2^53 - 1."""
    if isinstance(value, dict):
        return any(map(has_large, value.values()))
    if isinstance(value, list):
        return any(map(has_large, value))
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE


def differs(one: object, other: object, path: str = "") -> str | None:
    """Where two values differ; numbers by their decimal value."""
    if type(one) is not type(other):
        return f"{path}: {one!r} is not {other!r}"
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{path}: members {sorted(one)} are not {sorted(other)}"
        found = (differs(one[name], other[name], f"{path}.{name}") for name in one)
        return next((it for it in found if it), None)
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return f"{path}: {len(one)} items are not {len(other)}"
        found = (
            differs(a, b, f"{path}[{at}]") for at, (a, b) in enumerate(zip(one, other, strict=True))
        )
        return next((it for it in found if it), None)
    return None if one == other else f"{path}: {one!r} is not {other!r}"


class Vault:
    """A vault in a directory of its own."""

    def __init__(self, provara: str, home: Path) -> None:
        self.provara, self.home = provara, home
        # No plugin is installed for these types, and none is to be asked.
        kept = {"PATH": os.environ["PATH"], "HOME": str(home), "PROVARA_PYTHON": "/nonexistent"}
        self.environment = kept
        self.run("init", "vault")

    def run(self, *words: str, code: int = 0) -> bytes:
        done = subprocess.run(
            [self.provara, *words], cwd=self.home, env=self.environment, capture_output=True
        )
        if done.returncode != code:
            sys.exit(
                f"$ provara {' '.join(words)}\nexit code {done.returncode}\n{done.stderr.decode()}"
            )
        return done.stdout

    def payloads(self, type_name: str) -> Iterator[tuple[str, list[Any]]]:
        """The events' data, as each way out of the vault gives it."""
        out = self.run("query", "vault", "--type", type_name, "--format", "ndjson")
        yield "query", [parse(line)["payload"] for line in out.split(b"\n") if line]
        for name in ("ndjson", "json", "csv"):
            target = self.home / f"export.{name}"
            self.run("export", "vault", "--format", name, "--output", str(target), "--force")
            data = target.read_bytes()
            if name == "ndjson":
                events = [parse(line) for line in data.split(b"\n") if line]
            elif name == "json":
                events = parse(data)
                events = events if isinstance(events, list) else events["events"]
            else:
                csv.field_size_limit(1 << 30)
                with target.open(encoding="utf-8", newline="") as file:
                    events = list(csv.DictReader(file))
                for event in events:
                    event["payload"] = parse(event["payload"])
            yield name, [event["payload"] for event in events if event["type"] == type_name]


def check(vault: Vault, kind: Kind, count: int, strings: bool) -> None:
    rng = random.Random(f"provara {kind.name}")
    records = [kind.make(rng, number) for number in range(count)]
    data = kind.write(records)
    (vault.home / "records").write_bytes(data)
    refused = [] if strings else [at for at, it in enumerate(records) if has_large(it)]
    type_name = f"com.example.{kind.name}.record"
    words = ["append", "vault", "--batch", "records", "--type", type_name, "--allow-unregistered"]
    words += [*kind.options, "--rejects", "rejects.ndjson"]
    words += ["--numbers", "string"] if strings else []
    begin = time.perf_counter()
    vault.run(*words, code=2 if refused else 0)
    took = time.perf_counter() - begin

    # Not as lines of text, which end at U+0085 and U+2028 too.
    rejects = [line for line in (vault.home / "rejects.ndjson").read_bytes().split(b"\n") if line]
    if len(rejects) != len(refused):
        sys.exit(f"{kind.name}: {len(rejects)} were refused, not {len(refused)}: {rejects[:1]}")
    for at, line in zip(refused, rejects, strict=True):
        told = parse(line)
        if told["code"] != "number" or differs(told["record"], source(records[at], False)):
            sys.exit(f"{kind.name}: record {at} was refused otherwise: {line[:300]!r}")
        if kind.write is crlf and int(told["line"]) != at + 1 + at // 500:
            sys.exit(f"{kind.name}: record {at} stands on another line than {told['line']}")
    left = set(range(count)) - set(refused)
    expected = [source(records[at], strings) for at in sorted(left)]
    for way, payloads in vault.payloads(type_name):
        if len(payloads) != len(expected):
            sys.exit(f"{kind.name}, {way}: {len(payloads)} events, not {len(expected)}")
        for at, (found, wanted) in enumerate(zip(payloads, expected, strict=True)):
            if difference := differs(found, wanted):
                sys.exit(f"{kind.name}, {way}, record {at}{difference}")
    if "--idempotency-key-from" in kind.options:
        before = (vault.home / "vault/events/events.ndjson").read_bytes()
        vault.run(*words, code=2 if refused else 0)
        if (vault.home / "vault/events/events.ndjson").read_bytes() != before:
            sys.exit(f"{kind.name}: a repeated batch changed the log")
    print(
        f"{kind.name:10}  {count} records in {len(data):>9} bytes, {len(expected)} appended in {took:.1f} s, "
        f"{len(refused)} refused; query, ndjson, json and csv equal"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20_000, help="records of each kind")
    parser.add_argument("--provara", default="provara", help="the executable")
    parser.add_argument("--keep", type=Path, help="work here, and leave it")
    args = parser.parse_args()
    provara = shutil.which(args.provara)
    if provara is None:
        sys.exit(f"there is no executable '{args.provara}'")
    told = subprocess.run([provara, "append", "--help"], capture_output=True, check=True).stdout
    strings = b"--numbers" in told
    with tempfile.TemporaryDirectory() as temporary:
        home = args.keep or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        vault = Vault(str(Path(provara).resolve()), home)
        for kind in KINDS:
            check(vault, kind, args.count, strings)
        vault.run("verify", "vault", "--strict")
    print("the vault verifies")


if __name__ == "__main__":
    main()
