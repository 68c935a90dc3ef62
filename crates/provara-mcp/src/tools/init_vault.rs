//! A new vault in the directory that the operator allowed.

use std::sync::{Arc, PoisonError};

use provara_vault::{InitOptions, Vault};
use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, appends, described, object, output};
use super::{Call, Tool};
use crate::answer::Answer;
use crate::args;
use crate::config::{Config, VaultName};
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::vault_handle::VaultHandle;

/// The tool's name.
pub(super) const NAME: &str = "init_vault";

/// `init_vault`.
pub(super) struct InitVault;

impl Tool for InitVault {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, _: &Choice<'_>) -> Described {
        described(
            "Create a vault",
            "Create a new vault with keys of its own in the directory that the operator allowed, and \
                 serve it under its name from now on.",
            object(
                serde_json::Map::from_iter([(
                    "name".to_owned(),
                    json!({
                        "type": "string",
                        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
                        "description": "The new vault's name, and that of its directory."
                    }),
                )]),
                &["name"],
            ),
            output(&[
                ("vault", "string"),
                ("uid", "string"),
                ("genesis_event_id", "string"),
            ]),
            appends(),
        )
    }

    fn is_offered(&self, config: &Config) -> bool {
        config.init_dir.is_some()
    }

    fn waits(&self, _: &Call) -> bool {
        true
    }

    fn run(&self, call: &Call, _: &JobHandle) -> Result<Answer, Refusal> {
        let server = &call.server;
        let name = args::text(&call.arguments, "name").unwrap_or_default();
        let refused = |text: &str| Refusal::new(text, "Choose another name.");
        let name: VaultName = name
            .parse()
            .map_err(|_| refused("That is no name for a vault."))?;
        let Some(directory) = &server.config.init_dir else {
            return Err(Refusal::new(
                "The operator allowed no new vaults.",
                "Ask the operator to name a directory for them: --init-dir DIR.",
            ));
        };
        let _turn = server.making.lock().unwrap_or_else(PoisonError::into_inner);
        let taken =
            |vault: &Arc<VaultHandle>| vault.name.as_str().eq_ignore_ascii_case(name.as_str());
        if server.vaults().iter().any(taken) {
            return Err(refused(&format!(
                "A vault called '{name}' is served already."
            )));
        }
        let path = directory.join(name.as_str());
        // An empty directory, or a link to one, is somebody's; a new vault gets a new one.
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(refused(&format!(
                "There is something called '{name}' already."
            )));
        }
        let handle = VaultHandle::new(name, path, None);
        let handle = Arc::new(handle.with_no_lock(server.config.no_lock));
        let made = provara_vault::init(&handle.path, &InitOptions::default())
            .map_err(|error| handle.refusal(&*server.renderer, error))?;
        if let Ok(vault) = Vault::open(&handle.path) {
            // Whatever was there before: nothing is, and the operator gave the directory for new ones.
            let _ = vault.with_memory(true).remember_as_made();
        }
        server.add_vault(Arc::clone(&handle));
        call.registry.vaults_changed();
        call.server.clients.lists_changed(true);
        Ok(Answer::new()
            .with("vault", handle.name.as_str())
            .with("uid", &made.uid)
            .with("root_key_id", &made.root_key_id)
            .with("genesis_event_id", &made.genesis_event_id)
            .with("merkle_root", &made.merkle_root.to_string()))
    }
}
