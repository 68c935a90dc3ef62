//! What belongs to an interpreter, by looking at its files.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What belongs to an interpreter.
pub(super) struct Surroundings {
    /// What is executed; of a script, what it stands for.
    pub(super) program: PathBuf,
    pub(super) binary: PathBuf,
    pub(super) prefix: PathBuf,
    pub(super) base_prefixes: Vec<PathBuf>,
    pub(super) system_site_packages: bool,
}

/// Works out what belongs to an interpreter; or why it cannot be used, in words.
pub(super) fn inspect(program: &Path) -> Result<Surroundings, String> {
    let words = |error: io::Error| error.to_string();
    let binary = fs::canonicalize(program).map_err(words)?;
    if !starts_with(&binary, b"#!").map_err(words)? {
        return Ok(describe(program.to_path_buf(), binary));
    }
    let told = ask(program)?;
    // What a shim names may be a virtual environment's link: look at that one.
    if !told.is_absolute() || !is_executable(&told) {
        return Err(format!("it names {}, which cannot be run", told.display()));
    }
    let binary = fs::canonicalize(&told).map_err(words)?;
    if starts_with(&binary, b"#!").map_err(words)? {
        return Err("it is a script that names another script".to_owned());
    }
    Ok(describe(told, binary))
}

/// Whether it is a file that may be executed.
pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The most bytes of a `pyvenv.cfg` that are read.
const MAX_CONFIG: u64 = 64 << 10;

/// How many environments are followed that were each made with the interpreter of another one.
const MAX_ENVIRONMENTS: usize = 4;

/// Reads the prefixes from the directory layout, as Python's own start-up does.
fn describe(program: PathBuf, binary: PathBuf) -> Surroundings {
    let own = above(&binary);
    let environment = [program.parent(), program.parent().and_then(Path::parent)]
        .into_iter()
        .flatten()
        .find(|directory| directory.join("pyvenv.cfg").is_file())
        .map(Path::to_path_buf);
    let config = environment.as_deref().map(Config::read).unwrap_or_default();
    let mut base_prefixes = BTreeSet::from([own.clone()]);
    // The binary may be a copy, beside which there is no library. What the file names counts only if one
    // lies there: an installed package can write this file, too.
    let named = config.base_prefixes(&program, MAX_ENVIRONMENTS).into_iter();
    base_prefixes.extend(named.filter(|prefix| has_library(prefix)));
    Surroundings {
        program,
        binary,
        // Outside an environment the prefix is that of the binary, whatever link led there.
        prefix: environment.unwrap_or(own),
        base_prefixes: base_prefixes.into_iter().collect(),
        system_site_packages: config.system_site_packages,
    }
}

/// The prefix of an executable: two levels up.
fn above(path: &Path) -> PathBuf {
    let prefix = path.parent().and_then(Path::parent).map(Path::to_path_buf);
    prefix.unwrap_or_else(|| PathBuf::from("/"))
}

/// Whether a standard library lies below a prefix, by the file that Python looks for.
fn has_library(prefix: &Path) -> bool {
    ["lib", "lib64"].iter().any(|lib| {
        let entries = fs::read_dir(prefix.join(lib))
            .into_iter()
            .flatten()
            .flatten();
        let mut versions = entries.filter(|e| e.file_name().as_bytes().starts_with(b"python3"));
        versions.any(|version| version.path().join("os.py").is_file())
    })
}

/// What a `pyvenv.cfg` says of the installation that an environment was made from.
#[derive(Default)]
struct Config {
    /// The directory of the interpreter.
    home: Option<PathBuf>,
    /// The interpreter itself (from Python 3.11 on).
    executable: Option<PathBuf>,
    system_site_packages: bool,
}

impl Config {
    fn read(environment: &Path) -> Config {
        let mut config = Config::default();
        let file = environment.join("pyvenv.cfg");
        let text = match fs::metadata(&file) {
            Ok(data) if data.len() <= MAX_CONFIG => fs::read(&file).unwrap_or_default(),
            _ => return config,
        };
        for line in text.split(|byte| *byte == b'\n') {
            let Some(at) = line.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let value = line[at + 1..].trim_ascii();
            let path = || Some(PathBuf::from(OsStr::from_bytes(value))).filter(|p| p.is_absolute());
            match line[..at].trim_ascii().to_ascii_lowercase().as_slice() {
                b"home" => config.home = path(),
                b"executable" => config.executable = path(),
                b"include-system-site-packages" => {
                    config.system_site_packages = value.eq_ignore_ascii_case(b"true");
                }
                _ => {}
            }
        }
        config
    }

    /// The prefixes that it leads to: of the directory as it is named, and of the interpreter in it
    /// behind all links. Where these are of an environment, too, those that it leads to: until Python 3.11
    /// the file names no other, and the interpreter there may be a copy.
    fn base_prefixes(&self, program: &Path, most: usize) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut interpreters: Vec<PathBuf> = self.executable.iter().cloned().collect();
        if let Some(home) = &self.home {
            // As if an executable lay in it.
            found.insert(above(&home.join("python3")));
            let names = [program.file_name(), Some(OsStr::new("python3"))];
            interpreters.extend(names.into_iter().flatten().map(|name| home.join(name)));
        }
        let real = interpreters
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok());
        found.extend(real.map(|path| above(&path)));
        if most > 1 {
            let environments = found.iter().map(|prefix| Config::read(prefix));
            let others = environments.map(|config| config.base_prefixes(program, most - 1));
            found.extend(others.flatten().collect::<Vec<_>>());
        }
        found
    }
}

fn starts_with(path: &Path, magic: &[u8]) -> io::Result<bool> {
    let mut head = [0; 2];
    let mut file = fs::File::open(path)?;
    match io::Read::read_exact(&mut file, &mut head) {
        Ok(()) => Ok(head == magic),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks a shim which interpreter it stands for.
///
/// A shim is a shell script: it gets `PATH` and `HOME`, which shims need, and nothing else.
fn ask(program: &Path) -> Result<PathBuf, String> {
    let mut command = Command::new(program);
    command
        .args([
            "-I",
            "-S",
            "-c",
            "import sys; sys.stdout.write(sys.executable)",
        ])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let kept = [
        "PATH",
        "HOME",
        "PYENV_VERSION",
        "PYENV_ROOT",
        "ASDF_DIR",
        "ASDF_DATA_DIR",
    ];
    for name in kept {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("it ended with {}", output.status));
    }
    let path = OsStr::from_bytes(&output.stdout);
    if path.is_empty() {
        return Err("it did not say which interpreter it stands for".to_owned());
    }
    Ok(PathBuf::from(path))
}
