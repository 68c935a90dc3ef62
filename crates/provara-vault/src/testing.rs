//! What tests of several files begin with.

use provara_core::keys::Keyfile;

use crate::vault::Vault;
use crate::{InitOptions, init, read_keyfile};

/// A vault of its own: `vault` in a directory that goes when it is dropped, and the keys that it was made with.
pub(crate) fn fresh_vault() -> (tempfile::TempDir, Vault, Keyfile) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vault");
    let made = init(&path, &InitOptions::default()).unwrap();
    let keyfile = read_keyfile(&made.keyfile).unwrap();
    (directory, Vault::open(&path).unwrap(), keyfile)
}
