//! The seal against the disk: the manifest, its root, and the signature over it
//! (spec/VAULT_FORMAT, section 5).

use std::collections::{BTreeMap, HashSet};

use super::missing;
use super::size::{AboutLog, other_size};
use crate::finding::{Code, Finding};
use crate::id::Digest;
use crate::layout::{MANIFEST, MANIFEST_SIG, MERKLE_ROOT, is_unlisted};
use crate::manifest::{Manifest, ManifestError, RootSignature, safe_path};
use crate::time::Timestamp;

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

/// Holds the manifest and its root against the disk, as far as neither the log nor the keys are needed:
/// whether what stands there fits together.
///
/// `disk` has every entry below the vault that is not a directory, by its path relative to the vault.
#[must_use]
pub fn check_fit(seal: SealFiles<'_>, disk: &BTreeMap<String, DiskEntry>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(manifest) = read_manifest(seal.manifest, &mut findings) else {
        return findings;
    };
    check_listing(&manifest, &mut findings);
    check_manifest_against_disk(&manifest, disk, None, &mut findings);
    let root = manifest.merkle_root();
    check_root_file(seal.merkle_root, root, &mut findings);
    let signed = seal.signature.map(RootSignature::parse);
    if !matches!(&signed, Some(Ok(signature)) if signature.merkle_root == root) {
        let message = "the signature is not of this seal";
        findings.push(Finding::new(Code::W001, MANIFEST_SIG, message));
    }
    findings
}

/// Reads `manifest.json`, or says why it cannot be read.
pub(in crate::verify) fn read_manifest(
    text: Option<&[u8]>,
    findings: &mut Vec<Finding>,
) -> Option<Manifest> {
    let Some(text) = text else {
        findings.push(missing(MANIFEST));
        return None;
    };
    match Manifest::parse(text) {
        Ok(manifest) => {
            if !manifest.canonical {
                let message = "not in canonical form";
                findings.push(Finding::new(Code::E104, MANIFEST, message));
            }
            Some(manifest)
        }
        Err(error) => {
            let code = match error {
                ManifestError::Json(_) => Code::E104,
                ManifestError::Field(_) | ManifestError::EntryField { .. } => Code::E300,
                ManifestError::Version { .. } => Code::E303,
            };
            findings.push(Finding::new(code, MANIFEST, error.to_string()));
            None
        }
    }
}

/// What is wrong with the list by itself.
pub(in crate::verify) fn check_listing(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let mut report = |code, message: String| {
        findings.push(Finding::new(code, MANIFEST, message));
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
        if is_unlisted(&file.path) {
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
pub(in crate::verify) fn check_manifest_against_disk(
    manifest: &Manifest,
    disk: &BTreeMap<String, DiskEntry>,
    about: Option<AboutLog<'_>>,
    findings: &mut Vec<Finding>,
) {
    let mut listed = HashSet::new();
    for file in &manifest.files {
        listed.insert(file.path.as_str());
        if !safe_path(&file.path) || is_unlisted(&file.path) {
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
                Finding::new(Code::E011, path, other_size(file, *size, about))
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
            DiskEntry::File { .. } if is_unlisted(path) || listed.contains(path.as_str()) => {}
            DiskEntry::File { .. } => {
                let message =
                    "phantom file: it stands in the vault, and the manifest does not list it";
                findings.push(Finding::new(Code::E302, path.as_str(), message));
            }
        }
    }
}

/// The root that `merkle_root.txt` states, or why it states none.
pub(in crate::verify) fn read_root_file(text: Option<&[u8]>) -> Result<Digest, Box<Finding>> {
    let text = text.ok_or_else(|| Box::new(missing(MERKLE_ROOT)))?;
    text.strip_suffix(b"\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(|text| text.parse::<Digest>().ok())
        .ok_or_else(|| {
            let message = "not 64 lower-case hex digits and LF";
            Box::new(Finding::new(Code::E100, MERKLE_ROOT, message))
        })
}

pub(in crate::verify) fn check_root_file(
    text: Option<&[u8]>,
    root: Digest,
    findings: &mut Vec<Finding>,
) {
    match read_root_file(text) {
        Err(finding) => findings.push(*finding),
        Ok(stated) if stated != root => {
            let message = "the Merkle root is not that of the manifest";
            let finding = Finding::new(Code::E008, MERKLE_ROOT, message);
            findings.push(finding.compare(root, stated));
        }
        Ok(_) => {}
    }
}
