//! Reading the keyfile, and choosing the key that signs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use provara_core::id::KeyId;
use provara_core::keys::{KeyEntry, KeyRegistry, KeyStatus, Keyfile, SigningKey};
use provara_core::layout;
use provara_core::mark::may_sign;
use zeroize::Zeroizing;

use crate::error::{Context, VaultError};
use crate::files::open_regular;

/// Why a key signs nothing that is neither unknown nor revoked.
const NO_ROLE: &str = "has neither the role 'root' nor 'attestation'";

/// The longest keyfile that is read, in bytes: a device in its place would never end.
const MAX_KEYFILE: u64 = 1 << 20;

/// Reads a keyfile in either of its forms (spec/VAULT_FORMAT, section 1). It may be a pipe, as a shell
/// makes one of `<(…)`, but where a vault has its own keyfile.
///
/// # Errors
/// [`VaultError::KeyfileMissing`], [`VaultError::KeyfileInvalid`], [`VaultError::Structure`] for a
/// vault's own that is no regular file, or [`VaultError::Io`] where the system refuses.
pub fn read_keyfile(path: &Path) -> Result<Keyfile, VaultError> {
    // What stands in a vault may come from anywhere; any other place was named by the user.
    let opened = if path.ends_with(layout::PRIVATE_KEYS) {
        open_regular(path)
    } else {
        File::open(path).map(Some)
    };
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(VaultError::KeyfileMissing {
                path: path.to_owned(),
            });
        }
        file => file.context("read the keyfile", path)?,
    };
    let file = file.ok_or_else(|| VaultError::Structure {
        file: layout::PRIVATE_KEYS.to_owned(),
        reason: "it is not a regular file".to_owned(),
    })?;
    let data = file.metadata().context("read the keyfile", path)?;
    // What is no file has no length to know beforehand.
    let length = if data.is_file() {
        data.len()
    } else {
        MAX_KEYFILE
    };
    let most = length.min(MAX_KEYFILE) + 1;
    // As long as it may become, so that no copy of a part is left behind in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(most as usize));
    file.take(most)
        .read_to_end(&mut text)
        .context("read the keyfile", path)?;
    Keyfile::parse(&text).map_err(|source| VaultError::KeyfileInvalid {
        path: path.to_owned(),
        source,
    })
}

/// Chooses the key that signs: `wanted` if it is given, else the keyfile's first key that may. A key may if
/// the vault knows it as active in a role that signs. `revoked` tells what the log says beyond `keys.json`.
pub(crate) fn choose<'k>(
    keyfile: &'k Keyfile,
    registry: &KeyRegistry,
    revoked: impl Fn(&KeyId) -> bool,
    wanted: Option<KeyId>,
) -> Result<&'k SigningKey, VaultError> {
    let active = |entry: &KeyEntry| entry.status == KeyStatus::Active && !revoked(&entry.key_id);
    if let Some(key_id) = wanted {
        let entry = registry
            .get(&key_id)
            .ok_or(VaultError::KeyUnknown { key_id })?;
        if !active(entry) {
            return Err(VaultError::KeyRevoked { key_id });
        }
        if !may_sign(&entry.roles) {
            return Err(VaultError::NoSigningKey {
                reasons: vec![format!("{key_id} {NO_ROLE}")],
            });
        }
        return keyfile
            .get(&key_id)
            .ok_or_else(|| VaultError::KeyNotInKeyfile {
                key_id,
                held: keyfile.key_ids().collect(),
            });
    }
    let known: Vec<(&SigningKey, &KeyEntry)> = keyfile
        .keys()
        .iter()
        .filter_map(|key| registry.get(&key.key_id()).map(|entry| (key, entry)))
        .collect();
    if known.is_empty() {
        return Err(VaultError::KeyfileForeign {
            key_ids: keyfile.key_ids().collect(),
        });
    }
    if let Some((key, _)) = known
        .iter()
        .find(|(_, entry)| active(entry) && may_sign(&entry.roles))
    {
        return Ok(key);
    }
    if known.iter().all(|(_, entry)| !active(entry)) {
        return Err(VaultError::KeyRevoked {
            key_id: known[0].1.key_id,
        });
    }
    let reasons = known
        .iter()
        .map(|(_, entry)| {
            let why = if active(entry) { NO_ROLE } else { "is revoked" };
            format!("{} {why}", entry.key_id)
        })
        .collect();
    Err(VaultError::NoSigningKey { reasons })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::FileType;

    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
    }

    fn entry(byte: u8, roles: &[&str], status: KeyStatus) -> KeyEntry {
        KeyEntry {
            key_id: key(byte).key_id(),
            public_key: key(byte).public(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            scopes: vec!["all".into()],
            status,
            created_at_utc: "2026-01-01T00:00:00.000000Z".into(),
            revoked_at_utc: None,
            revocation_event_id: None,
            promotion_event_id: None,
            addition_event_id: None,
        }
    }

    #[test]
    fn every_refusal_has_its_own_error() {
        let registry = KeyRegistry {
            keys: vec![
                entry(1, &["root"], KeyStatus::Revoked),
                entry(2, &["quorum"], KeyStatus::Active),
                entry(3, &["quorum", "attestation"], KeyStatus::Active),
                entry(4, &["root"], KeyStatus::Active),
            ],
            ..KeyRegistry::default()
        };
        let file = |bytes: &[u8]| Keyfile::new(bytes.iter().map(|byte| key(*byte)).collect());
        let pick = |bytes: &[u8], wanted: Option<u8>| {
            let log_says = |id: &KeyId| *id == key(4).key_id();
            choose(
                &file(bytes),
                &registry,
                log_says,
                wanted.map(|byte| key(byte).key_id()),
            )
            .map(SigningKey::key_id)
        };
        assert_eq!(pick(&[9, 1, 2, 3], None).unwrap(), key(3).key_id());
        assert_eq!(pick(&[2, 3], Some(3)).unwrap(), key(3).key_id());
        assert!(matches!(
            pick(&[2, 3], Some(2)),
            Err(VaultError::NoSigningKey { .. })
        ));
        assert!(matches!(
            pick(&[9], None),
            Err(VaultError::KeyfileForeign { .. })
        ));
        assert!(matches!(
            pick(&[1, 4], None),
            Err(VaultError::KeyRevoked { .. })
        ));
        assert!(matches!(
            pick(&[1, 2], None),
            Err(VaultError::NoSigningKey { .. })
        ));
        assert!(matches!(
            pick(&[3], Some(9)),
            Err(VaultError::KeyUnknown { .. })
        ));
        assert!(matches!(
            pick(&[3], Some(1)),
            Err(VaultError::KeyRevoked { .. })
        ));
        assert!(matches!(
            pick(&[3, 4], Some(4)),
            Err(VaultError::KeyRevoked { .. })
        ));
        assert!(matches!(
            pick(&[1], Some(3)),
            Err(VaultError::KeyNotInKeyfile { .. })
        ));
    }

    #[test]
    fn a_missing_and_a_wrong_keyfile_differ() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        assert!(matches!(
            read_keyfile(&path),
            Err(VaultError::KeyfileMissing { .. })
        ));
        fs::write(&path, b"{}").unwrap();
        assert!(matches!(
            read_keyfile(&path),
            Err(VaultError::KeyfileInvalid { .. })
        ));
    }

    #[test]
    fn a_pipe_is_read_where_it_was_named_and_not_where_a_vault_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join(layout::PRIVATE_KEYS);
        fs::create_dir(own.parent().unwrap()).unwrap();
        let named = directory.path().join("keys");
        for pipe in [&own, &named] {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, pipe, FileType::Fifo, mode, 0).unwrap();
        }
        let error = read_keyfile(&own).unwrap_err();
        assert!(matches!(error, VaultError::Structure { .. }), "{error}");
        // The writer waits for the reader, and the reader for the writer's end.
        let text = Keyfile::new(vec![key(1)]).to_json();
        let writer = {
            let named = named.clone();
            std::thread::spawn(move || fs::write(named, &*text).unwrap())
        };
        let read = read_keyfile(&named).unwrap();
        writer.join().unwrap();
        assert_eq!(read.keys()[0].key_id(), key(1).key_id());
    }
}
