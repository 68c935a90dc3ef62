//! Signatures: every back end gives the verdict of a single verification.

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use provara_signatures::{Backend, Chosen, Item, Limits, Message, Secret, Verifier};

/// The bytes of one signature at the head of an input: how it is made, the key or its seed, and two halves.
const HEAD: usize = 1 + 32 + 64;

/// What is given to the back ends.
struct Signed<'a> {
    key: VerifyingKey,
    signature: [u8; 64],
    message: &'a [u8],
    cut: usize,
}

/// Reads signatures one after another, whose messages follow them. What the first byte says: whether a signature is the one
/// that belongs there, changed by the 64 bytes or taken from them, and how long its message is.
fn signed(mut data: &[u8]) -> Vec<Signed<'_>> {
    let mut all = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<HEAD>()
        && all.len() < 40
    {
        let (shape, length) = (head[0] & 3, usize::from(head[0] >> 2) * 9);
        let (message, rest) = rest.split_at(length.min(rest.len()));
        data = rest;
        let half = |at: usize| head[at..at + 32].try_into().expect("32 bytes");
        let (seed, change): ([u8; 32], [u8; 64]) =
            (half(1), head[33..].try_into().expect("64 bytes"));
        let signing = SigningKey::from_bytes(&seed);
        let own = signing.sign(message).to_bytes();
        let (key, signature) = match shape {
            0 => (VerifyingKey::from_bytes(&seed), change),
            1 => (Ok(signing.verifying_key()), own),
            2 => {
                // Few bits at a time: where most bytes are 0, the signature is nearly right.
                let changed = std::array::from_fn(|i| own[i] ^ change[i]);
                (Ok(signing.verifying_key()), changed)
            }
            _ => {
                let mut r_of_others = own;
                r_of_others[..32].copy_from_slice(&change[..32]);
                (Ok(signing.verifying_key()), r_of_others)
            }
        };
        if let Ok(key) = key {
            let cut = usize::from(change[63]) % (message.len() + 1);
            all.push(Signed {
                key,
                signature,
                message,
                cut,
            });
        }
    }
    all
}

/// Every back end, with tables of either width, and with none.
pub(super) fn check(data: &[u8]) {
    let all = signed(data);
    let keys: Vec<VerifyingKey> = all.iter().map(|signed| signed.key).collect();
    let items: Vec<Item<'_>> = all
        .iter()
        .enumerate()
        .map(|(key, signed)| Item {
            key,
            signature: &signed.signature,
            message: Message::joined(&signed.message[..signed.cut], &signed.message[signed.cut..]),
        })
        .collect();
    let expected: Vec<bool> = all
        .iter()
        .map(|signed| {
            let signature = Signature::from_bytes(&signed.signature);
            signed.key.verify(signed.message, &signature).is_ok()
        })
        .collect();
    for backend in Backend::ALL {
        let Ok(chosen) = Chosen::forced(backend) else {
            continue;
        };
        for wide_from in [1, u64::MAX] {
            let limits = Limits {
                narrow_from: 1,
                wide_from,
                most_bytes: 8 << 20,
            };
            let secret = Secret::known([0; 32]);
            let verifier = Verifier::with_limits(chosen, secret, &keys, limits);
            let mut verdicts = Vec::new();
            let decided = verifier.verify(&items, &mut verdicts);
            decided.expect("the back end and dalek agree");
            assert_eq!(verdicts, expected, "{backend}");
        }
    }
}
