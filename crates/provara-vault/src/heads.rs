//! Tree heads that others kept, read from files, and a verification held against them (spec/VAULT_FORMAT,
//! section 10).

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use provara_core::anchor::WitnessKey;
use provara_core::finding::{Code, Finding};
use provara_core::id::KeyId;
use provara_core::json;
use provara_core::keys::KeyRegistry;
use provara_core::signed_note::MAX_NOTE;
use provara_core::tree_head::{HeadError, SignedHead};
use provara_core::verify::{KeptHead, LogVerdict, judge_root_key};
use provara_timestamps::Authorities;

use crate::error::{Context, VaultError};
use crate::files::open_regular;

/// How many files of a folder are read.
const MOST_FILES: usize = 100_000;

/// A folder in which tree heads are kept, of this vault and others.
#[derive(Debug, Clone, Default)]
pub struct HeadFolder {
    path: PathBuf,
    heads: Vec<KeptHead>,
    /// The files that hold none.
    others: Vec<(String, HeadError)>,
}

/// Reads a tree head.
///
/// # Errors
/// [`VaultError::Head`] for a file that holds none, [`VaultError::Io`] where the system refuses.
pub fn read_head(path: &Path) -> Result<KeptHead, VaultError> {
    let head = read(path)?.map_err(|source| VaultError::Head {
        path: path.to_owned(),
        source,
    })?;
    Ok(KeptHead {
        source: path.to_string_lossy().into_owned(),
        head,
    })
}

fn read(path: &Path) -> Result<Result<SignedHead, HeadError>, VaultError> {
    let file = open_regular(path).context("read the tree head", path)?;
    let file = file.ok_or_else(|| VaultError::Io {
        action: "read the tree head",
        path: path.to_owned(),
        source: std::io::Error::other("it is no regular file"),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_NOTE as u64 + 1)
        .read_to_end(&mut bytes)
        .context("read the tree head", path)?;
    Ok(SignedHead::parse(&bytes))
}

impl HeadFolder {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads every file of a folder but those whose names begin with a dot.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        let listed = fs::read_dir(path).context("read the folder of tree heads", path)?;
        let mut files = Vec::new();
        for entry in listed {
            let entry = entry.context("read the folder of tree heads", path)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && entry.path().is_file() {
                files.push(entry.path());
            }
        }
        files.sort_unstable();
        if files.len() > MOST_FILES {
            return Err(VaultError::Io {
                action: "read the folder of tree heads",
                path: path.to_owned(),
                source: std::io::Error::other(format!("it holds more than {MOST_FILES} files")),
            });
        }
        let mut folder = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for file in files {
            let source = file.to_string_lossy().into_owned();
            match read(&file)? {
                Ok(head) => folder.heads.push(KeptHead { source, head }),
                Err(reason) => folder.others.push((source, reason)),
            }
        }
        Ok(folder)
    }
}

/// What a verification is held against, beside the vault itself.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Tree heads that must be this vault's.
    pub heads: Vec<KeptHead>,
    /// A folder of tree heads, of which those of other vaults are passed over.
    pub folder: Option<HeadFolder>,
    /// The keys of which one must have made the vault; any, where none is named.
    pub root_keys: Vec<KeyId>,
    /// Whom the reader takes at their word that they saw the vault.
    pub witnesses: Vec<WitnessKey>,
    /// How many of them must have seen it; all, where it is not said.
    pub witnesses_needed: Option<usize>,
    /// By what the reader knows time-stamp authorities, of which one must have stamped a head of the vault.
    pub authorities: Authorities,
    /// Sizes at which the root of the event tree is needed for something else.
    pub(crate) sizes: Vec<u64>,
}

impl Held {
    /// What asks for the roots at the sizes of these heads, and judges nothing.
    pub(crate) fn at_sizes_of(heads: &[KeptHead]) -> Self {
        Self {
            sizes: heads.iter().map(|kept| kept.head.head().size).collect(),
            ..Self::default()
        }
    }

    /// The sizes at which the root of the event tree is needed; `genesis` is the vault's `genesis.json`.
    pub(crate) fn sizes(&self, genesis: &[u8]) -> BTreeSet<u64> {
        let uid = uid_of(genesis);
        let sizes = self.heads.iter().chain(self.of_vault(uid.as_deref()));
        let sizes = sizes
            .map(|kept| kept.head.head().size)
            .chain(self.sizes.iter().copied());
        // Of no events the root is known.
        sizes.filter(|size| *size > 0).collect()
    }

    /// All heads that the vault with this `genesis.json` is held to.
    pub(crate) fn kept<'h>(&'h self, genesis: &[u8]) -> impl Iterator<Item = &'h KeptHead> {
        let uid = uid_of(genesis);
        let in_folder = self.folder.iter().flat_map(|folder| &folder.heads);
        let of_vault =
            in_folder.filter(move |kept| uid.as_ref() == Some(&kept.head.head().origin.uid));
        self.heads.iter().chain(of_vault)
    }

    /// The heads of the folder that are of the vault with this uid.
    fn of_vault<'h>(&'h self, uid: Option<&'h str>) -> impl Iterator<Item = &'h KeptHead> {
        let heads = self.folder.iter().flat_map(|folder| &folder.heads);
        heads.filter(move |kept| uid == Some(kept.head.head().origin.uid.as_str()))
    }

    /// Holds what a verification came to against all of it; gives findings and notes.
    pub(crate) fn judge(
        &self,
        log: &LogVerdict,
        genesis: &[u8],
        registry: &KeyRegistry,
    ) -> (Vec<Finding>, Vec<String>) {
        let mut findings = Vec::from_iter(judge_root_key(&self.root_keys, log));
        let mut notes = Vec::new();
        let uid = uid_of(genesis);
        let of_folder: Vec<_> = self.of_vault(uid.as_deref()).collect();
        let mut held: Vec<&KeptHead> = Vec::new();
        for kept in self.heads.iter().chain(of_folder.iter().copied()) {
            match kept.judge(log, registry) {
                Some(finding) => findings.push(finding),
                None => held.push(kept),
            }
        }
        if let Some(latest) = held.iter().max_by_key(|kept| kept.head.head().size) {
            notes.push(format!(
                "the vault goes on from {} ({}); the latest is over {} of its {} events \
                 ('{}')",
                if held.len() == 1 {
                    "the tree head that was kept of it"
                } else {
                    "the tree heads that were kept of it"
                },
                held.len(),
                latest.head.head().size,
                log.tree.size(),
                latest.source
            ));
        }
        if let Some(folder) = &self.folder {
            let path = folder.path.display();
            if of_folder.is_empty() {
                let message =
                    "the folder of tree heads has none of this vault: nothing was held against it";
                findings.push(Finding::new(Code::W016, path.to_string(), message));
            }
            for (source, reason) in folder.others.iter().take(3) {
                notes.push(format!("'{source}' is no tree head: {reason}"));
            }
            if let more @ 1.. = folder.others.len().saturating_sub(3) {
                notes.push(format!("{more} more files in '{path}' are no tree heads"));
            }
        }
        (findings, notes)
    }
}

/// The uid that `genesis.json` states; the signed event must state the same, or the vault does not verify.
pub(crate) fn uid_of(genesis: &[u8]) -> Option<String> {
    let genesis = json::parse(genesis).ok()?;
    genesis.get("uid")?.as_str().map(str::to_owned)
}
