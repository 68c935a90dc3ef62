//! Starting a host: the sandbox worked out, the launcher's report, the greeting.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::host_process::HostProcess;
use super::{HostError, HostOptions, KillHandle, NO_PLUGIN, SkippedPlugin};
use crate::channel::{Channel, Stop};
use crate::interrupt::Guard;
use crate::launch::orphans::OrphanReaper;
use crate::launch::{self, LaunchError, Task};
use crate::log_copy;
use crate::output::Pumps;
use crate::protocol::{self, Hello, Violation};
use crate::purpose::{Access, Needs};
use crate::sandbox::{Confinement, Level, PathsError, SandboxMode, SandboxPolicy, Withheld, paths};
use crate::scratch::{self, Medium, Scratch};
use crate::sources::ClosedSource;
use crate::space;
use crate::text::inline;
use crate::violation::Role;

/// How long the launcher may take to report, at most.
const LAUNCH_LIMIT: Duration = Duration::from_secs(20);

impl HostProcess {
    /// Starts a host and makes sure that it is one of this version.
    pub(super) fn start(
        purpose: Arc<dyn Needs>,
        options: HostOptions,
    ) -> Result<HostProcess, HostError> {
        let skipped = options.skipped.clone();
        HostProcess::start_without(purpose, Arc::new(options), skipped, KillHandle::default())
    }

    /// Starts a host that goes on without some plugins, and that `kill_handle` can end.
    pub(super) fn start_without(
        purpose: Arc<dyn Needs>,
        options: Arc<HostOptions>,
        skipped: Vec<SkippedPlugin>,
        kill_handle: KillHandle,
    ) -> Result<HostProcess, HostError> {
        let started = Instant::now();
        // Before there is anything to clean up.
        let guard = options.interruptible.then(Guard::new).transpose()?;
        if options.sandbox == SandboxMode::Off {
            OrphanReaper::adopt();
        }
        let launcher = launch::spawn(options.launcher.as_deref())?;
        let access = purpose.access();
        let (role, log, staging) = match access {
            Access::Reducing { log } => (Role::Reducer, Some(log_copy::copy(log)?), None),
            Access::Exporting { staging, .. } => (Role::Export, None, Some(staging)),
            Access::Listing | Access::Examining => (Role::Listing, None, None),
            Access::Validating => (Role::EventType, None, None),
        };
        let network = options.allow_network && role == Role::Export;
        let state = options.state_dir.as_deref();
        let state = state.filter(|_| access.keeps_state());
        let Confined {
            mut policy,
            withheld,
            closed_sources,
            open,
        } = sandbox_policy(&options, access, state, network)?;
        let state = state.filter(|_| withheld.is_none());
        let scratch = Scratch::for_host(access, &mut policy);
        let space = watch(staging.into_iter().chain(state), scratch.as_ref());
        let temporary = scratch.as_ref().map(Scratch::path);
        let runtime = &options.runtime;
        let environment = runtime.variables(&options.environment, options.layout, state, temporary);
        let task = Task::Host {
            program: runtime.program().to_path_buf().into(),
            arguments: runtime.arguments(),
            environment,
        };
        let launched = launcher.launch(task, log.as_ref(), policy)?;
        // The host has it now.
        drop(log);
        let deadline = options.timeout.and_then(|limit| started.checked_add(limit));
        let first = started + LAUNCH_LIMIT;
        let first = deadline.map_or(first, |deadline| deadline.min(first));
        kill_handle.arm(launched.child.id());
        let mut host = HostProcess {
            skipped,
            loading: None,
            kill_handle,
            child: Some(launched.child),
            reaper: launched.reaper,
            role,
            network,
            channel: Channel::new(launched.socket, launched.process, guard, space, Some(first))?,
            pumps: Pumps::new(Arc::clone(&options.output)),
            confinement: Confinement::default(),
            withheld,
            closed_sources,
            open,
            scratch,
            hello: Hello {
                protocol: 0,
                version: String::new(),
                python: String::new(),
                executable: String::new(),
            },
            schema_worker: None,
            knows_all: false,
            log_fd: None,
            timeout: options.timeout,
            next_id: 1,
            options,
            purpose,
        };
        host.pumps.copy(launched.stdout)?;
        host.pumps.copy(launched.stderr)?;
        // While the runtime starts. Where it fails, whoever needs a schema applied hears why.
        if matches!(host.purpose.access(), Access::Listing | Access::Validating) {
            host.start_schema_worker(NO_PLUGIN).ok();
        }
        // The user's limit, or ours.
        let own_limit = deadline != Some(first);
        let (confinement, log_fd) = host.receive_report(own_limit)?;
        if confinement.level < Level::Full {
            OrphanReaper::adopt();
        }
        host.confinement = confinement;
        host.log_fd = log_fd.and_then(|number| number.try_into().ok());
        host.channel.deadline = deadline;
        let greeted = host.greet();
        // The error that there is no host carries what was printed.
        if !matches!(greeted, Err(HostError::NoHost { .. })) {
            host.pumps.release();
        }
        greeted?;
        Ok(host)
    }

    /// The launcher's report: what it achieved, and the number of the log's descriptor. `own_limit` says
    /// that the deadline is ours and not the user's.
    fn receive_report(&mut self, own_limit: bool) -> Result<(Confinement, Option<i32>), HostError> {
        let report = match self.channel.receive() {
            Ok(frame) => launch::read_report(&frame),
            Err(Stop::Io(error)) => Err(LaunchError::Silent(error)),
            Err(Stop::Signal(signal)) => return Err(HostError::Interrupted(signal)),
            Err(Stop::Deadline) if !own_limit => return Err(self.stopped(Stop::Deadline)),
            Err(stop) => {
                self.end();
                Err(LaunchError::Silent(io::Error::other(match stop {
                    Stop::Deadline => "no report in time".to_owned(),
                    Stop::Violation(violation) => format!("it {violation}"),
                    _ => match self.pumps.tail() {
                        said if said.is_empty() => "it ended".to_owned(),
                        said => format!("it ended: {said}"),
                    },
                })))
            }
        };
        Ok(report?)
    }

    fn greet(&mut self) -> Result<(), HostError> {
        let request = self.request("hello");
        let hello: Hello = match self.ask(request) {
            Ok(hello) => hello,
            Err(HostError::Died { ending, .. }) => {
                return Err(HostError::NoHost {
                    runtime: Box::new(self.options.runtime.clone()),
                    ending,
                    output: self.pumps.tail(),
                });
            }
            Err(error) => return Err(error),
        };
        let expected = env!("CARGO_PKG_VERSION");
        if hello.version != expected {
            return Err(HostError::Version {
                runtime: Box::new(self.options.runtime.clone()),
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
}

/// The sandbox of a host, and what it goes without because of it.
#[derive(Default)]
struct Confined {
    policy: SandboxPolicy,
    /// Why plugins get no state directory, if they were to have one.
    withheld: Option<Withheld>,
    /// The source trees that they cannot read.
    closed_sources: Vec<ClosedSource>,
    /// What they may read or list.
    open: Option<Vec<PathBuf>>,
}

/// Watches the space where a host may write.
fn watch<'a>(
    directories: impl Iterator<Item = &'a Path>,
    scratch: Option<&'a Scratch>,
) -> space::Watch {
    let on = |medium| scratch.filter(|scratch| scratch.medium() == medium);
    let disk = on(Medium::Disk).map(Scratch::path);
    let mut watch = space::Watch::new(directories.chain(disk).map(Path::to_path_buf));
    if let Some(memory) = on(Medium::Memory) {
        watch.in_memory(memory.path().to_path_buf(), scratch::MAX_MEMORY);
    }
    watch
}

/// The sandbox that the options ask for.
fn sandbox_policy(
    options: &HostOptions,
    access: Access<'_>,
    state: Option<&Path>,
    network: bool,
) -> Result<Confined, PathsError> {
    if options.sandbox == SandboxMode::Off {
        return Ok(Confined::default());
    }
    // What one host keeps for itself is no other's.
    let mut protect = options.protect.clone();
    protect.extend(scratch::places());
    let paths::HostRules {
        rules,
        withheld,
        closed_sources,
    } = paths::rules_for(&paths::Subject {
        runtime: &options.runtime,
        environment: &options.environment,
        access,
        state,
        protect: &protect,
        allowed: &options.allowed,
        network,
        timeout: options.timeout,
    })?;
    let require = options.sandbox == SandboxMode::Require;
    // A listing tells what an environment lacks, an examination what may have been looked at.
    let open = matches!(access, Access::Listing | Access::Examining).then(|| {
        let open = rules.read.iter().chain(&rules.list);
        open.map(|path| path.as_path().to_path_buf()).collect()
    });
    Ok(Confined {
        policy: SandboxPolicy::Enforce { require, rules },
        withheld,
        closed_sources,
        open,
    })
}
