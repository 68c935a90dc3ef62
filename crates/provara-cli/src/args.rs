//! Arguments that several commands take. Their help texts are their doc comments.

use std::path::PathBuf;

use clap::Args;

/// The vault a command works on.
#[derive(Args, Debug)]
pub(crate) struct VaultArg {
    /// The vault's directory
    #[arg(value_name = "VAULT", value_hint = clap::ValueHint::DirPath)]
    pub(crate) vault: PathBuf,
}

/// The key a command signs with.
#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    /// Sign with a key from this file [env: PROVARA_KEYFILE] [default: the vault's own
    /// identity/private_keys.json]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) keyfile: Option<PathBuf>,

    /// Sign with this key of the keyfile [default: its first active key that may attest]
    #[arg(long, value_name = "ID", value_parser = key_id)]
    pub(crate) key_id: Option<provara_core::id::KeyId>,
}

/// What a command takes that writes to a vault.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LockArgs {
    /// Write where the file system has no locks, too; only if nothing else writes to the vault at the
    /// same time: two writers then lose events (where there are locks, they are taken as ever)
    #[arg(long)]
    pub(crate) no_lock: bool,
}

/// Whether an unverified vault may be used.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct GateArgs {
    /// Go on even if the vault does not verify; says so on stderr
    #[arg(long)]
    pub(crate) unverified: bool,
}

/// A result for programs.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct JsonArg {
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a command takes that asks before it signs what cannot be taken back.
#[derive(Args, Debug)]
pub(crate) struct AskingArgs {
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    #[command(flatten)]
    pub(crate) json: JsonArg,
}

pub(crate) fn key_id(text: &str) -> Result<provara_core::id::KeyId, String> {
    text.parse()
        .map_err(|_| "a key id is 'bp1_' and 16 lower-case hex digits".to_owned())
}
