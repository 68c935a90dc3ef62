//! What changes behind the server's back: packages, and logs that other processes append to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use provara_plugins::environment::Environment;
use provara_plugins::runtime::Runtime;

use crate::clients::Level;
use crate::state::ServerState;
use crate::tools::Registry;
use crate::warm_host::Installed;

/// How often the directories of packages are looked at: a handful of `stat` calls.
const PACKAGES: Duration = Duration::from_secs(1);

/// How often logs are looked at while somebody has subscribed.
const LOGS: Duration = Duration::from_millis(200);

/// The directories that packages lie in, with the times at which an entry came or went. An install,
/// an upgrade and a removal each add or remove a `.dist-info` directory.
fn packages() -> Vec<(PathBuf, Option<SystemTime>)> {
    let Ok(runtime) = Runtime::find() else {
        return Vec::new();
    };
    let changed = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    runtime
        .install_places(&Environment::from_process())
        .into_iter()
        .map(|path| {
            let time = changed(&path);
            (path, time)
        })
        .collect()
}

/// Discovers again when packages have changed, and tells the clients when their tools did.
pub(crate) async fn plugins(server: Arc<ServerState>, registry: Arc<Registry>) {
    let mut installed = server.installed_changes();
    let mut known = tokio::task::spawn_blocking(packages)
        .await
        .unwrap_or_default();
    let mut moving = false;
    let mut tick = tokio::time::interval(PACKAGES);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = server.stopping.cancelled() => return,
            changed = installed.changed() => {
                if changed.is_err() {
                    return;
                }
                let found = installed.borrow_and_update().clone();
                if let Some(found) = found {
                    take(&server, &registry, &found);
                }
            }
            _ = tick.tick() => {
                let now = tokio::task::spawn_blocking(packages).await.unwrap_or_default();
                // An installer writes for a while: it is over when two looks see the same.
                if now != known {
                    (known, moving) = (now, true);
                } else if moving {
                    moving = false;
                    server.discover();
                }
            }
        }
    }
}

/// Takes over what was discovered.
fn take(server: &ServerState, registry: &Registry, found: &Installed) {
    let catalog = &found.catalog;
    tracing::debug!(
        "installed: {} event types, {} reducers, {} exports; {} problems",
        catalog.event_types.len(),
        catalog.reducers.len(),
        catalog.exports.len(),
        catalog.problems.len()
    );
    for problem in &found.catalog.problems {
        server.clients.log(Level::Warning, &problem.text);
    }
    if let Some(failure) = &found.failure {
        server.clients.log(Level::Warning, &failure.0);
    }
    registry.warn_of_idle_patterns();
    if registry.announce() {
        server
            .clients
            .log(Level::Info, "The installed plugins have changed.");
        server.clients.lists_changed(false);
    }
}

/// Notices appends, whoever made them.
pub(crate) async fn logs(server: Arc<ServerState>) {
    let mut unwanted = 0;
    loop {
        tokio::select! {
            () = server.stopping.cancelled() => return,
            () = server.appended.notified() => {}
            () = tokio::time::sleep(LOGS) => {}
        }
        if server.clients.has_subscribers() {
            unwanted = 0;
            for vault in server.vaults() {
                if server.marks.changed(&vault) {
                    server.clients.log_changed(&vault.name);
                }
            }
        } else {
            unwanted += 1;
            // The first time it may be that somebody subscribes just now.
            if unwanted == 2 {
                server
                    .marks
                    .clear_unless(|| server.clients.has_subscribers());
            }
        }
    }
}
