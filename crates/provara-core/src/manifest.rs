//! The seal of a vault: the manifest, its Merkle root, and the signature over the root
//! (spec/VAULT_FORMAT, section 5).

mod plain;

use sha2::{Digest as _, Sha256};

use crate::canonical::{jcs, write_string};
use crate::id::{Digest, KeyId};
use crate::json::{self, Object, ParseError, Value, object};
use crate::keys::{Signature, SigningKey};
use crate::time::Timestamp;

/// `backpack_spec_version` and `spec_version` of the format.
pub const SPEC_VERSION: &str = "1.0";

/// `manifest_version` of the format.
pub const MANIFEST_VERSION: &str = "manifest.v0";

/// One file of the vault as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the vault, `/` between the parts.
    pub path: String,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Length in bytes.
    pub size: u64,
}

impl FileEntry {
    /// The Merkle leaf of the entry: SHA-256 over its canonical bytes
    /// `{"path":…,"sha256":…,"size":…}`.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        if !self.is_plain() {
            return Digest::of(&json_bytes(&self.to_value()));
        }
        let mut bytes = Vec::with_capacity(self.path.len() + 128);
        self.write(&mut bytes);
        Digest::of(&bytes)
    }

    fn to_value(&self) -> Value<'_> {
        object([
            ("path", self.path.as_str().into()),
            ("sha256", self.sha256.to_string().into()),
            ("size", self.size.into()),
        ])
    }

    /// Appends its canonical bytes.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"path\":");
        write_string(out, &self.path);
        out.extend_from_slice(b",\"sha256\":\"");
        out.extend_from_slice(self.sha256.to_string().as_bytes());
        out.extend_from_slice(b"\",\"size\":");
        out.extend_from_slice(self.size.to_string().as_bytes());
        out.push(b'}');
    }

    /// Whether [`FileEntry::write`] gives its canonical bytes: a larger number has another form.
    fn is_plain(&self) -> bool {
        self.size < 1 << 53
    }
}

/// Canonical bytes of a value whose numbers are all sizes and counts of this module.
fn json_bytes(value: &Value<'_>) -> Vec<u8> {
    jcs(value).unwrap_or_else(|_| crate::canonical::token_preserving(value))
}

/// Why a manifest cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] ParseError),
    /// A member is absent or of the wrong kind (`PROVARA_E300`).
    #[error("'{0}' is missing or of the wrong kind")]
    Field(&'static str),
    /// An entry of `files` is malformed (`PROVARA_E300`).
    #[error("entry {index} of 'files': '{field}' is missing or of the wrong kind")]
    EntryField {
        /// Position in the list, from 0.
        index: usize,
        /// The member.
        field: &'static str,
    },
    /// A version that this reader does not know (`PROVARA_E303`).
    #[error("{field} is {found:?}, not {expected:?}")]
    Version {
        /// The member.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it must say.
        expected: &'static str,
    },
}

/// An entry of `files` as it stands in a manifest that is being checked. Its hash is kept as
/// written: the Merkle leaf covers the entry as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// The path as written; see [`safe_path`].
    pub path: String,
    /// The hash as written.
    pub sha256: String,
    /// The size as written.
    pub size: u64,
    /// SHA-256 over the canonical bytes of the entry as given.
    pub leaf: Digest,
}

/// A manifest that was read, not yet held against the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// When it was made, as written.
    pub created_at_utc: String,
    /// The entries in the order of the file.
    pub files: Vec<ListedFile>,
    /// `file_count` as written.
    pub file_count: u64,
    /// Members that the format does not name: they enter neither the root nor its signature.
    pub unsigned: Vec<String>,
    /// Whether the text is in canonical form, to its last byte: no tool ends it with a line end.
    pub canonical: bool,
}

/// The members of `manifest.json`.
const MEMBERS: [&str; 5] = [
    "backpack_spec_version",
    "created_at_utc",
    "file_count",
    "files",
    "manifest_version",
];

impl Manifest {
    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// As [`ManifestError`] says.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if let Some(manifest) = plain::read(text) {
            return Ok(manifest);
        }
        Self::parse_any(text)
    }

    /// Reads a manifest in whatever form.
    fn parse_any(text: &[u8]) -> Result<Self, ManifestError> {
        let document = json::parse(text)?;
        for (field, expected) in [
            ("backpack_spec_version", SPEC_VERSION),
            ("manifest_version", MANIFEST_VERSION),
        ] {
            let found = document.get(field).and_then(Value::as_str);
            let found = found.ok_or(ManifestError::Field(field))?;
            if found != expected {
                let found = found.to_owned();
                return Err(ManifestError::Version {
                    field,
                    found,
                    expected,
                });
            }
        }
        let created = document.get("created_at_utc").and_then(Value::as_str);
        let count = document.get("file_count").and_then(as_u64);
        let files = document.get("files").and_then(Value::as_array);
        let files = files.ok_or(ManifestError::Field("files"))?;
        Ok(Self {
            created_at_utc: created
                .ok_or(ManifestError::Field("created_at_utc"))?
                .to_owned(),
            files: files
                .iter()
                .enumerate()
                .map(read_file)
                .collect::<Result<_, _>>()?,
            file_count: count.ok_or(ManifestError::Field("file_count"))?,
            unsigned: document
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| !MEMBERS.contains(&&**name))
                .map(|(name, _)| name.to_string())
                .collect(),
            canonical: jcs(&document).is_ok_and(|bytes| bytes == text),
        })
    }

    /// The Merkle root over the entries in the order of the file.
    #[must_use]
    pub fn merkle_root(&self) -> Digest {
        merkle_root(self.files.iter().map(|file| file.leaf))
    }
}

fn as_u64(value: &Value<'_>) -> Option<u64> {
    value.as_i64().and_then(|number| u64::try_from(number).ok())
}

fn read_file((index, entry): (usize, &Value<'_>)) -> Result<ListedFile, ManifestError> {
    let wrong = |field| ManifestError::EntryField { index, field };
    let text = |field| {
        entry
            .get(field)
            .and_then(Value::as_str)
            .ok_or_else(|| wrong(field))
    };
    Ok(ListedFile {
        path: text("path")?.to_owned(),
        sha256: text("sha256")?.to_owned(),
        size: entry
            .get("size")
            .and_then(as_u64)
            .ok_or_else(|| wrong("size"))?,
        leaf: Digest::of(&json_bytes(entry)),
    })
}

/// The bytes of `manifest.json` for `files`, which are sorted by path here, and their Merkle root.
#[must_use]
pub fn write_manifest(mut files: Vec<FileEntry>, created_at: Timestamp) -> (Vec<u8>, Digest) {
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    if files.iter().all(FileEntry::is_plain) {
        return plain::write(&files, created_at);
    }
    let root = merkle_root(files.iter().map(FileEntry::leaf));
    let entries = files.iter().map(FileEntry::to_value);
    let manifest: Object<'_> = vec![
        ("backpack_spec_version".into(), SPEC_VERSION.into()),
        ("manifest_version".into(), MANIFEST_VERSION.into()),
        ("created_at_utc".into(), created_at.to_string().into()),
        ("file_count".into(), (files.len() as u64).into()),
        ("files".into(), Value::Array(entries.collect())),
    ];
    (json_bytes(&Value::Object(manifest)), root)
}

/// The Merkle root over `leaves`: a node is SHA-256 of the 64 raw bytes left‖right, an odd last
/// node is paired with itself, and no leaves give SHA-256 of nothing.
#[must_use]
pub fn merkle_root(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut level: Vec<Digest> = leaves.into_iter().collect();
    if level.is_empty() {
        return Digest::of(b"");
    }
    while level.len() > 1 {
        let node = |pair: &[Digest]| {
            let mut hasher = Sha256::new();
            hasher.update(pair[0].0);
            hasher.update(pair.last().expect("chunks are not empty").0);
            Digest(hasher.finalize().into())
        };
        level = level.chunks(2).map(node).collect();
    }
    level[0]
}

/// Whether a manifest path stays inside the vault: relative, `/` between non-empty parts, and no
/// part `.` or `..`; no backslash, drive letter or NUL, which other systems read differently.
#[must_use]
pub fn safe_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && path.as_bytes().get(1).is_none_or(|b| *b != b':')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The bytes of `merkle_root.txt`: 64 lower-case hex digits and LF.
#[must_use]
pub fn write_merkle_root(root: Digest) -> Vec<u8> {
    format!("{root}\n").into_bytes()
}

/// The bytes of `manifest.sig`: canonical JSON and LF. Signed are the canonical bytes of
/// `{key_id, merkle_root, signed_at_utc, spec_version}`.
#[must_use]
pub fn sign_root(root: Digest, key: &SigningKey, signed_at: Timestamp) -> Vec<u8> {
    let mut document: Object<'_> = vec![
        ("key_id".into(), key.key_id().to_string().into()),
        ("merkle_root".into(), root.to_string().into()),
        ("signed_at_utc".into(), signed_at.to_string().into()),
        ("spec_version".into(), SPEC_VERSION.into()),
    ];
    let signature = key.sign(&json_bytes(&Value::Object(document.clone())));
    document.push(("sig".into(), signature.to_base64().into()));
    let mut out = json_bytes(&Value::Object(document));
    out.push(b'\n');
    out
}

/// `manifest.sig` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSignature {
    /// The root that was signed.
    pub merkle_root: Digest,
    /// The signer.
    pub key_id: KeyId,
    /// When, as written.
    pub signed_at_utc: String,
    /// The signature.
    pub signature: Signature,
    /// The bytes that were signed.
    pub signed: Vec<u8>,
}

/// Why `manifest.sig` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootSignatureError {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] ParseError),
    /// A member is absent or of the wrong kind (`PROVARA_E300`).
    #[error("'{0}' is missing or of the wrong kind")]
    Field(&'static str),
    /// A member that the signature does not cover (`PROVARA_E302`).
    #[error("the signature does not cover the member {0:?}")]
    Unsigned(String),
    /// `merkle_root` is not 64 hex digits (`PROVARA_E100`).
    #[error("merkle_root is not 64 lower-case hex digits")]
    Root,
    /// `key_id` is malformed (`PROVARA_E102`).
    #[error("key_id is malformed")]
    KeyId,
    /// `sig` is not the Base64 of 64 bytes (`PROVARA_E103`).
    #[error("sig is not the Base64 of 64 bytes")]
    Signature,
    /// A version that this reader does not know (`PROVARA_E303`).
    #[error("spec_version is {0:?}, not {SPEC_VERSION:?}")]
    Version(String),
}

/// The exact forms in which a `manifest.sig` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealForm {
    /// Canonical JSON and LF, as this writer has it.
    Canonical,
    /// Indented by two and LF, members in the order of the older tool.
    Indented,
}

impl RootSignature {
    /// The form that `text`, from which this was read, is in; `None` for any other.
    #[must_use]
    pub fn form(&self, text: &[u8]) -> Option<SealForm> {
        let (root, key) = (self.merkle_root.to_string(), self.key_id.to_string());
        let sig = self.signature.to_base64();
        let member = |name: &'static str| {
            let value = match name {
                "merkle_root" => &root,
                "key_id" => &key,
                "signed_at_utc" => &self.signed_at_utc,
                "spec_version" => SPEC_VERSION,
                _ => &sig,
            };
            (name, Value::from(value))
        };
        let written = [
            "key_id",
            "merkle_root",
            "sig",
            "signed_at_utc",
            "spec_version",
        ];
        let written = object(written.map(member));
        if text.strip_suffix(b"\n") == Some(json_bytes(&written).as_slice()) {
            return Some(SealForm::Canonical);
        }
        let older = [
            "merkle_root",
            "key_id",
            "spec_version",
            "signed_at_utc",
            "sig",
        ];
        let mut lines = older.map(member).map(|(name, value)| {
            let value = String::from_utf8_lossy(&json_bytes(&value)).into_owned();
            format!("  \"{name}\": {value}")
        });
        let indented = format!("{{\n{}\n}}\n", lines.as_mut_slice().join(",\n"));
        (text == indented.as_bytes()).then_some(SealForm::Indented)
    }

    /// Reads `manifest.sig`. The signature is not checked here.
    ///
    /// # Errors
    /// As [`RootSignatureError`] says.
    pub fn parse(text: &[u8]) -> Result<Self, RootSignatureError> {
        let document = json::parse(text)?;
        let field = |name| {
            document
                .get(name)
                .and_then(Value::as_str)
                .ok_or(RootSignatureError::Field(name))
        };
        let version = field("spec_version")?;
        if version != SPEC_VERSION {
            return Err(RootSignatureError::Version(version.to_owned()));
        }
        // The four members that the format names are signed. Another one would look signed and not be.
        let known = |name: &str| {
            [
                "key_id",
                "merkle_root",
                "sig",
                "signed_at_utc",
                "spec_version",
            ]
            .contains(&name)
        };
        let members = document.as_object().map(Vec::as_slice).unwrap_or_default();
        if let Some((name, _)) = members.iter().find(|(name, _)| !known(name)) {
            return Err(RootSignatureError::Unsigned(name.to_string()));
        }
        let signed = ["key_id", "merkle_root", "signed_at_utc", "spec_version"];
        let members = signed.iter().map(|name| {
            Ok((*name).into()).and_then(|key| field(name).map(|text| (key, Value::from(text))))
        });
        let members: Object<'_> = members.collect::<Result<_, RootSignatureError>>()?;
        Ok(Self {
            merkle_root: field("merkle_root")?
                .parse()
                .map_err(|_| RootSignatureError::Root)?,
            key_id: field("key_id")?
                .parse()
                .map_err(|_| RootSignatureError::KeyId)?,
            signed_at_utc: field("signed_at_utc")?.to_owned(),
            signature: Signature::from_base64(field("sig")?.as_bytes())
                .ok_or(RootSignatureError::Signature)?,
            signed: json_bytes(&Value::Object(members)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, bytes: &[u8]) -> FileEntry {
        FileEntry {
            path: path.into(),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }

    #[test]
    fn roots_of_small_trees() {
        let leaf = |n: u8| Digest([n; 32]);
        let node = |a: Digest, b: Digest| Digest::of(&[a.0, b.0].concat());
        assert_eq!(merkle_root([]), Digest::of(b""));
        assert_eq!(merkle_root([leaf(1)]), leaf(1));
        assert_eq!(
            merkle_root([leaf(1), leaf(2), leaf(3)]),
            node(node(leaf(1), leaf(2)), node(leaf(3), leaf(3)))
        );
    }

    #[test]
    fn manifest_round_trip() {
        let time = "2026-11-22T10:00:00Z".parse().unwrap();
        let (bytes, root) = write_manifest(vec![entry("b", b"2"), entry("a/c", b"1")], time);
        let manifest = Manifest::parse(&bytes).unwrap();
        assert!(manifest.canonical);
        assert_eq!(manifest.file_count, 2);
        assert_eq!(manifest.merkle_root(), root);
        assert_eq!(manifest.files[0].path, "a/c");
        let other = String::from_utf8(bytes)
            .unwrap()
            .replace("manifest.v0", "manifest.v1");
        assert!(matches!(
            Manifest::parse(other.as_bytes()),
            Err(ManifestError::Version {
                field: "manifest_version",
                ..
            })
        ));
    }

    #[test]
    fn paths_with_escapes_and_sizes_of_any_length_have_the_canonical_form() {
        let time = "2026-11-22T10:00:00Z".parse().unwrap();
        for (path, size) in [
            ("a\"b\\c\n\u{1}", 7),
            ("zero", 0),
            ("large", (1 << 53) - 1),
            ("larger", 1 << 53),
            ("largest", u64::MAX),
        ] {
            let file = FileEntry {
                size,
                ..entry(path, b"")
            };
            let (text, root) = write_manifest(vec![file.clone()], time);
            let document = json::parse(&text).unwrap();
            assert_eq!(text, json_bytes(&document), "{path}");
            if let Ok(read) = Manifest::parse_any(&text) {
                assert_eq!(read.merkle_root(), root);
                assert_eq!(Manifest::parse(&text).unwrap(), read);
            }
        }
    }

    #[test]
    fn root_signature_round_trip() {
        let key = SigningKey::from_seed(&[3; 32]);
        let time = "2026-11-22T10:00:00Z".parse().unwrap();
        let text = sign_root(Digest([9; 32]), &key, time);
        let read = RootSignature::parse(&text).unwrap();
        assert_eq!(read.merkle_root, Digest([9; 32]));
        assert_eq!(key.public().verify(&read.signed, &read.signature), Ok(()));
    }

    #[test]
    fn paths_that_leave() {
        assert!(safe_path("events/events.ndjson") && safe_path(".keep"));
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "C:/x",
            "a\0",
        ] {
            assert!(!safe_path(bad), "{bad}");
        }
    }
}
