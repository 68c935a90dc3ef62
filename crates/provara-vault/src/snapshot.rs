//! A reader's view of the log that stands in a vault: its prefix of whole lines at one moment.

use provara_core::layout;

use crate::error::{Context, VaultError};
use crate::lock::{Attempt, LockedLog, lock_log_shared, try_lock_shared};
use crate::log_snapshot::{LogSnapshot, whole_lines};
use crate::seal::read_entries;
use crate::vault::Vault;

impl Vault {
    /// The log, while no writer is at work.
    pub(crate) fn lock_for_reading(&self) -> Result<LockedLog, VaultError> {
        let path = self.inner_file(layout::LOG)?;
        lock_log_shared(&path, self.lock_timeout())
    }

    /// The log's whole lines as they stand now; while a writer is at work, as far as the seal covers them:
    /// what a disk then refuses of the rest is taken back. Never waits for a writer.
    ///
    /// # Errors
    /// [`VaultError::Structure`] where the log is missing or leads out of the vault, or
    /// [`VaultError::Io`].
    pub fn snapshot(&self) -> Result<LogSnapshot, VaultError> {
        if !self.files().is_live() {
            let log = self.files().open_log(layout::LOG)?;
            let log = log.ok_or_else(|| VaultError::Structure {
                file: layout::LOG.to_owned(),
                reason: "it is missing".to_owned(),
            })?;
            return log.take(None).map(|taken| taken.lines);
        }
        let (log, path) = (self.open_log_file()?, self.log_path());
        let attempt = try_lock_shared(&log, &path).context("lock", &path)?;
        if attempt == Attempt::Busy {
            let length = log.metadata().context("read", &path)?.len();
            let entries = read_entries(self.path()).unwrap_or_default();
            let entry = entries.iter().find(|entry| entry.path == layout::LOG);
            if let Some(entry) = entry.filter(|entry| entry.size <= length) {
                let whole = whole_lines(&log, entry.size).context("read", &path)?;
                return LogSnapshot::of_prefix(&log, whole, &path);
            }
        }
        let lines = LogSnapshot::of_lines(&log, &path);
        // The snapshot may hold the file.
        let _ = log.unlock();
        lines
    }
}
