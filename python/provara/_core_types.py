"""The event types that belong to the core."""

from __future__ import annotations

#: No plugin may take one of these names, in whatever case.
RESERVED_CORE_TYPES: frozenset[str] = frozenset(
    {
        "GENESIS",
        "OBSERVATION",
        "ASSERTION",
        "ATTESTATION",
        "RETRACTION",
        "KEY_REVOCATION",
        "KEY_PROMOTION",
        "REDUCER_EPOCH",
        "SIGNED_STATEMENT",
        "RECEIPT",
    }
)
