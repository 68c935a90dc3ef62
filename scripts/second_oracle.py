#!/usr/bin/env python3
"""Holds verdicts for Ed25519 signatures against those of OpenSSL, through the package `cryptography`.

Reads what `cargo run -p provara-signatures --example exact -- --lines` prints from standard input: one JSON
object to a line, with the key, the message and the signature in hexadecimal, and whether `ed25519-dalek`
accepts. Prints how many verdicts are the same, and every one that is not; then the exit code is 1.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether OpenSSL accepts a signature."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def main() -> int:
    verdicts: Counter[bool] = Counter()
    differences = 0
    for line in sys.stdin:
        case = json.loads(line)
        key, message, signature = (
            bytes.fromhex(case[name]) for name in ("key", "message", "signature")
        )
        accepted = accepts(key, message, signature)
        verdicts[accepted] += 1
        if accepted != case["good"]:
            differences += 1
            print(f"DIFFERS: OpenSSL accepts: {accepted}: {line.strip()}")
    total = sum(verdicts.values())
    print(
        f"{total} cases, {differences} differences between dalek and {backend.openssl_version_text()}, "
        f"which accepts {verdicts[True]}"
    )
    return 1 if differences or not total else 0


if __name__ == "__main__":
    sys.exit(main())
