//! Resource limits of a plugin process.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::Calls;
use crate::memory;

const GIB: u64 = 1 << 30;

/// The most address space of a plugin process, in bytes.
const MAX_MEMORY: u64 = 4 * GIB;

/// The least, however small the machine: numpy alone maps several hundred MiB.
const MIN_MEMORY: u64 = GIB;

/// How many processes and threads a plugin may add to all that its user has.
const MORE_TASKS: u64 = 512;

/// The most open descriptors.
const MAX_DESCRIPTORS: u64 = 512;

/// Bounds on what a process may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Address space in bytes. Thread stacks count, which bounds the number of threads.
    pub(crate) memory: Option<u64>,
    /// The largest file in bytes.
    pub(crate) file_size: Option<u64>,
    /// Processor time in seconds.
    pub(crate) processor: Option<u64>,
}

impl Limits {
    /// Limits for a process that may write files of `file_size` bytes and has `timeout` to run.
    pub(crate) fn new(file_size: u64, timeout: Option<Duration>) -> Limits {
        // Half of the machine: the rest belongs to the core and to everything else.
        let memory = (memory::physical() / 2).clamp(MIN_MEMORY, MAX_MEMORY);
        // Asked only where it counts: the answer comes from several files of the kernel.
        let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let seconds = |limit: Duration| limit.as_secs().saturating_add(1).saturating_mul(cores());
        let processor = timeout.map(|limit| seconds(limit).saturating_add(1));
        Limits {
            memory: Some(memory),
            file_size: Some(file_size),
            processor,
        }
    }
}

/// Sets the limits, hard ones, on this process. A limit is only ever lowered.
pub(super) fn apply(limits: &Limits, calls: Calls) -> io::Result<()> {
    set(Resource::Core, 0)?;
    set(Resource::Nofile, MAX_DESCRIPTORS)?;
    match calls {
        Calls::Plugin => limit_tasks(MORE_TASKS)?,
        Calls::Computing => set(Resource::Nproc, 0)?,
    }
    if let Some(bytes) = limits.memory {
        set(Resource::As, bytes)?;
    }
    if let Some(bytes) = limits.file_size {
        set(Resource::Fsize, bytes)?;
    }
    if let Some(seconds) = limits.processor {
        set(Resource::Cpu, seconds)?;
    }
    Ok(())
}

/// Lets this process start tasks (processes and threads) until its user has `more` than now; what there
/// are now is rounded up to a power of two.
///
/// The kernel counts all tasks of the user, also those that cannot be seen from a container. So it is
/// asked for the count: a limit under which a thread starts is above it. Root has no such limit: for
/// root a thread starts under any.
fn limit_tasks(more: u64) -> io::Result<()> {
    let old = getrlimit(Resource::Nproc);
    let starts_under = |limit| {
        let limits = Rlimit {
            current: Some(limit),
            ..old
        };
        setrlimit(Resource::Nproc, limits)?;
        let started = std::thread::Builder::new().spawn(|| ());
        io::Result::Ok(started.is_ok_and(|thread| thread.join().is_ok()))
    };
    let mut count = 0;
    if !starts_under(count)? {
        count = 16;
        while old.current.is_none_or(|most| count < most) {
            if starts_under(count)? {
                return set(Resource::Nproc, count + more);
            }
            count *= 2;
        }
    }
    Ok(setrlimit(Resource::Nproc, old)?)
}

fn set(resource: Resource, limit: u64) -> io::Result<()> {
    let old = getrlimit(resource);
    let new = old.maximum.map_or(limit, |maximum| maximum.min(limit));
    setrlimit(
        resource,
        Rlimit {
            current: Some(new),
            maximum: Some(new),
        },
    )?;
    Ok(())
}
