"""A witness that speaks C2SP tlog-witness, written from that page alone, for `provara witness request`.

It trusts the keys that it is told of, keeps what it saw in memory, and signs with `cryptography`. Its `hook`
is called before and after it keeps what it saw, so that a test can kill whoever asks at either moment.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def key_hash(name: str, kind: int, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


class Witness:
    """One witness on loopback."""

    def __init__(self, name: str = "witness.example.org/w1", seed: bytes = bytes([9] * 32)):
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.private.public_key().public_bytes_raw()
        #: Origin to the key that signs its heads.
        self.trusted: dict[str, bytes] = {}
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.requests: list[tuple[int, str]] = []
        self.time = 1_700_000_000
        self.hook: Callable[[str], None] = lambda moment: None
        #: What is answered instead, where a test wants that.
        self.answer: Callable[[str], str] = lambda lines: lines
        self.lock = threading.Lock()

    @property
    def verifier_key(self) -> str:
        encoded = base64.b64encode(b"\x04" + self.public).decode()
        return f"{self.name}+{key_hash(self.name, 4, self.public).hex()}+{encoded}"

    def trust(self, verifier_key: str) -> None:
        """Takes a key as `provara witness request` prints it."""
        name, stated, encoded = verifier_key.split("+", 2)
        key = base64.b64decode(encoded)
        assert key[0] == 1
        assert key_hash(name, 1, key[1:]).hex() == stated
        self.trusted[name] = key[1:]

    def cosign(self, text: str) -> str:
        message = f"cosignature/v1\ntime {self.time}\n{text}"
        signature = struct.pack(">Q", self.time) + self.private.sign(message.encode())
        encoded = base64.b64encode(key_hash(self.name, 4, self.public) + signature).decode()
        return f"\u2014 {self.name} {encoded}\n"

    def add_checkpoint(self, body: str) -> tuple[int, str, str]:
        """The status, the content type and the text of the answer to a request."""
        lines, _, note = body.partition("\n\n")
        first, *proof = lines.split("\n")
        assert first.startswith("old "), first
        old, digests = int(first[4:]), [base64.b64decode(line) for line in proof]
        assert len(digests) <= 63
        text, _, signatures = note.partition("\n\n")
        text += "\n"
        origin, size_text, root_text = text.splitlines()
        size, root = int(size_text), base64.b64decode(root_text)
        if origin not in self.trusted:
            return 404, "text/plain", "unknown origin\n"
        if not self.is_signed(origin, text, signatures):
            return 403, "text/plain", "no trusted signature\n"
        if old > size:
            return 400, "text/plain", "the old size is larger\n"
        self.hook("asked")
        with self.lock:
            seen, seen_root = self.seen.get(origin, (0, b""))
            if old != seen:
                return 409, "text/x.tlog.size", f"{seen}\n"
            if seen == size and seen_root != root:
                return 409, "text/plain", "another root\n"
            if seen and not consistent(seen, seen_root, size, root, digests):
                return 422, "text/plain", "the proof does not verify\n"
            if not seen and digests:
                return 422, "text/plain", "there is nothing to prove\n"
            self.seen[origin] = (size, root)
        self.hook("kept")
        return 200, "text/plain", self.answer(self.cosign(text))

    def is_signed(self, origin: str, text: str, signatures: str) -> bool:
        key = self.trusted[origin]
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ")
            signature = base64.b64decode(encoded)
            if name == origin and signature[:4] == key_hash(origin, 1, key):
                try:
                    Ed25519PublicKey.from_public_bytes(key).verify(signature[4:], text.encode())
                except InvalidSignature:
                    return False
                return True
        return False

    def serve(self) -> tuple[ThreadingHTTPServer, str]:
        """Starts to listen; gives the server, to be shut down, and its address."""
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                if self.path != "/prefix/add-checkpoint":
                    status, kind, text = 405, "text/plain", self.path
                else:
                    status, kind, text = witness.add_checkpoint(body)
                witness.requests.append((status, body))
                encoded = text.encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(encoded)))
                    self.end_headers()
                    self.wfile.write(encoded)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # whoever asked was killed

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_port}/prefix"
