//! The process of a plugin host, whatever it was started for. The files beside this one start it, ask it
//! and end it; [`super::Host`] says who may ask what.

use std::fmt;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::HostOptions;
use super::schema_worker::SchemaWorker;
use super::skipped::SkippedPlugin;
use crate::channel::Channel;
use crate::launch::orphans::OrphanReaper;
use crate::output::Pumps;
use crate::process::{KillHandle, has_ended};
use crate::protocol::{Hello, Loading};
use crate::purpose::Needs;
use crate::sandbox::{Confinement, Withheld};
use crate::scratch::Scratch;
use crate::sources::ClosedSource;
use crate::violation::Role;

/// A running host. Dropping it kills it with all its children.
pub(super) struct HostProcess {
    /// How it was started, to start it again.
    pub(super) options: Arc<HostOptions>,
    /// What it was started for, likewise.
    pub(super) purpose: Arc<dyn Needs>,
    pub(super) skipped: Vec<SkippedPlugin>,
    /// What the host says that it is loading.
    pub(super) loading: Option<Loading>,
    pub(super) child: Option<Child>,
    pub(super) reaper: OrphanReaper,
    pub(super) kill_handle: KillHandle,
    pub(super) role: Role,
    pub(super) network: bool,
    pub(super) channel: Channel,
    pub(super) pumps: Pumps,
    pub(super) confinement: Confinement,
    pub(super) withheld: Option<Withheld>,
    pub(super) closed_sources: Vec<ClosedSource>,
    /// What the host may read or list; none where there is no sandbox.
    pub(super) open: Option<Vec<PathBuf>>,
    /// The temporary directory, until the process has ended.
    pub(super) scratch: Option<Scratch>,
    pub(super) hello: Hello,
    /// The process that applies schemas, once one was needed.
    pub(super) schema_worker: Option<SchemaWorker>,
    /// Whether there was nothing to learn of the installed plugins when they were discovered.
    pub(super) knows_all: bool,
    /// The number that the log's descriptor has in the host, if it was started with one.
    pub(super) log_fd: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) next_id: u64,
}

impl fmt::Debug for HostProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostProcess")
            .field("purpose", &self.purpose)
            .field("confinement", &self.confinement)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

impl HostProcess {
    pub(super) fn limit_next(&mut self, limit: Duration) {
        self.timeout = Some(limit);
        // A limit beyond all time is none.
        self.channel.deadline = Instant::now().checked_add(limit);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.child.as_ref().is_none_or(has_ended)
    }
}
