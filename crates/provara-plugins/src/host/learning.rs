//! Learning which names each installed distribution has, for the commands to come ([`crate::claims`]).
//!
//! Each distribution is loaded alone, in a confined process that is started for it and ended before the
//! next: with a temporary directory of its own and without the state directory, so that what one
//! says of itself is no other one's doing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::HostError;
use super::host_process::HostProcess;
use super::options::HostOptions;
use crate::catalog::Catalog;
use crate::claims::{Claim, Claims};
use crate::declared;
use crate::purpose::Examining;
use crate::sandbox::Level;

/// How long a command goes on learning, at most; the next one goes on from there.
const BUDGET: Duration = Duration::from_secs(1);

/// How long one distribution may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The files of a distribution's metadata that say what it is.
const METADATA: [&str; 4] = ["", "METADATA", "RECORD", "entry_points.txt"];

/// Where the system tells of itself, anew each time. No plugin's name depends on it.
const SYSTEM: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The most files that a distribution's plugins may depend on.
const MAX_FILES: usize = 20_000;

/// Learns what is not known yet of the plugins in an environment, for about a second at most. What a command
/// needs it has got before: what fails here is tried again by a later one.
///
/// A command either finds that something has changed, or learns: where each follows upon a change, none
/// learns in vain.
pub fn learn(mut options: HostOptions) {
    let (runtime, environment) = (&options.runtime, &options.environment);
    let Some(mut claims) = Claims::of(runtime, environment, &options.allowed) else {
        return;
    };
    if claims.is_complete() {
        return;
    }
    let now = SystemTime::now();
    if claims.disturbed || !claims.is_settled(now) {
        let _ = claims.write(false);
        return;
    }
    let found = declared::distributions(runtime, environment);
    options.state_dir = None;
    options.wanted = None;
    options.timeout = Some(options.timeout.map_or(LIMIT, |limit| limit.min(LIMIT)));
    options.output = Arc::new(|_| ());
    let options = Arc::new(options);
    let until = Instant::now() + BUDGET;
    let mut complete = true;
    // One alone is never left out.
    for path in found.iter().filter(|_| found.len() > 1) {
        // What has no name in UTF-8 is always loaded.
        let Some(directory) = path.to_str().filter(|name| !claims.knows(name)) else {
            continue;
        };
        complete &= Instant::now() < until && examine(&options, path, directory, &mut claims);
    }
    let _ = claims.write(complete);
}

/// Lets a distribution say what names it has. Says whether that is noted.
fn examine(options: &Arc<HostOptions>, path: &Path, directory: &str, claims: &mut Claims) -> bool {
    let began = SystemTime::now();
    let own = METADATA.map(|name| path.join(name));
    let own = own
        .iter()
        .filter_map(|path| path.to_str().map(str::to_owned));
    let own: Vec<String> = own.collect();
    match alone(options, directory) {
        Ok(Some((names, looked_at))) => {
            let all = own.iter().cloned().chain(looked_at);
            claims.note(directory, Some(names), all, began)
                || claims.gives_up(directory) && claims.note(directory, None, own, began)
        }
        // Something is wrong with it, which every command tells.
        Ok(None) => claims.note(directory, None, own, began),
        Err(HostError::Died { .. } | HostError::TimedOut { .. } | HostError::Plugin(_)) => {
            claims.note(directory, None, own, began)
        }
        Err(_) => false,
    }
}

/// The names of a distribution, and what the process looked at; nothing if not all of its plugins can be used.
type Examined = Option<(BTreeSet<Claim>, Vec<String>)>;

fn alone(options: &Arc<HostOptions>, directory: &str) -> Result<Examined, HostError> {
    let mut process = HostProcess::start_without(
        Arc::new(Examining),
        Arc::clone(options),
        Vec::new(),
        super::KillHandle::default(),
    )?;
    if process.confinement.level < Level::Full {
        // Not its own word alone.
        return Err(std::io::Error::other("the process is not confined").into());
    }
    let request = process.request("discover").json("skip", b"[]");
    let found = process.found(request.string("only", directory))?;
    let open = process.open.take().unwrap_or_default();
    let places = options.runtime.install_places(&options.environment);
    process.finish()?;
    let files = found.files.clone().unwrap_or_default();
    let catalog = Catalog::from_wire(found, None);
    let names = Claim::all(&catalog);
    if !catalog.problems.is_empty() || names.is_empty() || files.len() > MAX_FILES {
        return Ok(None);
    }
    let roots: Vec<&PathBuf> = open.iter().chain(&places).collect();
    let files = files.into_iter();
    let files = files.filter(|path| lies_within(Path::new(path), &roots));
    Ok(Some((names, files.collect())))
}

/// Whether a process may have looked at a path of which it says so: it cannot have looked elsewhere, and nobody
/// else is to look there because it says so.
fn lies_within(path: &Path, roots: &[&PathBuf]) -> bool {
    let leads_out = path.components().any(|part| part == Component::ParentDir);
    let is_system = SYSTEM.iter().any(|root| path.starts_with(root));
    !leads_out && !is_system && roots.iter().any(|root| path.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_process_could_read_is_looked_at() {
        let (site, all) = (PathBuf::from("/env/site"), PathBuf::from("/"));
        for path in ["/env/site", "/env/site/a.py", "/env/site/b/./c"] {
            assert!(lies_within(Path::new(path), &[&site]), "{path}");
        }
        for path in [
            "",
            "a.py",
            "/env/sites/a.py",
            "/net/host/a",
            "/env/site/../../net/host/a",
            "/env/site/..",
        ] {
            assert!(!lies_within(Path::new(path), &[&site]), "{path}");
        }
        for path in ["/proc/meminfo", "/dev/null", "/sys/devices/system/cpu"] {
            assert!(!lies_within(Path::new(path), &[&all]), "{path}");
        }
    }
}
