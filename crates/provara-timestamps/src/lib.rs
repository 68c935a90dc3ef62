//! Time-stamp tokens (RFC 3161): what they are over, when they were made, and by whom, held against certificates that
//! a reader trusts.
//!
//! The messages are read in BER, as authorities send them, with nothing encoded anew; signatures and chains of
//! certificates are judged by the library that judges those of TLS, at the time which the token states. Whether a
//! certificate was revoked is not asked: nothing here reaches a network.

mod authorities;
mod message;
mod token;

pub use authorities::{Authorities, AuthoritiesError};
pub use token::{Stamp, Token, TokenError};
