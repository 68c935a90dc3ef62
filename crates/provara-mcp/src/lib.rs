#![forbid(unsafe_code)]
//! Provara for AI agents: named vaults and the installed plugins over the Model Context Protocol.
//!
//! An agent gets what a person in a shell gets, through the same library calls and with the same
//! words when something is refused. What it may not do is decided here, once, for every transport:
//!
//! * Only the vaults that the operator named are reachable ([`Config::vaults`]); an export lands
//!   below [`Config::export_dir`], a new vault below [`Config::init_dir`], and nowhere else.
//! * The actor and the key are the operator's choice. A key is read to sign and is never part of an
//!   answer.
//! * Nothing is derived from a vault that does not verify.
//! * Plugins run in the confined host of `provara-plugins`. One host is kept warm for validation; a
//!   reducer and an export get a host of their own, because the sandbox of a host is set once,
//!   around the one log or the one output that it may touch.
//!
//! This crate is the only one with an asynchronous runtime, and it is started by [`serve`] alone.
//! Everything that touches a disk, a lock or a plugin runs on blocking threads, a bounded number at
//! a time.
//!
//! | module | |
//! | --- | --- |
//! | `state` | what all sessions share: settings, vaults, clients, the warm plugin host |
//! | `vault_handle`, `marks` | one vault: opening, verifying, appending; whether its log has changed |
//! | `clients` | who is connected, and telling them |
//! | `tools` | what can be called: a file for each tool |
//! | `read` | pages of events, findings and the status, for tools and resources |
//! | `resources`, `prompts`, `complete` | what can be read, and what helps a person to ask |
//! | `session` | one client: the protocol's methods |
//! | `warm_host`, `watch` | the warm plugin host; what changes behind the server's back |
//! | `job` | blocking work, with progress and cancellation |
//! | `message`, `batch`, `lines` | what is a message, several in one, and what is answered to what is none |
//! | `pipe` | stdio: a client that does not read is not read |
//! | `http`, `write_timeout` | HTTP: tokens, hosts, origins, limits; clients that do not read |
//! | `sessions` | over HTTP: how many sessions, how long, and what each has in hand |
//! | `refusal`, `answer`, `args`, `given`, `renderer` | what a call gets and gives, and who turns errors into text |
//! | `shown` | plugins' schemas as clients can take them |
//! | `naming`, `uri` | names of plugins' tools; addresses of resources |
//! | `install` | configurations of clients |
//! | `error`, `limits`, `log` | why a server ended; the limits that several modules hold to; lines for the operator |
//!
//! Which of them may know which stands in ARCHITECTURE.md.

mod answer;
mod args;
mod batch;
mod clients;
mod complete;
mod config;
mod cursor;
mod error;
mod exact;
#[cfg(feature = "conformance-fixtures")]
mod fixtures;
mod given;
mod http;
pub mod install;
mod job;
mod limits;
mod lines;
mod log;
mod marks;
mod message;
mod naming;
mod pipe;
mod prompts;
mod read;
mod refusal;
mod renderer;
mod resources;
mod session;
mod sessions;
mod shown;
mod state;
mod tools;
mod uri;
mod usage;
mod vault_handle;
mod warm_host;
mod watch;
mod write_timeout;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

pub use config::{
    Config, ConfigError, HttpSettings, PluginSettings, Transport, VaultName, VaultNameError,
    VaultSpec, check_places,
};
pub use error::ServeError;

pub use log::{LogLevel, to_stderr as log_to_stderr};

use limits::END_LIMIT;
use pipe::Pipe;
use rmcp::ServiceExt;
use session::Session;
use state::ServerState;
use tools::Registry;

/// Serves until the client closes the stream (stdio) or for ever (HTTP).
///
/// # Errors
/// [`ServeError`].
pub fn serve(config: Config) -> Result<(), ServeError> {
    config.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .thread_name("provara-mcp")
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(config));
    // What is in hand may finish: an append that was asked for is made, or is not in the log at all.
    runtime.shutdown_timeout(END_LIMIT);
    result
}

async fn run(config: Config) -> Result<(), ServeError> {
    let transport = config.transport.clone();
    let server = ServerState::start(config, Arc::new(renderer::ForAgents));
    let registry = Registry::new(&server);
    tokio::spawn(watch::plugins(Arc::clone(&server), Arc::clone(&registry)));
    tokio::spawn(watch::logs(Arc::clone(&server)));
    let result = match transport {
        Transport::Stdio => stdio(&server, &registry).await,
        Transport::Http(http) => http::serve(&server, &registry, &http).await,
    };
    server.stop();
    result
}

async fn stdio(server: &Arc<ServerState>, registry: &Arc<Registry>) -> Result<(), ServeError> {
    let (read, write) = rmcp::transport::stdio();
    let descriptor = io::stdin().as_fd().try_clone_to_owned().ok();
    let pipe = Pipe::new(read, write, descriptor);
    let service = match Session::new(server, registry).serve(pipe).await {
        Ok(service) => service,
        // A client that goes away before it says anything has not failed.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(ServeError::Handshake(error.to_string())),
    };
    service
        .waiting()
        .await
        .map(drop)
        .map_err(|error| ServeError::Io(io::Error::other(error)))
}
