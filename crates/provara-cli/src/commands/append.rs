//! `provara append`: a new signed event.

mod batch;

use std::iter;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use provara_core::canonical;
use provara_core::event_type::{CoreType, CustomType, EventType};
use provara_core::json::Value;
use provara_core::namespace::Namespace;
use provara_core::number_policy::{Conversions, NumberPolicy};
use provara_explain::append_failure;
use provara_plugins::catalog::{EventTypeInfo, PluginKind, PluginName};
use provara_plugins::host::Verdict;
use provara_plugins::launch;
use provara_plugins::resolve::Resolution;
use provara_plugins::set_option;
use provara_report::{Class, Diagnostic};
use provara_vault::{AppendRequest, Vault};

use crate::args::{JsonArg, KeyArgs, LockArgs, VaultArg};
use crate::numbers::{self, NumberArgs};
use crate::plugins::{self, HostArgs, Job, Session, Unusable, Validating};
use crate::terminal::{self, GOOD};
use crate::{data, vault};

/// Append a signed event to a vault
///
/// The data becomes the event's payload. The data of a type that a plugin defines is checked
/// against the plugin's schema first, and then by the plugin itself; nothing is appended that either
/// refuses.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("content").args(["data", "set", "batch"]).multiple(true).required(true),
    after_long_help = "\
Examples:
  Something seen:
    provara append my-vault --type OBSERVATION \\
      --data '{\"subject\":\"door\",\"predicate\":\"state\",\"value\":\"open\"}'

  An event of an installed plugin, by its type or by its alias:
    provara append my-vault --type com.acme.audit.login \\
      --data '{\"user_id\":\"alice\",\"success\":true,\"ip_address\":\"192.168.1.1\"}'
    provara append my-vault --type login --set user_id=alice --set success=true \\
      --set ip_address=192.168.1.1

  Data from a file, with one member changed; data from a pipe:
    provara append my-vault --type OBSERVATION --data @reading.json --set value=open
    sensor | provara append my-vault --type OBSERVATION --data -

  Many events at once, one JSON object a line:
    provara append my-vault --batch events.ndjson
    sensor --ndjson | provara append my-vault --batch - --json | jq -r .event_id
    provara append my-vault --batch trail.json.gz --type com.example.cloudtrail.event \\
      --records .Records --allow-unregistered --rejects refused.ndjson

  An append that may be repeated without doubling the event:
    provara append my-vault --type OBSERVATION --data @reading.json --idempotency-key reading-7

  The new event's id in a script:
    provara append my-vault --type login --data @login.json --json | jq -r .event_id"
)]
pub(crate) struct AppendArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The event's type: a core type, a plugin's type or a plugin's alias for its type
    ///
    /// Core types: OBSERVATION, ASSERTION, ATTESTATION, RETRACTION, KEY_REVOCATION, KEY_PROMOTION,
    /// REDUCER_EPOCH, SIGNED_STATEMENT, RECEIPT.
    ///
    /// With --batch, every record is the data of an event of this type.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "batch")]
    event_type: Option<String>,

    /// The event's data: a JSON object, @FILE to read one from a file, or - for standard input
    ///
    /// OBSERVATION and ASSERTION data without both "subject" and "predicate" becomes the "value" of a
    /// payload that has them, with the event's time: what is absent is filled in with the data's SHA-256 (where both
    /// are absent, the predicate is the type), so that no two such statements contest each other.
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// Set one member of the data, over --data; may be repeated
    ///
    /// The value is typed by the plugin's schema. Where there is none, JSON is taken as JSON and
    /// anything else as a string.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Append many events: a file of lines {"type":…,"data":{…}}, or - for standard input
    ///
    /// A line may also have "actor", "namespace" and "idempotency_key"; --actor and --namespace stand in
    /// where it has none. Blank lines are passed over; a byte order mark and CR LF are taken; gzip and zstd
    /// are unpacked, whatever the name. A document that is a JSON array, or has one (--records), is read
    /// element by element. Signs on all cores, syncs in groups, and seals at least every second and at the
    /// end. Stops at the first bad record and says which (but see --rejects); everything before it is then
    /// in the log and sealed. Other writers are let in every second, and while
    /// the input pauses (but see --atomic). With --json, prints one receipt a
    /// line, each for an event that is durable and sealed.
    #[arg(
        long,
        value_name = "FILE|-",
        value_hint = clap::ValueHint::FilePath,
        conflicts_with_all = ["data", "set", "confidence"]
    )]
    batch: Option<String>,

    /// With --batch: the records are the elements of the array there, as '.Records'; '.' is the document
    // clap passes over `requires` where something is given that the required option conflicts with.
    #[arg(long, value_name = "PATH", requires = "batch", conflicts_with_all = ["data", "set"])]
    records: Option<batch::ArrayPath>,

    /// With --batch: go on after a record that is refused, and write it to this file with its line, the
    /// reason and a code
    ///
    /// The file appears when the batch ends, also after Ctrl-C, and is empty where nothing was refused. One of
    /// an earlier batch is replaced. The exit code is 2 if any record was refused.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = clap::ValueHint::FilePath,
        requires = "batch",
        conflicts_with_all = ["atomic", "data", "set"]
    )]
    rejects: Option<PathBuf>,

    /// With --batch: judge every record, and append nothing
    #[arg(long, requires = "batch", conflicts_with_all = ["data", "set"])]
    dry_run: bool,

    /// With --batch: check every line first, then append all of them or none
    ///
    /// Other writers wait until the input ends.
    #[arg(long, requires = "batch", conflicts_with_all = ["data", "set"])]
    atomic: bool,

    /// A key by which a repetition of this very append is known
    ///
    /// If the vault has an event of the actor with this key that says the same, nothing is appended and its
    /// receipt is given again; if it says something else, that is an error. In a batch each record has its
    /// own, as its member "idempotency_key".
    #[arg(long, value_name = "KEY", conflicts_with = "batch")]
    idempotency_key: Option<String>,

    /// With --batch and --type: this member of each record is its idempotency key
    #[arg(
        long,
        value_name = "NAME",
        requires_all = ["batch", "event_type"],
        conflicts_with_all = ["data", "set"]
    )]
    idempotency_key_from: Option<String>,

    /// Who makes the statement [env: PROVARA_ACTOR] [default: provara_user]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    #[command(flatten)]
    key: KeyArgs,

    /// Where the statement says that it belongs (its namespace): canonical, local, contested or archived
    #[arg(long, value_name = "NS", value_parser = namespace)]
    namespace: Option<Namespace>,

    /// How sure the statement is, from 0 to 1 (OBSERVATION and ASSERTION)
    #[arg(long, value_name = "C", value_parser = confidence, allow_negative_numbers = true)]
    confidence: Option<f64>,

    /// Put 16 random bytes into the payload, as its member "blind", for data that may have to be erased
    ///
    /// What a redaction leaves of a short payload can be guessed at; with these bytes it cannot.
    #[arg(long)]
    blind: bool,

    /// Sign a tree head over the log with the new event, for whoever gets the receipt
    ///
    /// They can hold the vault to it later ('provara verify --head'). The first one of a copy comes from 'provara
    /// tree-head'.
    #[arg(long, conflicts_with = "batch")]
    with_head: bool,

    /// Append a custom type that no installed plugin defines, without a schema
    #[arg(long)]
    allow_unregistered: bool,

    #[command(flatten)]
    numbers: NumberArgs,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

impl AppendArgs {
    /// The schema of what it prints with `--json`.
    pub(crate) fn schema(&self) -> &'static str {
        match self.dry_run {
            true => "provara.dry-run.v1",
            false => "provara.append.v1",
        }
    }
}

pub(crate) fn run(args: &AppendArgs) -> Result<(), Diagnostic> {
    match (&args.batch, &args.event_type) {
        (Some(source), _) => batch::run(args, source),
        (None, event_type) => append_one(args, event_type.as_deref().unwrap_or_default()),
    }
}

fn append_one(args: &AppendArgs, type_name: &str) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let core = core_type(type_name)?;
    // Before there is a key in this process, and data.
    let _launchers = core.is_none().then(launch::prepare);
    let vault = vault::open_to_append(path, args.lock)?;
    let actor = vault::actor(args.actor.as_deref())?;
    let policy = args.numbers.policy()?;
    // Whatever can be refused without a plugin is refused before one is started.
    let mut given = args.data.as_deref().map(data::read).transpose()?;
    let mut converted = Conversions::default();
    if let Some(given) = &mut given {
        converted += policy.apply(given);
        can_be_signed(given, &policy)?;
    }
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let mut options = |plugin: Option<&EventTypeInfo>| {
        let mut data = with_options(args, plugin, given.take())?;
        converted += policy.apply(&mut data);
        can_be_signed(&data, &policy)?;
        Ok(data)
    };
    let (event_type, data, learns) = match core {
        Some(core) => (EventType::Core(core), options(None)?, false),
        None => custom(args, &vault, type_name, &mut options)?,
    };
    let receipt = vault
        .append(
            &AppendRequest {
                event_type,
                data,
                actor,
                namespace: args.namespace,
                confidence: args.confidence,
                key_id: args.key.key_id,
                blind: args.blind,
                idempotency_key: args.idempotency_key.clone(),
                rounded: converted.to_large_integers,
                with_head: args.with_head,
            },
            &keyfile,
        )
        .map_err(|error| append_failure(error, path, &policy))?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    numbers::notes(&policy, converted).for_each(|text| terminal::note(&text));
    let (already, verb) = match receipt.repeated {
        true => ("already ", "Already there:"),
        false => ("", "Appended"),
    };
    let done = format!(
        "the event {} is {already}in the vault, on line {}, durable and sealed",
        receipt.event_id, receipt.line
    );
    let head = receipt.tree_head.as_ref();
    let head = head.map_or_else(String::new, |head| format!("\n{head}"));
    if args.json.json {
        terminal::receipt_json(&done, &receipt)?;
    } else {
        terminal::receipt(
            &done,
            &format!(
                "{GOOD}{verb}{GOOD:#} {}\n  type       {}\n  actor      {}\n  line       {}\n  signed by  {}\n{head}",
                receipt.event_id,
                terminal::clean(&receipt.event_type),
                terminal::clean(&receipt.actor),
                receipt.line,
                receipt.key_id,
            ),
        )?;
    }
    if learns {
        plugins::learn(&args.host, job(args, &vault));
    }
    Ok(())
}

/// The core type that the option names, or `None` where a plugin has to know it.
fn core_type(name: &str) -> Result<Option<CoreType>, Diagnostic> {
    match Resolution::<&EventTypeInfo>::without_plugins(name) {
        Resolution::Core(core) => Ok(Some(core)),
        Resolution::Reserved(core) => Err(Diagnostic::new(
            Class::Usage,
            format!("The event type '{name}' is reserved for core types, which are upper-case."),
        )
        .fix(match core {
            CoreType::Genesis => provara_explain::NO_SECOND_GENESIS.to_owned(),
            _ => format!("Write --type {}.", core.as_str()),
        })),
        _ => Ok(None),
    }
}

/// The data of the event: what `--data` gave, and over it what the `--set` options say.
fn with_options(
    args: &AppendArgs,
    plugin: Option<&EventTypeInfo>,
    given: Option<Value<'static>>,
) -> Result<Value<'static>, Diagnostic> {
    let schema = plugin.map(|plugin| plugin.schema_json.as_str());
    let further = plugin.and_then(|plugin| plugin.schemas_json.as_deref());
    let base = given.unwrap_or_else(|| Value::Object(Vec::new()));
    set_option::apply(base, &args.set, schema, further)
        .map_err(|error| provara_explain::set_failure(&error))
}

/// Refuses data with a number that an event cannot hold.
fn can_be_signed(data: &Value<'_>, policy: &NumberPolicy) -> Result<(), Diagnostic> {
    canonical::event_form(data)
        .map(drop)
        .map_err(|error| provara_explain::canonical_failure(&error, policy))
}

/// Resolves a custom type and checks the data against whatever plugin defines it, which `data` is made for.
/// Says as well whether there is something to learn of the plugins.
fn custom(
    args: &AppendArgs,
    vault: &Vault,
    name: &str,
    data: &mut dyn FnMut(Option<&EventTypeInfo>) -> Result<Value<'static>, Diagnostic>,
) -> Result<(EventType, Value<'static>, bool), Diagnostic> {
    let alone = Resolution::<&EventTypeInfo>::without_plugins(name);
    if let Resolution::NoName(_) = alone {
        return Err(Diagnostic::new(
            Class::Usage,
            format!("'{name}' cannot be the name of an event type."),
        )
        .fix(NAMES));
    }
    let wanted = job(args, vault).wanting(PluginKind::EventType, name);
    let mut session = match Session::start(&args.host, wanted) {
        Ok(session) => session,
        Err(unusable) => match (alone, unusable.no_python()) {
            (Resolution::Unregistered(custom), Some(reason)) if args.allow_unregistered => {
                terminal::note(&format!("no plugin was asked about '{name}': {reason}"));
                return Ok((EventType::Custom(custom), data(None)?, false));
            }
            (Resolution::UnknownOwn(custom), Some(_)) => {
                return Err(provara_explain::unknown_own_type(&custom));
            }
            _ => return Err(not_looked_up(unusable, name)),
        },
    };
    session.load_schema(name)?;
    if let Some(problem) = session.catalog.unusable(name) {
        return Err(provara_explain::unusable_type(name, problem));
    }
    let (event_type, plugin) = match session.catalog.resolve(name) {
        Resolution::Plugin { event_type, plugin } => (event_type, plugin),
        Resolution::Unregistered(custom) if args.allow_unregistered => {
            session.warn_of_problems();
            return Ok((EventType::Custom(custom), data(None)?, false));
        }
        Resolution::UnknownOwn(custom) => {
            return Err(provara_explain::unknown_own_type(&custom));
        }
        other => {
            let reverse_domain = matches!(other, Resolution::Unregistered(_));
            return Err(refuse_unknown(name, &session, reverse_domain));
        }
    };
    session.warn_of_problems();
    if event_type != plugin.event_type {
        terminal::note(&format!(
            "the plugin spells this type '{}'.",
            plugin.event_type
        ));
    }
    let data = data(Some(plugin))?;
    let unfit = session.host.check(plugin, &[&data]);
    if let Some((_, violations)) = unfit.map_err(provara_explain::host_failure)? {
        return Err(provara_explain::unfit(&violations));
    }
    let verdict = session
        .host
        .validate(&plugin.event_type, &data)
        .map_err(provara_explain::host_failure)?;
    if let Verdict::Refused(reason) = verdict {
        return Err(provara_explain::refused_by_plugin(plugin, &reason));
    }
    let learns = session.host.can_learn();
    session.finish()?;
    Ok((EventType::Custom(event_type), data, learns))
}

/// What the host is started for that validates.
fn job(args: &AppendArgs, vault: &Vault) -> Job<Validating> {
    Job::new(Validating)
        .protecting(vault.path())
        .protecting(vault::keyfile_path(vault, args.key.keyfile.as_deref()))
}

/// The core types that may be appended.
fn core_names<'a>() -> impl Iterator<Item = &'a str> {
    let cores = CoreType::ALL
        .iter()
        .filter(|core| **core != CoreType::Genesis);
    cores.map(|core| core.as_str())
}

/// No plugin can be asked about the name, which may be no type at all.
fn not_looked_up(unusable: Unusable, name: &str) -> Diagnostic {
    let wanted = format!("the event type '{name}'");
    let failure = unusable.into_failure_of(&wanted, name, core_names());
    if name.parse::<CustomType>().is_ok() {
        return failure;
    }
    failure.detail(format!(
        "'{name}' is no core type and no reverse-domain name: at most it is a plugin's alias."
    ))
}

/// No plugin knows the name: what was tried, what is near, what to do.
fn refuse_unknown(name: &str, session: &Session<Validating>, reverse_domain: bool) -> Diagnostic {
    let known: Vec<&str> = core_names()
        .chain(session.catalog.usable_types().flat_map(|plugin| {
            iter::once(plugin.event_type.as_str())
                .chain(plugin.alias.as_ref().map(PluginName::as_str))
        }))
        .collect();
    let plugins = session.catalog.usable_types().count();
    let wanted = format!("the event type '{name}'");
    let headline = format!("The event type '{name}' is not known.");
    let mut failure = session.not_found(&wanted, headline).detail(format!(
        "Tried: the {} core types; the types and aliases of {}.",
        CoreType::ALL.len(),
        match plugins {
            0 => "installed plugins (there are none)".to_owned(),
            1 => "1 installed plugin".to_owned(),
            n => format!("{n} installed plugins"),
        }
    ));
    if let Some(near) = provara_explain::nearest(name, known.into_iter()) {
        failure = failure.detail(format!("Did you mean '{near}'?"));
    }
    failure.fix_if_none(if reverse_domain {
        "Install the plugin that defines the type ('provara plugins list' shows what is there), or \
         add --allow-unregistered to append it without a schema."
            .to_owned()
    } else {
        NAMES.to_owned()
    })
}

/// What may stand after `--type`.
const NAMES: &str = "Use a core type, an installed plugin's type or alias ('provara plugins list'), \
                     or a reverse-domain name such as com.example.audit.login.";

fn namespace(text: &str) -> Result<Namespace, String> {
    match text {
        "canonical" => Ok(Namespace::Canonical),
        "local" => Ok(Namespace::Local),
        "contested" => Ok(Namespace::Contested),
        "archived" => Ok(Namespace::Archived),
        _ => Err("use canonical, local, contested or archived".to_owned()),
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("use a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_a_probability() {
        assert_eq!(confidence("0.85"), Ok(0.85));
        for text in ["-0.1", "1.1", "NaN", "inf", "high", ""] {
            assert!(confidence(text).is_err(), "{text}");
        }
    }
}
