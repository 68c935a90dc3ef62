//! The directories of the user's own, outside every vault (XDG Base Directory Specification).

use std::env;
use std::path::PathBuf;

/// `$XDG_CACHE_HOME/provara`, else `~/.cache/provara`; `None` where neither variable is an absolute
/// path.
#[must_use]
pub fn default_cache_directory() -> Option<PathBuf> {
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("provara"))
}

/// `$XDG_STATE_HOME/provara`, else `~/.local/state/provara`, else a directory of the user's own
/// below the system's one for temporary files.
#[must_use]
pub fn default_state_directory() -> PathBuf {
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return state.join("provara");
    }
    if let Some(home) = absolute("HOME") {
        return home.join(".local/state/provara");
    }
    let user = rustix::process::getuid().as_raw();
    env::temp_dir().join(format!("provara-{user}"))
}

/// The absolute path in a variable of the environment. The specification says to pass over any other.
fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
