//! `provara prove`: events, and tree heads, proven to somebody who has not the vault.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use provara_core::event_proof::ProvenEvent;
use provara_core::id::EventId;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{Chosen, ConsistencyProof, EventProof, SignedHead, Vault, read_head};

use crate::args::{KeyArgs, VaultArg, line_range};
use crate::{gate, new_head, output_file, terminal, vault};

/// Prove that events are in the vault, to somebody who has not the vault
///
/// Writes a proof: the events, a tree head, and what leads from the one to the other. 'provara verify-proof'
/// checks it and needs no vault; so do a few lines of Python. The events are in it as they stand in the log,
/// with those that bring the keys. Of a range of lines it also shows that nothing between them was left out; that
/// there is nothing beside them it does not show. With --from it is a proof that the tree head goes on from an
/// older one, for somebody who keeps that. The vault must verify first, which is not done again
/// for one that is as it was when events of it were last proven; nothing in it is written.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara prove my-vault evt_0123456789abcdef01234567 --head my-vault.head --output event.proof
  provara prove my-vault --lines 7 --format tlog-proof --head my-vault.head --output 7.tlog-proof
  provara prove my-vault --lines 120-180 --head my-vault.head --output april.proof
  provara prove my-vault --from march.head --head april.head --output march-to-april.proof")]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The events
    #[arg(value_name = "EVENT_ID", value_parser = event_id)]
    events: Vec<EventId>,

    /// All events in these lines of the log, counted from 1, instead
    #[arg(long, value_name = "FROM-TO", value_parser = line_range, conflicts_with = "events")]
    lines: Option<(u64, u64)>,

    /// That the tree head goes on from this older one, instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "lines"],
        value_hint = clap::ValueHint::FilePath)]
    from: Option<PathBuf>,

    /// How the proof is written: with the events that speak of keys, as 'provara verify-proof' checks it; or, of one
    /// event, as tools for transparency logs read it (C2SP tlog-proof), without those events
    #[arg(long, value_enum, default_value_t = Format::Provara, value_name = "FORMAT", conflicts_with = "from")]
    format: Format,

    /// The tree head that whoever gets the proof has or trusts [default: a new one, signed now]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    head: Option<PathBuf>,

    /// Write it to this file, outside the vault [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Replace the output if it exists
    #[arg(long, requires = "output")]
    force: bool,

    #[command(flatten)]
    key: KeyArgs,
}

/// How a proof is written.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    Provara,
    TlogProof,
}

fn event_id(text: &str) -> Result<EventId, String> {
    text.parse()
        .map_err(|_| "an event id is 'evt_' and 24 lower-case hex digits".to_owned())
}

pub(crate) fn run(args: &ProveArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let failed = |error| vault_failure(error, path);
    let vault = vault::open(path)?;
    if let Some(output) = &args.output {
        output_file::check(output, args.force, &vault)?;
    }
    let chosen = chosen(args)?;
    let older = args.from.as_deref().map(read_head).transpose();
    let older = older.map_err(failed)?.map(|kept| kept.head);
    let head = match &args.head {
        Some(file) => read_head(file).map_err(failed)?.head,
        None => new_head::sign(&vault, path, &args.key)?,
    };
    let proof = match (&older, &chosen) {
        (None, Some(chosen)) => {
            let proof = prove_events(&vault, path, &head, chosen)?;
            match args.format {
                Format::Provara => proof.to_json(),
                Format::TlogProof => tlog_proof(&proof, chosen).into_bytes(),
            }
        }
        (Some(older), _) => prove_consistency(&vault, path, older, &head)?.to_json(),
        (None, None) => unreachable!("one of them is asked for"),
    };
    let Some(output) = &args.output else {
        if args.format == Format::TlogProof {
            return terminal::result_bytes(&proof);
        }
        return terminal::result_json_text(&proof);
    };
    let staging = output_file::prepare(output, args.force, &vault)?;
    output_file::write(
        &staging,
        |file| file.write_all(&proof),
        |error| provara_explain::io_failure("write", output, &error),
    )?;
    output_file::commit(staging)?;
    let (origin, size) = (head.head().origin.to_string(), head.head().size);
    let facts = format!(
        "{}  for the tree head of {} over {size} events\n",
        output_file::told(output),
        terminal::clean(&origin)
    );
    terminal::receipt(&output_file::done(output), &facts)
}

/// The proof of the one event that was chosen, as other tools read it.
fn tlog_proof(proof: &EventProof, chosen: &Chosen) -> String {
    let proven = proof.check().expect("it was just made");
    let is_it = |event: &&ProvenEvent| match chosen {
        Chosen::Events(ids) => ids.contains(&event.event_id),
        Chosen::Lines(line, _) => event.line == *line,
        Chosen::At(lines) => lines.contains(&event.line),
    };
    let event = proven.events.iter().find(is_it).expect("it was asked for");
    let text = proof.to_tlog_proof(event.line - 1);
    text.expect("its events are in its tree")
}

/// Which events are asked for; none, where it is a tree head.
fn chosen(args: &ProveArgs) -> Result<Option<Chosen>, Diagnostic> {
    let chosen = all_chosen(args)?;
    let is_one = match &chosen {
        Some(Chosen::Events(ids)) => ids.len() == 1,
        Some(Chosen::Lines(from, to)) => from == to,
        Some(Chosen::At(lines)) => lines.len() == 1,
        None => true,
    };
    match args.format == Format::TlogProof && !is_one {
        true => Err(
            Diagnostic::new(Class::Usage, "A tlog-proof is of one event.")
                .fix("Name one event by its id, or one line, as --lines 7."),
        ),
        false => Ok(chosen),
    }
}

fn all_chosen(args: &ProveArgs) -> Result<Option<Chosen>, Diagnostic> {
    match (&args.events[..], args.lines, &args.from) {
        ([], None, Some(_)) => Ok(None),
        ([], Some((from, to)), _) => Ok(Some(Chosen::Lines(from, to))),
        ([], None, None) => Err(Diagnostic::new(
            Class::Usage,
            "It is not said what is to be proven.",
        )
        .fix("Name events by their ids, lines with --lines FROM-TO, or an older tree head with --from FILE.")),
        (events, ..) => Ok(Some(Chosen::Events(events.to_vec()))),
    }
}

/// The proof of events: from the index of a vault that is as it was when it verified, else of the log, verified now.
fn prove_events(
    vault: &Vault,
    path: &Path,
    head: &SignedHead,
    chosen: &Chosen,
) -> Result<EventProof, Diagnostic> {
    let proving = vault.proving();
    if let Some(proof) = proving.by_index(head, chosen) {
        return Ok(proof);
    }
    let log = gate::verify_strictly(vault, path)?;
    let proof = proving.by_log(&log, head, chosen);
    // First of all: what it read may be why it failed.
    gate::check_unchanged(&log, path)?;
    proof.map_err(|error| vault_failure(error, path))
}

fn prove_consistency(
    vault: &Vault,
    path: &Path,
    older: &SignedHead,
    head: &SignedHead,
) -> Result<ConsistencyProof, Diagnostic> {
    let log = gate::verify_strictly(vault, path)?;
    let proof = vault.prove_consistency(&log, older, head);
    gate::check_unchanged(&log, path)?;
    proof.map_err(|error| vault_failure(error, path))
}
