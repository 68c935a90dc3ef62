#![deny(unsafe_code)]
//! A Provara vault on disk: made, opened, appended to, sealed, read and verified.
//!
//! The rules of the format live in `provara-core`; this crate brings them files, locks, the clock
//! and random keys. A [`Vault`] is a path that was looked at and found to be one; every operation
//! reads what it needs when it is called, so that other processes may work on the same vault.
//!
//! * **Writers** take one lock, prepare all that can fail before they touch the log, and follow the
//!   order of calls that [`writer`] argues for.
//! * **Readers** take a [`LogSnapshot`]: the log's whole lines at one moment. They take no lock that
//!   a writer would have to wait for longer than it takes to read the seal.
//! * The one use of `unsafe` is the memory map of large logs, in `map.rs`.
//!
//! # Example
//!
//! A vault is made and appended to, and verifies. Then somebody changes one word.
//!
//! ```
//! use provara_vault::provara_core::json;
//! use provara_vault::{
//!     AppendRequest, Code, InitOptions, Vault, VerifyOptions, init, read_keyfile,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let made = init(directory.path(), &InitOptions::default())?;
//! let keyfile = read_keyfile(&made.keyfile)?;
//!
//! let vault = Vault::open(directory.path())?;
//! let data = json::parse(br#"{"subject":"door","predicate":"state","value":"shut"}"#)?;
//! let request = AppendRequest::new("OBSERVATION".parse()?, data, "sensor-1");
//! let receipt = vault.append(&request, &keyfile)?; // durable and sealed
//! assert_eq!(receipt.line, 3); // `init` wrote two
//! assert!(vault.verify(&VerifyOptions::default())?.is_valid());
//!
//! let log = std::fs::read_to_string(vault.log_path())?;
//! std::fs::write(vault.log_path(), log.replace("shut", "open"))?;
//! let report = vault.verify(&VerifyOptions::default())?;
//! assert!(!report.is_valid());
//! assert_eq!(report.findings()[0].code, Code::E004); // the id is not that of the content
//! # Ok(())
//! # }
//! ```
//!
//! Types of `provara-core` that stand in signatures here are exported from here, too; the rest of it is
//! [`provara_core`].

mod accept;
mod add_anchor;
mod adopt;
mod anchors;
mod append;
mod archive;
mod cache;
mod check;
mod checkpoint;
mod checkpoint_check;
mod checkpoint_files;
mod clock;
mod derive;
mod enclosing;
mod error;
mod file_hashes;
pub mod file_layer;
mod file_system;
mod file_times;
mod files;
mod foreign;
mod found;
mod heads;
mod idempotency;
mod index;
mod init;
mod intent;
mod key_events;
mod keyfile;
mod lock;
mod log_hashes;
mod log_snapshot;
mod map;
mod mapped_log;
mod memory;
mod merge;
mod new_tree;
mod packed;
mod predecessor;
mod proof_index;
mod prove;
mod query;
mod redact;
mod refusal;
mod repair;
mod replay_record;
mod replay_start;
mod reseal;
mod rotation;
mod scribe;
mod seal;
mod signatures;
mod snapshot;
mod state_dir;
mod survey;
mod tail;
#[cfg(test)]
mod testing;
mod tree_head;
mod unsealed_tail;
mod user_dirs;
mod vault;
mod vault_files;
mod vault_snapshot;
mod verification_cache;
mod verify;
mod walk;
mod witness;
pub mod writer;

pub use accept::Acceptance;
pub use add_anchor::AnchorReceipt;
pub use adopt::{AdoptOptions, AdoptReceipt, FoundKey, FoundSeal, FoundState, KeyOrigin};
pub use anchors::{ReadAnchor, SeenAnchor, SeenBy, anchor_words, stamped_at, stamped_by};
pub use append::{AppendReceipt, AppendRequest};
pub use archive::{
    BackupOptions, BackupReceipt, RestoreOptions, RestoreReceipt, restore, restore_through,
    restore_watched,
};
pub use checkpoint::CheckpointReceipt;
pub use clock::now;
pub use derive::SourceLog;
pub use enclosing::enclosing_vault;
pub use error::{
    AdoptRefusal, Ambiguity, AnchorRefusal, ArchiveError, ErrorClass, ForkedEvent, HeadRefusal,
    LateEvent, Loss, MergeRefusal, OtherSeal, ProofRefusal, RedactRefusal, ShownFork, VaultError,
};
pub use foreign::Foreign;
pub use heads::{HeadFolder, Held, read_head};
pub use init::{DEFAULT_ACTOR, InitOptions, InitReceipt, init};
pub use keyfile::read_keyfile;
pub use lock::{HeldDescriptor, held_descriptors};
pub use log_snapshot::LogSnapshot;
pub use memory::{GivenUp, Published, Remembered, Which, forget, remembered};
pub use merge::{DeltaParts, MergeOptions, MergeOrder, MergeReceipt};
pub use provara_timestamps::{Authorities, AuthoritiesError};
// For the command line's own work on many records; no part of what the crate is for.
pub use packed::held_files_within;
pub use provara_core::layout;
#[doc(hidden)]
pub use provara_core::parallel::map as parallel_map;
pub use prove::{Chosen, Proving};
pub use redact::{RedactOptions, RedactReceipt};
pub use repair::{Damage, RepairReceipt, RepairStep};
pub use seal::SealReceipt;
pub use signatures::{choose_signatures, signatures_backend};
pub use survey::Abilities;
pub use tree_head::{TreeHeadOptions, TreeHeadReceipt};
pub use user_dirs::{default_cache_directory, default_state_directory};
pub use vault::{LOCK_TIMEOUT, Vault};
pub use verify::{
    Account, EventPlace, Examination, HeadAccount, KeyAccount, SealAccount, Subject, VerifiedLog,
    VerifyOptions,
};
pub use witness::{CosignedHead, WitnessState};
pub use writer::{BatchOptions, BatchReceipt, BatchWriter, LastSeen, LogWriter, Rejected};

pub use provara_core;
pub use provara_core::anchor::{Anchor, AnchorError, WitnessKey};
pub use provara_core::beliefs::BeliefState;
pub use provara_core::cosignature::{Cosigner, Witness};
pub use provara_core::disclosure::{Disclosure, DisclosureError};
pub use provara_core::event_proof::{AnyProof, ConsistencyProof, EventProof, ProofError, Proven};
pub use provara_core::event_type::{CoreType, CustomType, EventType};
pub use provara_core::finding::{Code, Finding, Report, Severity};
pub use provara_core::id::{Digest, EventId, KeyId};
pub use provara_core::json::Value;
pub use provara_core::keys::{KeyStatus, Keyfile};
pub use provara_core::namespace::Namespace;
pub use provara_core::query::Query;
pub use provara_core::summary::Summary;
pub use provara_core::time::Timestamp;
pub use provara_core::tree_head::{CopyName, HeadError, SignedHead};
pub use provara_core::verify::KeptHead;
pub use provara_core::witness::{Submission, WitnessRefusal, Witnessing};
pub use provara_signatures;
