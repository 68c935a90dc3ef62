//! Nothing that a plugin starts outlives its host. A test program of its own, because a process
//! that hides its origin can only be told from others' while one host lives.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::options;
use provara_core::json;
use provara_plugins::host::{ExitReason, Host, HostError, Validating};
use provara_plugins::sandbox::SandboxMode;

fn is_alive(pid: i32) -> bool {
    // A killed process that nobody has waited for yet is a zombie: dead for our purpose.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a host that starts a process, kills the host from another thread, and sees to it that
/// the process is gone.
fn leaves_nothing(mode: &str) {
    let (mut options, printed) = options(mode);
    // Inside the sandbox there are no children.
    options.sandbox = SandboxMode::Off;
    let mut host = Host::start(Validating, options).unwrap();
    let kill_handle = host.kill_handle();
    let waiting = std::thread::spawn(move || {
        let data = json::parse(b"{}").unwrap();
        let error = host
            .validate(&"com.acme.audit.login".parse().unwrap(), &data)
            .unwrap_err();
        drop(host);
        error
    });
    let pid = || -> Option<i32> {
        printed
            .text()
            .lines()
            .find_map(|line| line.rsplit_once(" child ")?.1.parse().ok())
    };
    until("the child is reported", || pid().is_some());
    let child = pid().unwrap();
    assert!(is_alive(child), "{mode}");
    kill_handle.kill();
    assert!(matches!(
        waiting.join().unwrap(),
        HostError::Died {
            ending: ExitReason::Signal(9),
            ..
        }
    ));
    until("the child is gone", || !is_alive(child));
    kill_handle.kill();
}

#[test]
fn no_child_outlives_its_host_and_no_other_is_harmed() {
    // As a shell's job, of a group of its own, when the shell becomes this program.
    let mut job = Command::new("sleep")
        .arg("60")
        .process_group(0)
        .spawn()
        .unwrap();
    for mode in ["child", "daemon", "bare daemon"] {
        leaves_nothing(mode);
    }
    assert_eq!(job.try_wait().unwrap(), None, "the job still runs");
    job.kill().unwrap();
    job.wait().unwrap();
}
