//! Disclosures in each of their forms: the document, the page and the archive, written and read.

use std::path::Path;

use provara_core::anchor::Anchor;
use provara_core::disclosure::{Disclosure, DisclosureError};
use provara_core::event_proof::{AnyProof, ProofError, Proven};
use provara_core::id::KeyId;
use provara_core::tree_head::SignedHead;
use provara_pages::disclosure as pages;
use provara_report::{Class, Diagnostic};
use provara_vault::held_files_within;

use crate::vault_failure;

/// The version of the program, which its pages name.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The largest proof, disclosure or page that is read or written, in bytes.
pub const MOST: u64 = 256 << 20;

/// The most that an archive holds, in bytes: a page, and the data of it twice.
const MOST_IN_ARCHIVE: u64 = 3 * MOST;

/// What a zip archive begins with.
const ARCHIVE: &[u8] = b"PK\x03\x04";

/// The page of a disclosure.
#[must_use]
pub fn page(disclosure: &Disclosure, proven: &Proven) -> Vec<u8> {
    pages::page(disclosure, proven, VERSION).into_bytes()
}

/// The archive of a disclosure.
///
/// # Panics
/// Never: what goes in is smaller than an archive can be.
#[must_use]
pub fn archive(disclosure: &Disclosure, proven: &Proven) -> Vec<u8> {
    pages::pack(&pages::files(disclosure, proven, VERSION)).expect("files of a bounded size")
}

/// What was read to be checked: a proof, or a disclosure in one of its forms.
#[derive(Debug)]
pub struct Evidence {
    /// The proof.
    pub proof: AnyProof,
    /// What is around the proof, in a disclosure.
    pub disclosure: Option<Disclosure>,
    /// What was around the data.
    around: Around,
}

#[derive(Debug)]
enum Around {
    Nothing,
    Page(Vec<u8>),
    Archive(std::collections::BTreeMap<String, Vec<u8>>),
}

/// Why something is not taken for evidence.
#[derive(Debug)]
pub enum Unread {
    /// It proves nothing, as its content is not what it should be; a clause.
    Refused(DisclosureError),
    /// It could not be read.
    Failed(Box<Diagnostic>),
}

impl From<DisclosureError> for Unread {
    fn from(error: DisclosureError) -> Self {
        Self::Refused(error)
    }
}

impl From<ProofError> for Unread {
    fn from(error: ProofError) -> Self {
        Self::Refused(error.into())
    }
}

impl Evidence {
    /// Reads what stands in the file `path`, whose bytes are `text`. A page is searched for its data and not run; an
    /// archive is read anew from the file.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn read(path: &Path, text: Vec<u8>) -> Result<Self, Unread> {
        let malformed = |reason: &str| DisclosureError::Malformed(reason.to_owned());
        if text.starts_with(ARCHIVE) {
            let files = held_files_within(path, MOST_IN_ARCHIVE)
                .map_err(|error| Unread::Failed(Box::new(vault_failure(error, path))))?;
            let document = files.get(pages::EVIDENCE);
            let document = document.ok_or_else(|| malformed("the archive has no evidence.json"))?;
            let disclosure = Disclosure::parse(document)?;
            return Ok(Self::of(disclosure, Around::Archive(files)));
        }
        if pages::is_page(&text) {
            let data = pages::data_in(&text).map_err(|error| {
                malformed(match error {
                    pages::NoData::None => "the page has no element with the data of one",
                    pages::NoData::Several => "the page has two elements with data",
                    pages::NoData::Form => "the data of the page are not in their one form",
                })
            })?;
            let disclosure = Disclosure::parse(&data)?;
            return Ok(Self::of(disclosure, Around::Page(text)));
        }
        if Disclosure::is_one(&text) {
            return Ok(Self::of(Disclosure::parse(&text)?, Around::Nothing));
        }
        Ok(Self {
            proof: AnyProof::parse(&text)?,
            disclosure: None,
            around: Around::Nothing,
        })
    }

    fn of(disclosure: Disclosure, around: Around) -> Self {
        Self {
            proof: AnyProof::Events(disclosure.proof.clone()),
            disclosure: Some(disclosure),
            around,
        }
    }

    /// Checks all of it, held to a head or to root keys, as [`AnyProof::check`] does.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        head: Option<&SignedHead>,
        root_keys: &[KeyId],
    ) -> Result<Proven, DisclosureError> {
        match &self.disclosure {
            Some(disclosure) => {
                let proven = disclosure.check(head, root_keys)?;
                self.check_archive(disclosure)?;
                Ok(proven)
            }
            None => Ok(self.proof.check(head, root_keys)?),
        }
    }

    /// That an archive does not hold another proof beside its data.
    fn check_archive(&self, disclosure: &Disclosure) -> Result<(), DisclosureError> {
        let Around::Archive(files) = &self.around else {
            return Ok(());
        };
        let head = disclosure.proof.head.to_string().into_bytes();
        for (name, expected) in [
            ("events.proof", disclosure.proof.to_json()),
            ("tree.head", head),
        ] {
            if files.get(name) != Some(&expected) {
                return Err(DisclosureError::Malformed(format!(
                    "'{name}' of the archive is not that of its evidence.json"
                )));
            }
        }
        match files.get(pages::PAGE).map(|page| pages::data_in(page)) {
            Some(Ok(data)) if Some(&data) == files.get(pages::EVIDENCE) => Ok(()),
            _ => Err(DisclosureError::Malformed(
                "the page of the archive has not the data of its evidence.json".to_owned(),
            )),
        }
    }

    /// The anchors that came with it.
    #[must_use]
    pub fn anchors(&self) -> &[Anchor] {
        self.disclosure.as_ref().map_or(&[], |it| &it.anchors)
    }

    /// Whether what is around the data is, byte for byte, what this version writes; `None` where there is nothing.
    /// `proven` is what was proven without a head or keys to hold it to.
    #[must_use]
    pub fn is_as_written(&self) -> Option<bool> {
        let disclosure = self.disclosure.as_ref()?;
        let proven = disclosure.check(None, &[]).ok()?;
        match &self.around {
            Around::Nothing => None,
            Around::Page(text) => Some(*text == page(disclosure, &proven)),
            Around::Archive(files) => {
                let written = pages::files(disclosure, &proven, VERSION);
                let same = |(name, content): &(&str, Vec<u8>)| files.get(*name) == Some(content);
                Some(written.len() == files.len() && written.iter().all(same))
            }
        }
    }

    /// What is to be said of that, where there is something.
    #[must_use]
    pub fn note(&self) -> Option<&'static str> {
        let archive = matches!(self.around, Around::Archive(_));
        Some(match (self.is_as_written()?, archive) {
            (true, false) => "the page is as this version writes it",
            (true, true) => "the page and all else in the archive are as this version writes them",
            (false, false) => {
                "the page around the data is not one that this version writes: believe what is printed here, not the page"
            }
            (false, true) => {
                "what is in the archive beside the data is not what this version writes: believe what is printed here, \
                 not the page, and do not run what is in it"
            }
        })
    }
}

/// That what was chosen is more than a page takes.
#[must_use]
pub fn too_large() -> Diagnostic {
    Diagnostic::new(
        Class::Usage,
        "The events are too many for one page, or for one proof (256 MiB).",
    )
    .fix("Choose fewer, with --after and --before, or --lines, and write several pages.")
}
