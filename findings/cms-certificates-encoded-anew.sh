#!/usr/bin/env bash
# cryptographic-message-syntax 0.28.0 encodes the certificates of a message anew when it reads one. The parameters of an
# algorithm that are absent, as ECDSA has them (RFC 5758), become NULL, so the bytes that it gives are four more than
# those that the message holds: another hash, and no signature fits. The signer of a time-stamp names its certificate
# by that hash (RFC 5035), so whoever compares it refuses a time-stamp that OpenSSL verifies.
set -euo pipefail
command -v openssl >/dev/null && command -v cargo >/dev/null || { echo "needs openssl and cargo"; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj "/CN=CA" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.csr -subj "/CN=TSA" 2>/dev/null
printf 'extendedKeyUsage=critical,timeStamping\nbasicConstraints=CA:FALSE\n' > ext
openssl x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -extfile ext 2>/dev/null
cat > cnf <<END
[tsa]
default_tsa=t
[t]
serial=$dir/serial
signer_cert=$dir/tsa.pem
signer_key=$dir/tsa.key
default_policy=1.2.3.4.1
digests=sha256
signer_digest=sha256
ess_cert_id_alg=sha256
END
echo "some text" > text
openssl ts -query -data text -sha256 -cert -out q.tsq 2>/dev/null
openssl ts -reply -config cnf -queryfile q.tsq -token_out -out token.der 2>/dev/null
openssl ts -verify -data text -in token.der -token_in -CAfile ca.pem 2>/dev/null
openssl x509 -in tsa.pem -outform der -out tsa.der
mkdir -p probe/src
cat > probe/Cargo.toml <<'END'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
cryptographic-message-syntax = { version = "=0.28.0", default-features = false }
END
cat > probe/src/main.rs <<'END'
fn main() {
    let token = std::fs::read("token.der").unwrap();
    let held = std::fs::read("tsa.der").unwrap();
    let signed = cryptographic_message_syntax::SignedData::parse_ber(&token).unwrap();
    let given = signed.certificates().next().unwrap().constructed_data().to_vec();
    let is_held = token.windows(held.len()).any(|window| window == held);
    println!("in the message: {} bytes, found there: {is_held}", held.len());
    println!("given by the library: {} bytes, the same: {}", given.len(), given == held);
    std::process::exit(if is_held && given != held { 0 } else { 1 });
}
END
CARGO_TARGET_DIR="$dir/target" cargo build --quiet --manifest-path probe/Cargo.toml
echo "cryptographic-message-syntax 0.28.0, $(openssl version | cut -d' ' -f1,2)"
"$dir/target/debug/probe"
