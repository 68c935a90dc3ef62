//! The plugin host as the commands use it: started only where a command needs a plugin, ended with
//! the command, its words turned into the command line's.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use clap::Args;
use provara_plugins::builtin::{Format, Reducer};
use provara_plugins::catalog::{Catalog, PluginKind, Problem, ProblemKind};
use provara_plugins::environment::Layout;
pub(crate) use provara_plugins::host::{Exporting, Listing, Reducing, Validating};
use provara_plugins::host::{Host, HostOptions, Purpose, SkippedPlugin};
use provara_plugins::interrupt::Guard;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::{Level, SandboxMode};
use provara_report::{Class, Diagnostic};

use crate::{terminal, vault};

/// The reducers that need no plugin.
pub(crate) const REDUCERS: &[&str] = &Reducer::NAMES;

/// The exports that need no plugin.
pub(crate) const EXPORTS: &[&str] = &Format::NAMES;

/// The heading of these options in the help.
pub(crate) const HEADING: &str = "Plugin options";

/// How the plugin host is run.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct HostArgs {
    /// End a plugin that takes longer than this many seconds [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = HEADING)]
    pub(crate) timeout: Option<Duration>,

    /// The sandbox of plugins: require (in full, or no plugin), auto (the best that the system has)
    /// or off (a separate process only) [env: PROVARA_SANDBOX] [default: auto]
    #[arg(long, value_name = "MODE", value_parser = sandbox, help_heading = HEADING)]
    sandbox: Option<SandboxMode>,
}

/// What a host is started for, and what must stay out of its reach.
pub(crate) struct Job<P> {
    purpose: P,
    protect: Vec<PathBuf>,
    allow_network: bool,
    layout: Layout,
    items: Vec<String>,
    skipped: Vec<SkippedPlugin>,
    wanted: Option<(PluginKind, String)>,
}

impl<P: Purpose> Job<P> {
    /// A job without a vault.
    pub(crate) fn new(purpose: P) -> Self {
        let protect = vault::environment("PROVARA_KEYFILE")
            .map(PathBuf::from)
            .into_iter()
            .collect();
        Self {
            purpose,
            protect,
            allow_network: false,
            layout: Layout::Usual,
            items: Vec::new(),
            skipped: Vec::new(),
            wanted: None,
        }
    }

    /// Asks for one plugin; others may be left out (see [`HostOptions::wanted`]).
    pub(crate) fn wanting(mut self, kind: PluginKind, name: &str) -> Self {
        self.wanted = Some((kind, name.to_owned()));
        self
    }

    /// Keeps a vault or a keyfile unreadable, wherever it lies.
    pub(crate) fn protecting(mut self, path: impl Into<PathBuf>) -> Self {
        self.protect.push(path.into());
        self
    }

    /// Loads what these name besides, as `PROVARA_PLUGINS` would.
    pub(crate) fn also_loading(mut self, items: Vec<String>) -> Self {
        self.items = items;
        self
    }

    /// Lays the process out otherwise than usual, to find what depends on it.
    pub(crate) fn varied(mut self) -> Self {
        self.layout = Layout::Varied;
        self
    }

    /// Goes on without the plugins that an earlier host of this command could not load.
    pub(crate) fn without(mut self, skipped: Vec<SkippedPlugin>) -> Self {
        self.skipped = skipped;
        self
    }

    /// Lets the plugin use the network.
    pub(crate) fn allowing_network(mut self, allow: bool) -> Self {
        self.allow_network = allow;
        self
    }
}

pub(crate) fn sandbox(text: &str) -> Result<SandboxMode, String> {
    text.parse()
        .map_err(|_| "use require, auto or off".to_owned())
}

/// The sandbox that is asked for: by the option, by `PROVARA_SANDBOX`, or the best there is.
pub(crate) fn sandbox_mode(option: Option<SandboxMode>) -> Result<SandboxMode, Diagnostic> {
    match (option, vault::environment("PROVARA_SANDBOX")) {
        (Some(sandbox), _) => Ok(sandbox),
        (None, None) => Ok(SandboxMode::Auto),
        (None, Some(text)) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| provara_explain::sandbox_variable(&text)),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<f64>()
        .ok()
        .and_then(|value| Duration::try_from_secs_f64(value).ok());
    match parsed {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("use a number of seconds above 0, such as 30 or 0.5".to_owned()),
    }
}

/// A running plugin host and what it found.
pub(crate) struct Session<P: Purpose> {
    pub(crate) host: Host<P>,
    pub(crate) catalog: Catalog,
    _guard: Guard,
}

/// Why there is no host.
pub(crate) enum Unusable {
    /// No Python can run one: there is none, or it has no `provara` of this version.
    NoPython(Diagnostic),
    /// A host was started, and failed.
    Failed(Diagnostic),
}

impl<P: Purpose> Session<P> {
    /// Starts a host and asks it what is installed.
    pub(crate) fn start(args: &HostArgs, job: Job<P>) -> Result<Self, Unusable> {
        let sandbox = sandbox_mode(args.sandbox).map_err(Unusable::Failed)?;
        let runtime = Runtime::find()
            .map_err(|error| Unusable::NoPython(provara_explain::interpreter_failure(&error)))?;
        let mut options = HostOptions::new(runtime);
        // Where no state is kept, there need not be a place for it.
        let keeps_state = job.purpose.keeps_state();
        if keeps_state {
            options.state_dir = state_directory().map_err(Unusable::Failed)?;
        }
        options.sandbox = sandbox;
        options.protect = job.protect;
        options.allow_network = job.allow_network;
        options.layout = job.layout;
        options.items = job.items;
        options.skipped = job.skipped;
        options.wanted = job.wanted;
        options.timeout = args.timeout;
        options.schemas_on_demand = true;
        // Held from before the start, so that an interrupted command ends with its exit code and not
        // by the signal itself, which would leave no word behind.
        let guard = Guard::new()
            .map_err(|error| Unusable::Failed(provara_explain::signals_failure(&error)))?;
        let mut host = Host::start(job.purpose, options).map_err(|error| {
            if provara_explain::is_no_python(&error) {
                Unusable::NoPython(provara_explain::host_failure(error))
            } else {
                Unusable::Failed(provara_explain::host_failure(error))
            }
        })?;
        if sandbox == SandboxMode::Auto && host.confinement().level < Level::Full {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                terminal::note(&format!(
                    "plugins are not fully confined here ({}).",
                    host.confinement()
                ));
            });
        }
        if let Some(withheld) = host.withheld() {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| terminal::warn(&format!("{withheld}.")));
        }
        if !host.closed_sources().is_empty() {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                let closed = host.closed_sources().iter();
                closed.for_each(|closed| terminal::warn(&provara_explain::closed_source(closed)));
            });
        }
        let catalog = host
            .discover()
            .map_err(|error| Unusable::Failed(provara_explain::discovery_failure(error)))?;
        Ok(Self {
            host,
            catalog,
            _guard: guard,
        })
    }

    /// Ends the host. What it answered counts only if it ended well.
    pub(crate) fn finish(self) -> Result<(), Diagnostic> {
        self.host.finish().map_err(provara_explain::host_failure)
    }

    /// A line for each plugin that was left out, and one about broken plugins, none of which this
    /// command needs.
    pub(crate) fn warn_of_problems(&self) {
        let skipped = self.host.skipped();
        for plugin in skipped.iter().map(SkippedPlugin::plugin) {
            terminal::warn(&format!(
                "the plugin '{plugin}' was left out; 'provara plugins list' shows why."
            ));
        }
        let count = self.catalog.problems.len() - skipped.len();
        if count > 0 {
            let (plugins, pronoun) = if count == 1 {
                ("problem", "it")
            } else {
                ("problems", "them")
            };
            terminal::warn(&format!(
                "{count} {plugins} with installed plugins; 'provara plugins list' shows {pronoun}."
            ));
        }
    }

    /// What was asked for is not there. Where plugins are broken, it may be one of theirs: they are
    /// shown, and the failure is theirs, with what helps against it.
    pub(crate) fn not_found(&self, wanted: &str, headline: impl Into<String>) -> Diagnostic {
        // Of two plugins with one name the first is there.
        let (broken, collisions): (Vec<_>, Vec<_>) = self
            .catalog
            .problems
            .iter()
            .partition(|problem| problem.kind != ProblemKind::Collision);
        let show = |problem: &&Problem| terminal::diagnostic(&problem.text);
        collisions.iter().for_each(show);
        if broken.is_empty() {
            return Diagnostic::new(Class::Usage, headline);
        }
        let mut names: Vec<_> = broken
            .iter()
            .map(|problem| problem.plugin.as_deref().unwrap_or("?"))
            .collect();
        names.dedup();
        let names = names.join("', '");
        let headline = format!("No plugin that can be used provides {wanted}.");
        let failure = Diagnostic::new(Class::Plugin, headline);
        // What is wrong with a plugin itself has a form of its own (spec/PLUGIN_API, "Invalid Plugin").
        if let [only] = broken[..]
            && only.kind == ProblemKind::Load
        {
            let failure = failure.detail(format!("It may be of one that cannot: '{names}'."));
            return provara_explain::because(failure, only);
        }
        broken.iter().for_each(show);
        failure
            .detail(format!(
                "It may be of one that cannot (see above): '{names}'."
            ))
            .fix(match broken.len() {
                1 => "Do what the error above says.",
                _ => "Do what the errors above say, each with what helps against it.",
            })
    }
}

impl Session<Validating> {
    /// Reads and compiles the schema of an event type, by its name or alias, before the name is resolved.
    pub(crate) fn load_schema(&mut self, name: &str) -> Result<(), Diagnostic> {
        let loaded = self.host.load_schema(&mut self.catalog, name);
        loaded.map_err(provara_explain::host_failure)
    }
}

impl Unusable {
    /// Why a command may go on without plugins, where it can: there is no Python for them, so none
    /// can be installed.
    pub(crate) fn no_python(&self) -> Option<String> {
        match self {
            Self::NoPython(failure) => Some(failure.headline()),
            Self::Failed(_) => None,
        }
    }

    /// The failure of a command that had to ask plugins about `wanted`.
    pub(crate) fn into_failure(self, wanted: &str) -> Diagnostic {
        match self {
            Self::NoPython(failure) => failure.detail(format!("It is needed for {wanted}.")),
            Self::Failed(failure) => failure,
        }
    }

    /// As [`Unusable::into_failure`], where `name` was asked for, which may be a slip for one of `known`.
    pub(crate) fn into_failure_of(
        self,
        wanted: &str,
        name: &str,
        known: impl Iterator<Item = &'static str>,
    ) -> Diagnostic {
        let near = matches!(self, Self::NoPython(_)).then(|| provara_explain::nearest(name, known));
        let failure = self.into_failure(wanted);
        match near.flatten() {
            Some(near) => failure.detail(format!("Did you mean '{near}'? That needs no Python.")),
            None => failure,
        }
    }
}

/// Learns, once a command is done, which plugins the next one need not load. What keeps it from that is told by
/// the commands that need plugins.
pub(crate) fn learn<P: Purpose>(args: &HostArgs, job: Job<P>) {
    let Ok(runtime) = Runtime::find() else {
        return;
    };
    let mut options = HostOptions::new(runtime);
    options.sandbox = SandboxMode::Require;
    options.protect = job.protect;
    options.timeout = args.timeout;
    provara_plugins::host::learn(options);
}

/// The directory that plugins may keep state in, apart from what commands keep.
pub(crate) fn state_directory() -> Result<Option<PathBuf>, Diagnostic> {
    let kept: Vec<PathBuf> = provara_vault::default_cache_directory()
        .into_iter()
        .collect();
    provara_plugins::state::for_plugins(&kept)
        .map_err(|error| provara_explain::exposed_cache(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_positive() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "1e300", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
