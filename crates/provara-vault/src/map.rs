//! The one place that maps a file into memory, and with it the crate's one use of `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// Maps the first `len` bytes of `file`, read-only. `len` must not exceed the file's length.
pub(crate) fn map_prefix(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping is read-only and shared, so the memory is sound for as long as nobody
    // changes or cuts those bytes. The log is append-only: this crate's writers never change a
    // whole line, and cut only what lies beyond the last one, which `len` never covers. A foreign
    // program that rewrites the log in place while it is read can make the reader see torn text
    // (which the checks then refuse) or end it with SIGBUS; it cannot make it accept a lie,
    // because every check reads the bytes it decides on once.
    unsafe { MmapOptions::new().len(len).map(file) }
}
