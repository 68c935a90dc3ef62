//! File systems that lack something: a library that is loaded before the system's answers as they do, for
//! calls that the executable makes through the C library.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::world::{Answer, World, append, copy};

/// Answers `fsync` of a directory, `fchmod` and `flock` with the numbers in the environment.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int refused(const char *name) {
    const char *text = getenv(name);
    if (text == NULL) return 0;
    errno = atoi(text);
    return 1;
}

int fsync(int fd) {
    struct stat about;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode) && refused("TEST_FSYNC")) return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fchmod(int fd, mode_t mode) {
    if (refused("TEST_FCHMOD")) return -1;
    return ((int (*)(int, mode_t))dlsym(RTLD_NEXT, "fchmod"))(fd, mode);
}

int flock(int fd, int how) {
    if (refused("TEST_FLOCK")) return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, how);
}
"#;

const EPERM: i32 = 1;
const EIO: i32 = 5;
const EBADF: i32 = 9;
const EINVAL: i32 = 22;
const ENOLCK: i32 = 37;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// A world whose file system answers with these numbers.
struct Lacking<'w> {
    world: &'w World,
    library: PathBuf,
    answers: Vec<(&'static str, i32)>,
}

impl<'w> Lacking<'w> {
    fn new(world: &'w World, answers: &[(&'static str, i32)]) -> Self {
        let library = world.path("shim.so");
        let source = world.path("shim.c");
        fs::write(&source, SHIM).unwrap();
        let done = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .unwrap();
        assert!(done.success());
        Self {
            world,
            library,
            answers: answers.to_vec(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.world.run_with(arguments, |command| {
            command.env("LD_PRELOAD", &self.library);
            for (name, number) in &self.answers {
                command.env(name, number.to_string());
            }
            command
        })
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Answer {
        let answer = self.run(arguments);
        assert_eq!(answer.code, 0, "{}", answer.transcript());
        answer
    }
}

#[track_caller]
fn valid(world: &World, vault: &str) {
    let answer = world.run(&["verify", vault]);
    assert_eq!(answer.code, 0, "{}", answer.transcript());
}

fn times(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn a_vault_lives_where_directories_cannot_be_synced_and_modes_not_changed() {
    for (fsync, fchmod) in [
        (EINVAL, EPERM),
        (EOPNOTSUPP, EOPNOTSUPP),
        (ENOSYS, ENOSYS),
        (EBADF, EPERM),
    ] {
        let world = World::new();
        let lacking = Lacking::new(&world, &[("TEST_FSYNC", fsync), ("TEST_FCHMOD", fchmod)]);
        let made = lacking.done(&["init", "vault"]);
        assert_eq!(times(&made.stderr, "note: "), 1, "{}", made.transcript());
        assert!(
            made.stderr.contains("loss of power"),
            "{}",
            made.transcript()
        );
        // A mode that the umask would not give a new file.
        let log = world.path("vault/events/events.ndjson");
        fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let more = [
            "--set",
            "subject=s",
            "--set",
            "predicate=p",
            "--set",
            "value=1",
        ];
        let receipt = lacking.done(&append(&more));
        assert_eq!(
            times(&receipt.stderr, "note: "),
            1,
            "{}",
            receipt.transcript()
        );
        let says = &receipt.stderr;
        assert!(
            says.contains("on the disk when they are acknowledged"),
            "{says}"
        );
        fs::write(world.path("lines"), batch(300)).unwrap();
        let many = lacking.done(&["append", "vault", "--batch", "lines"]);
        assert_eq!(
            times(&many.stderr, "file system"),
            1,
            "{}",
            many.transcript()
        );
        lacking.done(&["checkpoint", "vault"]);
        fs::write(world.path("vault/artifacts/one"), "1").unwrap();
        lacking.done(&["manifest", "vault"]);
        copy(&world.path("vault"), &world.path("other"));
        lacking.done(&append(&more));
        lacking.done(&[
            "append",
            "other",
            "--actor",
            "b",
            "--type",
            "OBSERVATION",
            "--data",
            "{}",
        ]);
        lacking.done(&["merge", "vault", "other"]);
        let mode = fs::metadata(&log).unwrap().permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777;
        assert_eq!(mode, 0o600, "the new log is no wider than the old one");
        valid(&world, "vault");
        lacking.done(&["backup", "vault", "b.tar.gz"]);
        let restored = lacking.done(&["restore", "b.tar.gz", "restored"]);
        assert!(
            restored.stderr.contains("loss of power"),
            "{}",
            restored.transcript()
        );
        valid(&world, "restored");
        lacking.done(&["repair", "restored"]);
        // Without Python its verdict on plugins is another one.
        let doctor = lacking.run(&["doctor", "vault"]).transcript();
        assert!(
            doctor.contains("not durable: directories cannot be synced"),
            "{doctor}"
        );
        assert!(doctor.contains("file modes cannot be changed"), "{doctor}");
        assert!(
            doctor.contains("files can be locked: any number"),
            "{doctor}"
        );
        valid(&world, "vault");
    }
}

fn batch(count: u32) -> String {
    let line = |number| {
        format!(
            r#"{{"type":"OBSERVATION","data":{{"subject":"s{number}","predicate":"p","value":1}}}}"#
        )
    };
    (0..count).map(|number| line(number) + "\n").collect()
}

#[test]
fn a_disk_that_fails_is_no_file_system_that_lacks_something() {
    let world = World::with_vault();
    let failing = Lacking::new(&world, &[("TEST_FSYNC", EIO)]);
    let before = world.tree("vault");
    failing
        .run(&append(&["--data", "{}"]))
        .refused(3, "Could not make");
    assert_eq!(world.tree("vault"), before);
    failing
        .run(&["init", "new"])
        .refused(3, "Input/output error");
    assert!(!world.path("new").exists(), "all of it or nothing");
    // What was done is not called undone.
    let answer = failing.run(&["backup", "vault", "b.tar"]);
    answer.refused(3, "is in its place and whole");
    assert_eq!(world.run(&["restore", "b.tar", "restored"]).code, 0);
    valid(&world, "restored");
    failing
        .run(&["restore", "b.tar", "again"])
        .refused(3, "Input/output error");
    assert!(!world.path("again").exists());
}

#[test]
fn without_locks_nothing_is_written_unless_somebody_says_that_he_is_alone() {
    for errno in [ENOLCK, ENOSYS, EOPNOTSUPP] {
        let world = World::with_vault();
        let lacking = Lacking::new(&world, &[("TEST_FLOCK", errno)]);
        fs::write(world.path("lines"), batch(3)).unwrap();
        world.observe("a", "1");
        copy(&world.path("vault"), &world.path("other"));
        let more = [
            "append",
            "other",
            "--actor",
            "b",
            "--type",
            "OBSERVATION",
            "--data",
            "{}",
        ];
        assert_eq!(world.run(&more).code, 0);
        let exported = world.run(&["delta", "export", "other", "--output", "d.ndjson"]);
        assert_eq!(exported.code, 0, "{}", exported.transcript());
        fs::write(world.path("vault/artifacts/one"), "1").unwrap();
        let event = event_id(&world);
        let commands: [&[&str]; 9] = [
            &["manifest", "vault"],
            &["append", "vault", "--type", "OBSERVATION", "--data", "{}"],
            &["append", "vault", "--batch", "lines"],
            &["checkpoint", "vault"],
            &["merge", "vault", "other"],
            &["delta", "import", "vault", "d.ndjson"],
            &["redact", "vault", &event, "--reason", "test", "--yes"],
            &["repair", "vault"],
            &["adopt", "vault", "--yes"],
        ];
        for command in commands {
            let before = world.tree("vault");
            let refused = lacking.run(command);
            assert_eq!(
                (refused.code, refused.stdout.as_str()),
                (3, ""),
                "{}",
                refused.transcript()
            );
            for said in [
                "ERROR: The file system of",
                "has no locks",
                "give --no-lock",
            ] {
                assert!(refused.stderr.contains(said), "{}", refused.transcript());
            }
            assert_eq!(world.tree("vault"), before, "{command:?}");
            let alone = lacking.run(&[command, &["--no-lock"]].concat());
            if command[0] == "adopt" {
                // There is nothing to adopt: it looked, without a lock.
                assert!(
                    !alone.stderr.contains("no locks,"),
                    "{}",
                    alone.transcript()
                );
                continue;
            }
            assert_eq!(alone.code, 0, "{}", alone.transcript());
            let told = times(&alone.stderr, "two at once lose events");
            assert_eq!(told, 1, "{}", alone.transcript());
            valid(&world, "vault");
        }
        // Readers take no harm.
        for command in [
            &["verify", "vault"],
            &["query", "vault"],
            &["replay", "vault"],
        ] {
            lacking.done(command);
        }
        lacking.done(&["backup", "vault", "b.tar.gz"]);
        let doctor = lacking.run(&["doctor", "vault"]).transcript();
        assert!(
            doctor.contains("files cannot be locked: commands that write refuse"),
            "{doctor}"
        );
        // Where there are locks, the option changes nothing.
        let locked = world.run(&append(&["--data", "{}", "--no-lock"]));
        assert_eq!(locked.code, 0, "{}", locked.transcript());
        assert!(
            !locked.stderr.contains("no locks"),
            "{}",
            locked.transcript()
        );
    }
}

/// The id of the vault's last event.
fn event_id(world: &World) -> String {
    let log = fs::read_to_string(world.path("vault/events/events.ndjson")).unwrap();
    let (_, rest) = log.rsplit_once(r#""event_id":""#).unwrap();
    rest[..28].to_owned()
}
