//! What became of a log under a writer.

use std::path::Path;

use provara_core::id::EventId;

/// What became of a log under a writer's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It was removed, or moved away.
    Removed,
    /// Another file stands in its place.
    Replaced,
    /// The vault's directory, or one in it, was removed or moved away.
    DirectoryRemoved,
    /// Another directory stands in its place.
    DirectoryReplaced,
    /// It has another length than the writer gave it.
    Length {
        /// The length that the writer knows, in bytes.
        known: u64,
        /// The length that it has.
        found: u64,
    },
    /// It has the length that the writer gave it, and other bytes.
    Edited,
    /// It does not hold an event any more that the writer appended before it let other writers in.
    Gone {
        /// The event.
        event_id: EventId,
    },
}

/// What became of a log, and how its writer stands.
pub(super) fn lost(path: &Path, loss: &Loss, acknowledged: u64) -> String {
    let log = path.display();
    let what = match loss {
        Loss::Removed => format!("the log '{log}' was removed or moved away"),
        Loss::Replaced => format!("another file was put in the place of the log '{log}'"),
        Loss::DirectoryRemoved => {
            format!("the directory of the log '{log}', or of its vault, was removed or moved away")
        }
        Loss::DirectoryReplaced => format!(
            "another directory was put in the place of that of the log '{log}', or of its vault"
        ),
        Loss::Length { known, found } if found < known => {
            format!("another program cut the log '{log}' from {known} to {found} bytes")
        }
        Loss::Length { known, found } => format!(
            "another program wrote to the log '{log}': it has {found} bytes, of which {known} are known"
        ),
        Loss::Edited => format!("another program changed bytes within the log '{log}'"),
        Loss::Gone { event_id } => format!(
            "the log '{log}' does not hold {event_id} any more, which it held when this writer saw it last"
        ),
    };
    let when = match loss {
        Loss::Gone { .. } => "",
        _ => " while this writer was at work",
    };
    let before = match acknowledged {
        0 => "nothing was acknowledged".to_owned(),
        1 => "the 1 event that it had acknowledged was in the log as it stood then".to_owned(),
        more => {
            format!("the {more} events that it had acknowledged were in the log as it stood then")
        }
    };
    format!("{what}{when}; it has stopped, and {before}")
}
