//! What the integration tests share: a temporary directory, and a host that is a script.

#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use provara_plugins::environment::Environment;
use provara_plugins::host::HostOptions;
use provara_plugins::runtime::Runtime;

/// A directory that is removed when the value is dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("provara-host-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        TempDir(fs::canonicalize(path).unwrap())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The example `launcher`, which Cargo builds before it runs integration tests.
pub fn launcher() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/launcher");
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// What plugins printed.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<String>>);

impl Printed {
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Options for the fake host in the given mode; the version follows the path by a trick, so that
/// the script needs no further variable.
pub fn options(mode: &str) -> (HostOptions, Printed) {
    // Cargo sets it, and who has copied the test elsewhere.
    let crates = std::env::var_os("CARGO_MANIFEST_DIR");
    let crates = crates.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let fake = Path::new(&crates).join("tests/fake_host");
    let version = PathBuf::from(format!("/version-{}", env!("CARGO_PKG_VERSION")));
    let printed = Printed::default();
    let sink = printed.clone();
    let mut options = HostOptions::new(Runtime::find().unwrap());
    options.launcher = Some(launcher());
    options.environment = Environment {
        home: None,
        relative_path: Vec::new(),
        python_path: vec![fake, version],
        virtual_env: None,
        plugins: Some(mode.into()),
    };
    options.output = Arc::new(move |line| sink.0.lock().unwrap().push_str(line));
    (options, printed)
}
