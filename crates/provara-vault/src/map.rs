//! The one place that maps a file into memory, and with it the crate's one use of `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// Maps the first `len` bytes of `file`, read-only. `len` must not exceed the file's length.
pub(crate) fn map_prefix(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping is read-only, and the slices made from it are sound for as long as nobody
    // changes or cuts those bytes. The log is append-only: this crate's writers never change a
    // whole line, and cut only what lies beyond the last one, which `len` does not cover. (The one
    // exception is a line whose sync failed, taken back at once by the writer that the disk
    // failed.) A foreign program that rewrites the log in place under its reader can make it see
    // torn text, which no check accepts as signed, or end it with SIGBUS; an auditor who does not
    // trust the machine that holds the vault verifies a copy.
    unsafe { MmapOptions::new().len(len).map(file) }
}
