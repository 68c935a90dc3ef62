//! What becomes of a reader whose mapped file has no byte where it reads.
//!
//! Whoever reads a page of a mapping that lies beyond the file's end, as after another program cut the file,
//! or that the disk refuses, gets SIGBUS (POSIX, `mmap`), and by default the process ends without a word.
//! The handler here knows the mappings of this crate: it puts zeros in the place of what cannot be read and
//! takes a note, and the reader goes on and looks at the note when it is done. Every other SIGBUS goes to the
//! handler that was there before, or to what the system does without one.
//!
//! A handler may interrupt anything, so this one takes no lock, allocates nothing, and makes two system calls
//! at most.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// A place in the list of mappings. Places are used again and never freed, as a handler may be looking at
/// them.
#[derive(Debug, Default)]
struct Place {
    /// The first address; 0 where the place is free.
    start: AtomicUsize,
    /// The end of the last page.
    end: AtomicUsize,
    lost: AtomicBool,
    next: AtomicPtr<Place>,
}

/// The first place.
static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

/// Who takes a place or makes a new one.
static TAKING: Mutex<()> = Mutex::new(());

/// Set before the handler is.
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// What SIGBUS did before this handler was installed, and before it was installed an earlier time. Never freed, as a
/// handler may be looking at it.
struct Before {
    action: libc::sigaction,
    older: *const Before,
}

static BEFORE: AtomicPtr<Before> = AtomicPtr::new(ptr::null_mut());

/// Holds a mapping in the handler's list.
#[derive(Debug)]
pub(super) struct Guard(&'static Place);

impl Guard {
    /// Takes a mapping's bytes into the list, and installs the handler before the first.
    ///
    /// # Errors
    /// What the system says of the handler.
    pub(super) fn over(bytes: &[u8]) -> io::Result<Self> {
        let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
        install()?;
        let place = match places().find(|it| it.start.load(Ordering::Relaxed) == 0) {
            Some(place) => place,
            None => {
                let place: &'static Place = Box::leak(Box::default());
                place
                    .next
                    .store(PLACES.load(Ordering::Relaxed), Ordering::Relaxed);
                PLACES.store(ptr::from_ref(place).cast_mut(), Ordering::Release);
                place
            }
        };
        let (start, page) = (bytes.as_ptr() as usize, PAGE.load(Ordering::Relaxed));
        place.lost.store(false, Ordering::Relaxed);
        let end = (start + bytes.len()).next_multiple_of(page);
        place.end.store(end, Ordering::Relaxed);
        place.start.store(start, Ordering::Release);
        Ok(Self(place))
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Acquire)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.start.store(0, Ordering::Release);
    }
}

fn places() -> impl Iterator<Item = &'static Place> {
    let mut next = PLACES.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: a place is never freed, and is in the list only once it is whole.
        let place: &'static Place = unsafe { next.as_ref()? };
        next = place.next.load(Ordering::Relaxed);
        Some(place)
    })
}

/// Installs the handler, unless it is the one that is installed: a host may have put another one in its place since.
/// Called by one thread at a time.
fn install() -> io::Result<()> {
    PAGE.store(rustix::param::page_size(), Ordering::Relaxed);
    let ours = on_fault as *const () as usize;
    // SAFETY: with no new action `sigaction` only fills in the one that it has, and all zeros are a valid action. What
    // was there is noted before the handler can run. The handler has the signature that SA_SIGINFO asks for. It runs on
    // the thread's alternative stack where there is one, as the handlers of Rust and of Python do.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        if libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut action) != 0 {
            return Err(io::Error::last_os_error());
        }
        if action.sa_sigaction == ours {
            return Ok(());
        }
        let before = Box::leak(Box::new(Before {
            action,
            older: BEFORE.load(Ordering::Acquire),
        }));
        BEFORE.store(before, Ordering::Release);
        action.sa_sigaction = ours;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        if libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system gives a handler with SA_SIGINFO what it tells of the signal. A code above 0 is the
    // system's own, and comes with the address of a fault; others are signals that a program sent.
    let address = unsafe { ((*info).si_code > 0).then(|| (*info).si_addr() as usize) };
    if !address.is_some_and(put_zeros_at) {
        pass_on(signal, info, context);
    }
}

/// Puts zeros in the place of a mapping's bytes from the page of `address` on, if it is one of the list.
fn put_zeros_at(address: usize) -> bool {
    let within = |place: &&Place| {
        let start = place.start.load(Ordering::Acquire);
        start != 0 && (start..place.end.load(Ordering::Relaxed)).contains(&address)
    };
    let Some(place) = places().find(within) else {
        return false;
    };
    // Noted first: nobody may see the zeros before.
    place.lost.store(true, Ordering::Release);
    let page = address - address % PAGE.load(Ordering::Relaxed);
    let rest = place.end.load(Ordering::Relaxed) - page;
    // SAFETY: these pages are the mapping's, which is held by the thread that read there, and nothing else
    // lies in them. They stay readable, and a slice over them stays one over initialised bytes.
    let zeros = unsafe {
        mmap_anonymous(
            ptr::without_provenance_mut(page),
            rest,
            ProtFlags::READ,
            MapFlags::PRIVATE | MapFlags::FIXED,
        )
    };
    zeros.is_ok()
}

/// Does with a signal what was done before there was this handler.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: what was noted is never freed. The handler was the process's own, and is called as its flags say that it
    // wants to be.
    unsafe {
        let before = BEFORE.load(Ordering::Acquire).as_ref();
        let handler = before.map_or(libc::SIG_DFL, |before| before.action.sa_sigaction);
        if (*info).si_code > 0 {
            // A fault. What was there before is put back, and gets it when the reader faults again; a handler that puts
            // this one back in turn finds what was there before itself the next time, so that it comes to an end.
            let Some(before) = before else {
                libc::signal(signal, libc::SIG_DFL);
                return;
            };
            BEFORE.store(before.older.cast_mut(), Ordering::Release);
            libc::sigaction(signal, &raw const before.action, ptr::null_mut());
            return;
        }
        match before {
            Some(before) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
                if before.action.sa_flags & libc::SA_SIGINFO != 0 {
                    type Informed = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
                    std::mem::transmute::<usize, Informed>(handler)(signal, info, context);
                } else {
                    std::mem::transmute::<usize, extern "C" fn(c_int)>(handler)(signal);
                }
            }
            _ if handler == libc::SIG_IGN => {}
            _ => {
                // It comes again when this one returns.
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
    }
}
