//! The warm plugin host: one for the whole server, on a thread of its own.
//!
//! A host dies with the thread that started it (the launcher ties its life to it), so it belongs to
//! a thread that lives as long as the server. The host discovers and validates; it is started anew
//! when it has died, when plugins were installed or removed, and when it has worked long enough to
//! come near its limit of processor time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use provara_core::json::Value;
use provara_plugins::catalog::{Catalog, EventTypeInfo};
use provara_plugins::declared::may_be_plugins;
use provara_plugins::environment::Environment;
use provara_plugins::host::{
    Host, HostError, HostOptions, Purpose, SkippedPlugin, Validating, Verdict,
};
use provara_plugins::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::config::PluginSettings;
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::renderer::{ErrorContext, Renderer};

/// How long a host may have worked, in all, before the next call gets a fresh one. The launcher
/// bounds processor time by the time limit of one call and the number of cores.
const WORN: Duration = Duration::from_secs(30);

/// What is installed.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    pub(crate) catalog: Catalog,
    /// How many events of which types the vaults have, as far as that was looked at.
    pub(crate) usage: Usage,
    /// The plugins that every host goes on without, until packages change.
    pub(crate) skipped: Vec<SkippedPlugin>,
    /// How far the host was confined, where there was one.
    pub(crate) confinement: Option<String>,
    /// Why plugins have no state directory, if they were to have one.
    pub(crate) withheld: Option<String>,
    /// Why nothing could be discovered.
    pub(crate) failure: Option<Refusal>,
}

enum Request {
    Discover,
    Validate {
        plugin: Box<EventTypeInfo>,
        data: Value<'static>,
        job: JobHandle,
        answer: oneshot::Sender<Result<Verdict, Refusal>>,
    },
}

/// The way to the thread of the warm host.
pub(crate) struct WarmHost {
    requests: Sender<Request>,
}

impl WarmHost {
    /// Starts the thread. What it finds, once it is asked to, is given to `installed`.
    pub(crate) fn start(
        settings: PluginSettings,
        protect: Protected,
        usage: CountUsage,
        renderer: Arc<dyn Renderer>,
        installed: watch::Sender<Option<Arc<Installed>>>,
    ) -> std::io::Result<Self> {
        let (requests, heard) = channel();
        let warm_host = Thread {
            settings,
            protect,
            usage,
            renderer,
            installed,
            skipped: Vec::new(),
            host: None,
            worked: Duration::ZERO,
        };
        thread::Builder::new()
            .name("provara-plugins".to_owned())
            .spawn(move || warm_host.run(&heard))?;
        // The thread lives as long as this end.
        Ok(Self { requests })
    }

    /// Discovers, in a new host.
    pub(crate) fn discover(&self) {
        let _ = self.requests.send(Request::Discover);
    }

    /// Holds data against an event type's schema, and asks its `validate`; blocks.
    pub(crate) fn validate(
        &self,
        plugin: &EventTypeInfo,
        data: &Value<'static>,
        job: &JobHandle,
    ) -> Result<Verdict, Refusal> {
        let (answer, heard) = oneshot::channel();
        let ask = Request::Validate {
            plugin: Box::new(plugin.clone()),
            data: data.clone(),
            job: job.clone(),
            answer,
        };
        let gone = || Refusal::new("The server ends.", "Ask the operator to start it again.");
        self.requests.send(ask).map_err(|_| gone())?;
        heard.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// How many events of which types there are.
pub(crate) type Usage = HashMap<String, u64>;

/// Counts them; blocks.
pub(crate) type CountUsage = Arc<dyn Fn() -> Usage + Send + Sync>;

/// The event types beyond which it matters which of them the vaults have most of.
const MANY_TYPES: usize = 8;

/// The places that no plugin may read, asked for when a host starts.
pub(crate) type Protected = Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>;

struct Thread {
    settings: PluginSettings,
    protect: Protected,
    usage: CountUsage,
    renderer: Arc<dyn Renderer>,
    installed: watch::Sender<Option<Arc<Installed>>>,
    skipped: Vec<SkippedPlugin>,
    host: Option<Host<Validating>>,
    /// How long the host has worked.
    worked: Duration,
}

impl Thread {
    fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(ask) = requests.recv() {
            match ask {
                Request::Discover => {
                    let found = self.discover();
                    // Without an event type there is nothing to keep a host warm for.
                    if found.catalog.event_types.is_empty() {
                        self.host = None;
                    }
                    self.installed.send_replace(Some(Arc::new(found)));
                }
                Request::Validate {
                    plugin,
                    data,
                    job,
                    answer,
                } => {
                    let verdict = self.validate(&plugin, &data, &job);
                    job.untie();
                    // The one who asked may have gone.
                    let _ = answer.send(verdict);
                }
            }
        }
    }

    fn discover(&mut self) -> Installed {
        self.host = None;
        self.skipped.clear();
        // Where no package declares a plugin there is nothing to start a host for. A runtime that cannot be
        // found is told of by the start of one.
        let may_be = Runtime::find().map_or(true, |runtime| {
            may_be_plugins(&runtime, &Environment::from_process())
        });
        if !may_be {
            return Installed::default();
        }
        let found = self.start().and_then(|mut host| {
            let catalog = load(&mut host, &*self.renderer)?;
            Ok((host, catalog))
        });
        match found {
            Ok((host, catalog)) => {
                let confinement = Some(host.confinement().to_string());
                let withheld = host.withheld().map(ToString::to_string);
                self.skipped = host.skipped().to_vec();
                self.host = Some(host);
                let usage = match catalog.event_types.len() > MANY_TYPES {
                    true => (self.usage)(),
                    false => Usage::default(),
                };
                Installed {
                    catalog,
                    usage,
                    skipped: self.skipped.clone(),
                    confinement,
                    withheld,
                    failure: None,
                }
            }
            Err(failure) => Installed {
                failure: Some(failure),
                ..Installed::default()
            },
        }
    }

    fn start(&mut self) -> Result<Host<Validating>, Refusal> {
        self.worked = Duration::ZERO;
        start(
            &self.settings,
            Validating,
            (self.protect)(),
            &self.skipped,
            &*self.renderer,
        )
    }

    fn validate(
        &mut self,
        plugin: &EventTypeInfo,
        data: &Value<'static>,
        job: &JobHandle,
    ) -> Result<Verdict, Refusal> {
        if self.worked >= WORN || self.host.as_ref().is_some_and(Host::has_ended) {
            self.host = None;
        }
        let reused = self.host.is_some();
        let verdict = self.ask(plugin, data, job)?;
        // It may have died before it was asked, and be seen dead only now: a fresh host decides.
        if reused && !job.is_cancelled() && matches!(verdict, Err(HostError::Died { .. })) {
            return self
                .ask(plugin, data, job)?
                .map_err(|error| self.refusal(error));
        }
        verdict.map_err(|error| self.refusal(error))
    }

    fn refusal(&self, error: HostError) -> Refusal {
        Refusal(self.renderer.render(ErrorContext::Host(error)))
    }

    fn ask(
        &mut self,
        plugin: &EventTypeInfo,
        data: &Value<'static>,
        job: &JobHandle,
    ) -> Result<Result<Verdict, HostError>, Refusal> {
        let host = match &mut self.host {
            Some(host) => {
                job.tie(host.kill_handle());
                host
            }
            None => {
                let mut host = self.start()?;
                job.tie(host.kill_handle());
                load(&mut host, &*self.renderer)?;
                self.host.insert(host)
            }
        };
        host.limit_next(self.settings.timeout);
        let began = Instant::now();
        let verdict = match host.check(plugin, &[data]) {
            Ok(Some((_, violations))) => return Err(Refusal(violations.to_string())),
            Ok(None) => host.validate(&plugin.event_type, data),
            Err(error) => Err(error),
        };
        self.worked += began.elapsed();
        let unharmed = |error: &HostError| matches!(error, HostError::Plugin(_));
        if verdict.as_ref().is_err_and(|error| !unharmed(error)) {
            self.host = None;
        }
        Ok(verdict)
    }
}

/// Starts a host for the server, which goes on without some plugins.
pub(crate) fn start<P: Purpose>(
    settings: &PluginSettings,
    purpose: P,
    protect: Vec<PathBuf>,
    skipped: &[SkippedPlugin],
    renderer: &dyn Renderer,
) -> Result<Host<P>, Refusal> {
    let refused = |context| Refusal(renderer.render(context));
    let runtime = Runtime::find().map_err(|error| refused(ErrorContext::Interpreter(error)))?;
    let mut options = options(settings, runtime, protect);
    options.skipped = skipped.to_vec();
    Host::start(purpose, options).map_err(|error| refused(ErrorContext::Host(error)))
}

/// Lets a host load the plugins, before it is asked for one of them.
pub(crate) fn load<P: Purpose>(
    host: &mut Host<P>,
    renderer: &dyn Renderer,
) -> Result<Catalog, Refusal> {
    host.discover()
        .map_err(|error| Refusal(renderer.render(ErrorContext::Discovery(error))))
}

fn options(settings: &PluginSettings, runtime: Runtime, protect: Vec<PathBuf>) -> HostOptions {
    let mut options = HostOptions::new(runtime);
    options.sandbox = settings.sandbox;
    options.timeout = Some(settings.timeout);
    options.state_dir.clone_from(&settings.state_dir);
    options.protect = protect;
    // One call's end must not end the server's other work.
    options.interruptible = false;
    options
}
