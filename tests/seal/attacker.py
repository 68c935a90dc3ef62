"""What an attacker holds, and the vault as it has become in the attacker's hands."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import writing
from forge import Signer
from honest import History
from names import KEYS, LOG, SEAL, SIGNATURE
from writing import Files, joined, lines_of, make_event

#: Later than every honest event.
LATER = writing.Clock(10**15)


@dataclass
class Attacker:
    """One attack in the making."""

    history: History
    foreign: History
    rng: random.Random
    #: Whether what ever lay in the folder is at hand.
    old: bool = False
    #: A key of the vault that was revoked, if the attacker holds it.
    stolen: Signer | None = None
    files: Files = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = dict(self.history.current)
        self.own = [Signer(f"own {self.rng.random()}") for _ in range(self.rng.randint(1, 3))]
        self.signers = [*self.own, *([self.stolen] * 3 if self.stolen else [])]
        self.keys: bytes | None = None
        self.finished = False

    # ---- the log

    @property
    def lines(self) -> list[bytes]:
        return lines_of(self.files.get(LOG, b""))

    def set_lines(self, lines: list[bytes]) -> None:
        self.files[LOG] = joined(lines)

    def events(self) -> list[dict[str, Any]]:
        found = []
        for line in self.lines:
            try:
                value = json.loads(line)
            except ValueError:
                value = {}
            found.append(value if isinstance(value, dict) else {})
        return found

    def place(self) -> int:
        """A line that is not the first."""
        return self.rng.randrange(1, max(2, len(self.lines)))

    def pool(self) -> list[bytes]:
        """Lines from elsewhere: of the vault with the same keys, and what lay in the folder."""
        lines = [line for files in self.foreign.rest for line in lines_of(files[LOG])]
        if self.old:
            lines += [line for files in self.history.rest for line in lines_of(files[LOG])]
        return lines

    def signer(self) -> Signer:
        return self.rng.choice(self.signers)

    def event(self, kind: str, payload: Any, actor: str | None = None) -> bytes:
        """A new line by a key of the attacker's, at the end of an actor's chain."""
        events = [event for event in self.events() if event]
        actors = sorted({str(event.get("actor")) for event in events})
        actor = actor or self.rng.choice([*actors, "mallory"])
        chain = [event for event in events if event.get("actor") == actor]
        members: dict[str, Any] = {
            "actor": actor,
            "payload": payload,
            "prev_event_hash": chain[-1].get("event_id") if chain else None,
            "timestamp_utc": LATER.now(),
            "ts_logical": int(chain[-1].get("ts_logical") or 0) + 1 if chain else 1,
            "type": kind,
        }
        names = [event["seal"] for event in events if event.get("seal")]
        now = self.seal_name()
        name = self.rng.choice([now, now, None, *names[-2:]])
        if name:
            members["seal"] = name
        elif events and self.rng.random() < 0.7:
            members["after"] = events[-1].get("event_id")
        signer = self.signer()
        if self.rng.random() < 0.1:
            # Under the name of another key.
            members["actor_key_id"] = self.rng.choice(self.history.keys).key_id
        return writing.canonical(make_event(signer, members))

    def seal_name(self) -> str | None:
        try:
            return str(json.loads(self.files[SIGNATURE])["merkle_root"])[:32]
        except (KeyError, ValueError, TypeError):
            return None

    def beside(self) -> list[str]:
        return sorted(path for path in self.files if path not in {*SEAL, LOG, KEYS})
