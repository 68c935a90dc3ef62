#![deny(unsafe_code)]
//! Many Ed25519 signatures by few keys, each decided as if it were alone.
//!
//! The verdict for a signature is that of `ed25519-dalek`'s `verify` (RFC 8032, section 5.1.7, without the cofactor): S is
//! below the group order, and the encoding of `[S]B − [k]A` equals R byte for byte. The same points are computed, from
//! tables of multiples of the base point and of each key; signatures share nothing but inversions, and no equation is over
//! several of them. So what else is in a batch decides nothing.
//!
//! What a back end rejects is decided again by dalek, and so is a part of what it accepts, chosen by a [`Secret`]. Where
//! the two differ there is no verdict but a [`Disagreement`].
//!
//! Everything here takes a time that depends on its inputs, and may: they are public. Nothing that knows a secret key may
//! depend on this crate (`make check` looks at that).
//!
//! # Example
//!
//! ```
//! use ed25519_dalek::{Signer as _, SigningKey};
//! use provara_signatures::{Chosen, Item, Message, Secret, Verifier};
//!
//! let key = SigningKey::from_bytes(&[7; 32]);
//! let good = key.sign(b"message").to_bytes();
//! let mut bad = good;
//! bad[0] ^= 1;
//!
//! let verifier = Verifier::new(Chosen::fastest(), Secret::of_run()?, &[key.verifying_key()]);
//! let item = |signature| Item { key: 0, signature, message: Message::joined(b"mess", b"age") };
//! let mut verdicts = Vec::new();
//! verifier.verify(&[item(&good), item(&bad)], &mut verdicts)?;
//! assert_eq!(verdicts, [true, false]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod emulated;
mod engine;
mod hashes;
mod keys;
mod message;
mod padding;
mod points;
mod portable;
mod proof;
mod sample;
mod scalar;
mod table;
mod verifier;

pub use backend::{Backend, Chosen, MissingBackend, UnknownBackend, VARIABLE};
pub use hashes::sha256_of_each;
pub use keys::Limits;
pub use message::Message;
pub use sample::{NoRandomness, SAMPLE, Secret};
pub use verifier::{Decided, Disagreement, Item, Verifier};
