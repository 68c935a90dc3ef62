//! What all sessions of a server share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use provara_core::json::Value;
use provara_plugins::catalog::EventTypeInfo;
use provara_plugins::host::Verdict;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;
use crate::config::Config;
use crate::job::JobHandle;
use crate::marks::Marks;
use crate::refusal::Refusal;
use crate::renderer::{ErrorContext, Renderer};
use crate::usage;
use crate::vault_handle::VaultHandle;
use crate::warm_host::{Installed, Protected, WarmHost};

/// How many blocking jobs run at a time that may wait for a plugin or for the disk. More wait for their
/// turn.
const WAITING_JOBS: usize = 16;

/// How long a list of tools waits for the first discovery.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(30);

/// What all sessions share.
pub(crate) struct ServerState {
    pub(crate) config: Config,
    pub(crate) renderer: Arc<dyn Renderer>,
    /// Places for jobs that compute: as many as there are cores. More at a time would be no faster, and
    /// each holds a log or what was derived from it.
    pub(crate) computing: Arc<Semaphore>,
    /// Places for jobs that may wait for a plugin or for the disk.
    pub(crate) waiting: Arc<Semaphore>,
    /// Cancelled when the server ends.
    pub(crate) stopping: CancellationToken,
    /// Told when this process has appended.
    pub(crate) appended: Notify,
    /// The logs that somebody wants to hear of.
    pub(crate) marks: Marks,
    vaults: Arc<RwLock<Vec<Arc<VaultHandle>>>>,
    /// One vault is made at a time: no two may differ by letter case alone.
    pub(crate) making: Mutex<()>,
    warm_host: Option<WarmHost>,
    discovery: std::sync::Once,
    installed: watch::Receiver<Option<Arc<Installed>>>,
    pub(crate) clients: Clients,
}

impl ServerState {
    /// Opens the vaults. Must be called within the runtime.
    pub(crate) fn start(config: Config, renderer: Arc<dyn Renderer>) -> Arc<Self> {
        let handles = config.vaults.iter().map(|spec| {
            let keyfile = config.keyfile.clone();
            let vault = VaultHandle::new(spec.name.clone(), spec.path.clone(), keyfile);
            Arc::new(vault.with_no_lock(config.no_lock))
        });
        let vaults: Arc<RwLock<Vec<_>>> = Arc::new(RwLock::new(handles.collect()));
        let (found, installed) = watch::channel(None);
        let protect = protected(Arc::clone(&vaults));
        let counted = Arc::clone(&vaults);
        let usage = Arc::new(move || usage::of(&all(&counted)));
        let warm_host = match WarmHost::start(
            config.plugins.clone(),
            protect,
            usage,
            Arc::clone(&renderer),
            found,
        ) {
            Ok(warm_host) => Some(warm_host),
            Err(error) => {
                tracing::error!("plugins are not available: {error}");
                None
            }
        };
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Arc::new(Self {
            renderer,
            computing: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(WAITING_JOBS)),
            stopping: CancellationToken::new(),
            appended: Notify::new(),
            marks: Marks::default(),
            vaults,
            making: Mutex::default(),
            warm_host,
            discovery: std::sync::Once::new(),
            installed,
            clients: Clients::default(),
            config,
        })
    }

    /// Ends what is in hand.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    /// The vaults, in the order in which they were named.
    pub(crate) fn vaults(&self) -> Vec<Arc<VaultHandle>> {
        all(&self.vaults)
    }

    /// Whether a call need not say which vault it means.
    pub(crate) fn one_vault(&self) -> bool {
        self.config.init_dir.is_none() && self.vaults().len() == 1
    }

    /// The vault of this name.
    pub(crate) fn vault(&self, name: &str) -> Result<Arc<VaultHandle>, Refusal> {
        let vaults = self.vaults();
        let found = vaults.iter().find(|vault| vault.name.as_str() == name);
        found.cloned().ok_or_else(|| {
            let known: Vec<_> = vaults.iter().map(|vault| vault.name.as_str()).collect();
            let fix = match known.is_empty() {
                true => "There is none yet; make one with 'init_vault'.".to_owned(),
                false => format!("Name one of: {}.", known.join(", ")),
            };
            Refusal::new(&format!("No vault here is called '{name}'."), &fix)
        })
    }

    /// Serves one more vault.
    pub(crate) fn add_vault(&self, vault: Arc<VaultHandle>) {
        self.vaults
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(vault);
    }

    /// The places that no plugin may read.
    pub(crate) fn protected(&self) -> Vec<PathBuf> {
        protected(Arc::clone(&self.vaults))()
    }

    /// Looks for plugins, the first time. Not before a client has its first answer: that one needs
    /// none, and Python's start would delay it.
    pub(crate) fn begin_discovery(&self) {
        self.discovery.call_once(|| self.discover());
    }

    /// What is installed, once that is known.
    pub(crate) async fn installed(&self) -> Arc<Installed> {
        self.begin_discovery();
        let mut installed = self.installed.clone();
        let known = tokio::time::timeout(DISCOVERY_LIMIT, installed.wait_for(Option::is_some));
        match known.await {
            Ok(Ok(found)) => (*found).clone().unwrap_or_default(),
            // Late, or never: what needs no plugin works all the same.
            _ => Arc::default(),
        }
    }

    /// As [`ServerState::installed`], without waiting.
    pub(crate) fn installed_now(&self) -> Option<Arc<Installed>> {
        self.installed.borrow().clone()
    }

    pub(crate) fn installed_changes(&self) -> watch::Receiver<Option<Arc<Installed>>> {
        self.installed.clone()
    }

    /// Looks for plugins, again.
    pub(crate) fn discover(&self) {
        if let Some(warm_host) = &self.warm_host {
            warm_host.discover();
        }
    }

    /// Holds data against a plugin's schema, and asks its own `validate`; blocks.
    pub(crate) fn validate(
        &self,
        plugin: &EventTypeInfo,
        data: &Value<'static>,
        job: &JobHandle,
    ) -> Result<(), Refusal> {
        let Some(warm_host) = &self.warm_host else {
            return Err(Refusal::new(
                "Plugins are not available.",
                "Ask the operator to restart the server.",
            ));
        };
        match warm_host.validate(plugin, data, job)? {
            Verdict::Accepted => Ok(()),
            Verdict::Refused(reason) => {
                let reason = &reason;
                Err(Refusal(
                    self.renderer
                        .render(ErrorContext::Refused { plugin, reason }),
                ))
            }
        }
    }

    /// From now on, a change of this vault's log is noticed.
    pub(crate) fn watch(&self, vault: Option<&VaultHandle>) {
        if let Some(vault) = vault {
            self.marks.begin(vault);
        }
    }
}

fn all(vaults: &RwLock<Vec<Arc<VaultHandle>>>) -> Vec<Arc<VaultHandle>> {
    vaults
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn protected(vaults: Arc<RwLock<Vec<Arc<VaultHandle>>>>) -> Protected {
    Arc::new(move || {
        let vaults = all(&vaults);
        let of_vault = |vault: &Arc<VaultHandle>| [vault.path.clone(), vault.keyfile_path()];
        vaults.iter().flat_map(of_vault).collect()
    })
}
