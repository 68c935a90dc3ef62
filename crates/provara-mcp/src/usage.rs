//! Which event types the vaults have most of: that decides which tools a list has where it cannot have all.
//!
//! The end of each log is counted as it stands, without a verification, and once: nothing is derived from it but
//! an order, and tools must not come and go while an agent works.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use provara_core::layout;
use provara_core::scan::{Field, scan_line};

use crate::vault_handle::VaultHandle;
use crate::warm_host::Usage;

/// The bytes of each log that are looked at.
const LOOKED_AT: u64 = 4 << 20;

/// The most vaults that are looked at.
const VAULTS: usize = 16;

/// Counts the events at the ends of the vaults' logs.
pub(crate) fn of(vaults: &[Arc<VaultHandle>]) -> Usage {
    let mut usage = Usage::new();
    for vault in vaults.iter().take(VAULTS) {
        // A log that cannot be read gives no order.
        let text = end_of(&vault.path.join(layout::LOG)).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n') {
            let line = scan_line(line).ok();
            let found = line.as_ref().and_then(|line| line.text(Field::Type));
            if let Some(event_type) = found {
                *usage.entry(event_type.into_owned()).or_default() += 1;
            }
        }
    }
    usage
}

fn end_of(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT)))?;
    let mut text = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut text)?;
    Ok(text)
}
