//! Processes that a plugin started and that left its process group.
//!
//! Inside a full sandbox there are none: a plugin cannot start a process. Where seccomp is missing or
//! switched off it can, and a process that calls `setsid` escapes the signal to the group. So there
//! the core becomes the *subreaper* of its descendants (an orphan becomes its child instead of
//! init's), every host gets a random mark in its environment, which its children inherit, and the
//! end of the host is also the end of whatever carries the mark, descends from it, or was orphaned
//! to us out of a foreign process group. All of this needs Linux's `/proc`; elsewhere the signal to
//! the group is what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// The variable that carries the mark.
pub(super) const VARIABLE: &str = "PROVARA_HOST_MARK";

/// Rounds of looking and killing; a process that forks faster than this ends with its memory.
const ROUNDS: usize = 50;

/// The children of this process, as far as it matters whose they are.
#[derive(Default)]
struct Children {
    /// The hosts that live now.
    hosts: BTreeSet<u32>,
    /// Those that were there before the first of them. A shell that becomes `provara` (`exec`) leaves
    /// its jobs behind.
    before: BTreeSet<u32>,
}

static CHILDREN: Mutex<Children> = Mutex::new(Children {
    hosts: BTreeSet::new(),
    before: BTreeSet::new(),
});

/// Ends what a host leaves behind.
#[derive(Debug)]
pub(crate) struct OrphanReaper {
    mark: String,
    host: u32,
}

/// A process as `/proc` shows it.
struct Process {
    parent: u32,
    group: u32,
    dead: bool,
}

/// Starts a host and puts it among those that live, in one step for every [`OrphanReaper`].
pub(super) fn registered(
    start: impl FnOnce() -> std::io::Result<std::process::Child>,
) -> std::io::Result<std::process::Child> {
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    if children.hosts.is_empty() {
        children.before = own_children();
    }
    let child = start()?;
    children.hosts.insert(child.id());
    Ok(child)
}

/// Makes a mark that nobody else has.
pub(super) fn new_mark() -> String {
    let mut random = [0; 16];
    // Without random numbers the process id alone would do; the mark only has to be unlike others.
    let _ = getrandom::fill(&mut random);
    format!(
        "{:032x}-{}",
        u128::from_ne_bytes(random),
        std::process::id()
    )
}

impl OrphanReaper {
    /// Begins to look after the descendants of a host that was [`registered`].
    pub(super) fn new(mark: String, host: u32) -> OrphanReaper {
        OrphanReaper { mark, host }
    }

    /// Makes orphans of this process's descendants its own children from now on.
    pub(crate) fn adopt() {
        // Without it, orphans are still found by their mark.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(rustix::process::getpid().into());
    }

    /// Kills every descendant of the host. The host itself may be dead, but not waited for.
    pub(crate) fn reap(&self) {
        for _ in 0..ROUNDS {
            let found = self.find();
            if found.is_empty() {
                return;
            }
            for pid in found {
                let _ = kill_process(pid, Signal::KILL);
                // One of ours would stay a zombie; one of somebody else's is not ours to wait for.
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn find(&self) -> Vec<Pid> {
        let own = std::process::id();
        let own_group = u32::try_from(rustix::process::getpgrp().as_raw_nonzero().get());
        // Held while looking: no host may start between one look and the other.
        let children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let all = processes();
        let descends = |mut pid: u32| {
            // A chain of parents is as long as there are processes, at most.
            for _ in 0..all.len() {
                let Some(process) = all.get(&pid) else {
                    return false;
                };
                if process.parent == self.host {
                    return true;
                }
                pid = process.parent;
            }
            false
        };
        let orphaned = |pid: u32, process: &Process| {
            // Without its mark nobody can tell whose it is while several hosts live; the last one
            // to end takes it along.
            children.hosts.len() == 1
                && process.parent == own
                && !children.hosts.contains(&pid)
                && !children.before.contains(&pid)
                && own_group.is_ok_and(|group| process.group != group)
                && process.group != self.host
        };
        all.iter()
            .filter(|(pid, process)| **pid != own && **pid != self.host && !process.dead)
            .filter(|(pid, process)| {
                descends(**pid) || orphaned(**pid, process) || self.is_marked(**pid)
            })
            .filter_map(|(pid, _)| i32::try_from(*pid).ok().and_then(Pid::from_raw))
            .collect()
    }

    fn is_marked(&self, pid: u32) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let wanted = format!("{VARIABLE}={}", self.mark);
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    }
}

impl Drop for OrphanReaper {
    fn drop(&mut self) {
        CHILDREN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hosts
            .remove(&self.host);
    }
}

/// The children of this process: by its threads' own lists, or where the kernel keeps none, by looking
/// at every process.
fn own_children() -> BTreeSet<u32> {
    let lists = fs::read_dir("/proc/self/task").map(|threads| {
        threads
            .flatten()
            .map(|thread| fs::read_to_string(thread.path().join("children")))
            .collect::<Result<Vec<String>, _>>()
    });
    match lists {
        Ok(Ok(lists)) => lists
            .iter()
            .flat_map(|list| list.split_ascii_whitespace())
            .filter_map(|pid| pid.parse().ok())
            .collect(),
        _ => {
            let own = std::process::id();
            let all = processes().into_iter();
            all.filter(|(_, process)| process.parent == own)
                .map(|(pid, _)| pid)
                .collect()
        }
    }
}

/// All processes that can be seen.
fn processes() -> BTreeMap<u32, Process> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name, in parentheses, may hold anything; after it: state, parent, group.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let mut fields = rest.split(' ');
        let dead = fields.next().is_none_or(|state| matches!(state, "Z" | "X"));
        let mut number = || fields.next().and_then(|field| field.parse().ok());
        if let (Some(parent), Some(group)) = (number(), number()) {
            all.insert(
                pid,
                Process {
                    parent,
                    group,
                    dead,
                },
            );
        }
    }
    all
}
