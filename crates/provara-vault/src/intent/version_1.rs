//! The intent that a merge of version 1.1.0 left; this version leaves [those of version 2](crate::intent).
//!
//! It holds the small files, the seal among them, and not the log. A crash before the log was replaced leaves
//! the old vault and an intent that nothing follows; a crash after it leaves the new log, and the next writer
//! (or `repair`) puts the small files in their places. The intent can do no more than the seal that it
//! holds: that is signed by a key of the vault, over exactly the log that stands there, or nothing is done.
//!
//! A reader that meets it finds a file that no manifest lists.

use std::fs::File;
use std::io;

use provara_core::history::KeyStanding;
use provara_core::id::Digest;
use provara_core::json;
use provara_core::keys::{KeyRegistry, KeyStatus};
use provara_core::layout;
use provara_core::manifest::{Manifest, RootSignature, safe_path, write_merkle_root};

use crate::check::check_log;
use crate::error::{Context, VaultError};
use crate::files::read_text;
use crate::lock::LockedLog;
use crate::log_snapshot::LogSnapshot;
use crate::rotation::{read_registry, seal_signers};
use crate::seal::{Durable, Staged, sealed_prefix, sync_directory};
use crate::vault::Vault;
use provara_core::parallel::available_threads;

/// The `type` of the intent.
const INTENT_TYPE: &str = "provara_merge_intent_v1";

/// The small files that a merge writes, and those that it removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Path and content; what the manifest lists first, then the seal.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Checkpoints of prefixes that are no more.
    pub(crate) removed: Vec<String>,
}

/// The files of an intent, durable and not yet in their places.
pub(crate) struct Prepared<'l> {
    listed: Durable<'l>,
    seal: Durable<'l>,
}

impl Intent {
    /// The intent that stands in the vault.
    pub(crate) fn read(vault: &Vault) -> Result<Option<Self>, VaultError> {
        let Some(text) = read_text(vault.path(), layout::MERGE_INTENT)? else {
            return Ok(None);
        };
        // Whatever it is otherwise, it is for [`crate::intent`] to say.
        Ok(Self::parse(&text))
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let document = json::parse(text).ok()?;
        if document.get("type")?.as_str()? != INTENT_TYPE {
            return None;
        }
        let mut files = Vec::new();
        for file in document.get("files")?.as_array()? {
            let path = file.get("path")?.as_str()?;
            let may_write = layout::SEAL.contains(&path)
                || path == layout::KEYS
                || path == layout::SAFETY_POLICY;
            may_write.then_some(())?;
            let content = file.get("text")?.as_str()?.as_bytes().to_vec();
            files.push((path.to_owned(), content));
        }
        let mut removed = Vec::new();
        for path in document.get("removed")?.as_array()? {
            let path = path.as_str()?;
            let may_remove = safe_path(path) && layout::checkpoint_events(path).is_some();
            may_remove.then_some(())?;
            removed.push(path.to_owned());
        }
        Some(Self { files, removed })
    }

    fn content(&self, path: &str) -> Option<&[u8]> {
        let file = self.files.iter().find(|(name, _)| name == path)?;
        Some(&file.1)
    }

    /// `Some` if a key of the vault signed the seal of the intent, over what `log` begins with.
    fn seals(&self, vault: &Vault, log: &[u8]) -> Option<()> {
        let manifest = Manifest::parse(self.content(layout::MANIFEST)?).ok()?;
        let seals = |path: &str, digest: Digest| {
            let digest = digest.to_string();
            let mut files = manifest.files.iter();
            files.find(|file| file.path == path && file.sha256 == digest)
        };
        let listed = manifest
            .files
            .iter()
            .find(|file| file.path == layout::LOG)?;
        let log = log.get(..usize::try_from(listed.size).ok()?)?;
        seals(layout::LOG, Digest::of(log))?;
        // What is to be written is what was sealed.
        for (path, content) in &self.files {
            if !layout::SEAL.contains(&path.as_str()) {
                seals(path, Digest::of(content))?;
            }
        }
        let root = manifest.merkle_root();
        let signature = RootSignature::parse(self.content(layout::MANIFEST_SIG)?).ok()?;
        let root_file = self.content(layout::MERKLE_ROOT)?;
        if signature.merkle_root != root || root_file != write_merkle_root(root) {
            return None;
        }
        let (registry, _) = read_registry(vault).ok()?;
        // In a marked vault the signer is one that signed events bring, whatever any file lists.
        let verdict = check_log(log, b"", &registry, available_threads()).ok()?;
        if let Some(history) = &verdict.history {
            let standing = history.standing(&signature.key_id, u64::MAX);
            (standing == KeyStanding::Counts).then_some(())?;
        }
        let promised = match self.content(layout::KEYS) {
            Some(text) => KeyRegistry::parse(text).ok()?,
            None => registry.clone(),
        };
        let signers = seal_signers(&promised, &registry, &verdict.promoted_keys);
        let key = signers.get(&signature.key_id)?;
        (key.status == KeyStatus::Active).then_some(())?;
        key.public_key
            .verify(&signature.signed, &signature.signature)
            .ok()
    }

    /// Writes the files beside their places, so that a full disk shows before anything has changed.
    fn prepare<'l>(&self, vault: &'l Vault) -> Result<Prepared<'l>, VaultError> {
        let (mut listed, mut seal) = (Staged::new(vault.layer()), Staged::new(vault.layer()));
        for (path, content) in &self.files {
            let part = match layout::SEAL.contains(&path.as_str()) {
                true => &mut seal,
                false => &mut listed,
            };
            part.add(vault.path().join(path), content)?;
        }
        Ok(Prepared {
            listed: listed.sync()?,
            seal: seal.sync()?,
        })
    }

    /// Puts the files in their places and takes the intent away. The log is in its place already.
    fn complete(
        &self,
        vault: &Vault,
        log: &LockedLog,
        prepared: Prepared<'_>,
    ) -> Result<(), VaultError> {
        let length = log.metadata().context("read", &vault.log_path())?.len();
        prepared.listed.publish(log, length)?;
        for path in &self.removed {
            let path = vault.path().join(path);
            match vault.layer().remove(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.context("remove", &path)?,
            }
        }
        if !self.removed.is_empty() {
            let directory = vault.path().join(layout::CHECKPOINTS);
            sync_directory(vault.layer(), &directory)?;
        }
        prepared.seal.publish(log, length)?;
        withdraw(vault)
    }
}

/// Takes the intent away, durably.
fn withdraw(vault: &Vault) -> Result<(), VaultError> {
    let path = vault.path().join(layout::MERGE_INTENT);
    match vault.layer().remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.context("remove", &path)?,
    }
    sync_directory(vault.layer(), vault.path())
}

/// What became of an interrupted merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The log is the merged one: the rest is to follow.
    After,
    /// The log is the one before: the intent is to go.
    Before,
}

impl Interrupted {
    /// What the next writer does about it, for the user.
    pub(crate) fn note(self) -> String {
        match self {
            Self::After => {
                "a merge had been interrupted after it replaced the log; it was completed"
            }
            Self::Before => {
                "a merge had been interrupted before it changed the log; its traces were removed"
            }
        }
        .to_owned()
    }
}

/// Looks at what an interrupted merge left. Only to be asked under the lock, with the log open.
pub(crate) fn interrupted(
    vault: &Vault,
    log: &File,
) -> Result<Option<(Intent, Interrupted)>, VaultError> {
    let Some(intent) = Intent::read(vault)? else {
        return Ok(None);
    };
    let path = vault.log_path();
    let length = log.metadata().context("read", &path)?.len();
    let bytes = LogSnapshot::of_prefix(log, length, &path)?;
    if intent.seals(vault, &bytes).is_some() {
        return Ok(Some((intent, Interrupted::After)));
    }
    // Where the log fits neither seal, that is not a merge's doing.
    sealed_prefix(&crate::seal::read_entries(vault.path())?, &bytes)?;
    Ok(Some((intent, Interrupted::Before)))
}

/// Completes an interrupted merge, or removes its traces; gives the notes that say so. Under the lock.
pub(crate) fn settle(vault: &Vault, log: &LockedLog) -> Result<Vec<String>, VaultError> {
    let Some((intent, state)) = interrupted(vault, log)? else {
        return Ok(Vec::new());
    };
    match state {
        Interrupted::After => {
            let path = vault.log_path();
            // The name may not be durable yet, and the seal must not lead.
            vault
                .layer()
                .sync_data(log, &path)
                .map_err(|source| VaultError::Sync {
                    path: path.clone(),
                    source,
                })?;
            sync_directory(vault.layer(), path.parent().expect("a file in the vault"))?;
            let prepared = intent.prepare(vault)?;
            intent.complete(vault, log, prepared)?;
        }
        Interrupted::Before => withdraw(vault)?,
    }
    Ok(vec![state.note()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_reads_back_and_names_nothing_else() {
        let text = r#"{"files":[{"path":"identity/keys.json","text":"{}"},{"path":"manifest.json","text":"{}"}],"removed":["checkpoints/0000000007.chk"],"type":"provara_merge_intent_v1"}"#;
        let intent = Intent::parse(text.as_bytes()).unwrap();
        assert_eq!(intent.content("identity/keys.json"), Some(&b"{}"[..]));
        assert_eq!(intent.removed, ["checkpoints/0000000007.chk"]);
        for (from, to) in [
            ("identity/keys.json", "identity/private_keys.json"),
            ("identity/keys.json", "../elsewhere"),
            ("checkpoints/0000000007.chk", "events/events.ndjson"),
            ("checkpoints/0000000007.chk", "checkpoints/../../x.chk"),
            (INTENT_TYPE, "provara_intent_v2"),
        ] {
            assert!(text.contains(from));
            let changed = text.replace(from, to);
            assert_eq!(Intent::parse(changed.as_bytes()), None, "{to}");
        }
        assert_eq!(Intent::parse(b""), None);
    }
}
