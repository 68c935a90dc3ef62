//! One question and its one answer.

use serde::de::DeserializeOwned;

use super::host_process::HostProcess;
use super::{HostError, NO_PLUGIN, PluginFailure};
use crate::channel::{Channel, Stop};
use crate::output::Pumps;
use crate::protocol::{self, Loading, Request, Violation, WireError};
use crate::sandbox::Level;
use crate::text::{block, inline};
use crate::violation::{self, Violation as Attempt};

impl HostProcess {
    pub(super) fn request(&mut self, op: &'static str) -> Request {
        let id = self.next_id;
        self.next_id += 1;
        Request::new(id, op)
    }

    /// Sends a request and reads its one reply.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, request: Request) -> Result<T, HostError> {
        let (op, id) = (request.op, self.next_id - 1);
        let frame = request.into_frame().map_err(HostError::TooLarge)?;
        let (pumps, loading) = (&self.pumps, &mut self.loading);
        *loading = None;
        let mut exchange = |channel: &mut Channel| {
            channel.expect_quiet()?;
            channel.send(&frame)?;
            let mut body = channel.receive()?;
            if op == "discover" {
                body = next_reply(channel, pumps, loading, body, id)?;
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
        let said = failure.message.as_deref().unwrap_or_default();
        let suspicion = match violation {
            Some(_) => None,
            None => self.suspect(said),
        };
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
            suspicion,
        }
    }

    /// What a failure has to do with the sandbox. Where there is none, nothing.
    pub(super) fn explain(
        &self,
        exception: Option<&str>,
        message: Option<&str>,
        tried: Option<&str>,
    ) -> Option<Attempt> {
        let sandboxed = self.confinement.level > Level::Process;
        let explained = || violation::explain(self.role, self.network, exception, message, tried);
        sandboxed.then(explained).flatten()
    }
}

/// Takes and answers the frames that say what is being loaded, up to the first other one. The host waits for
/// the answer, so that nothing which the next plugin prints goes under the name of the one before.
fn next_reply(
    channel: &mut Channel,
    pumps: &Pumps,
    loading: &mut Option<Loading>,
    mut body: Vec<u8>,
    id: u64,
) -> Result<Vec<u8>, Stop> {
    for _ in 0..protocol::MAX_NAMED {
        let Some(next) = protocol::parse_loading(&body, id) else {
            return Ok(body);
        };
        let plugin = next.as_ref().map(|next| next.plugin.as_str());
        pumps.set_label(plugin.unwrap_or(NO_PLUGIN));
        *loading = next;
        match channel.send(&protocol::noted(id)) {
            // What it had sent before it ended is still to be read.
            Ok(()) | Err(Stop::Closed) => {}
            Err(stop) => return Err(stop),
        }
        body = channel.receive()?;
    }
    Err(Violation::Endless.into())
}
