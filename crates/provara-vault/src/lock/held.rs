//! Which descriptors of this process hold the lock of a log, or wait for it.
//!
//! A lock belongs to the open file, which a forked child shares: it stays until both have closed it, or one
//! has released it in words. A writer releases it in words, so a child does not keep it past the writer's
//! end; but a writer that is killed releases nothing. So a child closes these descriptors at once (in
//! Python after every `os.fork`), which leaves the lock with the writer.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

static HELD: Mutex<Vec<HeldDescriptor>> = Mutex::new(Vec::new());

/// A descriptor and the file that it is of: at the moment of a fork the number may be another file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldDescriptor {
    /// The number.
    pub descriptor: RawFd,
    /// The device of the file.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

/// The descriptors that hold the lock of a log, or wait for it: for a forked child to close, in which the
/// operations that use them do not go on. Never waits.
#[must_use]
pub fn held_descriptors() -> Vec<HeldDescriptor> {
    // Another thread may have been at it when the child was made.
    HELD.try_lock()
        .map_or_else(|_| Vec::new(), |held| held.clone())
}

/// Listed until it is dropped, which has to be before the file is closed.
#[derive(Debug)]
pub(super) struct Registered(Option<HeldDescriptor>);

impl Registered {
    pub(super) fn of(file: &File) -> Self {
        let held = file.metadata().ok().map(|there| HeldDescriptor {
            descriptor: file.as_raw_fd(),
            device: there.dev(),
            inode: there.ino(),
        });
        if let (Some(held), Ok(mut all)) = (held, HELD.lock()) {
            all.push(held);
        }
        Self(held)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let (Some(held), Ok(mut all)) = (self.0, HELD.lock())
            && let Some(at) = all.iter().position(|it| *it == held)
        {
            all.swap_remove(at);
        }
    }
}
