//! Why a server ended.

use std::io;

use crate::config::ConfigError;

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("could not listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The first message was not one that opens a session.
    #[error("the client did not open a session: {0}")]
    Handshake(String),
    /// The system failed.
    #[error("the server failed: {0}")]
    Io(#[from] io::Error),
}
