//! How a host is started.

use std::path::PathBuf;
use std::time::Duration;

use super::SkippedPlugin;
use crate::catalog::PluginKind;
use crate::editable::Allowed;
use crate::environment::{Environment, Layout};
use crate::output::{self, Sink};
use crate::runtime::Runtime;
use crate::sandbox::SandboxMode;

/// How to start a host.
pub struct HostOptions {
    /// In what plugins run.
    pub runtime: Runtime,
    /// A directory that plugins may keep state in; offered to exports and event types.
    pub state_dir: Option<PathBuf>,
    /// The time that the host has in all, from its start.
    pub timeout: Option<Duration>,
    /// How much confinement is asked for.
    pub sandbox: SandboxMode,
    /// Whether an export may use the network. Nothing else ever may.
    pub allow_network: bool,
    /// Vaults and keyfiles that must stay unreadable wherever they lie. For an export, its vault
    /// is readable all the same, except the keyfiles in it.
    pub protect: Vec<PathBuf>,
    /// Source trees that the user opened for this environment ([`crate::editable`]).
    pub allowed: Vec<PathBuf>,
    /// The user's variables that reach the host.
    pub environment: Environment,
    /// What is loaded besides, as `PROVARA_PLUGINS` names it: `module` or `module:object`.
    pub items: Vec<String>,
    /// How the host's process is laid out.
    pub layout: Layout,
    /// The plugins to go on without, as an earlier host of the same installation found them.
    pub skipped: Vec<SkippedPlugin>,
    /// Whether the schema of an event type is read and compiled only when it is asked for
    /// ([`super::Host::load_schema`]), and not each when the plugins are discovered.
    pub schemas_on_demand: bool,
    /// The one plugin that is wanted, where it is known: then others need not be loaded
    /// (see [`super::Host::discover`]).
    pub wanted: Option<(PluginKind, String)>,
    /// Where the plugins' output goes.
    pub output: Sink,
    /// Whether SIGINT, SIGTERM and SIGHUP end the host and its command in good order (see
    /// [`crate::interrupt`]). A server that handles signals itself switches this off.
    pub interruptible: bool,
    /// The executable that becomes the launcher; the running one if `None`. Its `main` must call
    /// [`crate::launch::maybe_become_launcher`] first.
    pub launcher: Option<PathBuf>,
}

impl HostOptions {
    /// Options with the process's environment, the source trees that its user opened, no state
    /// directory, no time limit, and the output of plugins on stderr.
    #[must_use]
    pub fn new(runtime: Runtime) -> HostOptions {
        // What cannot be read opens nothing; the trees are then told of as closed.
        let allowed = Allowed::of_user().and_then(|allowed| allowed.of(&runtime));
        HostOptions {
            allowed: allowed.unwrap_or_default(),
            runtime,
            state_dir: None,
            timeout: None,
            sandbox: SandboxMode::Auto,
            allow_network: false,
            protect: Vec::new(),
            environment: Environment::from_process(),
            items: Vec::new(),
            layout: Layout::Usual,
            skipped: Vec::new(),
            schemas_on_demand: false,
            wanted: None,
            output: output::stderr_sink(),
            interruptible: true,
            launcher: None,
        }
    }
}
