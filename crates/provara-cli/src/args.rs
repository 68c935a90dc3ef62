//! Arguments that several commands take. Their help texts are their doc comments.

use std::path::PathBuf;

use clap::Args;
use provara_report::{Class, Diagnostic};
use provara_vault::WitnessKey;

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

/// Whom a reader takes at their word that they saw a vault.
#[derive(Args, Debug)]
pub(crate) struct SeenArgs {
    /// Require that this witness saw the vault: its key (C2SP signed-note), or the root key of another vault whose event
    /// names a tree head (repeatable: all of them, or as many as --witnesses says)
    #[arg(long, value_name = "KEY", value_parser = witness_key)]
    pub(crate) witness: Vec<WitnessKey>,

    /// How many of the witnesses must have seen it
    #[arg(long, value_name = "NUMBER", requires = "witness", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) witnesses: Option<u8>,
}

impl SeenArgs {
    /// Refuses to ask for more witnesses than are named.
    pub(crate) fn check(&self) -> Result<(), Diagnostic> {
        let named = self.witness.len();
        if let Some(twice) = WitnessKey::named_twice(&self.witness) {
            return Err(Diagnostic::new(
                Class::Usage,
                format!(
                    "--witness names '{}' and another with the same key: that is one witness.",
                    twice.name()
                ),
            )
            .fix("Name each witness once."));
        }
        match self.witnesses {
            Some(needed) if usize::from(needed) > named => Err(Diagnostic::new(
                Class::Usage,
                format!("--witnesses asks for {needed}, and --witness names {named}."),
            )
            .fix("Name as many witnesses as must have seen the vault, or more.")),
            _ => Ok(()),
        }
    }

    /// How many of them must have seen it, if that is said.
    pub(crate) fn needed(&self) -> Option<usize> {
        self.witnesses.map(usize::from)
    }
}

fn witness_key(text: &str) -> Result<WitnessKey, String> {
    text.parse()
        .map_err(|error: provara_core::cosignature::WitnessKeyError| error.to_string())
}

pub(crate) fn key_id(text: &str) -> Result<provara_core::id::KeyId, String> {
    text.parse()
        .map_err(|_| "a key id is 'bp1_' and 16 lower-case hex digits".to_owned())
}

/// A range of lines, counted from 1.
pub(crate) fn line_range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if 0 < from && from <= to => Ok((from, to)),
        _ => Err("lines are two numbers from 1 on, the smaller one first, as 120-180".to_owned()),
    }
}
