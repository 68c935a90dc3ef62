//! A witness: whoever cosigns the tree heads of vaults, and never two that contradict each other (spec/VAULT_FORMAT,
//! section 10; C2SP tlog-cosignature, tlog-witness).
//!
//! What it saw of each origin last is on the disk, with its name, before a cosignature is given out: a kill or a loss of
//! power at any moment leaves a witness that has given out no more than it remembers. One that is asked again for what
//! it has seen cosigns again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use provara_core::cosignature::Cosigner;
use provara_core::id::{Digest, KeyId};
use provara_core::tree_head::SignedHead;
use provara_core::witness::{Seen, Submission, WitnessRefusal, Witnessing};
use serde::Serialize;

use crate::error::{Context, VaultError};
use crate::files::is_absence;

/// The largest file of what a witness remembers.
const MAX_SEEN: u64 = 4 << 20;

/// A head that a witness cosigned.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CosignedHead {
    /// The head with the cosignature: a signed note.
    pub note: String,
    /// The cosignature's line alone, with its line end.
    pub line: String,
    /// The origin.
    pub origin: String,
    /// How many events the head is over.
    pub events: u64,
    /// How many of the origin the witness had seen before; none where it had seen nothing.
    pub seen_before: Option<u64>,
    /// The key that made the vault, if it was shown when the witness first saw the origin.
    pub root_key: Option<KeyId>,
}

/// What a witness remembers: a directory, which one process at a time uses.
#[derive(Debug)]
pub struct WitnessState {
    directory: PathBuf,
    _lock: File,
}

impl WitnessState {
    /// Opens what a witness remembers, and makes it where it is not there. Waits for whoever else uses it.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn open(directory: &Path) -> Result<Self, VaultError> {
        let mut builder = DirBuilder::new();
        match builder.mode(0o700).recursive(true).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.context("make the directory", directory)?,
        }
        // A witness whose directory is lost begins anew.
        if let Some(parent) = directory.parent().filter(|it| !it.as_os_str().is_empty()) {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.context("make durable the directory", parent)?;
        }
        let path = directory.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = options.mode(0o600).open(&path).context("open", &path)?;
        lock.lock().context("lock", &path)?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    /// The last head that was cosigned of an origin.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn last(&self, origin: &str) -> Result<Option<SignedHead>, VaultError> {
        Ok(self.seen(origin)?.map(|seen| seen.head().clone()))
    }

    /// Cosigns a head, `seconds` after the beginning of 1970, if it goes on from all that was seen of its origin.
    ///
    /// # Errors
    /// [`VaultError::Witness`]; [`VaultError::Io`], with nothing given out.
    pub fn cosign(
        &self,
        submission: &Submission,
        cosigner: &Cosigner,
        seconds: u64,
        options: &Witnessing,
    ) -> Result<CosignedHead, VaultError> {
        let head = submission.head();
        let origin = head.head().origin.to_string();
        let before = self.seen(&origin)?;
        let next = match Seen::then(before.as_ref(), submission, options) {
            Err(WitnessRefusal::Contradiction { seen, size, .. }) => {
                let kept = self.keep_contradiction(submission, seen)?;
                return Err(WitnessRefusal::Contradiction {
                    origin,
                    seen,
                    size,
                    kept: Some(kept),
                }
                .into());
            }
            next => next?,
        };
        let is_new = |seen: &Seen| seen.head().head() != head.head();
        if before.as_ref().is_none_or(is_new) {
            self.keep(&origin, &next)?;
        }
        let signature = cosigner.cosign(head.note(), seconds);
        let line = signature.to_string();
        let cosigned = head.clone().signed_also(signature);
        let cosigned = cosigned.map_err(|error| WitnessRefusal::Head(error.into()))?;
        Ok(CosignedHead {
            note: cosigned.to_string(),
            line,
            origin,
            events: head.head().size,
            seen_before: before.map(|seen| seen.head().head().size),
            root_key: next.root_key(),
        })
    }

    fn path(&self, origin: &str) -> PathBuf {
        let name = Digest::of(origin.as_bytes()).to_string();
        self.directory.join(format!("{}.seen", &name[..32]))
    }

    fn seen(&self, origin: &str) -> Result<Option<Seen>, VaultError> {
        let path = self.path(origin);
        let file = match File::open(&path) {
            Err(error) if is_absence(&error) => return Ok(None),
            file => file.context("read", &path)?,
        };
        let mut text = Vec::new();
        file.take(MAX_SEEN + 1)
            .read_to_end(&mut text)
            .context("read", &path)?;
        let seen =
            Seen::parse(&text).filter(|seen| seen.head().head().origin.to_string() == origin);
        seen.map(Some).ok_or_else(|| VaultError::Io {
            action: "read what the witness remembers in",
            path,
            source: io::Error::other("it is not what a witness writes"),
        })
    }

    /// Makes a memory durable, with its name.
    fn keep(&self, origin: &str, seen: &Seen) -> Result<(), VaultError> {
        write_durably(&self.path(origin), &seen.to_bytes())
    }

    /// Keeps what contradicts a head that was cosigned, beside it: the two are the evidence.
    fn keep_contradiction(
        &self,
        submission: &Submission,
        seen: u64,
    ) -> Result<PathBuf, VaultError> {
        let contradicts = match submission {
            // The newer head goes on from the one that contradicts.
            Submission::Next(proof) if proof.old.head().size == seen => &proof.old,
            submission => submission.head(),
        };
        let text = contradicts.to_string();
        let name = Digest::of(text.as_bytes()).to_string();
        let path = self
            .directory
            .join(format!("contradiction-{}.head", &name[..16]));
        write_durably(&path, text.as_bytes())?;
        Ok(path)
    }
}

/// Puts a file in the place of what is there, as a whole, durable with its name before this ends.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let unfinished = path.with_extension("new");
    let directory = path.parent().expect("a file of the witness");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(directory)?.sync_all()
    };
    write().context("keep what the witness has seen in", path)
}
