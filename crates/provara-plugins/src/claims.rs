//! Which names the plugins of each installed distribution have, remembered so that a command need load only
//! the distributions that it asks for.
//!
//! Nobody but the executable writes this. What it notes of a distribution was said by a confined process that
//! loaded no other one ([`crate::host::learn`]), so no plugin speaks of another. It is never more than a
//! reason to leave distributions out of which it is known that nobody asks for them: what is loaded is loaded
//! anew and says for itself what it is, what is not noted is loaded, and so is all of it where the answer
//! would not be the same ([`Choice`]). An entry counts as long as every file is what it was that the
//! distribution's process looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provara_core::id::Digest;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, PluginKind};
use crate::environment::Environment;
use crate::runtime::Runtime;
use crate::state::{self, Kept};

/// The version of the form.
const VERSION: u32 = 1;

/// The most bytes of one file that are read.
const MAX_LENGTH: u64 = 16 << 20;

/// How many environments are remembered; of more the oldest are forgotten.
const MAX_ENVIRONMENTS: usize = 32;

/// How old a change must be before a file counts as settled. Of a younger one a later change in the same
/// tick of the file system's clock would not be seen.
const SETTLED: Duration = Duration::from_secs(2);

/// How often a distribution is asked whose files are never as they were for a while.
const MAX_IN_VAIN: u32 = 5;

/// A name among those of its kind. Event types and their aliases share one space of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Claim {
    space: Space,
    /// In small letters.
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Space {
    Event,
    Reducer,
    Export,
}

impl Claim {
    pub(crate) fn new(kind: PluginKind, name: &str) -> Claim {
        let space = match kind {
            PluginKind::EventType => Space::Event,
            PluginKind::Reducer => Space::Reducer,
            PluginKind::Export => Space::Export,
        };
        let name = name.to_lowercase();
        Claim { space, name }
    }

    /// All names that the plugins of a catalogue have.
    pub(crate) fn all(catalog: &Catalog) -> BTreeSet<Claim> {
        let types = catalog.event_types.iter().flat_map(|info| {
            let alias = info.alias.as_ref().map(|alias| alias.as_str());
            [Some(info.event_type.as_str()), alias]
        });
        let types = types.flatten().map(|name| (PluginKind::EventType, name));
        let named = |kind, plugins| {
            let plugins: &[crate::catalog::PluginInfo] = plugins;
            plugins.iter().map(move |info| (kind, info.name.as_str()))
        };
        types
            .chain(named(PluginKind::Reducer, &catalog.reducers))
            .chain(named(PluginKind::Export, &catalog.exports))
            .map(|(kind, name)| Claim::new(kind, name))
            .collect()
    }
}

/// What a file or a directory was like. Whatever is written to it, and whatever takes its place, changes this;
/// the time of the last change (`ctime`) cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Nothing, where there is nothing.
    fn of(path: &Path) -> Option<Stamp> {
        let data: Metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            inode: data.ino(),
            size: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }

    fn is_settled(self, now: SystemTime) -> bool {
        let settled = now.checked_sub(SETTLED).unwrap_or(UNIX_EPOCH);
        let settled = settled.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = i64::try_from(settled.as_secs()).unwrap_or(i64::MAX);
        self.modified.0 < settled && self.changed.0 < settled
    }
}

/// What is remembered of one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    version: u32,
    /// What the environment is, in full.
    environment: String,
    /// Whether every distribution with plugins has an entry.
    complete: bool,
    /// The directories that packages lie in: what is found under a name depends on all of them.
    places: BTreeMap<String, Option<Stamp>>,
    /// What the processes of the distributions looked at.
    files: Vec<(String, Option<Stamp>)>,
    /// By the directory of the metadata.
    distributions: BTreeMap<String, Entry>,
    /// How often each of those was asked in vain that have no entry.
    in_vain: BTreeMap<String, u32>,
}

/// What is remembered of one distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Its names; nothing where it cannot be left out, since something is wrong with it.
    claims: Option<BTreeSet<Claim>>,
    /// The places of its files in the list of all.
    files: Vec<usize>,
}

/// The memory of one environment, as it was found.
#[derive(Debug)]
pub(crate) struct Claims {
    file: PathBuf,
    notes: Notes,
    /// Something was there that is no longer so, or nothing was there.
    pub(crate) disturbed: bool,
}

/// Which distributions a host does without.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The directories of their metadata.
    pub(crate) left: Vec<String>,
    wanted: Claim,
    claims: BTreeSet<Claim>,
}

impl Choice {
    /// Whether the plugins that were loaded answer for what is wanted as all of them would: one has the name,
    /// and none has a name of those that were left out.
    pub(crate) fn suffices(&self, loaded: &Catalog) -> bool {
        let loaded = Claim::all(loaded);
        loaded.contains(&self.wanted) && loaded.is_disjoint(&self.claims)
    }
}

impl Claims {
    /// What is remembered for hosts of this kind. Nothing where there is no place for it.
    pub(crate) fn of(
        runtime: &Runtime,
        environment: &Environment,
        allowed: &[PathBuf],
    ) -> Option<Claims> {
        Claims::at(
            &state::home()?.join("claims"),
            runtime,
            environment,
            allowed,
        )
    }

    fn at(
        directory: &Path,
        runtime: &Runtime,
        environment: &Environment,
        allowed: &[PathBuf],
    ) -> Option<Claims> {
        let known_by = format!(
            "{} {runtime:?} {:?} {environment:?} {allowed:?}",
            env!("CARGO_PKG_VERSION"),
            runtime
                .executables()
                .iter()
                .map(|path| Stamp::of(path))
                .collect::<Vec<_>>(),
        );
        let digest = Digest::of(known_by.as_bytes()).to_string();
        let file = directory.join(format!("{digest}.json"));
        let places = runtime.install_places(environment);
        let places = places
            .iter()
            .map(|path| Some((text(path)?, Stamp::of(path))));
        let fresh = Notes {
            version: VERSION,
            environment: known_by,
            places: places.collect::<Option<_>>()?,
            ..Notes::default()
        };
        Some(Claims::read(file, fresh))
    }

    /// Takes of what is there what still holds.
    fn read(file: PathBuf, fresh: Notes) -> Claims {
        let found = read_file(&file).filter(|found| {
            found.version == VERSION
                && found.environment == fresh.environment
                && found.places == fresh.places
        });
        let Some(mut notes) = found else {
            return Claims {
                file,
                notes: fresh,
                disturbed: true,
            };
        };
        // What changed goes, and with it whatever depends on it.
        let mut places = Vec::new();
        let mut kept = 0;
        notes.files.retain(|(path, stamp)| {
            let holds = Stamp::of(Path::new(path)) == *stamp;
            places.push(holds.then_some(kept));
            kept += usize::from(holds);
            holds
        });
        let before = notes.distributions.len();
        notes.distributions.retain(|_, entry| {
            let moved = entry.files.iter().map(|at| places.get(*at).copied()?);
            let moved: Option<Vec<usize>> = moved.collect();
            let holds = moved.is_some();
            entry.files = moved.unwrap_or_default();
            holds
        });
        let disturbed = notes.distributions.len() < before;
        notes.complete &= !disturbed;
        Claims {
            file,
            notes,
            disturbed,
        }
    }

    /// Whether there is nothing to be learned.
    pub(crate) fn is_complete(&self) -> bool {
        self.notes.complete
    }

    /// Whether the directories of packages have been as they are for a while.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let mut stamps = self.notes.places.values().flatten();
        stamps.all(|stamp| stamp.is_settled(now))
    }

    /// Which distributions need not be loaded where a plugin of this name is wanted; nothing if it is not
    /// known who has it. Those that share a name with another stay, so that they collide as ever.
    pub(crate) fn choose(&self, kind: PluginKind, name: &str) -> Option<Choice> {
        let wanted = Claim::new(kind, name);
        let mut owners: BTreeMap<&Claim, usize> = BTreeMap::new();
        let entries = || {
            let entries = self.notes.distributions.iter();
            entries.filter_map(|(directory, entry)| Some((directory, entry.claims.as_ref()?)))
        };
        for claim in entries().flat_map(|(_, claims)| claims) {
            *owners.entry(claim).or_default() += 1;
        }
        owners.get(&wanted)?;
        let (mut left, mut claims) = (Vec::new(), BTreeSet::new());
        for (directory, own) in entries() {
            let shares = |claim: &Claim| *claim == wanted || owners.get(claim) != Some(&1);
            if !own.iter().any(shares) {
                left.push(directory.clone());
                claims.extend(own.iter().cloned());
            }
        }
        (!left.is_empty()).then_some(Choice {
            left,
            wanted,
            claims,
        })
    }

    /// Whether there is an entry for a distribution.
    pub(crate) fn knows(&self, directory: &str) -> bool {
        self.notes.distributions.contains_key(directory)
    }

    /// Notes what a distribution's own process said, which began at `began`, and what that depends on. Says
    /// whether all of it had been as it was for a while; otherwise nothing is noted.
    pub(crate) fn note(
        &mut self,
        directory: &str,
        claims: Option<BTreeSet<Claim>>,
        looked_at: impl IntoIterator<Item = String>,
        began: SystemTime,
    ) -> bool {
        let mut known: HashMap<String, usize> = HashMap::new();
        for (at, (path, _)) in self.notes.files.iter().enumerate() {
            known.insert(path.clone(), at);
        }
        let mut files = Vec::new();
        for path in looked_at {
            let stamp = Stamp::of(Path::new(&path));
            let at = match known.get(&path) {
                // It was looked at before, and may be another one now.
                Some(at) if self.notes.files[*at].1 == stamp => *at,
                Some(_) => return false,
                None if stamp.is_none_or(|stamp| stamp.is_settled(began)) => {
                    self.notes.files.push((path.clone(), stamp));
                    known.insert(path, self.notes.files.len() - 1);
                    self.notes.files.len() - 1
                }
                None => return false,
            };
            files.push(at);
        }
        let entry = Entry { claims, files };
        self.notes.distributions.insert(directory.to_owned(), entry);
        true
    }

    /// A distribution could not be noted, and is not to be asked again: what it looks at changes all the time.
    pub(crate) fn gives_up(&mut self, directory: &str) -> bool {
        let count = self.notes.in_vain.entry(directory.to_owned()).or_default();
        *count += 1;
        *count >= MAX_IN_VAIN
    }

    /// Replaces what is remembered of this environment.
    pub(crate) fn write(mut self, complete: bool) -> io::Result<()> {
        self.notes.complete = complete;
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        state::make(directory)?;
        forget_the_oldest(directory, &self.file);
        let text = serde_json::to_vec(&self.notes).map_err(io::Error::other)?;
        state::replace(&self.file, &text, Kept::AsLongAsItLasts)
    }
}

fn text(path: &Path) -> Option<String> {
    path.to_str().map(str::to_owned)
}

fn read_file(file: &Path) -> Option<Notes> {
    let length = fs::metadata(file).ok()?.len();
    let text = (length <= MAX_LENGTH)
        .then(|| fs::read(file).ok())
        .flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Makes room for one more.
fn forget_the_oldest(directory: &Path, own: &Path) {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut others: Vec<(SystemTime, PathBuf)> = files
        .map(|entry| entry.path())
        .filter(|path| path != own)
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    others.sort();
    let surplus = (others.len() + 1).saturating_sub(MAX_ENVIRONMENTS);
    for (_, path) in others.iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests;
