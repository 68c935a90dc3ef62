//! The seal against the disk: the manifest, its root, and the signature over it
//! (spec/VAULT_FORMAT, section 5).

use std::collections::{BTreeMap, HashSet};

use super::size::other_size;
use super::{PRIVATE_KEYS, missing};
use crate::finding::{Code, Finding};
use crate::id::Digest;
use crate::keys::{KeyRegistry, PublicKey};
use crate::manifest::{
    Manifest, ManifestError, RootSignature, RootSignatureError, SEAL_FILES, safe_path,
};
use crate::time::Timestamp;
use crate::verify::LogVerdict;

/// What stands on the disk at a path below the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskEntry {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// SHA-256 of the bytes.
        sha256: Digest,
    },
    /// A symbolic link, a socket, a device: nothing that a vault holds.
    Other(&'static str),
}

/// The bytes of the seal's files; `None` where a file is absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct SealFiles<'a> {
    /// `manifest.json`
    pub manifest: Option<&'a [u8]>,
    /// `manifest.sig`
    pub signature: Option<&'a [u8]>,
    /// `merkle_root.txt`
    pub merkle_root: Option<&'a [u8]>,
}

/// Holds the seal against the disk.
///
/// `disk` has every entry below the vault that is not a directory, by its path relative to the
/// vault. `keys` are those of `keys.json` and `log.promoted_keys`.
#[must_use]
pub fn check_seal(
    seal: SealFiles<'_>,
    disk: &BTreeMap<String, DiskEntry>,
    registry: &KeyRegistry,
    log: &LogVerdict,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(text) = seal.manifest else {
        findings.push(missing("manifest.json"));
        return findings;
    };
    let manifest = match Manifest::parse(text) {
        Ok(manifest) => manifest,
        Err(error) => {
            let code = match error {
                ManifestError::Json(_) => Code::E104,
                ManifestError::Field(_) | ManifestError::EntryField { .. } => Code::E300,
                ManifestError::Version { .. } => Code::E303,
            };
            findings.push(Finding::new(code, "manifest.json", error.to_string()));
            return findings;
        }
    };
    if !manifest.canonical {
        let message = "not in canonical form";
        findings.push(Finding::new(Code::E104, "manifest.json", message));
    }
    check_listing(&manifest, &mut findings);
    check_disk(&manifest, disk, log, &mut findings);
    let root = manifest.merkle_root();
    check_root_file(seal.merkle_root, root, &mut findings);
    check_root_signature(seal.signature, root, registry, log, &mut findings);
    findings
}

/// Whether a path has no place in a manifest: the seal itself and the default keyfile.
fn unlisted(path: &str) -> bool {
    SEAL_FILES.contains(&path) || path == PRIVATE_KEYS
}

/// What is wrong with the list by itself.
fn check_listing(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let mut report = |code, message: String| {
        findings.push(Finding::new(code, "manifest.json", message));
    };
    if let Err(error) = manifest.created_at_utc.parse::<Timestamp>() {
        report(Code::E105, format!("'created_at_utc' is {error}"));
    }
    for name in &manifest.unsigned {
        // The root, which is what is signed, covers the list of files alone.
        let message = format!("the format has no member {name:?}, and no signature covers it");
        report(Code::E302, message);
    }
    let count = manifest.files.len() as u64;
    if manifest.file_count != count {
        let message = format!(
            "'file_count' is {}, and {count} are listed",
            manifest.file_count
        );
        report(Code::E302, message);
    }
    for pair in manifest.files.windows(2) {
        let [a, b] = pair else { continue };
        match a.path.cmp(&b.path) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => {
                report(Code::E302, format!("'{}' is listed twice", a.path));
            }
            std::cmp::Ordering::Greater => {
                report(
                    Code::E302,
                    format!("'{}' is not in the order of paths", b.path),
                );
            }
        }
    }
    for file in &manifest.files {
        if !safe_path(&file.path) {
            report(
                Code::E302,
                format!("the path '{}' leaves the vault or is not plain", file.path),
            );
        }
        if unlisted(&file.path) {
            report(Code::E302, format!("'{}' must not be listed", file.path));
        }
        if file.sha256.parse::<Digest>().is_err() {
            let message = format!(
                "the hash of '{}' is not 64 lower-case hex digits",
                file.path
            );
            report(Code::E100, message);
        }
    }
}

/// The list against the disk, and the disk against the list.
fn check_disk(
    manifest: &Manifest,
    disk: &BTreeMap<String, DiskEntry>,
    log: &LogVerdict,
    findings: &mut Vec<Finding>,
) {
    let mut listed = HashSet::new();
    for file in &manifest.files {
        listed.insert(file.path.as_str());
        if !safe_path(&file.path) || unlisted(&file.path) {
            continue;
        }
        let path = file.path.as_str();
        match disk.get(path) {
            None => findings.push(Finding::new(
                Code::E010,
                path,
                "listed in the manifest, missing",
            )),
            Some(DiskEntry::Other(_)) => {}
            Some(DiskEntry::File { size, .. }) if *size != file.size => findings.push(
                Finding::new(Code::E011, path, other_size(file, *size, log))
                    .compare(file.size, size),
            ),
            Some(DiskEntry::File { sha256, .. }) => {
                // A malformed hash has its own finding.
                if file
                    .sha256
                    .parse::<Digest>()
                    .is_ok_and(|listed| listed != *sha256)
                {
                    findings.push(
                        Finding::new(Code::E012, path, "the hash is not that of the manifest")
                            .compare(&file.sha256, sha256),
                    );
                }
            }
        }
    }
    for (path, entry) in disk {
        match entry {
            DiskEntry::Other(what) => {
                let message = format!("{what}; a vault holds regular files only");
                findings.push(Finding::new(Code::E302, path.as_str(), message));
            }
            DiskEntry::File { .. } if unlisted(path) || listed.contains(path.as_str()) => {}
            DiskEntry::File { .. } => {
                let message = "phantom file: it is not in the manifest";
                findings.push(Finding::new(Code::E302, path.as_str(), message));
            }
        }
    }
}

fn check_root_file(text: Option<&[u8]>, root: Digest, findings: &mut Vec<Finding>) {
    const FILE: &str = "merkle_root.txt";
    let Some(text) = text else {
        findings.push(missing(FILE));
        return;
    };
    let stated = text
        .strip_suffix(b"\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(|text| text.parse::<Digest>().ok());
    match stated {
        None => {
            let message = "not 64 lower-case hex digits and LF";
            findings.push(Finding::new(Code::E100, FILE, message));
        }
        Some(stated) if stated != root => findings.push(
            Finding::new(
                Code::E008,
                FILE,
                "the Merkle root is not that of the manifest",
            )
            .compare(root, stated),
        ),
        Some(_) => {}
    }
}

/// A note where `manifest.sig` is by a key to which no signed events lead from the `GENESIS` event:
/// whoever can write the vault's files can list a key of their own and seal with it.
#[must_use]
pub fn sealer_note(manifest_sig: Option<&[u8]>, log: &LogVerdict) -> Option<String> {
    let key = RootSignature::parse(manifest_sig?).ok()?.key_id;
    (!log.introduced.contains(&key)).then(|| {
        format!(
            "the seal is signed by key {key}, which keys.json alone vouches for, as no signed events \
             lead to it from the GENESIS event"
        )
    })
}

fn check_root_signature(
    text: Option<&[u8]>,
    root: Digest,
    registry: &KeyRegistry,
    log: &LogVerdict,
    findings: &mut Vec<Finding>,
) {
    const FILE: &str = "manifest.sig";
    let mut report = |code, message: String| findings.push(Finding::new(code, FILE, message));
    let Some(text) = text else {
        report(Code::W002, "the seal is not signed".into());
        return;
    };
    let signature = match RootSignature::parse(text) {
        Ok(signature) => signature,
        Err(error) => {
            let code = match error {
                RootSignatureError::Json(_) => Code::E104,
                RootSignatureError::Field(_) => Code::E300,
                RootSignatureError::Unsigned(_) => Code::E302,
                RootSignatureError::Root => Code::E100,
                RootSignatureError::KeyId => Code::E102,
                RootSignatureError::Signature => Code::E103,
                RootSignatureError::Version(_) => Code::E303,
            };
            report(code, error.to_string());
            return;
        }
    };
    if let Err(error) = signature.signed_at_utc.parse::<Timestamp>() {
        report(Code::E105, format!("'signed_at_utc' is {error}"));
    }
    let id = signature.key_id;
    let promoted = || log.promoted_keys.iter().find(|key| key.key_id() == id);
    let key: Option<&PublicKey> = registry
        .get(&id)
        .map(|entry| &entry.public_key)
        .or_else(promoted);
    let Some(key) = key else {
        report(
            Code::E204,
            format!("the signer's key {id} is not in keys.json"),
        );
        return;
    };
    if key.verify(&signature.signed, &signature.signature).is_err() {
        report(
            Code::E003,
            format!("the signature does not verify under key {id}"),
        );
    } else if signature.merkle_root != root {
        findings.push(
            Finding::new(
                Code::W001,
                FILE,
                "the signature is of another seal, an earlier or a later one",
            )
            .compare(root, signature.merkle_root),
        );
    } else if log.revoked_keys.contains(&id) {
        report(
            Code::E202,
            format!("the seal is signed by key {id}, which the log revoked"),
        );
    }
}
