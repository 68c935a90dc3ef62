//! HMAC-SHA-256 (RFC 2104), for what a process keeps for a later one that holds the same key.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// A message authentication code. It is compared in a time that does not depend on where two differ, so that
/// nobody finds one byte by byte.
#[derive(Debug, Clone, Copy)]
pub struct Mac(pub [u8; Self::LENGTH]);

impl Mac {
    /// Its length in bytes.
    pub const LENGTH: usize = 32;

    /// Over the parts of a message, one after the other.
    pub(super) fn of(key: &[u8; 32], message: &[&[u8]]) -> Self {
        let inner = message
            .iter()
            .fold(keyed(key, 0x36), |hash, part| hash.chain_update(part));
        let outer = keyed(key, 0x5c).chain_update(inner.finalize());
        Self(outer.finalize().into())
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Mac {}

/// A hash that has taken the key, as a block, with every byte changed by `pad`.
fn keyed(key: &[u8; 32], pad: u8) -> Sha256 {
    // Who knows it knows the key.
    let mut block = Zeroizing::new([pad; BLOCK]);
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    Sha256::new_with_prefix(block.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, sections 4.2 to 4.4, whose keys are shorter: the standard fills them with zeros.
    #[test]
    fn the_codes_are_those_of_the_standard() {
        let key = |bytes: &[u8]| {
            let mut key = [0; 32];
            key[..bytes.len()].copy_from_slice(bytes);
            key
        };
        let check = |bytes: &[u8], message: &[&[u8]], expected| {
            assert_eq!(hex::encode(Mac::of(&key(bytes), message).0), expected);
        };
        check(
            &[0x0b; 20],
            &[b"Hi There"],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        );
        check(
            b"Jefe",
            &[b"what do ya want ", b"for nothing?"],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            &[0xaa; 20],
            &[&[0xdd; 50]],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        );
    }

    #[test]
    fn one_bit_is_another_code() {
        let mac = Mac::of(&[7; 32], &[b"message"]);
        assert_eq!(mac, mac);
        for bit in 0..Mac::LENGTH * 8 {
            let mut other = mac;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(mac, other);
        }
    }
}
