import base64
import hashlib
import json
import sys

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def add(a: tuple, b: tuple) -> tuple:  # RFC 8032, section 5.1.4
    x, y, z, t = (u * v % P for u, v in zip(a, b, strict=True))
    e = ((a[0] + a[1]) * (b[0] + b[1]) - x - y) % P
    f, g, h = (z - D * t) % P, (z + D * t) % P, (y + x) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n: int, point: tuple) -> tuple:
    total = (0, 1, 1, 0)
    for bit in bin(n)[2:]:
        total = add(total, total)
        total = add(total, point) if bit == "1" else total
    return total


def decode(text: bytes) -> tuple:  # section 5.1.3
    y = int.from_bytes(text, "little") & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    assert y < P and x * x % P == square, "no point of the curve"
    x = P - x if x & 1 != text[31] >> 7 else x
    return x, y, 1, x * y % P


def encode(point: tuple) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(key: bytes, message: bytes, signature: bytes) -> bool:  # section 5.1.7
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    x, y, z, t = times(k, decode(key))
    return s < L and encode(add(times(s, BASE), (-x % P, y, z, -t % P))) == r


def members(line: str) -> dict[str, str]:
    # The line is canonical JSON: its members stand in one order, and each has one text.
    position, found = 1, {}
    while line[position - 1] != "}":
        name, colon = json.JSONDecoder().raw_decode(line, position)
        _, end = json.JSONDecoder().raw_decode(line, colon + 1)
        found[name] = line[position:end]
        position = end + 1
    return found


def without(line: str, *names: str) -> bytes:
    kept = (text for name, text in members(line).items() if name not in names)
    return ("{" + ",".join(kept) + "}").encode()


def id_of(line: str) -> str:
    return "evt_" + sha256(without(line, "event_id", "sig")).hex()[:24]


def need(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"it proves nothing: {otherwise}")


TOMBSTONE = {"original_payload_hash", "redacted", "redaction_event_id", "redaction_reason"}
READ_BY_THE_RULES = {"GENESIS", "KEY_REVOCATION", "KEY_PROMOTION"} | {
    "com.provara." + name
    for name in ("key.added", "vault.adopted", "vault.files", "vault.seal", "redaction")
}


def is_withheld(line: str) -> bool:  # section 8
    event = json.loads(line)
    payload = event["payload"]
    return (
        event["event_id"] != id_of(line)
        and set(payload) == TOMBSTONE
        and payload["redacted"] is True
        and event["type"] not in READ_BY_THE_RULES
    )


def leaf(line: str) -> bytes:  # section 5 of the format
    found = members(line)
    digest = sha256(found["payload"].removeprefix('"payload":').encode()).hex()
    if is_withheld(line):
        digest = json.loads(line)["payload"]["original_payload_hash"]
    found["payload"] = f'"payload":"{digest}"'
    return sha256(b"\0{", ",".join(found.values()).encode(), b"}")


def root(known: list, start: int, end: int, given: list) -> bytes:  # section 10
    if not known:
        need(bool(given), "a digest is missing")
        return given.pop(0)
    if end - start == 1:
        return known[0][1]
    middle = start + (1 << (end - start - 1).bit_length() - 1)
    left = root([it for it in known if it[0] < middle], start, middle, given)
    right = root([it for it in known if it[0] >= middle], middle, end, given)
    return sha256(b"\1", left, right)


with open(sys.argv[1], encoding="utf-8", newline="") as file:
    proof = json.load(file)
with open(sys.argv[2], encoding="utf-8", newline="") as file:
    note = file.read()
need(proof["type"] == "provara_proof_v1", "it is no proof of events")
text, signatures = note.split("\n\n")
origin, size, top = text.split("\n")
need(proof["head"] == note, "it is for another head")
keys = {sha256(key).hex()[:16]: key for key in map(base64.b64decode, proof["keys"])}
by = {sha256(f"{origin}\n\1".encode(), key)[:4]: key for key in keys.values()}
of_a_key = False
for line in signatures.splitlines():
    _, name, encoded = line.split(" ")
    signature = base64.b64decode(encoded)
    if name == origin and signature[:4] in by:
        of_a_key = signed(by[signature[:4]], f"{text}\n".encode(), signature[4:])
need(of_a_key, "no key in it signed the head")

events = [(event["at"], event["line"]) for event in proof["events"]]
places = [at for at, _ in events]
need(all(type(at) is int for at in places), "a place is no integer")
need(places == sorted(set(places)) and places[0] >= 0 and places[-1] < int(size), "its places")
given = [base64.b64decode(digest) for digest in proof["proof"]]
known = [(at, leaf(line)) for at, line in events]
need(root(known, 0, int(size), given) == base64.b64decode(top), "its events are not in the tree")
need(not given, "a digest is left over")
for at, line in events:
    event = json.loads(line)
    shown = json.dumps(event["payload"])
    if is_withheld(line):
        shown = "(payload withheld)"
    else:
        need(event["event_id"] == id_of(line), f"line {at + 1}: its id")
        key = keys[event["actor_key_id"].removeprefix("bp1_")]
        need(signed(key, without(line, "sig"), base64.b64decode(event["sig"])), f"line {at + 1}")
    print("line", at + 1, event["type"], "by", event["actor"], shown)
print("these are in", origin, "as it was when its head over", size, "events was signed")
