//! `provara verify-proof`: a proof checked without the vault.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use provara_core::disclosure::DisclosureError;
use provara_core::event_proof::{ProofError, ProvenEvent};
use provara_core::id::KeyId;
use provara_explain::disclosure::{Evidence, MOST, Unread};
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{Anchor, Authorities, SeenBy, read_head, stamped_by};
use serde::Serialize;

use crate::args::{JsonArg, SeenArgs, key_id};
use crate::terminal::{self, GOOD};
use crate::text::counted;

/// Check a proof that 'provara prove' or 'provara disclose' made; no vault is needed
///
/// A proof is as good as what it is held to: a tree head that you have from somewhere else than the proof (--head), or
/// the key that made the vault (--root-key), or witnesses that cosigned its tree head (--witness). One of them has to be named: otherwise it could be
/// of a vault that somebody made for the occasion. With a root key or a witness alone, by a key that was revoked since. It proves that the events are in the vault, each at its line and as it was signed. It does not prove that
/// nothing else is there, but between lines that follow each other. Of a page or an archive of 'provara disclose' the data
/// are read and nothing is run. Exit codes: 0 proven, 1 not, 2 usage, 3 could not
/// read.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara verify-proof event.proof --head my-vault.head
  provara verify-proof event.proof --root-key bp1_0123456789abcdef --json
  provara verify-proof evidence.html --head my-vault.head
  provara verify-proof march-to-april.proof --head march.head")]
pub(crate) struct VerifyProofArgs {
    /// The proof
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    proof: PathBuf,

    /// The tree head that it must be for; of a proof that a tree head goes on from an older one, the older
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    head: Option<PathBuf>,

    /// The key that must have made the vault (repeatable: one of them)
    #[arg(long, value_name = "ID", value_parser = key_id)]
    root_key: Vec<KeyId>,

    #[command(flatten)]
    seen: SeenArgs,

    /// Of a page or an archive, require a time-stamp of its tree head by an authority that a certificate in this file leads
    /// to (repeatable: one of them): PEM with one or more, or one in DER
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tsa_cert: Vec<PathBuf>,

    #[command(flatten)]
    json: JsonArg,
}

/// What stands for the vault, which is not here, in what helps.
const VAULT: &str = "VAULT";

#[derive(Serialize)]
struct Shown<'p> {
    proven: bool,
    origin: String,
    size: u64,
    root: String,
    signed_by: KeyId,
    /// The key that made the vault, if signed events of the proof lead from it to the one that signed.
    root_key: Option<KeyId>,
    /// The size of the older tree head, where that is what is proven.
    goes_on_from: Option<u64>,
    /// The witnesses and the authorities of those named that saw the tree head.
    seen: Vec<SeenBy>,
    events: &'p [ProvenEvent],
    /// The newer tree head, to be kept instead of the older one.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    /// Of a disclosure, what was asked of the log, in the words of whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'p str>,
    /// Of a disclosure, how many anchors for its tree head came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    anchors: Option<usize>,
    /// Of a page or an archive, whether what is around its data is what this version writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_written: Option<bool>,
    /// That, in words.
    #[serde(skip)]
    note: Option<&'static str>,
}

pub(crate) fn run(args: &VerifyProofArgs) -> Result<(), Diagnostic> {
    if args.head.is_none() && args.root_key.is_empty() && args.seen.witness.is_empty() {
        return Err(Diagnostic::new(
            Class::Usage,
            "A proof is as good as what it is held to, and nothing is named.",
        )
        .fix(
            "Name a tree head that you have from elsewhere (--head FILE), the key that made the vault (--root-key ID), or a \
             witness (--witness KEY).",
        ));
    }
    let text = read(args)?;
    let failed = |error: DisclosureError| refused(args, &error);
    let evidence = Evidence::read(&args.proof, text).map_err(|unread| match unread {
        Unread::Refused(error) => failed(error),
        Unread::Failed(diagnostic) => *diagnostic,
    })?;
    let proof = &evidence.proof;
    let named = args.head.as_deref().map(read_head).transpose();
    let named = named.map_err(|error| vault_failure(error, Path::new(VAULT)))?;
    let held_to = named.as_ref().map(|kept| &kept.head);
    let proven = evidence.check(held_to, &args.root_key).map_err(failed)?;
    let (head, older) = (proof.head(), proof.older());
    let signed = held_to.filter(|_| older.is_none()).unwrap_or(head);
    let own = [signed, head].map(|it| Anchor::Head(it.clone()));
    let mut seen = seen(args, &own, evidence.anchors())?;
    seen.extend(stamped(args, evidence.anchors())?);
    let shown = Shown {
        proven: true,
        origin: head.head().origin.to_string(),
        size: head.head().size,
        root: head.head().root.to_string(),
        signed_by: proven.signer,
        root_key: proven.root_key,
        goes_on_from: older.map(|older| older.head().size),
        seen,
        events: &proven.events,
        head: older.map(|_| head.to_string()),
        asked: evidence.disclosure.as_ref().map(|it| it.asked.as_str()),
        anchors: evidence.disclosure.as_ref().map(|it| it.anchors.len()),
        as_written: evidence.is_as_written(),
        note: evidence.note(),
    };
    match args.json.json {
        true => terminal::result_json(&shown),
        false => terminal::result(&in_words(args, &shown)),
    }
}

/// Who saw the tree head, in one of its copies or in an anchor that came with it, of the witnesses that were named; enough
/// of them must have.
fn seen(
    args: &VerifyProofArgs,
    own: &[Anchor],
    anchors: &[Anchor],
) -> Result<Vec<SeenBy>, Diagnostic> {
    args.seen.check()?;
    let mut seen = Vec::new();
    for witness in &args.seen.witness {
        let mut at = None;
        for anchor in own.iter().chain(anchors) {
            let found = anchor.seen_by(witness).map_err(|error| {
                Diagnostic::new(
                    Class::Evidence,
                    format!("The tree head is not as the witness signed it: {error}."),
                )
                .fix("Ask for the tree head anew.")
            })?;
            at = at.or(found);
        }
        let by = witness.name();
        seen.extend(at.map(|at_utc| SeenBy { by, at_utc }));
    }
    let named = args.seen.witness.len();
    let needed = args.seen.needed().unwrap_or(named);
    if seen.len() >= needed {
        return Ok(seen);
    }
    let who: Vec<_> = seen.iter().map(|it| it.by.as_str()).collect();
    let found = match &who[..] {
        [] => "none".to_owned(),
        who => terminal::clean(&who.join(", ")).into_owned(),
    };
    Err(Diagnostic::new(
        Class::Evidence,
        format!(
            "'{}' is for a tree head that too few of the witnesses have seen.",
            args.proof.display()
        ),
    )
    .detail(format!("{:8}  {needed} of {named}", "expected"))
    .detail(format!("{:8}  {found}", "found"))
    .fix("Ask for a proof whose tree head they cosigned: provara prove VAULT … --head COSIGNED"))
}

/// Who stamped the tree head with a time, of the authorities that were named; the first of them, and one must have.
fn stamped(args: &VerifyProofArgs, anchors: &[Anchor]) -> Result<Option<SeenBy>, Diagnostic> {
    if args.tsa_cert.is_empty() {
        return Ok(None);
    }
    let mut authorities = Authorities::default();
    for file in &args.tsa_cert {
        authorities.extend(super::anchor::authorities(file)?);
    }
    let path = args.proof.display();
    let mut first: Option<SeenBy> = None;
    for anchor in anchors {
        let found = stamped_by(anchor, &authorities).map_err(|error| {
            let what = format!("A time-stamp in '{path}' proves nothing: {error}.");
            Diagnostic::new(Class::Evidence, what).fix("Ask for it anew.")
        })?;
        let earlier = |it: &SeenBy| first.as_ref().is_none_or(|first| it.at_utc < first.at_utc);
        first = found.filter(earlier).or(first);
    }
    match first {
        Some(seen) => Ok(Some(seen)),
        None => {
            let what = format!(
                "No time-stamp in '{path}' of its tree head leads to a certificate that was named."
            );
            Err(Diagnostic::new(Class::Evidence, what).fix(
                "Ask for a disclosure for a tree head that is stamped: provara anchor add VAULT …, then provara disclose",
            ))
        }
    }
}

fn read(args: &VerifyProofArgs) -> Result<Vec<u8>, Diagnostic> {
    let path = &args.proof;
    let failed = |error: io::Error| provara_explain::io_failure("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    // Whatever it says of its length: a device in its place would never end.
    let length = file.take(MOST + 1).read_to_end(&mut text).map_err(failed)?;
    match length as u64 > MOST {
        true => Err(Diagnostic::new(
            Class::Unavailable,
            format!(
                "'{}' is larger than any proof that is read (256 MiB).",
                path.display()
            ),
        )
        .fix("Name a file that 'provara prove' or 'provara disclose' wrote.")),
        false => Ok(text),
    }
}

/// A proof that proves nothing, or not what it was held to.
fn refused(args: &VerifyProofArgs, error: &DisclosureError) -> Diagnostic {
    let path = args.proof.display();
    let (what, facts, fix) = match error {
        DisclosureError::Proof(ProofError::OtherHead { expected, found }) => (
            format!("'{path}' is a proof for another tree head."),
            [("yours", expected), ("its own", found)],
            "Ask for a proof for the tree head that you have: provara prove VAULT … --head FILE (of one that goes \
             on from yours: --from FILE)",
        ),
        DisclosureError::Proof(ProofError::OtherRootKey { expected, found }) => (
            format!(
                "'{path}' is not of a vault that the key made which was named as its root key."
            ),
            [("named", expected), ("found", found)],
            "Compare the key with the one that the owner of the vault published.",
        ),
        error => {
            let failure = Diagnostic::new(
                Class::Evidence,
                format!("'{path}' proves nothing: {error}."),
            );
            return failure
                .fix("Ask whoever has the vault for one that 'provara prove' or 'provara disclose' makes anew.");
        }
    };
    let failure = Diagnostic::new(Class::Evidence, what);
    let facts = facts
        .into_iter()
        .map(|(label, fact)| format!("{label:8}  {fact}"));
    facts.fold(failure, Diagnostic::detail).fix(fix)
}

fn in_words(args: &VerifyProofArgs, shown: &Shown<'_>) -> String {
    let path = args.proof.to_string_lossy();
    let mut text = format!("{GOOD}PROVEN{GOOD:#}  {}\n", terminal::clean(&path));
    let origin = terminal::clean(&shown.origin);
    let _ = writeln!(
        text,
        "  vault      {origin}, over {}",
        counted(shown.size, "event")
    );
    let _ = writeln!(text, "  signed by  {}", shown.signed_by);
    let _ = match shown.root_key {
        Some(key) => writeln!(text, "  root key   {key}"),
        None => writeln!(
            text,
            "  root key   not shown: no signed events lead from the key that made the vault"
        ),
    };
    for seen in &shown.seen {
        let _ = writeln!(
            text,
            "  seen by    {}, at {}",
            terminal::clean(&seen.by),
            seen.at_utc
        );
    }
    if let Some(older) = shown.goes_on_from {
        let _ = writeln!(
            text,
            "\nThe tree head goes on from the older one, over {older} events. It may take its place:\n"
        );
        text.push_str(shown.head.as_deref().unwrap_or_default());
        return text;
    }
    if let Some(asked) = shown.asked {
        let _ = writeln!(text, "\nWhat was asked, as whoever made it says:");
        for line in asked.lines() {
            let _ = writeln!(text, "  {}", terminal::clean(line));
        }
    }
    let _ = writeln!(text, "\nIn the vault, as they were signed:");
    for event in shown.events {
        let _ = writeln!(
            text,
            "  line {:<8} {}  {}  {} by {}{}",
            event.line,
            event.event_id,
            terminal::clean(&event.timestamp_utc),
            terminal::clean(&event.event_type),
            terminal::clean(&event.actor),
            match (event.withheld, event.brings_keys) {
                (true, _) => "  (payload withheld)",
                (false, true) => "  (speaks of keys)",
                (false, false) => "",
            }
        );
    }
    let _ = writeln!(text, "\n{}", completeness(shown));
    if let Some(note) = shown.note {
        let _ = writeln!(text, "\nNote: {note}.");
    }
    text
}

/// What the places of the events say of what is between them.
fn completeness(shown: &Shown<'_>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for event in shown.events {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == event.line => *last = event.line,
            _ => runs.push((event.line, event.line)),
        }
    }
    let whole = runs.iter().filter(|(first, last)| first < last);
    let whole: Vec<_> = whole
        .map(|(first, last)| format!("{first} to {last}"))
        .collect();
    match (&runs[..], &whole[..]) {
        ([(1, last)], _) if *last == shown.size => {
            "These are all events of the tree head.".to_owned()
        }
        (_, []) => "Whether there are other events is not shown.".to_owned(),
        (_, whole) => format!(
            "In lines {} there are no other events; whether there are some elsewhere is not shown.",
            whole.join(", ")
        ),
    }
}
