//! What a runtime reads, and how far that is trusted to hold no secret.

use std::path::PathBuf;

use crate::sources::Source;

/// A file or directory that a runtime reads. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readable {
    /// A part of an installation. It is opened as it is: searching it would take longer than starting
    /// the runtime.
    Installed(PathBuf),
    /// What the user chose, where vaults and keyfiles may lie that nobody named: it is searched for
    /// them first.
    Chosen(PathBuf, Tree),
    /// The source tree of an editable install, or what a link in the place of a package leads to. What is
    /// wrong with it costs that package alone.
    Source(Source, Tree),
}

/// A directory that the user chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    /// One to find modules in.
    Path,
    /// One in which a project is made. What is hidden there is not the runtime's (`.git`, `.env`), and
    /// neither are other environments and what build tools leave.
    Project,
}
