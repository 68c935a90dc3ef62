"""Time-stamps of tree heads by an authority that is `openssl ts`, and what other readers say of them."""

from __future__ import annotations

import random
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import VerifierBuilder, decode_timestamp_response
from support import PATIENCE, Provara, fingerprint
from ward import Ward

STAMPS = ExtendedKeyUsageOID.TIME_STAMPING
STAMPS_ALONE = x509.ExtendedKeyUsage([STAMPS])
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey
HAS_OPENSSL = shutil.which("openssl") is not None
needs_openssl = pytest.mark.skipif(
    not HAS_OPENSSL, reason="the authority is `openssl ts`, which is not installed here"
)


@pytest.fixture
def ward(provara: Provara, tmp_path: Path) -> Ward:
    return Ward(provara, tmp_path)


DAY = timedelta(days=1)


def private_key(kind: str) -> PrivateKey:
    match kind:
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case "ed25519":
            return Ed25519PrivateKey.generate()
        case bits:
            return rsa.generate_private_key(65537, int(bits.removeprefix("rsa:")))


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """An authority for time-stamps by `openssl ts`, below a root of its own."""

    def __init__(
        self,
        directory: Path,
        *,
        key: str = "ec",
        valid: tuple[timedelta, timedelta] = (-DAY, 30 * DAY),
        purposes: x509.ExtendedKeyUsage | None = STAMPS_ALONE,
        critical: bool = True,
        root: str = "Test root",
    ):
        self.directory = directory
        directory.mkdir(parents=True)
        now = datetime.now(timezone.utc)
        root_key, own_key = private_key("ec"), private_key(key)
        certificates = {}
        for name, subject, its_key, (start, end) in (
            ("root", named(root), root_key, (-3650 * DAY, 3650 * DAY)),
            ("tsa", named("Test authority"), own_key, valid),
        ):
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(named(root))
                .public_key(its_key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now + start)
                .not_valid_after(now + end)
                .add_extension(x509.BasicConstraints(name == "root", None), critical=True)
            )
            if name == "tsa" and purposes is not None:
                builder = builder.add_extension(purposes, critical=critical)
            assert isinstance(root_key, ec.EllipticCurvePrivateKey)
            certificates[name] = builder.sign(root_key, hashes.SHA256())
            pem = certificates[name].public_bytes(Encoding.PEM)
            (directory / f"{name}.pem").write_bytes(pem)
        encoded = own_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "tsa.key").write_bytes(encoded)
        (directory / "cnf").write_text(
            "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_cert=tsa.pem\n"
            "signer_key=tsa.key\ndefault_policy=1.2.3.4.1\ndigests=sha1,sha256,sha384,sha512\n"
            "accuracy=secs:1\nsigner_digest=sha256\ness_cert_id_alg=sha256\n"
        )

    def openssl(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            ["openssl", *words], cwd=self.directory, capture_output=True, timeout=PATIENCE
        )
        assert done.returncode == expect, done.stderr.decode()
        return done

    def stamp(self, head: Path, *more: str, digest: str = "sha256") -> Path:
        query = ("-query", "-data", str(head), f"-{digest}", "-cert", "-out", "query.tsq")
        self.openssl("ts", *query)
        self.openssl(
            "ts", "-reply", "-config", "cnf", "-queryfile", "query.tsq", "-out", "reply.tsr", *more
        )
        return self.directory / "reply.tsr"

    @property
    def root(self) -> Path:
        return self.directory / "root.pem"


@needs_openssl
@pytest.mark.parametrize(
    ("key", "digest"),
    [("ec", "sha256"), ("ec", "sha512"), ("rsa:2048", "sha256"), ("rsa:3072", "sha384")],
)
def test_a_time_stamp_says_when_the_vault_was_there(ward: Ward, key: str, digest: str) -> None:
    authority = Authority(ward.directory / "tsa", key=key)
    reply = authority.stamp(ward.head, digest=digest)
    ward.provara.run("anchor", "add", ward.vault, reply, "--head", ward.head)
    ward.append(4)
    told = ward.verify("--tsa-cert", authority.root).stdout
    assert "the first 5 of its 6 events existed before" in told
    assert "'Test authority'" in told
    ward.verify("--tsa-cert", authority.directory / "tsa.pem")
    # The readers of others are of the same opinion.
    check = ("-verify", "-data", str(ward.head), "-in", reply.name, "-CAfile", "root.pem")
    authority.openssl("ts", *check)
    root = x509.load_pem_x509_certificate(authority.root.read_bytes())
    verifier = VerifierBuilder().add_root_certificate(root).build()
    verifier.verify_message(decode_timestamp_response(reply.read_bytes()), ward.head.read_bytes())
    token = authority.directory / "token"
    authority.openssl("ts", "-reply", "-in", reply.name, "-token_out", "-out", token.name)
    again = ward.provara.run("anchor", "add", ward.vault, token, "--head", ward.head).stdout
    assert "Was there already" in again


@needs_openssl
def test_a_reply_that_is_not_in_the_order_of_der_is_read(ward: Ward) -> None:
    """`openssl ts -reply -chain` puts the certificates as they come."""
    authority = Authority(ward.directory / "tsa")
    for number in range(6):
        ward.append(number)
        head = ward.tree_head(f"{number}.head")
        reply = authority.stamp(head, "-chain", "root.pem")
        ward.provara.run("anchor", "add", ward.vault, reply, "--head", head)
        told = ward.verify("--tsa-cert", authority.root).stdout
        assert f"the first {6 + number} of its {6 + number} events" in told


@needs_openssl
def test_a_time_stamp_that_proves_nothing_here_is_told(ward: Ward) -> None:
    authority = Authority(ward.directory / "tsa")
    other = Authority(ward.directory / "other", root="Another root")
    same = Authority(ward.directory / "same")
    reply = authority.stamp(ward.head)
    add = ("anchor", "add", ward.vault)
    told = ward.provara.run(*add, reply, expect=2).stderr
    assert "over none of the tree heads that are known here" in told
    ward.append(4)
    before = fingerprint(ward.vault)
    later = ward.tree_head("later.head")
    told = ward.provara.run(*add, reply, "--head", later, expect=2).stderr
    assert "over none of the tree heads" in told
    told = ward.provara.run(
        *add, same.stamp(ward.head, digest="sha1"), "--head", ward.head, expect=2
    ).stderr
    assert "not SHA-256, SHA-384 or SHA-512" in told
    assert fingerprint(ward.vault) == before
    ward.provara.run(*add, reply, "--head", ward.head)
    told = ward.verify("--tsa-cert", other.root, expect=1).stdout
    assert "PROVARA_E020" in told
    assert "issued by another authority" in told
    told = ward.verify("--tsa-cert", same.root, expect=1).stdout
    assert "an authority of the same name, with another key" in told
    # One of them is enough.
    ward.verify("--tsa-cert", other.root, "--tsa-cert", authority.root)
    told = ward.verify("--tsa-cert", ward.head, expect=2).stderr
    assert "no certificate" in told


@needs_openssl
@pytest.mark.parametrize(
    ("purposes", "critical"),
    [
        (STAMPS_ALONE, False),
        (x509.ExtendedKeyUsage([STAMPS, ExtendedKeyUsageOID.SERVER_AUTH]), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True),
        (None, True),
    ],
    ids=["not critical", "among others", "another", "any"],
)
def test_a_certificate_for_other_purposes_stamps_nothing(
    ward: Ward, purposes: x509.ExtendedKeyUsage | None, critical: bool
) -> None:
    """`openssl ts` 3.0.19 signs with none of them that is not critical and alone; what signs, is refused."""
    authority = Authority(ward.directory / "tsa", purposes=purposes, critical=critical)
    query = ("-query", "-data", str(ward.head), "-sha256", "-cert", "-out", "query.tsq")
    authority.openssl("ts", *query)
    words = ("ts", "-reply", "-config", "cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
    made = subprocess.run(
        ["openssl", *words], cwd=authority.directory, capture_output=True, timeout=PATIENCE
    )
    reply = authority.directory / "reply.tsr"
    if made.returncode != 0 or not reply.exists():
        assert b"purpose" in made.stderr or b"extended" in made.stderr, made.stderr
        return
    ward.provara.run("anchor", "add", ward.vault, reply, "--head", ward.head)
    assert "only purpose" in ward.verify("--tsa-cert", authority.root, expect=1).stdout


@needs_openssl
@pytest.mark.parametrize(
    ("valid", "said"),
    [
        ((-30 * DAY, -DAY), "had expired at 20"),
        ((DAY, 30 * DAY), "was not valid yet at 20"),
    ],
    ids=["expired", "not yet"],
)
def test_chains_that_were_not_valid_are_told_apart_from_wrong_ones(
    ward: Ward, valid: tuple[timedelta, timedelta], said: str
) -> None:
    """Valid at the time which the token states is what counts, not today."""
    authority = Authority(ward.directory / "tsa", valid=valid)
    reply = authority.stamp(ward.head)
    ward.provara.run("anchor", "add", ward.vault, reply, "--head", ward.head)
    for trusted in ("root.pem", "tsa.pem"):
        told = ward.verify("--tsa-cert", authority.directory / trusted, expect=1).stdout
        assert said in told
        assert "PROVARA_E020" in told


@needs_openssl
def test_every_changed_byte_of_a_time_stamp_is_noticed(ward: Ward) -> None:
    """Whatever is changed, it is refused, or verification says that it proves nothing."""
    authority = Authority(ward.directory / "tsa")
    good = authority.stamp(ward.head).read_bytes()
    chance = random.Random(3161)
    changed_file = ward.directory / "changed.tsr"
    untouched = 0
    for at in sorted(chance.sample(range(len(good)), 60)):
        changed_bytes = bytearray(good)
        changed_bytes[at] ^= 1 << chance.randrange(8)
        changed_file.write_bytes(bytes(changed_bytes))
        copy = ward.directory / f"copy-{at}"
        shutil.copytree(ward.vault, copy)
        add = ward.provara.run(
            "anchor", "add", copy, changed_file, "--head", ward.head, expect=None
        )
        assert add.code in (0, 2), add
        if add.code == 0:
            done = ward.provara.run("verify", copy, "--tsa-cert", authority.root, expect=None)
            assert done.code == 0 or "PROVARA_E019" not in done.stdout, done
            untouched += done.code == 0
        shutil.rmtree(copy)
    # What was taken although a byte is another one verifies: no reader is told later that it proves nothing.
    # The certificate of the root, which is carried along and counts for nothing, is a third of the bytes.
    assert untouched < 40, untouched


@needs_openssl
def test_a_refused_response_is_none(ward: Ward) -> None:
    """An Ed25519 key: `openssl ts` 3.0.19 answers that it rejects, and exits with 0."""
    authority = Authority(ward.directory / "tsa", key="ed25519")
    query = ("-query", "-data", str(ward.head), "-sha256", "-cert", "-out", "query.tsq")
    authority.openssl("ts", *query)
    words = ("ts", "-reply", "-config", "cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
    subprocess.run(
        ["openssl", *words], cwd=authority.directory, capture_output=True, timeout=PATIENCE
    )
    reply = authority.directory / "reply.tsr"
    if not reply.exists():
        pytest.skip("this openssl writes no response where it rejects")
    add = ("anchor", "add", ward.vault, reply, "--head", ward.head)
    told = ward.provara.run(*add, expect=None)
    # A later version may sign with such a key; it is then a time-stamp as any other.
    assert told.code == 0 or "status rejection" in told.stderr, told
