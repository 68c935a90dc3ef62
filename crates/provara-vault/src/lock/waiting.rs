//! Waiting for a lock in the system's own queue, with a deadline.
//!
//! A writer that asks again and again loses to one that holds the lock for all but a moment; the system's
//! queue (`flock` that waits) does not. Nothing ends such a wait but the lock, so it is done on a thread of
//! its own, with an open file of its own. Whoever waits for that thread gives up when the time is over, and
//! the thread then lets go of what it gets at once.
//!
//! A thread whose wait was given up stays until the lock comes. It is taken over by the next wait for the
//! same file, so that there are never more of them than there were waits at one time.

use std::fs::File;
use std::io;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::held::Registered;

/// A device and an inode.
pub(super) type FileId = (u64, u64);

/// Which lock is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A writer's.
    Exclusive,
    /// A reader's.
    Shared,
}

/// Waits whose threads are still in the queue, and whom nobody waits for.
static GIVEN_UP: Mutex<Vec<Arc<Waiter>>> = Mutex::new(Vec::new());

/// The stack of such a thread, which makes one system call.
const STACK: usize = 64 << 10;

#[derive(Debug)]
struct Waiter {
    file: FileId,
    kind: Kind,
    /// The process that its thread is in: a forked child has the list and not the threads.
    process: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    /// The thread is in the queue, and somebody waits for it.
    Waited,
    /// The thread is in the queue, and nobody waits for it.
    GivenUp,
    /// The thread has ended with this, which nobody has taken yet.
    Ended(io::Result<File>),
    /// The thread has ended, and there is nothing to take.
    Over,
}

/// What came of a wait.
#[derive(Debug)]
pub(super) enum Wait {
    /// The lock is held by this open file.
    Held(File),
    /// The time is over.
    Late,
    /// The system has no thread to give.
    NoThread,
}

/// Waits until `until` for a lock of `file`, which is the one of `id`.
///
/// # Errors
/// What the system says of the lock.
pub(super) fn wait(file: File, id: FileId, kind: Kind, until: Instant) -> io::Result<Wait> {
    let waiter = match take_over(id, kind) {
        Some(waiter) => waiter,
        None => match start(file, id, kind) {
            Some(waiter) => waiter,
            None => return Ok(Wait::NoThread),
        },
    };
    let mut state = lock(&waiter.state);
    loop {
        if matches!(*state, State::Ended(_)) {
            let State::Ended(result) = std::mem::replace(&mut *state, State::Over) else {
                unreachable!("it was looked at under its lock");
            };
            return result.map(Wait::Held);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            *state = State::GivenUp;
            drop(state);
            give_up(waiter);
            return Ok(Wait::Late);
        }
        let waited = waiter.changed.wait_timeout(state, left);
        state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wait for this file that was given up.
fn take_over(id: FileId, kind: Kind) -> Option<Arc<Waiter>> {
    // Never waited for: in a forked child nobody may be left to release it.
    let mut given_up = GIVEN_UP.try_lock().ok()?;
    let own = |it: &Waiter| it.process == process::id();
    given_up.retain(|it| own(it) && matches!(*lock(&it.state), State::GivenUp));
    let at = given_up
        .iter()
        .position(|it| (it.file, it.kind) == (id, kind))?;
    let waiter = given_up.swap_remove(at);
    drop(given_up);
    let mut state = lock(&waiter.state);
    if !matches!(*state, State::GivenUp) {
        return None;
    }
    *state = State::Waited;
    drop(state);
    Some(waiter)
}

fn give_up(waiter: Arc<Waiter>) {
    if let Ok(mut given_up) = GIVEN_UP.try_lock() {
        given_up.retain(|it| matches!(*lock(&it.state), State::GivenUp));
        given_up.push(waiter);
    }
}

fn start(file: File, id: FileId, kind: Kind) -> Option<Arc<Waiter>> {
    let waiter = Arc::new(Waiter {
        file: id,
        kind,
        process: process::id(),
        state: Mutex::new(State::Waited),
        changed: Condvar::new(),
    });
    let shared = Arc::clone(&waiter);
    let run = move || {
        let registered = Registered::of(&file);
        let result = loop {
            let result = match kind {
                Kind::Exclusive => file.lock(),
                Kind::Shared => file.lock_shared(),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let mut state = lock(&shared.state);
        *state = match *state {
            State::Waited => State::Ended(result.map(|()| file)),
            _ => {
                // Said in words, as a forked child may have the same open file.
                let _ = file.unlock();
                State::Over
            }
        };
        drop(registered);
        drop(state);
        shared.changed.notify_all();
    };
    let thread = thread::Builder::new()
        .name("provara-lock".to_owned())
        .stack_size(STACK)
        .spawn(run);
    thread.is_ok().then_some(waiter)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> (File, FileId) {
        let file = File::options().read(true).append(true).open(path).unwrap();
        let there = file.metadata().unwrap();
        (file, (there.dev(), there.ino()))
    }

    fn given_up(id: FileId) -> usize {
        lock(&GIVEN_UP).iter().filter(|it| it.file == id).count()
    }

    #[test]
    fn a_wait_that_is_given_up_is_taken_over_and_lets_go_of_what_it_gets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, b"").unwrap();
        let (holder, id) = open(&path);
        holder.lock().unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        for _ in 0..5 {
            let late = wait(open(&path).0, id, Kind::Exclusive, soon()).unwrap();
            assert!(matches!(late, Wait::Late));
            assert_eq!(given_up(id), 1, "one thread for all of them");
        }
        // Who waits when the lock comes has it.
        let thread = thread::spawn({
            let file = open(&path).0;
            move || {
                wait(
                    file,
                    id,
                    Kind::Exclusive,
                    Instant::now() + Duration::from_secs(60),
                )
                .unwrap()
            }
        });
        while given_up(id) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        holder.unlock().unwrap();
        let Wait::Held(file) = thread.join().unwrap() else {
            panic!("it was free");
        };
        assert!(holder.try_lock().is_err());
        file.unlock().unwrap();
        drop(file);
        // Nobody waits: the lock is free soon after it was got.
        holder.lock().unwrap();
        assert!(matches!(
            wait(open(&path).0, id, Kind::Exclusive, soon()).unwrap(),
            Wait::Late
        ));
        holder.unlock().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let abandoned = lock(&GIVEN_UP).iter().find(|it| it.file == id).cloned();
        let abandoned = abandoned.expect("it was given up");
        while !matches!(*lock(&abandoned.state), State::Over) {
            assert!(Instant::now() < until, "it never got the lock");
            thread::sleep(Duration::from_millis(1));
        }
        holder.try_lock().unwrap();
    }
}
