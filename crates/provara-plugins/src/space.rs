//! Disk space while a plugin writes.
//!
//! A limit on the size of one file does not stop a plugin from filling a disk with many, or from using
//! up the number of files that a disk can have. While a host works, its directories' file systems are
//! looked at from time to time, and a host that leaves too little of them is ended.

use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{StatVfs, statvfs};

/// How often to look.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// The space that is left to everybody else, in bytes, if there is as much.
const RESERVE: u64 = 512 << 20;

/// The number of files that is left to everybody else, if there are as many.
const RESERVED_FILES: u64 = 20_000;

/// The part of a smaller file system that is left, as a divisor.
const SHARE: u64 = 10;

/// Where there is too little space left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// On the file system of this directory.
    Disk(PathBuf),
    /// In this directory, whose files lie in memory: they took more of that than a host may take together.
    Memory {
        /// The directory.
        directory: PathBuf,
        /// How many bytes they may take.
        most: u64,
    },
}

/// The file systems of the directories that a host may write.
#[derive(Debug)]
pub(crate) struct Watch(Vec<Place>);

#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// What is free below which the host is ended.
    floor: Free,
    /// For a directory in memory: how much is free when as much is used as may be, and how much that is.
    own: Option<(u64, u64)>,
}

/// What is free on a file system for an ordinary user.
#[derive(Debug, Clone, Copy)]
struct Free {
    bytes: u64,
    /// 0 where the file system does not count (Btrfs).
    files: u64,
}

impl Free {
    fn of(stat: &StatVfs) -> Free {
        Free {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            files: stat.f_favail,
        }
    }

    /// What has to stay free.
    fn floor(stat: &StatVfs) -> Free {
        let (free, size) = (Free::of(stat), stat.f_blocks.saturating_mul(stat.f_frsize));
        let bytes = RESERVE.min(size / SHARE).min(free.bytes / 2);
        let files = RESERVED_FILES.min(stat.f_files / SHARE).min(free.files / 2);
        Free { bytes, files }
    }
}

impl Watch {
    /// Begins to watch. A file system that is nearly full already may be used by half of what is
    /// left.
    pub(crate) fn new(directories: impl IntoIterator<Item = PathBuf>) -> Watch {
        let place = |path: PathBuf| {
            let stat = statvfs(&path).ok()?;
            let floor = Free::floor(&stat);
            Some(Place {
                path,
                floor,
                own: None,
            })
        };
        Watch(directories.into_iter().filter_map(place).collect())
    }

    /// Watches a directory in memory, too, of which at most this many bytes may be used.
    pub(crate) fn in_memory(&mut self, path: PathBuf, most: u64) {
        if let Ok(stat) = statvfs(&path) {
            let mut floor = Free::floor(&stat);
            let own = Free::of(&stat).bytes.saturating_sub(most);
            floor.bytes = floor.bytes.max(own);
            self.0.push(Place {
                path,
                floor,
                own: Some((own, most)),
            });
        }
    }

    /// Whether there is anything to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where too little space is left by now.
    pub(crate) fn exhausted(&self) -> Option<Shortage> {
        self.0.iter().find_map(|place| {
            let free = Free::of(&statvfs(&place.path).ok()?);
            let full = free.bytes < place.floor.bytes || free.files < place.floor.files;
            let directory = place.path.clone();
            full.then_some(match place.own {
                Some((own, most)) if free.bytes < own => Shortage::Memory { directory, most },
                _ => Shortage::Disk(directory),
            })
        })
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
        for (bytes, files) in [(u64::MAX, 0), (0, u64::MAX)] {
            watch.0[0].floor = Free { bytes, files };
            let disk = Shortage::Disk(dir.path().to_path_buf());
            assert_eq!(watch.exhausted(), Some(disk));
        }
    }

    #[test]
    fn a_directory_in_memory_may_use_so_much() {
        let dir = TempDir::new();
        let free = Free::of(&statvfs(dir.path()).unwrap()).bytes;
        for (most, full) in [(u64::MAX, false), (free / 2, false), (0, true)] {
            let mut watch = Watch::new([]);
            watch.in_memory(dir.path().to_path_buf(), most);
            // A byte less than there is, whatever else uses the disk meanwhile.
            let place = &mut watch.0[0];
            place.floor.bytes += u64::from(full) << 30;
            place.own = place
                .own
                .map(|(own, most)| (own + (u64::from(full) << 30), most));
            let directory = dir.path().to_path_buf();
            let shortage = Shortage::Memory { directory, most };
            assert_eq!(watch.exhausted(), full.then_some(shortage));
        }
        // That others filled the memory is not its doing.
        let mut watch = Watch::new([]);
        watch.in_memory(dir.path().to_path_buf(), free);
        watch.0[0].floor.bytes = u64::MAX;
        let disk = Shortage::Disk(dir.path().to_path_buf());
        assert_eq!(watch.exhausted(), Some(disk));
    }

    #[test]
    fn a_floor_leaves_some_to_everybody() {
        let floor = |blocks, available, files, free| {
            let stat = StatVfs {
                f_frsize: 4096,
                f_blocks: blocks,
                f_bavail: available,
                f_files: files,
                f_favail: free,
                ..statvfs("/").unwrap()
            };
            let floor = Free::floor(&stat);
            (floor.bytes, floor.files)
        };
        assert_eq!(
            floor(1 << 30, 1 << 30, 1 << 30, 1 << 30),
            (RESERVE, RESERVED_FILES)
        );
        assert_eq!(floor(1000, 1000, 1000, 1000), (409_600, 100));
        assert_eq!(floor(1 << 30, 100, 1 << 30, 100), (204_800, 50));
        assert_eq!(floor(1000, 1000, 0, 0), (409_600, 0));
    }
}
