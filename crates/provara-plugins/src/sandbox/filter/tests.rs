use super::*;

#[test]
fn the_filters_compile_and_fit() {
    for network in [false, true] {
        let programs = programs(network, &ExecKey([1, 2, 3]), 42).unwrap();
        let lengths = programs.each_ref().map(Vec::len);
        // The kernel takes 4096 instructions.
        let [hidden, pretended, allowed] = lengths;
        assert!(
            hidden < 32 && pretended < 64 && allowed < 2000,
            "{lengths:?}"
        );
    }
}

#[test]
fn the_shorter_way_decides_as_the_long_one() {
    let key = ExecKey([1, 2, 3]);
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    for rules in [
        allowed(false, &key, 42),
        allowed(true, &key, 42),
        computing(42),
    ] {
        let rules = rules.unwrap();
        let short = filter(Ok(rules.clone())).unwrap();
        let long = build(rules, denied.clone(), SeccompAction::Allow).unwrap();
        assert!(short.len() < long.len());
        let architecture = long[1].k;
        // And the numbers of the other table of x86-64, which has a bit of its own.
        for number in (0..700).chain(0x4000_0000..0x4000_0300).chain([u32::MAX]) {
            for argument in [0, 1, 2, 3, 42, 0x5413, 0x10000, u32::MAX] {
                for architecture in [architecture, 0x4000_0003] {
                    let mut data = [argument; 16];
                    data[..2].copy_from_slice(&[number, architecture]);
                    let [short, long] = [&short, &long].map(|it| shortcut::tests::run(it, &data));
                    assert_eq!(short, long, "{number} {argument} {architecture:#x}");
                }
            }
        }
    }
}

#[test]
fn who_computes_may_do_nothing_else() {
    let rules = computing(42).unwrap();
    let plugins = allowed(false, &ExecKey([1, 2, 3]), 42).unwrap();
    assert!(rules.keys().all(|call| plugins.contains_key(call)));
    for call in [
        libc::SYS_openat,
        libc::SYS_execve,
        libc::SYS_clone,
        libc::SYS_kill,
        libc::SYS_socketpair,
        libc::SYS_recvmsg,
        libc::SYS_ioctl,
        libc::SYS_fcntl,
    ] {
        assert!(!rules.contains_key(&call), "{call}");
    }
}

#[test]
fn what_must_not_be_on_the_list_is_not() {
    let rules = allowed(true, &ExecKey([1, 2, 3]), 42).unwrap();
    let denied = [
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_fsetxattr,
        libc::SYS_getxattr,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mknodat,
        libc::SYS_truncate,
        libc::SYS_flock,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_setsid,
        libc::SYS_setpgid,
        libc::SYS_setuid,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_memfd_create,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_personality,
        libc::SYS_seccomp,
        libc::SYS_sched_setaffinity,
        libc::SYS_setpriority,
    ];
    for call in denied {
        assert!(!rules.contains_key(&call), "{call}");
        assert!(!pretended().contains_key(&call), "{call}");
    }
    let quiet = allowed(false, &ExecKey([1, 2, 3]), 42).unwrap();
    for call in [
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_sendmsg,
    ] {
        assert!(!quiet.contains_key(&call), "{call}");
    }
}
