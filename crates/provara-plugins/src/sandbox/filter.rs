//! The system calls that a plugin process may make: a list of what is allowed.
//!
//! A call that is not listed fails with `EPERM`, which Python shows as `PermissionError`. What the
//! list leaves out, above all: starting processes and programs, signals to and looks into other
//! processes, sockets, changes of owners and attributes (which Landlock does not cover), links,
//! io_uring, ptrace, keyrings, mounts and namespaces, and every call that is not known to be needed.
//!
//! Four points need care:
//!
//! * **Modes and times** of files are not covered by Landlock either, but every library that copies or
//!   unpacks files sets them. These calls do nothing and report success ([`PRETENDED`]): the modes and
//!   times of an output are the core's to decide, and nobody else's file is touched. The same list
//!   answers that a file has no extended attributes.
//! * **Threads** are `clone` with `CLONE_THREAD`. `clone3` takes its flags in memory, where a filter
//!   cannot look; it fails with `ENOSYS`, after which the C library uses `clone`.
//! * **Other processes** cannot be looked at: where a call names a process, it may name the own one
//!   only. A thread's number cannot be known beforehand; the C library asks for the processors of a
//!   thread, and goes on without an answer if that is `ENOSYS`.
//! * **The one `execve`** that makes the launcher the interpreter happens after the filter is in
//!   place. It is let through by a key of 192 random bits in the three registers that the call
//!   does not use; the key is gone with the launcher's memory.

mod shortcut;

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::{Calls, ExecKey};

/// Calls that are allowed whatever their arguments.
const PLAIN: &[libc::c_long] = &[
    // Reading and writing what is open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fadvise64,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    // Opening and looking: Landlock says what.
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_umask,
    // Names: Landlock says where.
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    // Who and when.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrlimit,
    // Signals to itself.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_setitimer,
    libc::SYS_getitimer,
    libc::SYS_restart_syscall,
    // Sockets that are there: the protocol's, and pairs.
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Decided by the other filter.
    libc::SYS_clone3,
];

/// The calls of a process that computes and answers on the socket that it has. It starts no program and no
/// thread, and opens nothing.
const COMPUTING: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Older forms of allowed calls, which only some architectures have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_getpgrp,
    libc::SYS_time,
    libc::SYS_alarm,
    libc::SYS_pause,
    // Sets the thread pointer when the program starts.
    libc::SYS_arch_prctl,
];

#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// Calls that change nothing and report success; for those that list extended attributes that means that
/// there are none.
const PRETENDED: &[libc::c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_utimensat,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
];

/// `fchmodat2` of Linux 6.6: one of the calls that have the same number everywhere.
const FCHMODAT2: libc::c_long = 452;

/// Older forms of those, which only some architectures have.
#[cfg(target_arch = "x86_64")]
const PRETENDED_OLDER: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];

#[cfg(not(target_arch = "x86_64"))]
const PRETENDED_OLDER: &[libc::c_long] = &[];

/// More calls for an export that may use the network.
const NETWORK: &[libc::c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// `fcntl` commands that stay with the descriptor: no leases, no signals to an owner.
const FCNTL: &[libc::c_int] = &[
    libc::F_DUPFD,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETPIPE_SZ,
];

/// `ioctl` requests of ordinary files and pipes. `TIOCSTI` and its kind are not among them.
const IOCTL: &[libc::Ioctl] = &[
    libc::TCGETS,
    libc::TIOCGWINSZ,
    libc::FIONREAD,
    libc::FIONBIO,
    libc::FIOCLEX,
    libc::FIONCLEX,
];

/// `prctl` options that name a thread or a mapping.
const PRCTL: &[libc::c_int] = &[libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// The flags of `clone` that matter: a thread of this process, in no new namespace.
const CLONE_MASK: libc::c_int = libc::CLONE_THREAD
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_VFORK;

/// Calls whose first argument is a process, or 0 for the own one.
const OF_PROCESS: &[libc::c_long] = &[
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_get_robust_list,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_prlimit64,
];

/// The clocks that have a number of their own. The others are those of processes and threads.
const CLOCKS: u64 = 16;

/// The bits of a socket's type that say what it is; the others are flags.
const SOCKET_TYPE: u64 = 0xf;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs the filters on this thread, which is the only one, for good.
pub(super) fn install(calls: Calls, network: bool, key: &ExecKey) -> Result<(), String> {
    let process = std::process::id();
    let programs = match calls {
        Calls::Plugin => programs(network, key, process)?.into(),
        Calls::Computing => vec![filter(computing(process))?],
    };
    for program in programs {
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The filters in the order in which they are installed. The kernel runs all of them for every call, and an
/// error that one gives stands before the others' leave; so a call of the first two may, and must, be
/// allowed by the last, and is never made.
fn programs(network: bool, key: &ExecKey, process: u32) -> Result<[BpfProgram; 3], String> {
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let hidden = missing(process).map_err(|error| error.to_string())?;
    let hidden = build(hidden, SeccompAction::Allow, absent)?;
    let nothing_done = SeccompAction::Errno(0);
    let pretended = build(pretended(), SeccompAction::Allow, nothing_done)?;
    Ok([hidden, pretended, filter(allowed(network, key, process))?])
}

/// The filter that lets through what is on a list.
fn filter(rules: Result<Rules, seccompiler::BackendError>) -> Result<BpfProgram, String> {
    let rules = rules.map_err(|error| error.to_string())?;
    let plain = |(call, rules): (&i64, &Vec<SeccompRule>)| {
        let number = rules.is_empty().then_some(*call);
        number.and_then(|number| u32::try_from(number).ok())
    };
    let plain: BTreeSet<u32> = rules.iter().filter_map(plain).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let mut with_conditions = rules.clone();
    with_conditions.retain(|_, rules| !rules.is_empty());
    let short = build(with_conditions, denied.clone(), SeccompAction::Allow)?;
    match shortcut::before(&plain, &short) {
        Some(program) => Ok(program),
        None => build(rules, denied, SeccompAction::Allow),
    }
}

fn build(
    rules: Rules,
    mismatch: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, String> {
    let architecture: TargetArch = std::env::consts::ARCH
        .try_into()
        .map_err(|_| format!("no filter is known for {}", std::env::consts::ARCH))?;
    let filter = SeccompFilter::new(rules, mismatch, matched, architecture);
    filter
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())
}

/// What a process may call that computes. It ends itself where its memory or its stack does not suffice.
fn computing(process: u32) -> Result<Rules, seccompiler::BackendError> {
    let plain = COMPUTING.iter().map(|call| (*call, Vec::new()));
    let mut rules: Rules = plain.collect();
    let itself = SeccompCondition::new(0, Len::Dword, Op::Eq, u64::from(process))?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![itself])?]);
    // `send` is `sendto` without an address.
    let nowhere = SeccompCondition::new(4, Len::Qword, Op::Eq, 0)?;
    rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![nowhere])?]);
    Ok(rules)
}

/// What changes nothing and reports success.
fn pretended() -> Rules {
    let calls = PRETENDED.iter().chain(PRETENDED_OLDER);
    calls.map(|call| (*call, Vec::new())).collect()
}

/// What is as if the kernel did not have it.
fn missing(process: u32) -> Result<Rules, seccompiler::BackendError> {
    let is_not = |value| SeccompCondition::new(0, Len::Dword, Op::Ne, value);
    let of_another = SeccompRule::new(vec![is_not(0)?, is_not(u64::from(process))?])?;
    Ok(BTreeMap::from([
        (libc::SYS_clone3, Vec::new()),
        (libc::SYS_sched_getaffinity, vec![of_another]),
    ]))
}

fn allowed(network: bool, key: &ExecKey, process: u32) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = PLAIN
        .iter()
        .chain(OLDER)
        .map(|call| (*call, Vec::new()))
        .chain(pretended())
        .collect();

    // A call is allowed if all conditions of one of its rules hold.
    let mut allow = |call: libc::c_long, conditions: Vec<SeccompCondition>| {
        SeccompRule::new(conditions).map(|rule| rules.entry(call).or_default().push(rule))
    };
    let is = |index: u8, value: u64| SeccompCondition::new(index, Len::Dword, Op::Eq, value);
    let is_long = |index: u8, value: u64| SeccompCondition::new(index, Len::Qword, Op::Eq, value);
    let masked = |index: u8, mask: u64, value: u64| {
        SeccompCondition::new(index, Len::Dword, Op::MaskedEq(mask), value)
    };
    let number = |value: libc::c_int| u64::from(value.unsigned_abs());

    let [a, b, c] = key.0;
    allow(
        libc::SYS_execve,
        vec![is_long(3, a)?, is_long(4, b)?, is_long(5, c)?],
    )?;
    allow(
        libc::SYS_clone,
        vec![masked(0, number(CLONE_MASK), number(libc::CLONE_THREAD))?],
    )?;
    for command in FCNTL {
        allow(libc::SYS_fcntl, vec![is(1, number(*command))?])?;
    }
    for request in IOCTL {
        // The type of a request differs between C libraries.
        #[allow(clippy::unnecessary_cast)]
        allow(libc::SYS_ioctl, vec![is(1, *request as u64)?])?;
    }
    for option in PRCTL {
        allow(libc::SYS_prctl, vec![is(0, number(*option))?])?;
    }
    // To itself only; the process keeps its number when it becomes the interpreter.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        allow(call, vec![is(0, u64::from(process))?])?;
    }
    for itself in [0, u64::from(process)] {
        for call in OF_PROCESS {
            allow(*call, vec![is(0, itself)?])?;
        }
        let of_process = is(0, u64::from(libc::PRIO_PROCESS))?;
        allow(libc::SYS_getpriority, vec![of_process, is(1, itself)?])?;
    }
    for call in [libc::SYS_clock_gettime, libc::SYS_clock_getres] {
        let own = SeccompCondition::new(0, Len::Dword, Op::Lt, CLOCKS)?;
        allow(call, vec![own])?;
    }
    // A stream pair is connected for good; a datagram pair could be pointed at another socket.
    allow(
        libc::SYS_socketpair,
        vec![
            is(0, number(libc::AF_UNIX))?,
            masked(1, SOCKET_TYPE, number(libc::SOCK_STREAM))?,
        ],
    )?;
    if network {
        for family in [libc::AF_INET, libc::AF_INET6] {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                let kind = masked(1, SOCKET_TYPE, number(kind))?;
                allow(libc::SYS_socket, vec![is(0, number(family))?, kind])?;
            }
        }
        // Looking up a name asks the kernel which addresses the machine has.
        let route = is(2, number(libc::NETLINK_ROUTE))?;
        allow(
            libc::SYS_socket,
            vec![is(0, number(libc::AF_NETLINK))?, route],
        )?;
        rules.extend(NETWORK.iter().map(|call| (*call, Vec::new())));
    } else {
        // `send` is `sendto` without an address.
        allow(libc::SYS_sendto, vec![is_long(4, 0)?])?;
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
