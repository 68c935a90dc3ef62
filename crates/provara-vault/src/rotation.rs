//! `keys.json`: what it must say, held against what it says.

use provara_core::history::{KEYS_WRITTEN_DIFFERENTLY, KeyEvent, KeyEventKind, KeyHistory};
use provara_core::id::Digest;
use provara_core::keys::{KeyEntry, KeyRegistry, KeyStatus, PublicKey};
use provara_core::layout;
use provara_core::manifest::FileEntry;

use crate::error::VaultError;
use crate::files::read_text;
use crate::index::LogIndex;
use crate::vault::Vault;

/// Takes the change of a key event back if it was made. No key is revoked twice in a log that verifies.
fn undo(event: &KeyEvent, registry: &mut KeyRegistry) {
    if event.kind == KeyEventKind::Revocation {
        let subject = event.subject();
        let mut entries = registry.keys.iter_mut();
        if let Some(entry) = entries.find(|entry| Some(entry.key_id) == subject) {
            entry.status = KeyStatus::Active;
            entry.revocation_event_id = None;
            entry.revoked_at_utc = None;
        }
    } else if let Some(brought) = event.brings() {
        registry.keys.retain(|entry| *entry != brought);
        // A key that was listed before it was brought.
        for entry in &mut registry.keys {
            entry.promotion_event_id.take_if(|id| *id == event.id);
            entry.addition_event_id.take_if(|id| *id == event.id);
        }
    }
}

/// The keys of a vault, in line with every key event of its log.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// What `keys.json` must say.
    pub(crate) registry: KeyRegistry,
    /// How they came; `None` in a vault without a mark, where the file is what there is.
    pub(crate) history: Option<KeyHistory>,
    /// Whether the file must be written anew.
    pub(crate) lag: bool,
    /// The file's bytes; in a vault without a mark also those that it had before the key events that its
    /// seal does not cover, if they differ.
    pub(crate) texts: Vec<Vec<u8>>,
}

impl Keys {
    /// Reads `keys.json`. In a marked vault it must be what the log says after some number of its events.
    ///
    /// In a vault without a mark it is held against the seal and the log beyond `sealed` bytes. A writer
    /// that was interrupted after a key event left it as it was sealed, or with the changes of such
    /// events; any other difference is not a writer's doing. Without those changes the file must be what
    /// was sealed, to the byte and in the form that a writer gives it. So a crash between the renames of
    /// a rotation, where another tool had laid `keys.json` out, is refused: it cannot be told from a key
    /// that somebody added.
    ///
    /// # Errors
    /// [`VaultError::SealContradiction`], [`VaultError::Structure`], or [`VaultError::Io`].
    pub(crate) fn read(
        vault: &Vault,
        entries: &[FileEntry],
        index: &LogIndex,
        sealed: u64,
    ) -> Result<Self, VaultError> {
        let history = index.history().map_err(|reason| VaultError::Structure {
            file: layout::LOG.to_owned(),
            reason: reason.to_owned(),
        })?;
        match history {
            Some(history) => Self::introduced(vault, entries, history, index.lines),
            None => Self::listed(vault, entries, index.key_events_from(sealed)),
        }
    }

    /// The keys that signed events introduce.
    fn introduced(
        vault: &Vault,
        entries: &[FileEntry],
        history: KeyHistory,
        events: u64,
    ) -> Result<Self, VaultError> {
        let (listed, text) = read_registry_text(vault)?;
        if !history.texts().any(|(_, said)| said == text) {
            return Err(VaultError::SealContradiction {
                file: layout::KEYS.to_owned(),
                reason: history
                    .difference(&listed, events)
                    .unwrap_or_else(|| KEYS_WRITTEN_DIFFERENTLY.to_owned()),
            });
        }
        let registry = history.registry_after(events);
        let is_listed = entries.contains(&FileEntry {
            path: layout::KEYS.to_owned(),
            sha256: Digest::of(&text),
            size: text.len() as u64,
        });
        Ok(Self {
            // The manifest may be of an earlier state, though the file is not.
            lag: !is_listed || registry.to_json() != text,
            registry,
            history: Some(history),
            texts: vec![text],
        })
    }

    /// The keys that the file lists; `events` are the key events that its seal does not cover.
    fn listed(
        vault: &Vault,
        entries: &[FileEntry],
        events: &[KeyEvent],
    ) -> Result<Self, VaultError> {
        let (mut registry, text) = read_registry_text(vault)?;
        let digest = Digest::of(&text);
        let mut texts = vec![text];
        let entry = entries.iter().find(|entry| entry.path == layout::KEYS);
        let was_sealed = |digest| entry.is_some_and(|entry| entry.sha256 == digest);
        if !was_sealed(digest) {
            for event in events.iter().rev() {
                undo(event, &mut registry);
            }
            let before = registry.to_json();
            if events.is_empty() || !was_sealed(Digest::of(&before)) {
                return Err(VaultError::SealContradiction {
                    file: layout::KEYS.to_owned(),
                    reason: match entry {
                        None => "the manifest does not list it".to_owned(),
                        Some(entry) => {
                            format!("it has the SHA-256 {digest}, not {}", entry.sha256)
                        }
                    },
                });
            }
            texts.push(before);
        }
        for event in events {
            event.apply(&mut registry);
        }
        let changes =
            |event: &KeyEvent| event.kind == KeyEventKind::Revocation || event.brings().is_some();
        Ok(Self {
            lag: events.iter().any(changes),
            registry,
            history: None,
            texts,
        })
    }

    /// What to tell the user.
    pub(crate) fn note(&self) -> Option<String> {
        self.lag.then(|| {
            format!(
                "{} was brought in line with the log's latest key events",
                layout::KEYS
            )
        })
    }
}

/// `keys.json` and the digest of its bytes.
pub(crate) fn read_registry(vault: &Vault) -> Result<(KeyRegistry, Digest), VaultError> {
    let (registry, text) = read_registry_text(vault)?;
    Ok((registry, Digest::of(&text)))
}

/// `keys.json` and its bytes.
fn read_registry_text(vault: &Vault) -> Result<(KeyRegistry, Vec<u8>), VaultError> {
    vault.inner_file(layout::KEYS)?;
    let structure = |reason: String| VaultError::Structure {
        file: layout::KEYS.to_owned(),
        reason,
    };
    let text = read_text(vault.path(), layout::KEYS)?
        .ok_or_else(|| structure("it is missing".to_owned()))?;
    let registry = KeyRegistry::parse(&text).map_err(|error| structure(error.to_string()))?;
    if let Some(problem) = registry.problems.first() {
        return Err(structure(problem.to_string()));
    }
    Ok((registry, text))
}

/// The keys of `registry` that may sign the seal of a merge: those that `before` lists, which is the vault's
/// `keys.json` until then, and those that the merged log promotes under them.
pub(crate) fn seal_signers(
    registry: &KeyRegistry,
    before: &KeyRegistry,
    promoted: &[PublicKey],
) -> KeyRegistry {
    let mut signers = registry.clone();
    let is_new = |entry: &KeyEntry| before.get(&entry.key_id).is_none();
    signers
        .keys
        .retain(|entry| !is_new(entry) || promoted.contains(&entry.public_key));
    signers
}
