//! Disk space while a plugin writes.
//!
//! A limit on the size of one file does not stop a plugin from filling a disk with many. While a
//! host works, its directories' file systems are looked at from time to time, and a host that
//! leaves too little of them is ended.

use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::statvfs;

/// How often to look.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// The space that is left to everybody else, in bytes, if there is as much.
const RESERVE: u64 = 512 << 20;

/// The part of a smaller file system that is left, as a divisor.
const SHARE: u64 = 10;

/// The file systems of the directories that a host may write.
#[derive(Debug)]
pub(crate) struct Watch(Vec<Place>);

#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// The free space, in bytes, below which the host is ended.
    floor: u64,
}

impl Watch {
    /// Begins to watch. A file system that is nearly full already may be used by half of what is
    /// left.
    pub(crate) fn new(directories: impl IntoIterator<Item = PathBuf>) -> Watch {
        let place = |path: PathBuf| {
            let stat = statvfs(&path).ok()?;
            let unit = stat.f_frsize;
            let size = stat.f_blocks.saturating_mul(unit);
            let free = stat.f_bavail.saturating_mul(unit);
            let floor = RESERVE.min(size / SHARE).min(free / 2);
            Some(Place { path, floor })
        };
        Watch(directories.into_iter().filter_map(place).collect())
    }

    /// Whether there is anything to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A directory whose file system has become too full.
    pub(crate) fn exhausted(&self) -> Option<&PathBuf> {
        let full = |place: &&Place| {
            statvfs(&place.path)
                .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < place.floor)
        };
        self.0.iter().find(full).map(|place| &place.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn there_is_room_until_there_is_not() {
        let dir = TempDir::new();
        let mut watch = Watch::new([dir.path().to_path_buf(), dir.path().join("absent")]);
        assert_eq!(watch.0.len(), 1);
        assert_eq!(watch.exhausted(), None);
        watch.0[0].floor = u64::MAX;
        assert_eq!(watch.exhausted().map(PathBuf::as_path), Some(dir.path()));
    }
}
