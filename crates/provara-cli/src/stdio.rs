//! Standard input and output as the process got them.
//!
//! Where one was closed (`<&-`, `>&-`), the standard library opens `/dev/null` in its place before
//! `main`, so that no file that is opened later is taken for it. From then on nothing tells that what is
//! read is nobody's and what is written reaches nobody, and a command would say that it succeeded.

// The look has to come before `main`, and what runs before `main` is named by a section of the
// executable. The function makes two system calls, and needs nothing of the standard library.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};

static NO_INPUT: AtomicBool = AtomicBool::new(false);
static NO_OUTPUT: AtomicBool = AtomicBool::new(false);

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(
    target_vendor = "apple",
    unsafe(link_section = "__DATA,__mod_init_func")
)]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let closed = |stream: BorrowedFd<'_>| fcntl_getfd(stream) == Err(Errno::BADF);
    NO_INPUT.store(closed(rustix::stdio::stdin()), Ordering::Relaxed);
    NO_OUTPUT.store(closed(rustix::stdio::stdout()), Ordering::Relaxed);
}

/// Standard input.
///
/// # Errors
/// It was closed when the process began.
pub(crate) fn stdin() -> io::Result<io::StdinLock<'static>> {
    match NO_INPUT.load(Ordering::Relaxed) {
        true => Err(Errno::BADF.into()),
        false => Ok(io::stdin().lock()),
    }
}

/// Standard output.
///
/// # Errors
/// It was closed when the process began.
pub(crate) fn stdout() -> io::Result<io::StdoutLock<'static>> {
    match NO_OUTPUT.load(Ordering::Relaxed) {
        true => Err(Errno::BADF.into()),
        false => Ok(io::stdout().lock()),
    }
}
