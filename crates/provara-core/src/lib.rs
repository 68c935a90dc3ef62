#![forbid(unsafe_code)]
//! The rules of a Provara vault: canonical JSON, ids, events, keys over time, chains, the
//! manifest and its Merkle root, beliefs, and the findings of a verification.
//!
//! Everything here is pure: no files, no clock, no randomness. The caller brings bytes and times,
//! and gets bytes, values and findings. `provara-vault` brings them for a vault on a disk.
//!
//! # Example
//!
//! Two events are written, the log is verified, and one word of it is changed.
//!
//! ```
//! use provara_core::event::Draft;
//! use provara_core::finding::Code;
//! use provara_core::json;
//! use provara_core::keys::{KeyRegistry, SigningKey};
//! use provara_core::time::Timestamp;
//! use provara_core::verify::verify_log;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_seed(&[7; 32]);
//! let registry = KeyRegistry::parse(
//!     format!(
//!         r#"{{"keys":[{{"algorithm":"Ed25519","created_at_utc":"2026-01-01T00:00:00Z",
//!             "key_id":"{}","public_key_b64":"{}","roles":["root","attestation"],
//!             "scopes":["all"],"status":"active"}}]}}"#,
//!         key.key_id(),
//!         key.public().to_base64(),
//!     )
//!     .as_bytes(),
//! )?;
//!
//! let mut log = Vec::new();
//! let genesis = format!(r#"{{"root_key_id":"{}","uid":"lab-7"}}"#, key.key_id());
//! for (event_type, actor, payload) in [
//!     ("GENESIS", "owner", genesis.as_str()),
//!     ("com.example.door.opened", "door", r#"{"by":"alice"}"#),
//! ] {
//!     let event = Draft {
//!         event_type: &event_type.parse()?,
//!         actor,
//!         namespace: None,
//!         payload: &json::parse(payload.as_bytes())?,
//!         prev: None, // each actor's first event
//!         ts_logical: 1,
//!         timestamp: "2026-01-01T00:00:00Z".parse::<Timestamp>()?,
//!         seal: None,
//!         after: None,
//!     };
//!     log.extend(event.sign(&key)?.line);
//! }
//! assert_eq!(verify_log(&log, &registry).findings, []);
//!
//! let forged = String::from_utf8(log)?.replace("alice", "mallory");
//! let verdict = verify_log(forged.as_bytes(), &registry);
//! let codes: Vec<Code> = verdict.findings.iter().map(|finding| finding.code).collect();
//! assert_eq!(codes, [Code::E004, Code::E003]); // the id and the signature
//! # Ok(())
//! # }
//! ```
//!
//! What is signed and hashed is the canonical form of JSON, RFC 8785:
//!
//! ```
//! use provara_core::{canonical, json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let value = json::parse(br#"{ "b": 1.0, "a": "x" }"#)?;
//! assert_eq!(canonical::jcs(&value)?, br#"{"a":"x","b":1}"#);
//! assert!(json::parse(br#"{"a":1,"a":2}"#).is_err()); // a member twice
//! # Ok(())
//! # }
//! ```

pub mod anchor;
pub mod beliefs;
pub mod bytes;
pub mod canonical;
pub mod checkpoint;
pub mod content;
pub mod cosignature;
mod decimal;
pub mod disclosure;
pub mod event;
pub mod event_proof;
pub mod event_type;
pub mod finding;
mod hash_map;
pub mod history;
pub mod id;
pub mod json;
pub mod keys;
pub mod layout;
pub mod manifest;
pub mod mark;
pub mod merge;
pub mod namespace;
pub mod number;
pub mod number_policy;
pub mod number_rule;
pub mod overview;
pub mod parallel;
pub mod payload;
pub mod query;
pub mod scan;
pub mod signed_note;
pub mod summary;
pub mod time;
pub mod tree;
pub mod tree_head;
pub mod verify;
pub mod witness;
