//! The archive of a disclosure: the page, the data of it for programs, and a checker of one page.

use std::io::{Cursor, Write as _};

use provara_core::disclosure::Disclosure;
use provara_core::event_proof::Proven;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

/// The checker of `docs/proofs.md`.
pub const CHECKER: &str = include_str!("check.py");

/// The file of the data.
pub const EVIDENCE: &str = "evidence.json";

/// The file of the page.
pub const PAGE: &str = "evidence.html";

/// The files of an archive with the disclosure, of which `proven` was proven, in their order. `version` is that of the
/// program.
#[must_use]
pub fn files(
    disclosure: &Disclosure,
    proven: &Proven,
    version: &str,
) -> Vec<(&'static str, Vec<u8>)> {
    let head = disclosure.proof.head.to_string();
    let page = super::page(disclosure, proven, version);
    vec![
        ("README.txt", readme(disclosure).into_bytes()),
        (PAGE, page.into_bytes()),
        (EVIDENCE, disclosure.to_json()),
        ("events.proof", disclosure.proof.to_json()),
        ("tree.head", head.into_bytes()),
        ("check.py", CHECKER.as_bytes().to_vec()),
    ]
}

/// Files as a zip archive, which is the same for the same files.
///
/// # Errors
/// A file that is too large for an archive.
pub fn pack(files: &[(&'static str, Vec<u8>)]) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // The earliest time that an archive can name: the events have times of their own.
    let options = SimpleFileOptions::default()
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, content) in files {
        archive.start_file(*name, options)?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn readme(disclosure: &Disclosure) -> String {
    let head = disclosure.proof.head.head();
    format!(
        "Events of the log {origin}

evidence.html  shows them. Open it in a browser: it checks itself, without a network.
evidence.json  the same events, with the proof and what others saw, for programs.
events.proof   the proof alone.
tree.head      the tree head that the proof is for: what the log was over {size} events, signed.
check.py       checks the proof, with nothing but Python 3.10 or later.

A page, or a program, that came with what it checks can be wrong about it. If you do not trust whoever gave
you this archive, take the tree head, or the key that made the log, from its owner, and a checker from elsewhere:

  provara verify-proof evidence.zip --head THE_TREE_HEAD_THAT_YOU_HAVE
  python3 check.py events.proof THE_TREE_HEAD_THAT_YOU_HAVE

That an event is in the log does not mean that there is no other: whoever made this chose which to show.
",
        origin = head.origin,
        size = head.size
    )
}
