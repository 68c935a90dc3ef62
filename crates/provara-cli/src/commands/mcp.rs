//! `provara mcp`: vaults and plugins for AI agents, and the configuration of their clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use provara_core::id::KeyId;
use provara_mcp::install::{Client, Entry, InstallError, Installed};
use provara_mcp::{
    Config, HttpSettings, LogLevel, PluginSettings, ServeError, Transport, VaultSpec,
};
use provara_plugins::sandbox::SandboxMode;
use provara_report::{Class, Diagnostic};
use provara_vault::{Vault, VaultError};

use crate::args::{KeyArgs, LockArgs};
use crate::plugins::{self, HEADING};
use crate::terminal::{self, GOOD};
use crate::{output_file, vault};

/// The address that is listened on where none is given.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8765);

/// Serve vaults and installed plugins to AI agents (Model Context Protocol)
///
/// An agent gets tools to append, verify, query, derive and export, and one typed tool for each
/// installed event type, reducer and export. It reaches the named vaults and nothing else; the actor
/// and the key are yours to choose.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  Configure a client in one step:
    provara mcp install --client claude-code --vault my-vault --write

  What the client then runs:
    provara mcp --vault my-vault --actor my-agent

  Look, but append nothing:
    provara mcp --vault audit=/srv/audit --read-only

  Over HTTP, for several clients; a token is required off loopback:
    PROVARA_MCP_TOKEN=$(openssl rand -hex 24) provara mcp --vault my-vault --transport http

Environment:
  PROVARA_MCP_TOKEN  the bearer token that every HTTP request must carry"
)]
pub(crate) struct McpArgs {
    #[command(subcommand)]
    command: Option<McpCommand>,

    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum McpCommand {
    Install(InstallArgs),
}

/// What agents may do: the same for a server that is started and for one that a client is to start.
#[derive(Args, Debug)]
struct OfferArgs {
    /// Offer only tools that write nothing
    #[arg(long)]
    read_only: bool,

    /// Who appends, whatever the agent says [env: PROVARA_ACTOR] [default: provara_user]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    #[command(flatten)]
    key: KeyArgs,

    /// Offer only tools whose name fits; * stands for any text (repeatable)
    #[arg(long = "allow-tool", value_name = "PATTERN")]
    allow_tools: Vec<String>,

    /// Let exports be written into this directory
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    export_dir: Option<PathBuf>,

    /// Let new vaults be created in this directory
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    init_dir: Option<PathBuf>,

    /// Append custom types that no installed plugin defines, without a schema
    #[arg(long)]
    allow_unregistered: bool,

    /// Let agents append what decides about a vault: key revocations and promotions, added keys, adoptions,
    /// statements of files, closings, redactions, reducer epochs
    #[arg(long)]
    allow_admin: bool,

    #[command(flatten)]
    lock: LockArgs,
}

/// What is served, and how.
#[derive(Args, Debug)]
struct ServeArgs {
    /// A vault to serve, by the name of its directory or by NAME (repeatable)
    #[arg(long = "vault", value_name = "[NAME=]DIR", value_hint = clap::ValueHint::DirPath)]
    vaults: Vec<VaultSpec>,

    #[command(flatten)]
    offer: OfferArgs,

    /// How clients connect: stdio (one client, which starts this command) or http
    #[arg(long, value_enum, default_value_t = Kind::Stdio)]
    transport: Kind,

    /// The address to listen on with --transport http [default: 127.0.0.1:8765]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// A host name that requests may be addressed to, besides localhost (repeatable)
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,

    /// An origin that browsers may send, besides those on this machine (repeatable)
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    origins: Vec<String>,

    /// How much is told on stderr: this and what is graver; never what clients send, nor a key
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Log::Info)]
    log: Log,

    /// End a call of a plugin that takes longer than this many seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = plugins::seconds, help_heading = HEADING)]
    timeout: Option<Duration>,

    /// The sandbox of plugins: require (in full, or no plugin), auto (the best that the system has)
    /// or off (a separate process only) [env: PROVARA_SANDBOX] [default: auto]
    #[arg(long, value_name = "MODE", value_parser = plugins::sandbox, help_heading = HEADING)]
    sandbox: Option<SandboxMode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Stdio,
    Http,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

impl From<Log> for LogLevel {
    fn from(log: Log) -> Self {
        match log {
            Log::Off => Self::Off,
            Log::Error => Self::Error,
            Log::Warn => Self::Warn,
            Log::Info => Self::Info,
            Log::Debug => Self::Debug,
        }
    }
}

/// Print, or write, the configuration of a client
///
/// Without --write the configuration is printed, with the file that it belongs in. With --write it
/// is added to that file; everything else in the file stays, and the file as it was is kept beside
/// it.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara mcp install --client claude-desktop --vault my-vault
  provara mcp install --client cursor --vault my-vault --write
  provara mcp install --client codex --vault my-vault --actor codex --read-only --write")]
struct InstallArgs {
    /// The client
    #[arg(long, value_enum)]
    client: ClientName,

    /// A vault to serve, by the name of its directory or by NAME (repeatable)
    #[arg(long = "vault", value_name = "[NAME=]DIR", required = true)]
    vaults: Vec<VaultSpec>,

    #[command(flatten)]
    offer: OfferArgs,

    /// End a call of a plugin that takes longer than this many seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = plugins::seconds, help_heading = HEADING)]
    timeout: Option<Duration>,

    /// The sandbox of plugins: require, auto or off [env: PROVARA_SANDBOX] [default: auto]
    #[arg(long, value_name = "MODE", value_parser = plugins::sandbox, help_heading = HEADING)]
    sandbox: Option<SandboxMode>,

    /// How much the server tells on stderr, which clients keep [default: info]
    #[arg(long, value_name = "LEVEL", value_enum)]
    log: Option<Log>,

    /// The server's name in the client
    #[arg(long, value_name = "NAME", default_value = "provara")]
    name: String,

    /// The client's configuration file, where it is not the usual one
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// Write the file instead of printing
    #[arg(long)]
    write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClientName {
    ClaudeDesktop,
    ClaudeCode,
    Cursor,
    Vscode,
    Codex,
}

impl From<ClientName> for Client {
    fn from(name: ClientName) -> Self {
        match name {
            ClientName::ClaudeDesktop => Self::ClaudeDesktop,
            ClientName::ClaudeCode => Self::ClaudeCode,
            ClientName::Cursor => Self::Cursor,
            ClientName::Vscode => Self::VsCode,
            ClientName::Codex => Self::Codex,
        }
    }
}

pub(crate) fn run(args: &McpArgs) -> Result<(), Diagnostic> {
    match &args.command {
        Some(McpCommand::Install(args)) => install(args),
        None => serve(&args.serve),
    }
}

fn serve(args: &ServeArgs) -> Result<(), Diagnostic> {
    // What is not there, or not right, is the operator's mistake, not the agent's.
    let keyfile = look_at(&args.vaults, &args.offer.key, args.offer.read_only)?;
    let actor = actor(args.offer.actor.as_deref(), args.offer.read_only)?;
    let token = vault::environment("PROVARA_MCP_TOKEN").map(std::ffi::OsString::into_string);
    let token = token.transpose().map_err(|_| {
        Diagnostic::new(Class::Usage, "PROVARA_MCP_TOKEN is not UTF-8.")
            .fix("Set it to letters and digits: export PROVARA_MCP_TOKEN=$(openssl rand -hex 24)")
    })?;
    if args.transport == Kind::Stdio && args.listen.is_some() {
        return Err(
            Diagnostic::new(Class::Usage, "--listen has no meaning over stdio.")
                .fix("Add --transport http, or leave --listen out."),
        );
    }
    let config = Config {
        vaults: args.vaults.clone(),
        read_only: args.offer.read_only,
        actor,
        keyfile,
        key_id: args.offer.key.key_id,
        allow_unregistered: args.offer.allow_unregistered,
        allow_admin: args.offer.allow_admin,
        no_lock: args.offer.lock.no_lock,
        allow_tools: args.offer.allow_tools.clone(),
        export_dir: args.offer.export_dir.clone(),
        init_dir: args.offer.init_dir.clone(),
        plugins: PluginSettings {
            sandbox: plugins::sandbox_mode(args.sandbox)?,
            timeout: args.timeout.unwrap_or(Duration::from_secs(60)),
            state_dir: plugins::state_directory()?,
        },
        transport: match args.transport {
            Kind::Stdio => Transport::Stdio,
            Kind::Http => Transport::Http(HttpSettings {
                listen: args.listen.unwrap_or(ADDRESS),
                token,
                hosts: args.hosts.clone(),
                origins: args.origins.clone(),
            }),
        },
    };
    provara_mcp::log_to_stderr(args.log.into());
    provara_mcp::serve(config).map_err(|error| serve_failure(&error))
}

/// Who appends. A server that appends for nobody is not started, and not configured.
fn actor(option: Option<&str>, read_only: bool) -> Result<String, Diagnostic> {
    let actor = vault::actor(option)?;
    if actor.is_empty() && !read_only {
        return Err(provara_explain::vault_failure(
            VaultError::EmptyActor,
            Path::new(""),
        ));
    }
    Ok(actor)
}

/// Looks whether the vaults are there, and can be appended to if they are to be. Gives the keyfile that
/// signs in all of them, if one is named.
fn look_at(
    specs: &[VaultSpec],
    key: &KeyArgs,
    read_only: bool,
) -> Result<Option<PathBuf>, Diagnostic> {
    let keyfile = keyfile(key, read_only)?;
    for spec in specs {
        let vault = vault::open(&spec.path)?;
        if keyfile.is_none() && !read_only {
            warn_without_keys(spec, &vault, key.key_id);
        }
    }
    Ok(keyfile)
}

/// Warns of a vault that nothing can be appended to with its own keys.
fn warn_without_keys(spec: &VaultSpec, vault: &Vault, key_id: Option<KeyId>) {
    let lack = match provara_vault::read_keyfile(&vault.default_keyfile()) {
        Err(VaultError::KeyfileMissing { .. }) => "no keyfile of its own",
        Err(_) => "a keyfile of its own that cannot be used",
        Ok(keys) if key_id.is_some_and(|id| keys.get(&id).is_none()) => {
            "a keyfile of its own that does not hold the key of --key-id"
        }
        Ok(_) => return,
    };
    terminal::warn(&format!(
        "the vault '{}' has {lack}, so that nothing can be appended to it; --keyfile FILE names one.",
        spec.name
    ));
}

/// The keyfile that signs in all vaults, if one is named. A server that could never append with it is
/// not started, and not configured, unless it is to append nothing.
fn keyfile(key: &KeyArgs, read_only: bool) -> Result<Option<PathBuf>, Diagnostic> {
    let option = key.keyfile.clone();
    let Some(path) = option.or_else(|| vault::environment("PROVARA_KEYFILE").map(PathBuf::from))
    else {
        return Ok(None);
    };
    if read_only {
        return Ok(Some(path));
    }
    let failed = |failure: Diagnostic| match key.keyfile {
        Some(_) => failure,
        None => failure.detail("PROVARA_KEYFILE names it."),
    };
    if std::fs::metadata(&path).is_ok_and(|data| !data.is_file()) {
        let text = format!("The keyfile '{}' is not a regular file.", path.display());
        return Err(failed(Diagnostic::new(Class::Usage, text).fix(
            "Name a file: the server reads it anew for each event, which a pipe does not allow.",
        )));
    }
    let unreadable = |error| failed(provara_explain::vault_failure(error, &path));
    let keys = provara_vault::read_keyfile(&path).map_err(unreadable)?;
    if let Some(key_id) = key.key_id
        && keys.get(&key_id).is_none()
    {
        let held = keys.key_ids().collect();
        return Err(unreadable(VaultError::KeyNotInKeyfile { key_id, held }));
    }
    Ok(Some(path))
}

fn serve_failure(error: &ServeError) -> Diagnostic {
    use provara_mcp::ConfigError as Wrong;
    let text = provara_explain::sentence(&error.to_string());
    let (exit, fix) = match error {
        ServeError::Config(Wrong::NoVault) => (Class::Usage, "Add --vault DIR."),
        ServeError::Config(Wrong::SameName(_)) => (
            Class::Usage,
            "Give one of them another name: --vault NAME=DIR.",
        ),
        ServeError::Config(Wrong::Directory { .. }) => (
            Class::Usage,
            "Name a directory that exists, outside the vaults.",
        ),
        ServeError::Config(Wrong::TokenNeeded(_) | Wrong::TokenShort) => (
            Class::Usage,
            "Set a token first: export PROVARA_MCP_TOKEN=$(openssl rand -hex 24)",
        ),
        ServeError::Listen { .. } => (
            Class::Unavailable,
            "Choose another address: --listen 127.0.0.1:0 takes a free port.",
        ),
        ServeError::Handshake(_) => (
            Class::Unavailable,
            "Let an MCP client start this command; 'provara mcp install --help' shows how.",
        ),
        ServeError::Io(_) => (
            Class::Unavailable,
            "Check what the process may have (ulimit -a) and what the system's log says, then start it again.",
        ),
    };
    Diagnostic::new(exit, text).fix(fix)
}

fn install(args: &InstallArgs) -> Result<(), Diagnostic> {
    let entry = entry(args)?;
    let client = Client::from(args.client);
    let home = vault::environment("HOME").map(PathBuf::from);
    let path = match args
        .config
        .clone()
        .or_else(|| client.config_path(home.as_deref()))
    {
        Some(path) => path,
        None => {
            return Err(Diagnostic::new(
                Class::Usage,
                "It is not known where the client's file is.",
            )
            .fix("Set HOME, or name the file with --config FILE."));
        }
    };
    let shown = terminal::clean(&path.to_string_lossy()).into_owned();
    if !args.write {
        terminal::note(&format!("this belongs in {shown}; --write puts it there."));
        return terminal::result(&client.snippet(&entry));
    }
    let failed = |error: InstallError| {
        Diagnostic::new(
            Class::Unavailable,
            provara_explain::sentence(&error.to_string()),
        )
        .fix("Leave --write out and put what is printed into the file by hand.")
    };
    let Installed { backup, replaced } = client.write(&entry, &path).map_err(failed)?;
    let mut text = format!("{GOOD}Wrote{GOOD:#} {shown}\n");
    if let Some(backup) = backup {
        let backup = backup.to_string_lossy().into_owned();
        text.push_str(&format!("  before  {}\n", terminal::clean(&backup)));
    }
    if replaced {
        terminal::note(&format!(
            "another server of the name '{}' stood there and was replaced; --name gives this one another.",
            terminal::clean(&entry.name)
        ));
    }
    text.push_str("  Restart the client to use it.\n");
    terminal::receipt(&output_file::done(&path), &text)
}

/// How the client starts the server, by absolute paths: its working directory is its own.
fn entry(args: &InstallArgs) -> Result<Entry, Diagnostic> {
    let absolute = |path: &Path| {
        let failed = |error| provara_explain::io_failure("find", path, &error);
        let path = std::path::absolute(path).map_err(failed)?;
        path.into_os_string().into_string().map_err(|path| {
            Diagnostic::new(
                Class::Usage,
                format!("The path '{}' is not UTF-8.", path.display()),
            )
            .fix("Clients take UTF-8 only: use another path.")
        })
    };
    let mut arguments = vec!["mcp".to_owned()];
    // The client starts the server in an environment of its own.
    let keyfile = look_at(&args.vaults, &args.offer.key, args.offer.read_only)?;
    provara_mcp::check_places(
        &args.vaults,
        args.offer.export_dir.iter().chain(&args.offer.init_dir),
    )
    .map_err(|error| serve_failure(&error.into()))?;
    for spec in &args.vaults {
        let path = absolute(&spec.path)?;
        arguments.extend(option("--vault", format!("{}={path}", spec.name)));
    }
    if args.offer.actor.is_some() || vault::environment("PROVARA_ACTOR").is_some() {
        let actor = actor(args.offer.actor.as_deref(), args.offer.read_only)?;
        arguments.extend(option("--actor", actor));
    }
    if let Some(keyfile) = &keyfile {
        arguments.extend(option("--keyfile", absolute(keyfile)?));
    }
    if let Some(key_id) = args.offer.key.key_id {
        arguments.extend(option("--key-id", key_id.to_string()));
    }
    for (given, name) in [
        (args.offer.read_only, "--read-only"),
        (args.offer.allow_unregistered, "--allow-unregistered"),
        (args.offer.allow_admin, "--allow-admin"),
        (args.offer.lock.no_lock, "--no-lock"),
    ] {
        arguments.extend(given.then(|| name.to_owned()));
    }
    for pattern in &args.offer.allow_tools {
        arguments.extend(option("--allow-tool", pattern.clone()));
    }
    if let Some(directory) = &args.offer.export_dir {
        arguments.extend(option("--export-dir", absolute(directory)?));
    }
    if let Some(directory) = &args.offer.init_dir {
        arguments.extend(option("--init-dir", absolute(directory)?));
    }
    if let Some(value) = args.log.as_ref().and_then(Log::to_possible_value) {
        arguments.extend(option("--log", value.get_name().to_owned()));
    }
    if let Some(timeout) = args.timeout {
        arguments.extend(option("--timeout", timeout.as_secs_f64().to_string()));
    }
    if args.sandbox.is_some() || vault::environment("PROVARA_SANDBOX").is_some() {
        let mode = match plugins::sandbox_mode(args.sandbox)? {
            SandboxMode::Require => "require",
            SandboxMode::Auto => "auto",
            SandboxMode::Off => "off",
        };
        arguments.extend(option("--sandbox", mode.to_owned()));
    }
    let command = std::env::current_exe()
        .map_err(|error| provara_explain::io_failure("find", "provara".as_ref(), &error))?;
    Ok(Entry {
        name: args.name.clone(),
        command: absolute(&command)?,
        arguments,
        environment: environment(absolute)?,
    })
}

/// An option and its value; in one word where the value would be taken for an option.
fn option(name: &str, value: String) -> Vec<String> {
    match value.starts_with('-') {
        true => vec![format!("{name}={value}")],
        false => vec![name.to_owned(), value],
    }
}

/// What finds plugins and has no option: the variables that are set here.
fn environment(
    absolute: impl Fn(&Path) -> Result<String, Diagnostic>,
) -> Result<Vec<(String, String)>, Diagnostic> {
    let mut environment = Vec::new();
    for name in ["PROVARA_PYTHON", "PROVARA_PLUGINS"] {
        let Some(value) = vault::environment(name) else {
            continue;
        };
        // A name without a slash is looked up on PATH, and a list of modules is none of paths.
        let is_path = name == "PROVARA_PYTHON" && Path::new(&value).components().count() > 1;
        let value = match is_path {
            true => absolute(Path::new(&value))?,
            false => value.into_string().map_err(|_| {
                Diagnostic::new(Class::Usage, format!("{name} is not UTF-8."))
                    .fix("Clients take UTF-8 only: use another name.")
            })?,
        };
        environment.push((name.to_owned(), value));
    }
    Ok(environment)
}
