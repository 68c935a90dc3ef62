//! The plugin host: starting it, asking it, ending it.

mod error;
mod killer;
mod options;
mod schemas;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use provara_core::canonical;
use provara_core::event_type::CustomType;
use provara_core::json::{self, Value};
use serde::de::DeserializeOwned;

pub use error::{Ending, HostError, OutputFault, PluginFailure};
pub use killer::Killer;
pub use options::{HostOptions, Layout, Purpose};

use crate::catalog::{Catalog, PluginName};
use crate::channel::{Channel, Stop};
use crate::interpreter::Interpreter;
use crate::interrupt::Guard;
use crate::judge::Judge;
use crate::launch::orphans::Sweeper;
use crate::launch::{self, Launch, LaunchError, Task};
pub use crate::output::NO_PLUGIN;
use crate::output::Pumps;
use crate::protocol::{
    self, Discovered, Exported, FailureKind, Hello, Reduced, Request, Validated, Violation,
    WireError,
};
use crate::space;
use crate::text::{block, inline};
use crate::violation::{self, Role, Violation as Attempt};
use crate::walls::paths;
use crate::walls::{Confinement, Level, Sandbox, Walls};

/// How long the launcher may take to report, at most.
const LAUNCH_LIMIT: Duration = Duration::from_secs(20);

/// How long a host may take to end after its last answer. What remains then is killed.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for the rest of a dead host's output.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// What an event type's own `validate` decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The data is good.
    Accepted,
    /// The data is refused; the reason is safe for a terminal.
    Refused(String),
}

/// A running plugin host. Dropping it kills it with all its children.
pub struct Host {
    child: Option<Child>,
    sweeper: Sweeper,
    killer: Killer,
    role: Role,
    network: bool,
    channel: Channel,
    pumps: Pumps,
    confinement: Confinement,
    hello: Hello,
    /// The process that applies schemas, once one was needed.
    judge: Option<Judge>,
    launcher: Option<PathBuf>,
    interruptible: bool,
    /// The log's descriptor in the host, and the snapshot's length.
    log: Option<(i32, u64)>,
    vault: Option<PathBuf>,
    layout: Layout,
    timeout: Option<Duration>,
    next_id: u64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("confinement", &self.confinement)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Starts a host and makes sure that it is one of this version.
    ///
    /// On Linux the host's life is tied to that of the calling *thread*: it is killed when the
    /// thread ends. Start it from the thread that uses it.
    ///
    /// # Errors
    /// [`HostError`]; no process remains.
    pub fn start(options: HostOptions) -> Result<Host, HostError> {
        let started = Instant::now();
        let (role, log, vault) = match &options.purpose {
            Purpose::Reduce { log, len } => (Role::Reducer, Some((log, *len)), None),
            Purpose::Export { vault, .. } => (Role::Export, None, Some(vault.clone())),
            Purpose::Discover => (Role::Listing, None, None),
            Purpose::Validate => (Role::EventType, None, None),
        };
        let network = options.allow_network && vault.is_some();
        let staging = match &options.purpose {
            Purpose::Export { staging, .. } => Some(staging.clone()),
            _ => None,
        };
        // A reducer keeps no state: its result depends on the events alone.
        let state = match options.purpose {
            Purpose::Reduce { .. } => None,
            _ => options.state_dir.as_deref(),
        };
        let walls = match options.sandbox {
            Sandbox::Off => Walls::Off,
            sandbox => Walls::Up {
                require: sandbox == Sandbox::Require,
                rules: paths::rules(&paths::Subject {
                    interpreter: &options.interpreter,
                    environment: &options.environment,
                    purpose: &options.purpose,
                    state,
                    protect: &options.protect,
                    network,
                    timeout: options.timeout,
                })?,
            },
        };
        // Before there is anything to clean up.
        let guard = options.interruptible.then(Guard::new).transpose()?;
        if options.sandbox == Sandbox::Off {
            Sweeper::adopt();
        }
        let written = staging.into_iter().chain(state.map(Path::to_path_buf));
        let space = space::Watch::new(written);
        let launched = launch::start(Launch {
            launcher: options.launcher.as_deref(),
            task: Task::Interpreter {
                program: options.interpreter.program.clone().into(),
                arguments: ["-m", "provara.plugins._host", "--protocol-fd"]
                    .map(Into::into)
                    .into(),
                environment: options.environment.variables(options.layout, state),
            },
            log: log.map(|(file, _)| file),
            walls,
        })?;
        let deadline = options.timeout.map(|limit| started + limit);
        let first = started + LAUNCH_LIMIT;
        let first = deadline.map_or(first, |deadline| deadline.min(first));
        let killer = Killer::default();
        killer.arm(launched.child.id());
        let mut host = Host {
            killer,
            child: Some(launched.child),
            sweeper: launched.sweeper,
            role,
            network,
            channel: Channel::new(launched.socket, launched.process, guard, space, Some(first))?,
            pumps: Pumps::new(options.output),
            confinement: Confinement::default(),
            hello: Hello {
                protocol: 0,
                version: String::new(),
                python: String::new(),
                executable: String::new(),
            },
            judge: None,
            launcher: options.launcher,
            interruptible: options.interruptible,
            log: None,
            vault,
            layout: options.layout,
            timeout: options.timeout,
            next_id: 1,
        };
        host.pumps.copy(launched.stdout)?;
        host.pumps.copy(launched.stderr)?;
        let report = match host.channel.receive() {
            Ok(frame) => launch::read_report(&frame),
            Err(Stop::Io(error)) => Err(LaunchError::Silent(error)),
            Err(Stop::Signal(signal)) => return Err(HostError::Interrupted(signal)),
            // The user's limit, not ours.
            Err(Stop::Deadline) if deadline == Some(first) => {
                return Err(host.stopped(Stop::Deadline));
            }
            Err(stop) => {
                host.end();
                Err(LaunchError::Silent(io::Error::other(match stop {
                    Stop::Deadline => "no report in time".to_owned(),
                    Stop::Violation(violation) => format!("it {violation}"),
                    _ => format!("it ended: {}", host.pumps.tail()),
                })))
            }
        };
        let (confinement, log_fd) = report?;
        if confinement.level < Level::Full {
            Sweeper::adopt();
        }
        host.confinement = confinement;
        host.log = log_fd.zip(log.map(|(_, len)| len));
        host.channel.deadline = deadline;
        // While the interpreter starts. Where it fails, whoever needs a schema applied hears why.
        host.judge(NO_PLUGIN).ok();
        let greeted = host.greet(&options.interpreter);
        // The error that there is no host carries what was printed.
        if !matches!(greeted, Err(HostError::NoHost { .. })) {
            host.pumps.release();
        }
        greeted?;
        Ok(host)
    }

    /// What the launcher achieved.
    #[must_use]
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// What the host said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Gives the host this long, from now on, for what it is asked next. A host that serves several
    /// requests is told so before each of them.
    pub fn limit_next(&mut self, limit: Duration) {
        self.timeout = Some(limit);
        self.channel.deadline = Some(Instant::now() + limit);
    }

    /// Whether the process has ended, so that nothing can be asked any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.child.as_ref().is_none_or(has_ended)
    }

    /// A handle that ends this host from another thread.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Lets the host discover plugins, and checks what it found.
    ///
    /// # Errors
    /// [`HostError`]. A plugin that cannot be loaded is a problem in the catalogue, not an error.
    pub fn discover(&mut self) -> Result<Catalog, HostError> {
        let request = self.request("discover");
        let found: Discovered = self.ask(request)?;
        self.pumps.set_label(NO_PLUGIN);
        // Loading plugins ran their code, which may have answered in the host's place. Then the
        // host's own answer comes on top, and before the answer to one more question.
        let again = self.request("hello");
        let _: Hello = self.ask(again)?;
        let mut failed = None;
        let catalog = Catalog::from_wire(found, |schema| {
            // After a failure nothing counts.
            let compiled = match failed {
                None => self.compile(schema),
                Some(_) => Ok(Ok(())),
            };
            compiled.unwrap_or_else(|error| {
                failed = Some(error);
                Ok(())
            })
        });
        failed.map_or(Ok(catalog), Err)
    }

    /// Asks the event type's own `validate`. The data has already passed the schema.
    ///
    /// # Errors
    /// [`HostError`], among them [`OutputFault`]s of data that has no canonical form.
    pub fn validate(
        &mut self,
        event_type: &CustomType,
        data: &Value<'_>,
    ) -> Result<Verdict, HostError> {
        self.pumps.set_label(event_type.as_str());
        // The canonical form: what will be signed, and what reducers will see.
        let data = canonical::jcs(data).map_err(|error| HostError::Output {
            plugin: event_type.as_str().to_owned(),
            reason: OutputFault::NotCanonical(error),
        })?;
        let request = self
            .request("validate")
            .string("type", event_type.as_str())
            .json("data", &data);
        let answer: Validated = self.ask(request)?;
        Ok(match answer {
            Validated { valid: true, .. } => Verdict::Accepted,
            Validated { reason, tried, .. } => {
                let reason = reason.unwrap_or_else(|| "validate() refused the data".to_owned());
                // A plugin that met the walls has not judged the data: it failed.
                let violation =
                    tried.and_then(|tried| self.explain(None, Some(&reason), Some(&tried)));
                let reason = block(&reason).into_owned();
                if violation.is_some() {
                    return Err(HostError::Plugin(Box::new(PluginFailure {
                        kind: FailureKind::Raised,
                        plugin: event_type.as_str().to_owned(),
                        exception: None,
                        message: Some(reason),
                        traceback: None,
                        violation,
                    })));
                }
                Verdict::Refused(reason)
            }
        })
    }

    /// Runs a reducer over the log that the host was started with. The result is one canonical
    /// JSON text.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// If the host was not started for [`Purpose::Reduce`].
    pub fn reduce(&mut self, name: &PluginName) -> Result<Vec<u8>, HostError> {
        let (log_fd, length) = self.log.expect("a host that reduces is started with a log");
        self.pumps.set_label(name.as_str());
        let request = self
            .request("reduce")
            .string("name", name.as_str())
            .number("log_fd", u64::try_from(log_fd).unwrap_or_default())
            .number("log_length", length)
            .number("log_chunk", self.layout.log_chunk());
        let answer: Reduced = self.ask(request)?;
        let fault = |reason: OutputFault| HostError::Output {
            plugin: name.as_str().to_owned(),
            reason,
        };
        let value = json::parse(answer.output_json.as_bytes())
            .map_err(|error| fault(OutputFault::NotJson(error)))?;
        canonical::jcs(&value).map_err(|error| fault(OutputFault::NotCanonical(error)))
    }

    /// Runs an export of the vault that the host was started with. `output` lies in the staging
    /// directory.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// If the host was not started for [`Purpose::Export`].
    pub fn export(&mut self, name: &PluginName, output: &Path) -> Result<(), HostError> {
        let vault = self
            .vault
            .clone()
            .expect("a host that exports is started with a vault");
        self.pumps.set_label(name.as_str());
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| {
                let shown = inline(&path.to_string_lossy()).into_owned();
                HostError::Io(io::Error::other(format!("the path '{shown}' is not UTF-8")))
            })
        };
        let (vault, output) = (text(&vault)?, text(output)?);
        let request = self
            .request("export")
            .string("name", name.as_str())
            .string("vault_path", &vault)
            .string("output_path", &output);
        self.ask::<Exported>(request).map(|_| ())
    }

    /// Ends the host and makes sure that it ended well: nothing was sent after the last answer
    /// and the exit code is 0. A result counts only once this has succeeded.
    ///
    /// # Errors
    /// [`HostError::Protocol`], [`HostError::Died`] or [`HostError::TimedOut`].
    pub fn finish(mut self) -> Result<(), HostError> {
        let limit = Instant::now() + END_LIMIT;
        self.channel.deadline = Some(
            self.channel
                .deadline
                .map_or(limit, |deadline| deadline.min(limit)),
        );
        let closed = self.channel.close();
        let plugin = self.pumps.label();
        if let Err(stop) = closed {
            let timeout = self.timeout;
            self.timeout = Some(timeout.map_or(END_LIMIT, |limit| limit.min(END_LIMIT)));
            return Err(self.stopped(stop));
        }
        // The socket is closed: the process is about to end, or hangs on the way.
        let ending = self.wait(limit);
        self.pumps.drain(DRAIN_LIMIT);
        match ending {
            Some(Ending::Code(0)) => Ok(()),
            Some(ending) => Err(HostError::Died { plugin, ending }),
            None => Err(HostError::TimedOut {
                plugin,
                limit: END_LIMIT,
            }),
        }
    }

    fn greet(&mut self, interpreter: &Interpreter) -> Result<(), HostError> {
        let request = self.request("hello");
        let hello: Hello = match self.ask(request) {
            Ok(hello) => hello,
            Err(HostError::Died { ending, .. }) => {
                return Err(HostError::NoHost {
                    interpreter: interpreter.program.clone(),
                    ending,
                    output: self.pumps.tail(),
                });
            }
            Err(error) => return Err(error),
        };
        let expected = env!("CARGO_PKG_VERSION");
        if hello.version != expected {
            return Err(HostError::Version {
                interpreter: interpreter.program.clone(),
                expected,
                found: inline(&hello.version).into_owned(),
            });
        }
        if hello.protocol != protocol::VERSION {
            let stop = Stop::Violation(Violation::Version(hello.protocol));
            return Err(self.stopped(stop));
        }
        self.hello = Hello {
            python: inline(&hello.python).into_owned(),
            executable: inline(&hello.executable).into_owned(),
            ..hello
        };
        Ok(())
    }

    fn request(&mut self, op: &'static str) -> Request {
        let id = self.next_id;
        self.next_id += 1;
        Request::new(id, op)
    }

    /// Sends a request and reads its one reply.
    fn ask<T: DeserializeOwned>(&mut self, request: Request) -> Result<T, HostError> {
        let (op, id) = (request.op, self.next_id - 1);
        let frame = request.into_frame().map_err(HostError::TooLarge)?;
        let pumps = &self.pumps;
        let exchange = |channel: &mut Channel| {
            channel.expect_quiet()?;
            channel.send(&frame)?;
            let mut body = channel.receive()?;
            if op == "discover" {
                body = next_reply(channel, pumps, body, id)?;
            }
            let reply = protocol::parse_reply(&body, id, op)?;
            // Exactly one reply: what arrives on top of it was not asked for.
            channel.expect_quiet()?;
            Ok(reply)
        };
        match exchange(&mut self.channel).map_err(|stop| self.stopped(stop))? {
            Ok(result) => Ok(result),
            Err(failure) => Err(HostError::Plugin(Box::new(self.failure(failure)))),
        }
    }

    fn failure(&self, failure: WireError) -> PluginFailure {
        let violation = self.explain(
            failure.exception.as_deref(),
            failure.message.as_deref(),
            failure.tried.as_deref(),
        );
        let one = |text: String| inline(&text).into_owned();
        let many = |text: String| block(text.trim_end()).into_owned();
        let filled = |text: &String| !text.is_empty();
        PluginFailure {
            kind: failure.kind,
            plugin: failure.plugin.map_or_else(|| self.pumps.label(), one),
            exception: failure.exception.filter(filled).map(one),
            message: failure.message.filter(filled).map(many),
            traceback: failure.traceback.filter(filled).map(many),
            violation,
        }
    }

    /// What a failure has to do with the walls. Where none stand, nothing.
    fn explain(
        &self,
        exception: Option<&str>,
        message: Option<&str>,
        tried: Option<&str>,
    ) -> Option<Attempt> {
        let walls = self.confinement.level > Level::Process;
        let explained = || violation::explain(self.role, self.network, exception, message, tried);
        walls.then(explained).flatten()
    }

    /// Ends the host for a reason, and says it.
    fn stopped(&mut self, stop: Stop) -> HostError {
        let plugin = self.pumps.label();
        match stop {
            Stop::Closed => {
                // Give the process the moment that it needs to end by itself: its own exit code
                // says more than our signal.
                let ending = self
                    .wait(Instant::now() + DRAIN_LIMIT)
                    .unwrap_or(Ending::Unknown);
                self.pumps.drain(DRAIN_LIMIT);
                HostError::Died { plugin, ending }
            }
            Stop::Deadline => {
                self.end();
                HostError::TimedOut {
                    plugin,
                    limit: self.timeout.unwrap_or_default(),
                }
            }
            Stop::Violation(violation) => {
                self.end();
                HostError::Protocol { plugin, violation }
            }
            Stop::Exhausted(directory) => {
                self.end();
                HostError::Exhausted { plugin, directory }
            }
            Stop::Signal(signal) => {
                self.end();
                HostError::Interrupted(signal)
            }
            Stop::Io(error) => {
                self.end();
                HostError::Io(error)
            }
        }
    }

    /// Waits for the process to end by itself; kills what is left of its group in any case.
    fn wait(&mut self, limit: Instant) -> Option<Ending> {
        let mut pause = Duration::from_micros(200);
        let ended = loop {
            if self.child.as_ref().is_none_or(has_ended) {
                break true;
            }
            if Instant::now() >= limit {
                break false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let status = self.end();
        ended.then(|| status.into())
    }

    /// Kills the process group and waits for its leader.
    fn end(&mut self) -> Option<ExitStatus> {
        let child = self.child.take()?;
        self.killer.kill();
        // It counts as a host: what hides its origin is found by the last one to end.
        self.judge = None;
        if self.confinement.level < Level::Full {
            self.sweeper.sweep();
        }
        // From here on the leader's number may be given to another process.
        self.killer.disarm(child.id());
        let status = launch::end(child);
        self.pumps.drain(DRAIN_LIMIT);
        status
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes the frames that name the plugins being loaded, up to the first other one.
fn next_reply(
    channel: &mut Channel,
    pumps: &Pumps,
    mut body: Vec<u8>,
    id: u64,
) -> Result<Vec<u8>, Stop> {
    for _ in 0..protocol::MAX_NAMED {
        let Some(plugin) = protocol::parse_loading(&body, id) else {
            return Ok(body);
        };
        pumps.set_label(&plugin);
        body = channel.receive()?;
    }
    Err(Violation::Endless.into())
}

/// Whether a process has ended, without waiting for it: its number stays its own.
pub(crate) fn has_ended(child: &Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid.is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
}
