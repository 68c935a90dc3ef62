//! The private directories of outputs: their names, and which of those that were left stay.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use provara_staging::{Maker, Private, is_hex};

use crate::removal;
use crate::sandbox::is_vault;

/// How many digits of a name are random.
const DIGITS: usize = 16;

/// What stands between the name of the target and the digits.
const MARK: &str = ".provara-";

const COMMAND: Maker = Maker {
    name: "a command",
    work: " that writes an output",
    is_name,
    is_kept: is_vault,
    remove: |path| removal::remove(path),
};

/// Makes the private directory for the target `name`, under a name that is not taken.
pub(super) fn make(parent: &Path, name: &OsStr, run: Option<&str>) -> io::Result<Private> {
    provara_staging::make(parent, run, || {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut plain = OsString::from(".");
        plain.push(name);
        plain.push(format!("{MARK}{:0DIGITS$x}", u64::from_le_bytes(random)));
        Ok(plain)
    })
}

fn is_name(name: &str) -> bool {
    let split = name.strip_prefix('.').and_then(|it| it.rsplit_once(MARK));
    split.is_some_and(|(target, random)| !target.is_empty() && is_hex(random, DIGITS))
}

/// Removes what killed processes left in a directory, where nobody can be at work on it; tells of that, and of what
/// may be such a thing.
pub(super) fn sweep(parent: &Path, run: Option<&str>) -> Vec<String> {
    // In a vault nothing is removed, whatever it is called.
    match parent.ancestors().any(is_vault) {
        true => Vec::new(),
        false => provara_staging::sweep(parent, run, &COMMAND),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    const HERE: &str = "0123456789abcdef";

    #[test]
    fn what_nobody_holds_is_removed_and_what_somebody_holds_is_not() {
        let dir = TempDir::new();
        let make = |run| make(dir.path(), OsStr::new("out.csv"), run).unwrap();
        let alive = make(Some(HERE));
        // A process that was killed holds nothing any more.
        let Private { path: dead, held } = make(Some(HERE));
        drop(held.unwrap());
        fs::write(dead.join("out.csv"), "half").unwrap();
        let notes = sweep(dir.path(), Some(HERE));
        assert!(!dead.exists() && alive.path.exists());
        assert!(
            matches!(&notes[..], [note] if note.ends_with("is removed")),
            "{notes:?}"
        );
        // Of another run of the system, or of one that nobody knows, nobody can tell.
        let [other, unknown] = [Some("fedcba9876543210"), None].map(|run| make(run).path);
        for run in [Some(HERE), None] {
            let notes = sweep(dir.path(), run);
            assert!(other.exists() && unknown.exists() && alive.path.exists());
            let told = notes
                .iter()
                .filter(|it| it.contains("if none is at work there"));
            assert_eq!(told.count(), if run.is_some() { 2 } else { 3 }, "{notes:?}");
        }
    }

    #[test]
    fn nothing_else_is_touched_whatever_it_is_called() {
        let dir = TempDir::new();
        let name = format!(".out.csv.provara-{HERE}-{HERE}");
        let elsewhere = TempDir::new();
        symlink(elsewhere.path(), dir.path().join(&name)).unwrap();
        for other in [
            format!("{name}-old"),
            format!("{name}0"),
            name[1..].to_owned(),
        ] {
            fs::create_dir(dir.path().join(other)).unwrap();
        }
        fs::write(
            dir.path().join(format!(".x.provara-{HERE}-{HERE}")),
            "a file",
        )
        .unwrap();
        let vault = dir.path().join(format!(".v.provara-{HERE}-{HERE}"));
        let log = vault.join(provara_core::layout::LOG);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::create_dir_all(vault.join("identity")).unwrap();
        fs::write(log, "").unwrap();
        fs::create_dir(vault.join(&name)).unwrap();
        assert_eq!(sweep(dir.path(), Some(HERE)), [""; 0]);
        assert_eq!(sweep(&vault, Some(HERE)), [""; 0]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
        assert!(vault.join(&name).exists());
    }
}
