//! What the operator decides before the first client speaks.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use provara_core::id::KeyId;
use provara_plugins::sandbox::SandboxMode;

/// The shortest bearer token that is taken, in bytes.
const MIN_TOKEN: usize = 16;

/// The name under which clients know a vault: 1 to 64 letters, digits, `.`, `_` and `-`, the first
/// a letter or a digit. It stands in addresses as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultName(String);

/// A text is no [`VaultName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no name for a vault (1 to 64 letters, digits, '.', '_' and '-', the first a letter or a digit)", provara_plugins::text::inline(.0))]
pub struct VaultNameError(String);

impl VaultName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VaultName {
    type Err = VaultNameError;

    fn from_str(text: &str) -> Result<Self, VaultNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let first = text.as_bytes().first();
        if first.is_some_and(u8::is_ascii_alphanumeric)
            && text.len() <= 64
            && text.bytes().all(allowed)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(VaultNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for VaultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A vault and the name that clients use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSpec {
    /// The name.
    pub name: VaultName,
    /// The directory.
    pub path: PathBuf,
}

impl FromStr for VaultSpec {
    type Err = VaultNameError;

    /// `NAME=DIR`, or `DIR`, whose last component is then the name.
    fn from_str(text: &str) -> Result<Self, VaultNameError> {
        if let Some((name, path)) = text.split_once('=')
            && !name.contains('/')
        {
            return Ok(Self {
                name: name.parse()?,
                path: path.into(),
            });
        }
        let path = PathBuf::from(text);
        let named = path.file_name().map(ToOwned::to_owned).or_else(|| {
            // `.` and `..` have a name once they are followed.
            let real = std::fs::canonicalize(&path).ok()?;
            real.file_name().map(ToOwned::to_owned)
        });
        let name: String = named
            .unwrap_or_default()
            .to_string_lossy()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let name = name.trim_start_matches(['.', '_', '-']);
        let name = &name[..name.len().min(64)];
        Ok(Self {
            name: if name.is_empty() { "vault" } else { name }.parse()?,
            path,
        })
    }
}

/// How clients reach the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// One client, over standard input and output.
    Stdio,
    /// Any number of clients over streamable HTTP.
    Http(HttpSettings),
}

/// The settings of the HTTP transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bearer token that every request must carry.
    pub token: Option<String>,
    /// Host names that requests may be addressed to, besides loopback names and addresses.
    pub hosts: Vec<String>,
    /// Origins that browsers may send, besides those on loopback hosts.
    pub origins: Vec<String>,
}

/// How plugins are run.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// The sandbox of plugins.
    pub sandbox: SandboxMode,
    /// How long one call of a plugin may take.
    pub timeout: Duration,
    /// Where plugins may keep state.
    pub state_dir: Option<PathBuf>,
}

/// Everything that the operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The vaults, the first of which is meant where a call names none.
    pub vaults: Vec<VaultSpec>,
    /// Whether every tool that writes is left out.
    pub read_only: bool,
    /// Who appends.
    pub actor: String,
    /// The keyfile; each vault's own where none is given.
    pub keyfile: Option<PathBuf>,
    /// The key of the keyfile that signs.
    pub key_id: Option<KeyId>,
    /// Whether a custom type that no plugin defines may be appended.
    pub allow_unregistered: bool,
    /// Whether events may be appended that decide about a vault: its keys, its end, what may be erased
    /// ([`provara_core::event_type::Authority`]).
    pub allow_admin: bool,
    /// Write where the file system has no locks, too: nothing else writes to the vaults.
    pub no_lock: bool,
    /// Patterns of tools that may be seen and called; all if empty. `*` stands for any text.
    pub allow_tools: Vec<String>,
    /// The directory that exports are written into.
    pub export_dir: Option<PathBuf>,
    /// The directory that new vaults are made in.
    pub init_dir: Option<PathBuf>,
    /// How plugins are run.
    pub plugins: PluginSettings,
    /// How clients reach the server.
    pub transport: Transport,
}

/// A configuration contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is nothing to serve.
    #[error("no vault is named, and no directory for new ones")]
    NoVault,
    /// Two vaults have one name.
    #[error("two vaults are called '{0}'")]
    SameName(VaultName),
    /// A directory for outputs cannot be used.
    #[error("the directory '{}' cannot be used: {reason}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Without a token anybody on the network could append.
    #[error("{0} is not a loopback address, and there is no bearer token")]
    TokenNeeded(SocketAddr),
    /// The token can be guessed.
    #[error("the bearer token is shorter than {MIN_TOKEN} characters")]
    TokenShort,
}

impl Config {
    /// Checks what can be known without opening a vault.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.vaults.is_empty() && self.init_dir.is_none() {
            return Err(ConfigError::NoVault);
        }
        check_places(&self.vaults, self.export_dir.iter().chain(&self.init_dir))?;
        let Transport::Http(http) = &self.transport else {
            return Ok(());
        };
        match &http.token {
            Some(token) if token.len() < MIN_TOKEN => Err(ConfigError::TokenShort),
            None if !http.listen.ip().is_loopback() => Err(ConfigError::TokenNeeded(http.listen)),
            _ => Ok(()),
        }
    }

    /// Whether a tool of this name may be seen and called.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        self.allow_tools.is_empty() || self.allow_tools.iter().any(|p| matches(p, tool))
    }

    /// The patterns of tools that none of these names fits.
    pub(crate) fn idle<'a>(&self, tools: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        let is_idle = |pattern: &&String| !tools.clone().any(|tool| matches(pattern, tool));
        self.allow_tools.iter().filter(is_idle).cloned().collect()
    }
}

/// Checks that no two vaults have one name, and that each of the directories for outputs exists and lies
/// in no vault.
///
/// # Errors
/// [`ConfigError::SameName`] and [`ConfigError::Directory`].
pub fn check_places<'a>(
    vaults: &[VaultSpec],
    directories: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), ConfigError> {
    for (at, vault) in vaults.iter().enumerate() {
        // Names are told apart by more than letter case, as file systems may not.
        let same = |other: &VaultSpec| other.name.0.eq_ignore_ascii_case(&vault.name.0);
        if vaults[..at].iter().any(same) {
            return Err(ConfigError::SameName(vault.name.clone()));
        }
    }
    directories
        .into_iter()
        .try_for_each(|path| check_directory(vaults, path))
}

fn check_directory(vaults: &[VaultSpec], path: &Path) -> Result<(), ConfigError> {
    let refuse = |reason: String| ConfigError::Directory {
        path: path.to_owned(),
        reason,
    };
    let real = std::fs::canonicalize(path).map_err(|error| refuse(error.to_string()))?;
    if !real.is_dir() {
        return Err(refuse("it is not a directory".to_owned()));
    }
    for vault in vaults {
        let vault_path = std::fs::canonicalize(&vault.path);
        if vault_path.is_ok_and(|vault| real.starts_with(vault)) {
            let name = &vault.name;
            return Err(refuse(format!("it lies in the vault '{name}'")));
        }
    }
    Ok(())
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            // The shortest match of the star suffices: what follows is tried at every later place.
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration that offers every tool.
    pub(crate) fn full() -> Config {
        Config {
            vaults: vec!["v=/nowhere/v".parse().unwrap()],
            read_only: false,
            actor: "agent".to_owned(),
            keyfile: None,
            key_id: None,
            allow_unregistered: false,
            allow_admin: false,
            no_lock: false,
            allow_tools: Vec::new(),
            export_dir: Some("/nowhere/out".into()),
            init_dir: Some("/nowhere/vaults".into()),
            plugins: PluginSettings {
                sandbox: SandboxMode::Auto,
                timeout: Duration::from_secs(60),
                state_dir: None,
            },
            transport: Transport::Stdio,
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("append_event", "append_event", true),
            ("append_event", "append_events", false),
            ("append_*", "append_com_acme", true),
            ("*", "", true),
            ("*_vault", "verify_vault", true),
            ("*_vault", "verify_vaults", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_that_fit_nothing() {
        let mut config = full();
        let patterns = ["get_*", "verify_vualt", "append_com_acme", "*_acme"];
        config.allow_tools = patterns.map(ToOwned::to_owned).to_vec();
        let idle = config.idle(["get_event", "verify_vault"].into_iter());
        assert_eq!(idle, patterns[1..]);
    }

    #[test]
    fn vaults_get_names() {
        let spec = |text: &str| text.parse::<VaultSpec>().unwrap();
        assert_eq!(spec("audit=/a/b").name.as_str(), "audit");
        assert_eq!(spec("audit=/a/b").path, Path::new("/a/b"));
        assert_eq!(spec("/a/my vault").name.as_str(), "my-vault");
        assert_eq!(spec("/a/b=c").path, Path::new("/a/b=c"));
        assert_eq!(spec("/").name.as_str(), "vault");
        assert!("a b=/x".parse::<VaultSpec>().is_err());
        assert!("=/x".parse::<VaultSpec>().is_err());
        assert_eq!(
            spec(&format!("/{}", "x".repeat(99))).name.as_str().len(),
            64
        );
    }
}
