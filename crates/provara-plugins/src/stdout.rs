//! Standard output as the process got it.
//!
//! Where it was closed (`>&-`), the standard library opens `/dev/null` in its place before `main`, so
//! that no file that is opened later is taken for it. From then on nothing tells that what is written
//! reaches nobody, and a command would say that it succeeded.

// The look has to come before `main`, and what runs before `main` is named by a section of the
// executable. The function makes one system call, and needs nothing of the standard library.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};

static CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(
    target_vendor = "apple",
    unsafe(link_section = "__DATA,__mod_init_func")
)]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let closed = fcntl_getfd(rustix::stdio::stdout()) == Err(Errno::BADF);
    CLOSED.store(closed, Ordering::Relaxed);
}

/// Standard output.
///
/// # Errors
/// It was closed when the process began.
pub fn stdout() -> io::Result<io::StdoutLock<'static>> {
    match CLOSED.load(Ordering::Relaxed) {
        true => Err(Errno::BADF.into()),
        false => Ok(io::stdout().lock()),
    }
}
