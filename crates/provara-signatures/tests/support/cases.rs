//! Signatures on which implementations could differ, drawn from a seed: keys of every kind, with signatures that are
//! right, nearly right, and made to be right in one way of looking at them.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity as _;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};

use super::{Item, Message};

/// splitmix64
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.word() as u8)
    }

    /// A number up to `most`, often at an end, or beside 2^51.
    #[allow(dead_code, reason = "for some of those that share this file")]
    pub(crate) fn edge(&mut self, most: u64) -> u64 {
        let word = self.word();
        match word % 8 {
            0 | 1 => most,
            2 => most.saturating_sub(word >> 8 & 3),
            3 => word >> 8 & 1,
            4 => ((1 << 51) - 20 + (word >> 8 & 31)).min(most),
            _ if most == u64::MAX => self.word(),
            _ => self.word() % (most + 1),
        }
    }

    fn scalar(&mut self) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.bytes())
    }
}

/// One signature.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The index of the key.
    pub(crate) key: usize,
    pub(crate) message: Vec<u8>,
    /// Where the message may be taken apart.
    pub(crate) cut: usize,
    pub(crate) signature: [u8; 64],
    /// What kind of key, and what kind of signature.
    #[allow(dead_code, reason = "for some of those that share this file")]
    pub(crate) kind: (&'static str, &'static str),
}

impl Case {
    /// The message in its two parts.
    pub(crate) fn parts(&self) -> Message<'_> {
        Message::joined(&self.message[..self.cut], &self.message[self.cut..])
    }

    /// As a verifier takes it.
    #[allow(dead_code, reason = "for some of those that share this file")]
    pub(crate) fn item(&self) -> Item<'_> {
        Item {
            key: self.key,
            signature: &self.signature,
            message: self.parts(),
        }
    }
}

/// What is known of a key: it is `scalar` times the base point, and `torsion`.
#[derive(Debug, Clone, Copy)]
struct Secret {
    scalar: Scalar,
    torsion: EdwardsPoint,
    kind: &'static str,
}

/// Draws cases.
#[derive(Debug)]
pub(crate) struct Cases {
    random: Random,
    keys: Vec<VerifyingKey>,
    secrets: Vec<Secret>,
    /// Encodings of R that are of small order or not canonical.
    odd: Vec<[u8; 32]>,
}

/// Lengths of messages: at each a block of SHA-512 begins or ends, with the 64 bytes before a message and at least 17 after.
const LENGTHS: [usize; 20] = [
    0, 1, 46, 47, 48, 63, 64, 65, 174, 175, 176, 191, 192, 193, 303, 304, 320, 431, 432, 449,
];

impl Cases {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut keys = Vec::new();
        let mut secrets = Vec::new();
        let mut add = |key, scalar, torsion, kind| {
            keys.push(key);
            secrets.push(Secret {
                scalar,
                torsion,
                kind,
            });
        };
        for _ in 0..8 {
            let scalar = random.scalar();
            let key = EdwardsPoint::mul_base(&scalar).into();
            add(
                key,
                scalar,
                EdwardsPoint::identity(),
                "a key as it should be",
            );
        }
        for torsion in &EIGHT_TORSION[1..] {
            let scalar = random.scalar();
            let key = (EdwardsPoint::mul_base(&scalar) + torsion).into();
            add(key, scalar, *torsion, "a key of mixed order");
        }
        for torsion in EIGHT_TORSION {
            add(
                torsion.into(),
                Scalar::ZERO,
                torsion,
                "a key of small order",
            );
        }
        let not_canonical = not_canonical();
        for bytes in &not_canonical {
            let Ok(key) = VerifyingKey::from_bytes(bytes) else {
                continue;
            };
            let point = key.to_edwards();
            // Of those of large order nobody knows the scalar.
            let torsion = match point.is_small_order() {
                true => point,
                false => EdwardsPoint::identity(),
            };
            add(key, Scalar::ZERO, torsion, "a key that is not canonical");
        }
        let torsion = EIGHT_TORSION.iter().map(|point| point.compress().0);
        Self {
            odd: torsion.chain(not_canonical).collect(),
            random,
            keys,
            secrets,
        }
    }

    /// The keys of the cases.
    pub(crate) fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    pub(crate) fn draw(&mut self) -> Case {
        let random = &mut self.random;
        let key = match random.below(2) {
            0 => random.below(8),
            _ => random.below(self.keys.len()),
        };
        let length = match random.below(8) {
            0 => random.below(1200),
            1..4 => LENGTHS[random.below(LENGTHS.len())],
            _ => random.below(300),
        };
        let message: Vec<u8> = (0..length).map(|_| random.word() as u8).collect();
        let cut = random.below(length + 1);
        let (signature, message, kind) = self.sign(key, message);
        Case {
            key,
            message,
            cut,
            signature,
            kind: (self.secrets[key].kind, kind),
        }
    }

    fn sign(&mut self, key: usize, mut message: Vec<u8>) -> ([u8; 64], Vec<u8>, &'static str) {
        let (random, public) = (&mut self.random, self.keys[key].as_bytes());
        let secret = self.secrets[key];
        let nonce = match random.below(16) {
            0 => Scalar::ZERO,
            _ => random.scalar(),
        };
        let point = EdwardsPoint::mul_base(&nonce);
        let mut r = point.compress().0;
        let shape = random.below(14);
        let mut kind = match shape {
            1 => {
                r = (point + EIGHT_TORSION[random.below(8)]).compress().0;
                "R with a part of small order"
            }
            2 => {
                r = self.odd[random.below(self.odd.len())];
                "R of small order, or not canonical"
            }
            3 => {
                // What the key's part of small order comes to is known only once R is chosen.
                for _ in 0..16 {
                    let guess = point + EIGHT_TORSION[random.below(8)];
                    let k = challenge(&guess.compress().0, public, &message);
                    if guess == point - k * secret.torsion {
                        r = guess.compress().0;
                        break;
                    }
                }
                "R that fits the key's part of small order"
            }
            _ => "as it should be",
        };
        let k = challenge(&r, public, &message);
        let nonce = if shape == 2 { Scalar::ZERO } else { nonce };
        let mut s = (nonce + k * secret.scalar).to_bytes();
        kind = match shape {
            4 => {
                let times = 1 + random.below(14);
                s = plus_order(&s, times).unwrap_or(s);
                "S and a multiple of the order"
            }
            5 => {
                s[random.below(32)] ^= 1 << random.below(8);
                "S with another bit"
            }
            6 => {
                r[random.below(32)] ^= 1 << random.below(8);
                "R with another bit"
            }
            7 => {
                match random.below(message.len() + 1) {
                    at if at < message.len() => message[at] ^= 1 << random.below(8),
                    _ => message.push(0),
                }
                "another message"
            }
            8 => {
                r = random.bytes();
                "R of random bytes"
            }
            9 => {
                s = match random.below(5) {
                    0 => Scalar::ZERO.to_bytes(),
                    1 => (-Scalar::ONE).to_bytes(),
                    2 => plus_order(&[0; 32], 1).expect("the order itself"),
                    3 => plus_order(&Scalar::ONE.to_bytes(), 1).expect("one more"),
                    _ => [0xff; 32],
                };
                "S at an end"
            }
            10 => {
                r[31] ^= 0x80;
                "R with the other sign"
            }
            11 => {
                s = random.bytes();
                "S of random bytes"
            }
            _ => kind,
        };
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&s);
        // The cut is within what is left of the message: it never gets shorter.
        (signature, message, kind)
    }
}

/// Every encoding of a y that is not canonical, and of an x of 0 that is negative.
fn not_canonical() -> Vec<[u8; 32]> {
    let mut encodings = Vec::new();
    for above in 0..19 {
        for sign in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + above, sign);
            encodings.push(bytes);
        }
    }
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    encodings.extend([one, minus_one]);
    encodings
}

fn challenge(r: &[u8; 32], public: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new_with_prefix(r)
        .chain_update(public)
        .chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// A scalar, and so many times the order of the base point, where that is below 2^256.
fn plus_order(scalar: &[u8; 32], times: usize) -> Option<[u8; 32]> {
    // l − 1 is canonical, so l is one more.
    let order_less_one = (-Scalar::ONE).to_bytes();
    let mut sum = *scalar;
    for _ in 0..times {
        let mut carry = 1;
        for (byte, other) in sum.iter_mut().zip(order_less_one) {
            carry += u16::from(*byte) + u16::from(other);
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(sum)
}
