//! The tools as plugins and vaults come and go, and what clients and the operator were told of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::installed::may_fit_plugins;
use super::toolbox::Toolbox;
use crate::state::ServerState;
use crate::warm_host::Installed;

/// The tools of a server.
pub(crate) struct Registry {
    server: Arc<ServerState>,
    /// The tools, and what was installed when they were made.
    toolbox: Mutex<Option<(Arc<Installed>, Arc<Toolbox>)>>,
    /// The tools that clients were last told of.
    announced: Mutex<Option<Arc<Toolbox>>>,
    /// The patterns of tools that the operator was warned of.
    warned_idle: Mutex<BTreeSet<String>>,
}

impl Registry {
    /// The tools that there are at the start. Clients need not be told of them.
    pub(crate) fn new(server: &Arc<ServerState>) -> Arc<Self> {
        let registry = Self {
            server: Arc::clone(server),
            toolbox: Mutex::default(),
            announced: Mutex::default(),
            warned_idle: Mutex::default(),
        };
        registry.announce();
        registry.warn_of_idle_patterns();
        Arc::new(registry)
    }

    /// The tools as they are now.
    pub(crate) fn toolbox(&self) -> Arc<Toolbox> {
        let installed = self.server.installed_now().unwrap_or_default();
        let mut toolbox = self.toolbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, tools)) = &*toolbox
            && Arc::ptr_eq(from, &installed)
        {
            return Arc::clone(tools);
        }
        let vaults = self.server.vaults();
        let tools = Arc::new(Toolbox::new(&self.server.config, &vaults, &installed));
        *toolbox = Some((installed, Arc::clone(&tools)));
        tools
    }

    /// Makes the tools anew: another vault is served. The caller tells the clients.
    pub(crate) fn vaults_changed(&self) {
        *self.toolbox.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.announce();
    }

    /// Whether clients were told of other tools than there are now; from now on they were.
    pub(crate) fn announce(&self) -> bool {
        let now = self.toolbox();
        let mut announced = self
            .announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = announced
            .as_ref()
            .is_none_or(|before| !before.same_as(&now));
        *announced = Some(now);
        changed
    }

    /// Tells the operator, once each, of patterns that fit no tool. Those that may fit a plugin's wait
    /// until it is known what is installed.
    pub(crate) fn warn_of_idle_patterns(&self) {
        let known = self.server.installed_now().is_some();
        let toolbox = self.toolbox();
        let mut warned = self
            .warned_idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for pattern in toolbox.idle() {
            if (known || !may_fit_plugins(pattern)) && warned.insert(pattern.clone()) {
                let shown = provara_plugins::text::inline(pattern);
                tracing::warn!("warning: --allow-tool '{shown}' fits no tool that is here now");
            }
        }
    }
}
