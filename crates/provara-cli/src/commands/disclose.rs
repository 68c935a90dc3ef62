//! `provara disclose`: chosen events for somebody who has only a browser.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use provara_core::anchor::Anchor;
use provara_core::disclosure::{Disclosure, MAX_ASKED};
use provara_core::layout::AnchorKind;
use provara_explain::disclosure::{self as forms, MOST};
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{Chosen, SignedHead, SourceLog, read_head};

use crate::args::{KeyArgs, VaultArg, line_range};
use crate::conditions::ConditionArgs;
use crate::text::counted;
use crate::{gate, new_head, output_file, terminal, vault};

/// Hand chosen events to somebody who has only a browser
///
/// Writes one page that shows the events and checks itself in the browser, without a network: each event's place in the
/// vault, its id and its signature, against one tree head. Or, with --output NAME.zip, an archive with the page, the data
/// for programs, and a checker in Python. 'provara verify-proof' checks either without running it, and more: the history of
/// the keys. Beside the chosen events it holds those that speak of keys, and nothing else of the vault. It does not show
/// that there are no other events. The vault must verify first; nothing in it is written.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara disclose my-vault --where 'payload.value >= 900' --output evidence.html
  provara disclose my-vault --after 2026-07-01 --before 2026-10-01 --output third-quarter.zip
  provara disclose my-vault evt_0123456789abcdef01234567 --head my-vault.head --output evidence.html")]
pub(crate) struct DiscloseArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The events, by their ids or the beginnings of these
    #[arg(value_name = "EVENT_ID")]
    events: Vec<String>,

    /// All events in these lines of the log, counted from 1, instead
    #[arg(long, value_name = "FROM-TO", value_parser = line_range, conflicts_with = "events")]
    lines: Option<(u64, u64)>,

    #[command(flatten)]
    conditions: ConditionArgs,

    /// Say on the page, in these words, what was asked
    #[arg(long, value_name = "TEXT")]
    asked: Option<String>,

    /// The tree head that whoever gets it has or trusts [default: that of the latest anchor which covers the events, or a
    /// new one, signed now]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    head: Option<PathBuf>,

    /// Write it to this file, outside the vault: a page (.html) or an archive (.zip)
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,

    /// Replace the output if it exists
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Page,
    Archive,
}

pub(crate) fn run(args: &DiscloseArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let failed = |error| vault_failure(error, path);
    let form = form(&args.output)?;
    check_choice(args)?;
    let vault = vault::open(path)?;
    output_file::check(&args.output, args.force, &vault)?;
    let head = args.head.as_deref().map(read_head).transpose();
    let head = head.map_err(failed)?.map(|kept| kept.head);
    let mut log = gate::verify_strictly(&vault, path)?;
    let mut lines = choose(args, &log)?;
    let anchors: Vec<_> = vault.anchors().map_err(failed)?;
    let anchors: Vec<_> = anchors.into_iter().filter_map(|(_, it)| it.ok()).collect();
    let head = match head.or_else(|| covering(&anchors, &lines)) {
        Some(head) => head,
        None => {
            let head = new_head::sign(&vault, path, &args.key)?;
            // It may be over events that came meanwhile.
            log = gate::verify_strictly(&vault, path)?;
            lines = choose(args, &log)?;
            head
        }
    };
    let size = head.head().size;
    leave_out_later(args, &mut lines, size)?;
    let asked = asked(args, size)?;
    let count = lines.len() as u64;
    let proof = vault.prove(&log, &head, &Chosen::At(lines));
    // First of all: what it read may be why it failed.
    gate::check_unchanged(&log, path)?;
    let disclosure = Disclosure::new(proof.map_err(failed)?, asked, anchors);
    let written = write(&disclosure, form)?;
    let staging = output_file::prepare(&args.output, args.force, &vault)?;
    output_file::write(
        &staging,
        |file| file.write_all(&written),
        |error| provara_explain::io_failure("write", &args.output, &error),
    )?;
    output_file::commit(staging)?;
    terminal::receipt(
        &output_file::done(&args.output),
        &told(args, &disclosure, count),
    )
}

/// What is written, by the ending of the name.
fn form(output: &Path) -> Result<Form, Diagnostic> {
    match output.extension().and_then(|it| it.to_str()) {
        Some("html" | "htm") => Ok(Form::Page),
        Some("zip") => Ok(Form::Archive),
        _ => Err(Diagnostic::new(
            Class::Usage,
            format!("'{}' does not say what to write.", output.display()),
        )
        .fix("End the name in .html for one page, or in .zip for an archive with the page and a checker.")),
    }
}

/// Refuses a choice that is none, or more than one.
fn check_choice(args: &DiscloseArgs) -> Result<(), Diagnostic> {
    // What is wrong with a condition is said before a large log is read.
    args.conditions.asked(&args.vault.vault)?;
    let several = usize::from(!args.events.is_empty())
        + usize::from(args.lines.is_some())
        + usize::from(!args.conditions.is_empty());
    let what = match several {
        0 => "It is not said which events are to be disclosed.",
        1 => return Ok(()),
        _ => "Events are named in more than one way.",
    };
    Err(Diagnostic::new(Class::Usage, what).fix(
        "Name events by their ids, or lines with --lines FROM-TO, or conditions as 'provara query' takes them (--where, --after, …).",
    ))
}

/// Of events that meet conditions, leaves out those that came after the first `size`, which the tree head is over.
fn leave_out_later(
    args: &DiscloseArgs,
    lines: &mut BTreeSet<u64>,
    size: u64,
) -> Result<(), Diagnostic> {
    if args.conditions.is_empty() {
        return Ok(());
    }
    let later = lines.split_off(&size.saturating_add(1)).len() as u64;
    if lines.is_empty() {
        return Err(Diagnostic::new(
            Class::Usage,
            format!(
                "All events that meet the conditions came after the tree head, which is over {}.",
                counted(size, "event")
            ),
        )
        .fix("Name a later tree head, or none: a new one is signed then."));
    }
    if later > 0 {
        terminal::note(&format!(
            "Left out, as they came after the tree head: {} that would meet the conditions.",
            counted(later, "event")
        ));
    }
    Ok(())
}

/// What was asked, in words, of the first `size` events.
fn asked(args: &DiscloseArgs, size: u64) -> Result<String, Diagnostic> {
    let conditions = args.conditions.in_words(&args.vault.vault)?;
    let mut words = match args.lines {
        Some((from, to)) => vec![format!("The events in lines {from} to {to} of the log.")],
        None if conditions.is_empty() => vec![format!("These events: {}", args.events.join(", "))],
        None => {
            let mut words = vec![format!(
                "Every event, of the first {size} of the log, of which all of this holds:"
            )];
            words.extend(conditions.iter().map(|it| format!("- {it}")));
            words
        }
    };
    if let Some(text) = &args.asked {
        words.splice(0..0, [text.clone(), String::new()]);
    }
    let words = words.join("\n");
    match words.len() > MAX_ASKED {
        true => Err(Diagnostic::new(
            Class::Usage,
            "What was asked is longer than a page says (64 KiB).",
        )
        .fix("Shorten --asked, or name lines with --lines instead of many ids.")),
        false => Ok(words),
    }
}

/// The lines of the chosen events.
fn choose(args: &DiscloseArgs, log: &SourceLog) -> Result<BTreeSet<u64>, Diagnostic> {
    if let Some((from, to)) = args.lines {
        let count = memchr::memchr_iter(b'\n', log.bytes()).count() as u64;
        // A range that ends beyond the log is refused by whoever proves it, before its lines are listed.
        return Ok(match to > count {
            true => BTreeSet::from([from, to]),
            false => (from..=to).collect(),
        });
    }
    if !args.events.is_empty() {
        let found = args
            .events
            .iter()
            .map(|id| provara_explain::event::find(log, id));
        return found.map(|it| it.map(|it| it.number)).collect();
    }
    let asked = args.conditions.asked(&args.vault.vault)?;
    let mut lines = BTreeSet::new();
    log.query(&asked.query, |number, _| {
        lines.insert(number);
        ControlFlow::Continue(())
    });
    if asked.query.is_exhausted() {
        return Err(provara_explain::exhausted());
    }
    if !lines.is_empty() {
        return Ok(lines);
    }
    let why = provara_explain::nothing_chosen(&asked, log);
    let nothing = Diagnostic::new(
        Class::Usage,
        "No event of the log meets the conditions: there is nothing to disclose.",
    );
    let nothing = why.into_iter().fold(nothing, Diagnostic::detail);
    Err(nothing.fix("See with 'provara query' what the conditions choose."))
}

/// The head of the latest anchor that is over all the events.
fn covering(anchors: &[Anchor], lines: &BTreeSet<u64>) -> Option<SignedHead> {
    let last = *lines.last()?;
    let covers = anchors.iter().filter(|it| it.head().head().size >= last);
    // Of several of one size the one with cosignatures says most by itself.
    let latest = covers.max_by_key(|it| (it.head().head().size, it.kind() == AnchorKind::Head));
    latest.map(|it| it.head().clone())
}

/// The bytes of the output. What is written was checked: what a reader would refuse is not handed out.
fn write(disclosure: &Disclosure, form: Form) -> Result<Vec<u8>, Diagnostic> {
    let proven = disclosure.check(None, &[]).map_err(|error| {
        Diagnostic::new(
            Class::Evidence,
            format!("The events cannot be proven: {error}."),
        )
        .fix("See what 'provara verify' says of the vault.")
    })?;
    if disclosure.to_json().len() as u64 > MOST {
        return Err(forms::too_large());
    }
    let page = forms::page(disclosure, &proven);
    if page.len() as u64 > MOST {
        return Err(forms::too_large());
    }
    Ok(match form {
        Form::Page => page,
        Form::Archive => forms::archive(disclosure, &proven),
    })
}

fn told(args: &DiscloseArgs, disclosure: &Disclosure, count: u64) -> String {
    let head = disclosure.proof.head.head();
    let others = disclosure.proof.events.len() as u64 - count;
    let others = match others {
        0 => String::new(),
        others => format!(", and {} about keys", others),
    };
    let anchors = match disclosure.anchors.len() {
        0 => "none for this tree head".to_owned(),
        many => format!("{many} for this tree head"),
    };
    format!(
        "{}  events     {}{others}\n  tree head  {} over {}\n  anchors    {anchors}\n",
        output_file::told(&args.output),
        counted(count, "event"),
        terminal::clean(&head.origin.to_string()),
        counted(head.size, "event"),
    )
}
