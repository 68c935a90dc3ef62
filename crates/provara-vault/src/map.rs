//! Files mapped into memory: the crate's one use of `unsafe`, with the faults that it brings.
#![allow(unsafe_code)]

mod faults;
mod lease;

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::{Mmap, MmapOptions};

use faults::Guard;
pub(crate) use lease::may_be_written;

/// The first bytes of a file, mapped read-only.
///
/// Where another program cuts the file, or its disk refuses a page, the pages from there on turn into zeros
/// instead of ending the process ([`Mapping::is_lost`]).
#[derive(Debug)]
pub(crate) struct Mapping {
    // Dropped first: the fault handler knows no pages that are not mapped any more.
    guard: Guard,
    map: Mmap,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which must have as many.
    pub(crate) fn of(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: the mapping is read-only, and the slices made from it are sound for as long as nobody
        // changes those bytes. The log is append-only: this crate's writers never change a whole line, and
        // cut only what lies beyond the last one, which `len` does not cover. (The one exception is a line
        // whose sync failed, taken back at once by the writer that the disk failed.) A foreign program that
        // rewrites the log in place under its reader makes it see torn text, which no check accepts as
        // signed, and of which `log_snapshot` tells afterwards; an auditor who does not trust the machine
        // that holds the vault verifies a copy.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Self {
            guard: Guard::over(&map)?,
            map,
        })
    }

    /// Whether some of its bytes could not be read, and were zeros instead.
    pub(crate) fn is_lost(&self) -> bool {
        self.guard.is_lost()
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// The file as a program has it that maps it for writing.
#[cfg(test)]
pub(crate) fn writable(file: &File) -> memmap2::MmapMut {
    // SAFETY: of a file that the test alone has, through slices that it does not hold over a change.
    unsafe { memmap2::MmapMut::map_mut(file).unwrap() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_a_mapped_file_reads_as_zeros_and_is_told() {
        let page = rustix::param::page_size();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes = vec![7; 8 * page + 5];
        std::fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        let (cut, whole) = (
            Mapping::of(&file, bytes.len()).unwrap(),
            Mapping::of(&file, 2 * page).unwrap(),
        );
        assert_eq!(&*cut, bytes);
        assert!(!cut.is_lost());
        file.set_len(3 * page as u64).unwrap();
        // From another thread, as ranges of a log are read by several.
        std::thread::scope(|scope| {
            for at in [3 * page, 8 * page + 4, 5 * page] {
                let cut = &cut;
                scope.spawn(move || assert_eq!(cut[at], 0));
            }
        });
        assert_eq!(&cut[..3 * page], &bytes[..3 * page]);
        assert!(cut[3 * page..].iter().all(|byte| *byte == 0));
        assert!(cut.is_lost());
        assert_eq!(&*whole, &bytes[..2 * page]);
        assert!(!whole.is_lost());
        // Whoever in this process takes the signal meanwhile has it until the next mapping.
        extern "C" fn other(_: std::ffi::c_int) {}
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGBUS, other as *const () as usize) };
        let again = Mapping::of(&file, 3 * page).unwrap();
        file.set_len(page as u64).unwrap();
        assert_eq!(again[2 * page], 0);
        assert!(again.is_lost());
        file.set_len(0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes[..3 * page], 0).unwrap();
        drop(again);
        // What takes the same place in memory starts anew.
        drop((cut, whole));
        let again = Mapping::of(&file, 3 * page).unwrap();
        assert_eq!(&*again, &bytes[..3 * page]);
        assert!(!again.is_lost());
    }
}
