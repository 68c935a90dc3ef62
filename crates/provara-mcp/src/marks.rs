//! What tells that a log has changed, for those who want to hear of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::VaultName;
use crate::vault_handle::{Mark, VaultHandle};

/// The logs that somebody wants to hear of, as they were when they were last looked at.
#[derive(Default)]
pub(crate) struct Marks(Mutex<BTreeMap<VaultName, Option<Mark>>>);

impl Marks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<VaultName, Option<Mark>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a log now, so that a change from now on is noticed.
    pub(crate) fn begin(&self, vault: &VaultHandle) {
        let mut marks = self.lock();
        marks
            .entry(vault.name.clone())
            .or_insert_with(|| vault.log_mark());
    }

    /// Forgets all logs, unless they are wanted; a log that is asked for meanwhile waits for the answer.
    pub(crate) fn clear_unless(&self, wanted: impl FnOnce() -> bool) {
        let mut marks = self.lock();
        if !wanted() {
            marks.clear();
        }
    }

    /// Whether a log has changed since it was last looked at.
    pub(crate) fn changed(&self, vault: &VaultHandle) -> bool {
        let now = vault.log_mark();
        let before = self.lock().insert(vault.name.clone(), now);
        before.is_some_and(|before| before != now)
    }
}
