//! The sandbox against attacks, each of which is shown to work without them.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod libraries;
mod world;

use std::fs::{self, File};
use std::io::Read;
use std::net::UdpSocket;

use provara_plugins::host::HostError;
use provara_plugins::launch::LaunchError;
use provara_plugins::sandbox::{Level, SandboxMode};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, apply_filter};

use world::{KINDS, Kind, World, achieved};

fn without_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .any(|line| line.trim_start_matches("CapEff:").trim() == "0000000000000000")
}

#[test]
fn secrets_cannot_be_read() {
    let Some(world) = World::confined() else {
        return;
    };
    let key = "{root}/vault/identity/private_keys.json";
    let mut codes = vec![
        format!("got = open('{key}').read()"),
        "got = open('{root}/home/.ssh/id').read()".to_owned(),
        "got = open('/etc/passwd').read()".to_owned(),
        "got = open('/proc/{parent}/environ').read()".to_owned(),
        "got = open('/proc/{parent}/mem', 'rb').fileno()".to_owned(),
        "import os; got = os.listdir('/proc/{parent}/fd')".to_owned(),
        // From a thread, which must be as confined as the one that the launcher had.
        format!(
            "import threading; r = []\n\
             def f():\n  try: r.append(open('{key}').read())\n  except OSError as e: r.append(e)\n\
             t = threading.Thread(target=f); t.start(); t.join(); got = r[0]\n\
             if isinstance(got, OSError): raise got"
        ),
    ];
    if cfg!(target_arch = "x86_64") {
        // `openat` without the C library.
        codes.push(format!(
            "import ctypes, os; c = ctypes.CDLL(None, use_errno=True)\n\
             got = c.syscall(257, -100, b'{key}', 0)\n\
             if got < 0: raise OSError(ctypes.get_errno(), '')"
        ));
    }
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    world.stops(&KINDS, &codes);
    // Through a link of the plugin's own making.
    let link = |kind: &str| {
        format!(
            "import os; l = '{{root}}/state/{kind}'; os.{kind}('{key}', l); got = open(l).read()"
        )
    };
    world.stops(
        &[Kind::Validate, Kind::Export],
        &[&link("symlink"), &link("link")],
    );
}

#[test]
fn only_an_export_sees_the_vault() {
    let Some(world) = World::confined() else {
        return;
    };
    let read = "got = open('{root}/vault/events/events.ndjson').read()";
    world.stops(&[Kind::Validate, Kind::Reduce], &[read]);
    world.lets(
        &[Kind::Export],
        &[
            read,
            "got = open('{root}/vault/identity/keys.json').read()",
            "import os; got = os.listdir('{root}/vault/identity')",
        ],
    );
    // The log's descriptor is good for reading what it is.
    world.lets(
        &[Kind::Reduce],
        &["import os; got = os.pread(request['log_fd'], 6, 0)"],
    );
    world.stops(
        &[Kind::Reduce],
        &["import fcntl; got = fcntl.flock(request['log_fd'], fcntl.LOCK_SH | fcntl.LOCK_NB)"],
    );
}

#[test]
fn a_reducer_sees_its_snapshot_and_nothing_after_it() {
    let Some(world) = World::confined() else {
        return;
    };
    // As if events had been appended after the snapshot of six bytes was taken.
    fs::write(world.path("vault/events/events.ndjson"), "EVENTS later").unwrap();
    let read = [
        "import os; got = os.pread(request['log_fd'], 99, 0)",
        "import os; got = os.pread(request['log_fd'], 99, 6)",
        "import mmap; got = mmap.mmap(request['log_fd'], 0, prot=mmap.PROT_READ)[:]",
        "import os; got = os.fstat(request['log_fd']).st_size",
    ];
    // A copy that nobody can change, with and without a sandbox.
    let change = [
        "import os; got = os.write(request['log_fd'], b'x')",
        "import os; got = os.truncate(request['log_fd'], 3)",
        "f = open(f\"/proc/self/fd/{request['log_fd']}\", 'r+b', 0); got = f.write(b'x')",
        "import mmap; got = mmap.mmap(request['log_fd'], 12)",
    ];
    for sandbox in [SandboxMode::Off, SandboxMode::Require] {
        let said = world.run(Kind::Reduce, sandbox, &read);
        let said: Vec<_> = said.into_iter().map(Result::unwrap).collect();
        assert_eq!(said, ["b'EVENTS'", "b''", "b'EVENTS'", "6"]);
        for said in world.run(Kind::Reduce, sandbox, &change) {
            assert!(said.is_err(), "{said:?}");
        }
    }
    // The position in it is each host's own.
    let code = "import os; got = os.lseek(request['log_fd'], 0, os.SEEK_CUR), \
                os.lseek(request['log_fd'], 5, os.SEEK_SET)";
    for _ in 0..2 {
        let said = world.run(Kind::Reduce, SandboxMode::Require, &[code]);
        assert_eq!(said, [Ok("(0, 5)".to_owned())]);
    }
}

#[test]
fn writing_ends_at_the_own_places() {
    let Some(world) = World::confined() else {
        return;
    };
    let state = "got = open('{root}/state/file', 'w').write('x')";
    let staging = "got = open('{root}/staging/more', 'w').write('x')";
    world.lets(&[Kind::Validate, Kind::Export], &[state]);
    world.lets(
        &[Kind::Export],
        &[
            staging,
            "import os; os.makedirs('{root}/staging/a/b', exist_ok=True)\n\
             open('{root}/staging/a/b/c', 'w').close()\n\
             os.replace('{root}/staging/a/b/c', '{root}/staging/a/d'); got = 1",
        ],
    );
    world.stops(&[Kind::Reduce], &[state]);
    world.stops(&[Kind::Validate, Kind::Reduce], &[staging]);
    let mut codes = vec![
        "got = open('{root}/vault/events/events.ndjson', 'a').write('')",
        "got = open('{root}/vault/new', 'w').write('x')",
        "got = open('{root}/home/new', 'w').write('x')",
        "got = open('{root}/new', 'w').write('x')",
        "import os; got = os.setxattr('{root}/vault/events', 'user.x', b'1')",
        "import os; got = os.mkdir('{root}/vault/d' + str(os.getpid()))",
        "import os; got = os.truncate('{root}/vault/events/events.ndjson', 6)",
        "import os; got = os.rename('{root}/home', '{root}/home')",
        "import os; got = os.mkfifo('{root}/state/f' + str(os.getpid()))",
    ];
    if !without_capabilities() {
        // Root may do these without the sandbox, an ordinary user may not.
        codes.push("import os; got = os.chown('{root}/vault/events', 0, 0)");
        codes.push("import json; got = open(json.__file__, 'r+').fileno()");
        codes.push("import provara; got = open(provara.__file__, 'r+').fileno()");
    }
    world.stops(&KINDS, &codes);
    assert_eq!(
        fs::read_to_string(world.path("vault/identity/keys.json")).unwrap(),
        "PUBLIC"
    );
}

#[test]
fn no_process_and_no_signal() {
    let Some(world) = World::confined() else {
        return;
    };
    world.stops(
        &KINDS,
        &[
            "import subprocess; got = subprocess.check_output(['/bin/true'])",
            "import os; got = os.system('exit 0')\nif got: raise OSError(got)",
            "import os\npid = os.fork()\nif not pid: os._exit(0)\ngot = os.waitpid(pid, 0)",
            "import os; got = os.posix_spawn('/bin/true', ['true'], {}); os.waitpid(got, 0)",
            "import multiprocessing as m; m.set_start_method('fork', force=True)\n\
             p = m.Process(target=print); p.start(); p.join(); got = 1",
            "import os; got = os.kill({parent}, 0)",
            "import os; got = os.sched_setaffinity({parent}, os.sched_getaffinity({parent}))",
            "import resource; got = resource.prlimit({parent}, resource.RLIMIT_CORE)",
            "import os; got = os.pidfd_open({parent})",
            "import os; got = os.memfd_create('x')",
            "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n\
             got = c.prctl(4, 0)\nif got < 0: raise OSError(ctypes.get_errno(), '')",
        ],
    );
    // To become another program would end the protocol without the sandbox; inside it just fails,
    // also for the interpreter itself, which the launcher did execute.
    let exec = |program: &str| {
        format!("import os, sys; p = {program}; got = os.execv(p, [p, '-c', 'pass'])")
    };
    let leave = "import os; got = os.setsid()";
    for kind in KINDS {
        let codes = [&exec("'/bin/sh'"), &exec("sys.executable"), leave];
        for inside in world.run(kind, SandboxMode::Require, &codes) {
            assert!(
                inside.clone().unwrap_err().starts_with("PermissionError"),
                "{inside:?}"
            );
        }
    }
}

fn each(codes: &[String]) -> Vec<&str> {
    codes.iter().map(String::as_str).collect()
}

#[test]
fn no_process_is_looked_at_but_the_own_one() {
    let Some(world) = World::confined() else {
        return;
    };
    let looks = |pid: &str| {
        [
            format!("import os; got = os.getpgid({pid})"),
            format!("import os; got = os.getsid({pid})"),
            format!("import os; got = os.sched_getaffinity({pid})"),
            format!("import os; got = os.sched_getscheduler({pid})"),
            format!("import os; got = os.sched_getparam({pid})"),
            format!("import os; got = os.getpriority(os.PRIO_PROCESS, {pid})"),
        ]
    };
    let clock = "import time; got = time.clock_gettime((~{parent} << 3) | 2)".to_owned();
    let others: Vec<String> = looks("{parent}").into_iter().chain([clock]).collect();
    world.stops(&[Kind::Reduce], &each(&others));
    // A thread's attributes hold its processors: what the C library cannot ask, it leaves out.
    let thread = "import ctypes, threading\n\
                  c = ctypes.CDLL(None); c.pthread_self.restype = ctypes.c_ulong\n\
                  r = []\n\
                  def f(): r.append(c.pthread_getattr_np(ctypes.c_ulong(c.pthread_self()),\n\
                  \x20                                     ctypes.create_string_buffer(256)))\n\
                  t = threading.Thread(target=f); t.start(); t.join(); got = r\n\
                  if r != [0]: raise OSError(r[0], 'pthread_getattr_np')";
    let clocks = "import time; got = time.process_time(), time.thread_time(), time.monotonic()";
    let own: Vec<String> = looks("0")
        .into_iter()
        .chain(looks("os.getpid()"))
        .chain([thread.to_owned(), clocks.to_owned()])
        .collect();
    world.lets(&KINDS, &each(&own));
}

#[test]
fn no_socket_leads_out() {
    let Some(world) = World::confined() else {
        return;
    };
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = format!(
        "import socket as s\n\
         got = s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {}))",
        udp.local_addr().unwrap().port()
    );
    world.stops(
        &KINDS,
        &[
            "import socket as s; got = s.create_connection(('127.0.0.1', {port}), 5)",
            &datagram,
            "import socket as s; c = s.socket(s.AF_UNIX); got = c.connect('{root}/socket')",
            "import socket as s; c = s.socket(s.AF_UNIX); got = c.connect('\\0{abstract}')",
            "import socket as s; got = s.socket(s.AF_NETLINK, s.SOCK_RAW, 0)",
            "import socket as s; got = s.socketpair(s.AF_UNIX, s.SOCK_DGRAM)",
            "import socket as s; a, b = s.socketpair(); got = a.sendmsg([b'x'])",
        ],
    );
    world.lets(
        &KINDS,
        &["import socket as s; a, b = s.socketpair(); got = a.send(b'x'), b.recv(1)"],
    );
}

#[test]
fn the_network_opens_for_one_export_only() {
    let Some(world) = World::confined() else {
        return;
    };
    let connect =
        "import socket as s; got = s.create_connection(('127.0.0.1', {port}), 5).fileno()";
    let run = |kind, codes: &[&str]| {
        world.run_with(kind, SandboxMode::Require, codes, |options| {
            options.allow_network = true;
        })
    };
    let open = &run(Kind::Export, &[connect])[0];
    assert!(open.is_ok(), "{open:?}");
    for kind in [Kind::Validate, Kind::Reduce] {
        let closed = &run(kind, &[connect])[0];
        assert!(closed.is_err(), "{kind:?} {closed:?}");
    }
    let closed = run(
        Kind::Export,
        &[
            "import socket as s; c = s.socket(s.AF_UNIX); got = c.connect('{root}/socket')",
            "import socket as s; c = s.socket(s.AF_UNIX); got = c.connect('\\0{abstract}')",
            "import socket as s; got = s.socketpair(s.AF_UNIX, s.SOCK_DGRAM)",
            "import os; got = os.kill({parent}, 0)",
            "got = open('{root}/vault/identity/private_keys.json').read()",
        ],
    );
    assert!(closed.iter().all(Result::is_err), "{closed:?}");
}

#[test]
fn memory_and_files_are_bounded() {
    let Some(world) = World::confined() else {
        return;
    };
    world.stops(
        &[Kind::Validate],
        &[
            "import mmap; got = len(mmap.mmap(-1, 6 << 30))",
            "f = open('{root}/state/big', 'wb'); got = f.truncate(1 << 30)",
        ],
    );
    let threads = "import threading, time\n\
                   s = threading.Event()\n\
                   t = [threading.Thread(target=s.wait, daemon=True) for _ in range(5000)]\n\
                   try:\n  for x in t: x.start()\n\
                   finally: s.set()\n\
                   got = 1";
    let inside = &world.run(Kind::Validate, SandboxMode::Require, &[threads])[0];
    assert!(inside.is_err(), "{inside:?}");
}

#[test]
fn the_number_of_threads_is_bounded() {
    let Some(world) = World::confined() else {
        return;
    };
    // Small enough that memory does not bound them.
    let threads = |count: u32| {
        format!(
            "import threading\n\
             threading.stack_size(32768)\n\
             s = threading.Event()\n\
             t = [threading.Thread(target=s.wait, daemon=True) for _ in range({count})]\n\
             try:\n  for x in t: x.start()\n\
             finally: s.set()\n\
             got = 1"
        )
    };
    world.lets(&KINDS, &[&threads(200)]);
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: the kernel counts no tasks of root's (2026-11-22)");
        return;
    }
    for kind in KINDS {
        let inside = &world.run(kind, SandboxMode::Require, &[&threads(3000)])[0];
        let said = inside.as_ref().unwrap_err();
        assert!(said.contains("can't start new thread"), "{said}");
    }
}

#[test]
fn ordinary_work_goes_on() {
    let Some(world) = World::confined() else {
        return;
    };
    world.lets(
        &KINDS,
        &[
            "import csv, json, datetime, decimal, hashlib, io, re, tempfile, uuid; got = uuid.uuid4()",
            "import zoneinfo; got = zoneinfo.ZoneInfo('Europe/Berlin').key",
            "import sqlite3; c = sqlite3.connect(':memory:'); got = c.execute('select 1').fetchone()",
            "from concurrent.futures import ThreadPoolExecutor as T\n\
             with T(4) as t: got = list(t.map(lambda x: x * x, range(100)))",
            "import asyncio; got = asyncio.run(asyncio.sleep(0.001, 'x'))",
            "import subprocess, socket, ssl, ctypes; got = ssl.create_default_context()",
            "import mimetypes; got = mimetypes.guess_type('a.csv')",
            "import platform; got = platform.platform()",
            "import gettext, locale; got = gettext.gettext('x'), locale.getlocale()",
            "import importlib.metadata as m; got = len(list(m.distributions()))",
            "import signal, os; signal.signal(signal.SIGUSR1, lambda *a: None)\n\
             got = os.kill(os.getpid(), signal.SIGUSR1)",
            "import time, random; time.sleep(0.001); got = random.random()",
            "import os; got = os.stat('/').st_mode, os.getcwd(), os.cpu_count(), os.uname()",
            "try:\n import numpy; got = numpy.__version__\nexcept ModuleNotFoundError as e: got = e",
            "try:\n import pandas; got = pandas.__version__\nexcept ModuleNotFoundError as e: got = e",
        ],
    );
    world.lets(
        &[Kind::Validate, Kind::Export],
        &["import sqlite3; c = sqlite3.connect('{root}/state/db')\n\
           c.execute('create table if not exists t(x)'); c.execute('insert into t values (1)')\n\
           c.commit(); got = c.execute('select count(*) from t').fetchone()"],
    );
}

#[test]
fn an_inherited_descriptor_is_closed() {
    let Some(world) = World::confined() else {
        return;
    };
    let mut secret = File::open(world.path("home/.ssh/id")).unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    let code = "import os\n\
                got = []\n\
                for n in range(3, 200):\n\
                \x20try: got.append(os.pread(n, 6, 0))\n\
                \x20except OSError: pass";
    for sandbox in [SandboxMode::Off, SandboxMode::Require] {
        let said = world.run(Kind::Reduce, sandbox, &[code]).remove(0).unwrap();
        assert_eq!(said, "[b'EVENTS']", "the log and nothing else");
    }
    let mut text = String::new();
    secret.read_to_string(&mut text).unwrap();
    assert_eq!(text, "SECRET");
}

/// Runs `work` on a thread whose children cannot make these system calls, as on a kernel that does
/// not have them.
fn masked(calls: &[libc::c_long], work: impl FnOnce() + Send + 'static) {
    let rules = calls
        .iter()
        .map(|call| (*call, Vec::<SeccompRule>::new()))
        .collect();
    let thread = std::thread::spawn(move || {
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        apply_filter(&program).unwrap();
        work();
    });
    thread.join().unwrap();
}

#[test]
fn what_is_missing_is_told_and_required_walls_fail_closed() {
    // Seccomp is asked for by `prctl` or `seccomp`; without both calls there is none, and without
    // `prctl` there is no `no_new_privs` either, so only the second is taken away.
    let (landlock, seccomp) = (libc::SYS_landlock_create_ruleset, libc::SYS_seccomp);
    for (calls, level, name, reads, starts) in [
        (vec![landlock], Level::Partial, "Landlock", true, false),
        (vec![seccomp], Level::Partial, "seccomp", false, true),
        (
            vec![landlock, seccomp],
            Level::Process,
            "seccomp",
            true,
            true,
        ),
    ] {
        masked(&calls.clone(), move || {
            let (found, text, read, started) = achieved(SandboxMode::Auto).unwrap();
            assert_eq!(found, level, "{text}");
            assert!(
                text.starts_with(&format!("{level}: ")) && text.contains(name),
                "{text}"
            );
            assert_eq!((read, started), (reads, starts), "{text}");
            match achieved(SandboxMode::Require).unwrap_err() {
                HostError::Launch(LaunchError::Refused(text)) => {
                    assert!(text.contains("required") && text.contains(name), "{text}");
                }
                other => panic!("{other:?}"),
            }
        });
    }
    if World::confined().is_some() {
        assert_eq!(achieved(SandboxMode::Require).unwrap().0, Level::Full);
    }
}
