//! What libraries expect of their surroundings, and what they get of it inside the sandbox.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use provara_core::json;
use provara_plugins::host::{Host, Validating, Verdict};
use provara_plugins::sandbox::SandboxMode;

use crate::world::{KINDS, Kind, World};

/// The temporary directory of a host, and what else it says of it.
fn directory(world: &World, kind: Kind, sandbox: SandboxMode, code: &str) -> (PathBuf, String) {
    let codes = ["import os; got = os.environ['TMPDIR']", code];
    let mut said = world.run(kind, sandbox, &codes).into_iter();
    // As Python writes texts.
    let mut next = || said.next().unwrap().unwrap().trim_matches('\'').to_owned();
    (PathBuf::from(next()), next())
}

#[test]
fn each_host_has_a_temporary_directory_that_goes_with_it() {
    let Some(world) = World::confined() else {
        return;
    };
    let work = "import glob, os, stat, tempfile\n\
                t = os.environ['TMPDIR']\n\
                assert tempfile.gettempdir() == os.environ['TEMP'] == os.environ['TMP'] == t\n\
                assert os.listdir(t) == [], os.listdir(t)\n\
                s = os.stat(t); assert stat.S_IMODE(s.st_mode) == 0o700 and s.st_uid == os.getuid()\n\
                for name in ('XDG_CACHE_HOME', 'MPLCONFIGDIR', 'NUMBA_CACHE_DIR'):\n\
                \x20 d = os.environ[name]; assert d.startswith(t + '/'); os.makedirs(d)\n\
                f = open(os.path.join(t, 'left'), 'w'); f.write('SECRET'); f.flush()\n\
                got = 'done'";
    let mut seen = Vec::new();
    for kind in KINDS {
        for sandbox in [SandboxMode::Require, SandboxMode::Require, SandboxMode::Off] {
            let (path, said) = directory(&world, kind, sandbox, work);
            assert_eq!(said, "done");
            assert!(!path.exists(), "{kind:?} left {}", path.display());
            let medium = match kind {
                Kind::Reduce => PathBuf::from("/dev/shm"),
                _ => std::env::temp_dir(),
            };
            assert!(path.starts_with(medium), "{kind:?}: {}", path.display());
            assert!(!seen.contains(&path));
            seen.push(path);
        }
    }
}

#[test]
fn no_host_reaches_into_that_of_another() {
    let Some(world) = World::confined() else {
        return;
    };
    let other = World::new();
    let mut options = world.options("[\"import os; got = os.environ['TMPDIR']\"]");
    options.sandbox = SandboxMode::Require;
    let mut host = Host::start(Validating, options).unwrap();
    let data = json::parse(b"{}").unwrap();
    let verdict = host.validate(&"com.acme.x".parse().unwrap(), &data);
    let Ok(Verdict::Refused(said)) = verdict else {
        panic!("{verdict:?}");
    };
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let path = said[0]["got"].as_str().unwrap().trim_matches('\'');
    fs::write(format!("{path}/file"), "SECRET").unwrap();
    let codes = [
        format!("got = open('{path}/file').read()"),
        format!("import os; got = os.listdir('{path}')"),
        format!("import os; got = os.listdir(os.path.dirname('{path}'))"),
        format!("open('{path}/more', 'a').close(); got = 1"),
        format!("import os; got = os.mkdir('{path}/d' + str(os.getpid()))"),
    ];
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    other.stops(&KINDS, &codes);
    // Nor where the user opens the directory in which it lies.
    let around = PathBuf::from(path).parent().unwrap().to_path_buf();
    let said = other.run_with(Kind::Validate, SandboxMode::Require, &codes, |options| {
        options.environment.python_path.insert(0, around);
    });
    assert!(said.iter().all(Result::is_err), "{said:?}");
    // It goes with a host that is dropped in the middle of its work.
    drop(host);
    assert!(!PathBuf::from(path).exists());
}

#[test]
fn modes_and_times_stay_as_they_are_and_nobody_is_told() {
    let Some(world) = World::confined() else {
        return;
    };
    let looked_at = ["vault/events", "vault/events/events.ndjson", "home/.ssh/id"];
    let look = || {
        looked_at.map(|path| {
            let data = fs::metadata(world.path(path)).unwrap();
            (data.mode(), data.mtime(), data.mtime_nsec(), data.uid())
        })
    };
    let before = look();
    let mut codes = Vec::new();
    for path in looked_at {
        codes.push(format!(
            "import os; got = os.chmod('{{root}}/{path}', 0o777)"
        ));
        codes.push(format!(
            "import os; got = os.utime('{{root}}/{path}', (1, 1))"
        ));
        // `fchmodat2`, which is newer than the C library may be.
        codes.push(format!(
            "import ctypes; got = ctypes.CDLL(None).syscall(452, -100, b'{{root}}/{path}', 0o777, 0)"
        ));
    }
    codes.push("import os; d = os.open('/', os.O_PATH); got = os.listxattr('/')".to_owned());
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    world.lets(&KINDS, &codes);
    world.lets(
        &[Kind::Reduce],
        &[
            "import os; got = os.fchmod(request['log_fd'], 0o777)",
            "import os; got = os.utime(request['log_fd'], (1, 1))",
        ],
    );
    assert_eq!(look(), before);
    // An owner and an attribute are refused as before.
    world.stops(
        &KINDS,
        &["import os; got = os.setxattr('{root}/vault/events', 'user.x', b'1')"],
    );
    // A plugin that reads a mode back sees that it did not change.
    let own = "import os; p = os.environ['TMPDIR'] + '/f'; f = open(p, 'w'); os.chmod(p, 0o600)\n\
               m = os.stat(p).st_mode; os.chmod(p, 0o640); assert os.stat(p).st_mode == m; got = 1";
    world.lets(&KINDS, &[own]);
}

#[test]
fn libraries_copy_unpack_and_spill() {
    let Some(world) = World::confined() else {
        return;
    };
    let start = "import os, pathlib, shutil, sqlite3, tarfile, tempfile, zipfile\n\
                 d = tempfile.mkdtemp(); a = pathlib.Path(d, 'a'); a.mkdir()\n\
                 (a / 'x').write_text('text'); b = os.path.join(d, 'b')\n";
    let codes = [
        "shutil.copy(a / 'x', b); got = open(b).read()",
        "shutil.copy2(a / 'x', b); got = open(b).read()",
        "shutil.copytree(a, b); got = open(b + '/x').read()",
        "shutil.move(a, b); got = open(b + '/x').read()",
        "shutil.copy(shutil.__file__, b); got = os.path.getsize(b)",
        "z = b + '.zip'; f = zipfile.ZipFile(z, 'w'); f.write(a / 'x', 'x'); f.close()\n\
         zipfile.ZipFile(z).extractall(b); got = open(b + '/x').read()",
        "z = b + '.tar.gz'; f = tarfile.open(z, 'w:gz'); f.add(a, 'a'); f.close()\n\
         tarfile.open(z).extractall(b); got = open(b + '/a/x').read()",
        "f = shutil.make_archive(b, 'zip', a); shutil.unpack_archive(f, b); got = os.listdir(b)",
        "f = tempfile.TemporaryFile(); f.write(b'x' * 100000); f.seek(0); got = len(f.read())",
        "f = tempfile.NamedTemporaryFile(); f.write(b'x'); f.flush(); got = open(f.name).read()",
        "f = tempfile.SpooledTemporaryFile(10); f.write(b'x' * 99); f.seek(0); got = f.read()",
        "with tempfile.TemporaryDirectory() as t: open(t + '/f', 'w').close()\n\
         got = os.path.exists(t); assert not got",
        // Sorting more than fits into its cache, SQLite writes a file.
        "c = sqlite3.connect(''); c.execute('pragma cache_size = 10'); c.execute('create table t(x)')\n\
         c.executemany('insert into t values (?)', ((os.urandom(500),) for _ in range(4000)))\n\
         c.execute('pragma temp_store = file')\n\
         got = len(c.execute('select x from t order by x').fetchall())",
    ]
    .map(|code| format!("{start}{code}"));
    world.lets(&KINDS, &codes.each_ref().map(String::as_str));
}

#[test]
fn a_process_reads_its_own_control_group_and_nothing_else_of_proc() {
    let Some(world) = World::confined() else {
        return;
    };
    world.lets(&KINDS, &["got = open('/proc/self/cgroup').read()"]);
    world.stops(
        &KINDS,
        &[
            "got = open('/proc/{parent}/cgroup').read()",
            "got = open('/proc/self/environ').read()",
            "got = open('/proc/self/maps').read()",
            "got = open('/proc/self/status').read()",
            "import os; got = os.listdir('/proc/self')",
            "import os; got = os.listdir('/sys/fs/cgroup')",
        ],
    );
    let inside = world.run(Kind::Validate, SandboxMode::Require, &[
        "import os\n\
         groups = [line.split(':', 2) for line in open('/proc/self/cgroup').read().splitlines()]\n\
         paths = ['/sys/fs/cgroup' + g + '/memory.max' for _, c, g in groups if not c]\n\
         paths += ['/sys/fs/cgroup/memory' + g + '/memory.limit_in_bytes' for _, c, g in groups if c == 'memory']\n\
         got = [open(path).read() for path in paths if os.path.exists(path)]",
    ]);
    assert!(inside[0].is_ok(), "{inside:?}");
}

#[test]
fn what_a_reducer_writes_in_memory_is_bounded() {
    let Some(world) = World::confined() else {
        return;
    };
    let large = "import os; f = open(os.environ['TMPDIR'] + '/f', 'wb'); got = f.truncate(1 << 30)";
    world.stops(&[Kind::Reduce], &[large]);
}
