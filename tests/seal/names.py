"""The names that the page gives: files of a vault, types of events."""

from __future__ import annotations

import primitives

LOG = "events/events.ndjson"
KEYS = "identity/keys.json"
GENESIS = "identity/genesis.json"
MANIFEST, ROOT, SIGNATURE = "manifest.json", "merkle_root.txt", "manifest.sig"
SEAL = (MANIFEST, ROOT, SIGNATURE)
INTENT = ".provara-merge.json"
KEYFILE = primitives.KEYFILE

ADOPTION = "com.provara.vault.adopted"
STATEMENT = "com.provara.vault.files"
KEY_ADDED = "com.provara.key.added"
REDACTION = "com.provara.redaction"
CLOSING = "com.provara.vault.seal"
