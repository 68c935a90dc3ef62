//! The clients of a server: who is there, what each wants to hear, and telling them.

// Subscriptions and logging have other forms in the newest revision of the protocol; clients of the
// revisions before it need these.
#![allow(deprecated)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam};
use rmcp::service::{Peer, RoleServer, SubscriptionSink};

use crate::config::VaultName;

/// The most subscriptions that are requests of their own.
const MAX_LISTENERS: usize = 256;

/// How long one client may take to accept a notification that goes to all.
const NOTIFY_LIMIT: Duration = Duration::from_secs(5);

/// How long a client may take to accept a notice of progress; one that is late misses it.
pub(crate) const PROGRESS_LIMIT: Duration = Duration::from_secs(2);

/// How much a message weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Notice,
    Warning,
}

impl From<Level> for LoggingLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => Self::Info,
            Level::Notice => Self::Notice,
            Level::Warning => Self::Warning,
        }
    }
}

/// What is known of a client, and how to reach it.
#[derive(Default)]
pub(crate) struct Client {
    peer: OnceLock<Peer<RoleServer>>,
    /// The least level that is logged, as a number; 0, before a client asks, is nothing.
    level: AtomicU8,
    subscriptions: Mutex<BTreeSet<String>>,
}

impl Client {
    /// Takes the way to the client; false where it was known.
    pub(crate) fn connect(&self, peer: Peer<RoleServer>) -> bool {
        self.peer.set(peer).is_ok()
    }

    /// Sets the least level that is logged.
    pub(crate) fn set_level(&self, level: LoggingLevel) {
        self.level.store(weight(level), Ordering::Relaxed);
    }

    pub(crate) fn peer(&self) -> Option<Peer<RoleServer>> {
        self.peer
            .get()
            .filter(|peer| !peer.is_transport_closed())
            .cloned()
    }

    pub(crate) fn subscriptions(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, if the client has asked for such.
    pub(crate) fn log(&self, level: Level, text: &str) {
        let level = LoggingLevel::from(level);
        let least = self.level.load(Ordering::Relaxed);
        if least == 0 || weight(level) < least {
            return;
        }
        let Some(peer) = self.peer() else { return };
        let message =
            LoggingMessageNotificationParam::new(level, text.into()).with_logger("provara");
        tokio::spawn(async move {
            // A client that does not listen misses it.
            let sent = peer.notify_logging_message(message);
            let _ = tokio::time::timeout(PROGRESS_LIMIT, sent).await;
        });
    }
}

/// A level as a number that grows with its weight.
fn weight(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 1,
        LoggingLevel::Info => 2,
        LoggingLevel::Notice => 3,
        LoggingLevel::Warning => 4,
        LoggingLevel::Error => 5,
        LoggingLevel::Critical => 6,
        LoggingLevel::Alert => 7,
        LoggingLevel::Emergency => 8,
    }
}

/// All clients of a server.
#[derive(Default)]
pub(crate) struct Clients {
    clients: Mutex<Vec<Weak<Client>>>,
    listeners: Mutex<Vec<SubscriptionSink>>,
}

impl Clients {
    /// Remembers a client, so that it hears of changes.
    pub(crate) fn welcome(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|known| known.strong_count() > 0);
        clients.push(Arc::downgrade(client));
    }

    fn all(&self) -> Vec<Arc<Client>> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(Weak::upgrade).collect()
    }

    /// Remembers a subscription until its request ends, if there are not too many.
    pub(crate) fn add_listener(&self, sink: SubscriptionSink) -> bool {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = listeners.len() < MAX_LISTENERS;
        if room {
            listeners.push(sink);
        }
        room
    }

    /// Forgets a subscription. Its sink is told apart by the request and by what it accepts.
    pub(crate) fn remove_listener(&self, gone: &SubscriptionSink) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let same = |sink: &SubscriptionSink| {
            sink.id() == gone.id() && std::ptr::eq(sink.accepted(), gone.accepted())
        };
        listeners.retain(|sink| !same(sink));
    }

    fn listeners(&self) -> Vec<SubscriptionSink> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells every client that the tools, or the resources too, are not what they were.
    pub(crate) fn lists_changed(&self, resources: bool) {
        for client in self.all() {
            tokio::spawn(async move {
                let Some(peer) = client.peer() else { return };
                let notices = async {
                    // A client that is gone needs no notice.
                    let _ = peer.notify_tool_list_changed().await;
                    if resources {
                        let _ = peer.notify_resource_list_changed().await;
                    }
                };
                let _ = tokio::time::timeout(NOTIFY_LIMIT, notices).await;
            });
        }
        for sink in self.listeners() {
            tokio::spawn(async move {
                let notices = async {
                    let _ = sink.notify_tool_list_changed().await;
                    if resources {
                        let _ = sink.notify_resource_list_changed().await;
                    }
                };
                let _ = tokio::time::timeout(NOTIFY_LIMIT, notices).await;
            });
        }
    }

    /// Tells those who subscribed that what is derived from this vault's log is not what it was.
    pub(crate) fn log_changed(&self, vault: &VaultName) {
        let prefix = format!("provara://{vault}/");
        // An event never changes once it is there.
        let moved =
            |uri: &&String| uri.starts_with(&prefix) && !uri[prefix.len()..].starts_with("events/");
        for client in self.all() {
            let uris: Vec<_> = client
                .subscriptions()
                .iter()
                .filter(moved)
                .cloned()
                .collect();
            let Some(peer) = client.peer().filter(|_| !uris.is_empty()) else {
                continue;
            };
            tokio::spawn(async move {
                let notices = async {
                    for uri in uris {
                        let update = rmcp::model::ResourceUpdatedNotificationParam::new(uri);
                        let _ = peer.notify_resource_updated(update).await;
                    }
                };
                let _ = tokio::time::timeout(NOTIFY_LIMIT, notices).await;
            });
        }
        for sink in self.listeners() {
            let wanted = sink
                .accepted()
                .resource_subscriptions
                .clone()
                .unwrap_or_default();
            let uris: Vec<_> = wanted.into_iter().filter(|uri| moved(&uri)).collect();
            tokio::spawn(async move {
                let notices = async {
                    for uri in uris {
                        let _ = sink.notify_resource_updated(uri).await;
                    }
                };
                let _ = tokio::time::timeout(NOTIFY_LIMIT, notices).await;
            });
        }
    }

    /// Whether anybody wants to hear of changes of resources.
    pub(crate) fn has_subscribers(&self) -> bool {
        let listens = |sink: &SubscriptionSink| sink.accepted().resource_subscriptions.is_some();
        self.all()
            .iter()
            .any(|client| !client.subscriptions().is_empty())
            || self.listeners().iter().any(listens)
    }

    /// Tells every client whose level allows it what happened.
    pub(crate) fn log(&self, level: Level, text: &str) {
        for client in self.all() {
            client.log(level, text);
        }
    }
}
