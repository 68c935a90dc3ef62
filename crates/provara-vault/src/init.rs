//! Making a vault: everything or nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use provara_core::event::Draft;
use provara_core::event_type::{CoreType, EventType};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{Value, object};
use provara_core::keys::{KeyEntry, KeyRegistry, KeyStatus, Keyfile, SigningKey};
use provara_core::layout;
use provara_core::layout::{ONTOLOGY, RETENTION_POLICY, SAFETY_POLICY, SYNC_CONTRACT};
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_core::mark::{PolicyKey, SEAL_POLICY, SealPolicy};
use provara_core::namespace::Namespace;
use provara_core::time::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock;
use crate::enclosing::outside_vaults;
use crate::error::{Context, VaultError};
use crate::file_layer::fresh_name;
use crate::file_system::{self, Names};

/// The actor of the first events where none is named.
pub const DEFAULT_ACTOR: &str = "sovereign_genesis";

/// The directories of a new vault, parents first.
const DIRECTORIES: [&str; 7] = [
    layout::ARTIFACTS,
    "artifacts/cas",
    layout::EVENTS,
    layout::IDENTITY,
    layout::POLICIES,
    "policies/ontology",
    "state",
];

/// How a vault is made.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The vault's name for itself; a random UUID where none is given.
    pub uid: Option<String>,
    /// The actor of the first two events; `sovereign_genesis` where none is given.
    pub actor: Option<String>,
    /// Whether to make a second key, with the roles `quorum` and `attestation`.
    pub quorum: bool,
    /// Where the private keys go, outside the vault; `identity/private_keys.json` where none is given.
    pub private_keys: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct InitReceipt {
    /// The vault's name for itself.
    pub uid: String,
    /// The first key.
    pub root_key_id: KeyId,
    /// The second key, if one was asked for.
    pub quorum_key_id: Option<KeyId>,
    /// Where the private keys are.
    pub keyfile: PathBuf,
    /// The first event.
    pub genesis_event_id: EventId,
    /// The Merkle root of the signed seal.
    pub merkle_root: Digest,
    /// What there is to know of the file system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Makes a vault at `path`, which does not exist or is an empty directory.
///
/// A new directory appears whole, by one rename; into an empty directory, which may be a mount
/// point or somebody's working directory, the parts are moved one by one, the seal last. A
/// failure leaves neither vault nor keyfile.
///
/// # Errors
/// [`VaultError::NotEmpty`], [`VaultError::InsideVault`], [`VaultError::Exists`] for a keyfile that is
/// there,
/// [`VaultError::KeyfilePlace`], [`VaultError::EmptyActor`], or what the system refuses.
pub fn init(path: &Path, options: &InitOptions) -> Result<InitReceipt, VaultError> {
    let place = Place::of(path)?;
    let keyfile = keyfile_place(&place.vault, options.private_keys.as_deref())?;
    for place in [Some(&place.vault), keyfile.as_ref()].into_iter().flatten() {
        outside_vaults(place)?;
    }
    let content = Content::new(options)?;

    let mut names = Names::Durable;
    let made_parents = make_parents(&place.parent, &mut names)?;
    let build = place.build_directory()?;
    let mut undo = Undo {
        paths: made_parents,
    };
    undo.paths.push(build.clone());
    names = names.and(content.write_below(&build, keyfile.is_none())?);
    if let Some(keyfile) = &keyfile {
        write_new(keyfile, &content.keyfile, 0o600)?;
        undo.paths.push(keyfile.clone());
        names = names.and(sync_parent(keyfile)?);
    }
    names = names.and(place.publish(&build, &mut undo)?);
    undo.paths.clear();
    Ok(InitReceipt {
        uid: content.uid,
        root_key_id: content.root_key_id,
        quorum_key_id: content.quorum_key_id,
        keyfile: keyfile.unwrap_or_else(|| place.vault.join(layout::PRIVATE_KEYS)),
        genesis_event_id: content.genesis_event_id,
        merkle_root: content.merkle_root,
        notes: names.note(&place.vault).into_iter().collect(),
    })
}

/// Where the vault goes.
struct Place {
    vault: PathBuf,
    parent: PathBuf,
    exists: bool,
}

impl Place {
    fn of(path: &Path) -> Result<Self, VaultError> {
        let not_empty = |reason| VaultError::NotEmpty {
            path: path.to_owned(),
            reason,
        };
        let vault = match fs::canonicalize(path) {
            Ok(vault) => vault,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.is_symlink() {
                    return Err(not_empty("is a symbolic link that leads nowhere"));
                }
                let vault = std::path::absolute(path).context("make a vault at", path)?;
                let (Some(parent), Some(_)) = (vault.parent(), vault.file_name()) else {
                    return Err(not_empty("names no directory"));
                };
                let parent = parent.to_owned();
                return Ok(Self {
                    vault,
                    parent,
                    exists: false,
                });
            }
            Err(error) => return Err(error).context("make a vault at", path),
        };
        if !vault.is_dir() {
            return Err(not_empty("is a file"));
        }
        if fs::read_dir(&vault).context("read", path)?.next().is_some() {
            return Err(not_empty("is not empty"));
        }
        Ok(Self {
            parent: vault.clone(),
            vault,
            exists: true,
        })
    }

    /// A directory on the same file system as the vault: beside a new one, within an existing one.
    fn build_directory(&self) -> Result<PathBuf, VaultError> {
        let name = fresh_name().context("make a vault at", &self.vault)?;
        let build = self.parent.join(name);
        fs::create_dir(&build).context("make a directory in", &self.parent)?;
        Ok(build)
    }

    fn publish(&self, build: &Path, undo: &mut Undo) -> Result<Names, VaultError> {
        if !self.exists {
            fs::rename(build, &self.vault).map_err(|source| match source.kind() {
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
                    VaultError::NotEmpty {
                        path: self.vault.clone(),
                        reason: "is not empty",
                    }
                }
                _ => VaultError::Io {
                    action: "make a vault at",
                    path: self.vault.clone(),
                    source,
                },
            })?;
            undo.paths.push(self.vault.clone());
            return sync_directory(&self.parent);
        }
        let mut names: Vec<_> = fs::read_dir(build)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .context("read", build)?
            .into_iter()
            .map(|entry| entry.file_name())
            .collect();
        // The files at the top are the seal: they come last.
        names.sort_by_key(|name| build.join(name).is_file());
        for name in names {
            let target = self.vault.join(&name);
            fs::rename(build.join(&name), &target).context("make", &target)?;
            undo.paths.push(target);
        }
        fs::remove_dir(build).context("remove", build)?;
        sync_directory(&self.vault)
    }
}

/// Removes, when dropped, what a failed `init` has made, last first.
struct Undo {
    paths: Vec<PathBuf>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        for path in self.paths.iter().rev() {
            // Best effort, on the way out with the error that counts. Parents that were made for
            // the vault go only while they are empty.
            let is_ours = path.is_dir() && fs::remove_dir(path).is_err() && self.is_content(path);
            if is_ours {
                let _ = fs::remove_dir_all(path);
            } else if !path.is_dir() {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Undo {
    /// Whether a directory holds parts of the new vault, rather than being a parent of it.
    fn is_content(&self, path: &Path) -> bool {
        !self
            .paths
            .iter()
            .any(|other| other != path && other.starts_with(path))
    }
}

/// Makes `directory` and what is missing above it; gives what was made, uppermost first.
fn make_parents(directory: &Path, names: &mut Names) -> Result<Vec<PathBuf>, VaultError> {
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|path| !path.exists())
        .collect();
    let mut undo = Undo { paths: Vec::new() };
    for path in missing.into_iter().rev() {
        fs::create_dir(path).context("make the directory", path)?;
        undo.paths.push(path.to_owned());
        *names = names.and(sync_parent(path)?);
    }
    Ok(std::mem::take(&mut undo.paths))
}

/// Where the keyfile goes if not to its default place.
fn keyfile_place(vault: &Path, wanted: Option<&Path>) -> Result<Option<PathBuf>, VaultError> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let absolute = std::path::absolute(wanted).context("write the keyfile", wanted)?;
    let place = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => fs::canonicalize(parent)
            .unwrap_or_else(|_| parent.to_owned())
            .join(name),
        _ => absolute,
    };
    if place == vault.join(layout::PRIVATE_KEYS) {
        return Ok(None);
    }
    if place.starts_with(vault) {
        return Err(VaultError::KeyfilePlace {
            path: wanted.to_owned(),
        });
    }
    if fs::symlink_metadata(&place).is_ok() {
        return Err(VaultError::Exists {
            path: wanted.to_owned(),
        });
    }
    Ok(Some(place))
}

/// Everything that a new vault holds, made before anything is written.
struct Content {
    uid: String,
    root_key_id: KeyId,
    quorum_key_id: Option<KeyId>,
    genesis_event_id: EventId,
    merkle_root: Digest,
    /// The files but for the keyfile: path and bytes.
    files: Vec<(&'static str, Vec<u8>)>,
    keyfile: Zeroizing<Vec<u8>>,
}

impl Content {
    fn new(options: &InitOptions) -> Result<Self, VaultError> {
        let actor = options.actor.as_deref().unwrap_or(DEFAULT_ACTOR);
        if actor.is_empty() {
            return Err(VaultError::EmptyActor);
        }
        let uid = match &options.uid {
            Some(uid) if uid.trim().is_empty() => return Err(VaultError::EmptyUid),
            Some(uid) => uid.clone(),
            None => uuid::Builder::from_random_bytes(*random::<16>()?)
                .into_uuid()
                .to_string(),
        };
        let born = clock::now()?;
        let root = SigningKey::from_seed(&*random::<32>()?);
        let quorum = match options.quorum {
            true => Some(SigningKey::from_seed(&*random::<32>()?)),
            false => None,
        };
        let (root_key_id, quorum_key_id) = (root.key_id(), quorum.as_ref().map(SigningKey::key_id));

        let registry = KeyRegistry {
            keys: [(Some(&root), "root"), (quorum.as_ref(), "quorum")]
                .into_iter()
                .filter_map(|(key, role)| key.map(|key| key_entry(key, role, born)))
                .collect(),
            ..KeyRegistry::default()
        };
        let policy = SealPolicy {
            keys: registry.keys.iter().map(PolicyKey::from).collect(),
        };
        let (genesis_event_id, log) =
            first_events(actor, &uid, &root, quorum_key_id, &policy, born)?;
        let mut files = vec![
            (layout::LOG, log),
            (layout::GENESIS, genesis_file(&uid, born, root_key_id)),
            (layout::KEYS, registry.to_json()),
            (
                ONTOLOGY,
                include_bytes!("templates/perception_ontology_v1.json").to_vec(),
            ),
            (
                RETENTION_POLICY,
                include_bytes!("templates/retention_policy.json").to_vec(),
            ),
            (
                SAFETY_POLICY,
                include_bytes!("templates/safety_policy.json").to_vec(),
            ),
            (SYNC_CONTRACT, sync_contract(root_key_id, quorum_key_id)),
        ];
        let listed = files
            .iter()
            .map(|(path, bytes)| FileEntry {
                path: (*path).to_owned(),
                sha256: Digest::of(bytes),
                size: bytes.len() as u64,
            })
            .collect();
        let sealed = clock::now()?;
        let (manifest, merkle_root) = write_manifest(listed, sealed);
        files.push((layout::MERKLE_ROOT, write_merkle_root(merkle_root)));
        files.push((layout::MANIFEST_SIG, sign_root(merkle_root, &root, sealed)));
        files.push((layout::MANIFEST, manifest));
        let keyfile = Keyfile::new([Some(root), quorum].into_iter().flatten().collect()).to_json();
        Ok(Self {
            uid,
            root_key_id,
            quorum_key_id,
            genesis_event_id,
            merkle_root,
            files,
            keyfile,
        })
    }

    fn write_below(&self, build: &Path, with_keyfile: bool) -> Result<Names, VaultError> {
        for directory in DIRECTORIES {
            let path = build.join(directory);
            fs::create_dir(&path).context("make the directory", &path)?;
        }
        for (path, bytes) in &self.files {
            write_new(&build.join(path), bytes, 0o666)?;
        }
        if with_keyfile {
            write_new(&build.join(layout::PRIVATE_KEYS), &self.keyfile, 0o600)?;
        }
        let mut names = sync_directory(build)?;
        for path in DIRECTORIES {
            names = names.and(sync_directory(&build.join(path))?);
        }
        Ok(names)
    }
}

fn key_entry(key: &SigningKey, role: &str, born: Timestamp) -> KeyEntry {
    KeyEntry {
        key_id: key.key_id(),
        public_key: key.public(),
        roles: vec![role.to_owned(), "attestation".to_owned()],
        scopes: vec!["all".to_owned()],
        status: KeyStatus::Active,
        created_at_utc: born.to_string(),
        revoked_at_utc: None,
        revocation_event_id: None,
        promotion_event_id: None,
        addition_event_id: None,
    }
}

/// The genesis event and the seed observation, as two lines of the log.
fn first_events(
    actor: &str,
    uid: &str,
    root: &SigningKey,
    quorum: Option<KeyId>,
    policy: &SealPolicy,
    born: Timestamp,
) -> Result<(EventId, Vec<u8>), VaultError> {
    // keys.json can be edited by whoever holds the files; what the root key signed cannot.
    let mut birth: Vec<(_, Value<'_>)> = vec![
        ("birth_timestamp", born.to_string().into()),
        ("root_key_id", root.key_id().to_string().into()),
        (SEAL_POLICY, policy.to_value()),
        ("spec_version", "1.0".into()),
        ("uid", uid.into()),
    ];
    birth.extend(quorum.map(|id| ("quorum_key_id", id.to_string().into())));
    let birth = object(birth);
    let genesis = Draft {
        event_type: &EventType::Core(CoreType::Genesis),
        actor,
        namespace: Some(Namespace::Canonical),
        payload: &birth,
        prev: None,
        ts_logical: 1,
        timestamp: clock::now()?,
        seal: None,
        after: None,
    }
    .sign(root)?;
    let initialized = object([
        ("confidence", Value::Number("1".into())),
        ("predicate", "status".into()),
        ("subject", "system".into()),
        ("value", "initialized".into()),
    ]);
    let seed = Draft {
        event_type: &EventType::Core(CoreType::Observation),
        actor,
        namespace: Some(Namespace::Local),
        payload: &initialized,
        prev: Some(genesis.id),
        ts_logical: 2,
        timestamp: clock::now()?,
        seal: None,
        after: None,
    }
    .sign(root)?;
    Ok((genesis.id, [genesis.line, seed.line].concat()))
}

fn genesis_file(uid: &str, born: Timestamp, root_key_id: KeyId) -> Vec<u8> {
    let mut quoted = Vec::new();
    provara_core::canonical::write_string(&mut quoted, uid);
    let quoted = String::from_utf8(quoted).expect("made from text");
    format!(
        r#"{{
  "uid": {quoted},
  "birth_timestamp": "{born}",
  "root_key_id": "{root_key_id}",
  "governance_model": "{SYNC_CONTRACT}",
  "initial_ontology_versions": {{
    "perception": "perception_ontology_v1.json"
  }}
}}
"#
    )
    .into_bytes()
}

fn sync_contract(root: KeyId, quorum: Option<KeyId>) -> Vec<u8> {
    let authority = |role: &str, key_id: KeyId, scope: &str| {
        format!(
            r#"    {{
      "role": "{role}",
      "key_id": "{key_id}",
      "scope": "{scope}"
    }}"#
        )
    };
    let mut authorities = vec![authority("root", root, "all")];
    authorities.extend(quorum.map(|key_id| authority("quorum", key_id, "attestation")));
    include_str!("templates/sync_contract.json")
        .replace("@AUTHORITIES@", &authorities.join(",\n"))
        .into_bytes()
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|error| VaultError::Randomness {
        reason: error.to_string(),
    })?;
    Ok(bytes)
}

/// Writes a new file durably; what is there is never replaced.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), VaultError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(VaultError::Exists {
                path: path.to_owned(),
            });
        }
        made => made.context("write", path)?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Best effort: half a file is worse than none.
        let _ = fs::remove_file(path);
    }
    written.context("write", path)
}

fn sync_parent(path: &Path) -> Result<Names, VaultError> {
    path.parent().map_or(Ok(Names::Durable), sync_directory)
}

/// Makes the names in a directory durable, where the file system can.
fn sync_directory(path: &Path) -> Result<Names, VaultError> {
    Names::of(file_system::sync_directory(path)).context("make durable", path)
}
