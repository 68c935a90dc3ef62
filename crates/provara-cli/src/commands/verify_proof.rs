//! `provara verify-proof`: a proof checked without the vault.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use provara_core::event_proof::{AnyProof, ProofError, Proven, ProvenEvent};
use provara_core::id::KeyId;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{SignedHead, read_head};
use serde::Serialize;

use crate::args::{JsonArg, key_id};
use crate::terminal::{self, GOOD};
use crate::text::counted;

/// Check a proof that 'provara prove' made; no vault is needed
///
/// A proof is as good as what it is held to: a tree head that you have from somewhere else than the proof (--head), or
/// the key that made the vault (--root-key). Without either it could be of a vault that somebody made for the
/// occasion. It proves that the events are in the vault, each at its line and as it was signed. It does not prove that
/// nothing else is there, but between lines that follow each other. Exit codes: 0 proven, 1 not, 2 usage, 3 could not
/// read.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara verify-proof event.proof --head my-vault.head
  provara verify-proof event.proof --root-key bp1_0123456789abcdef --json
  provara verify-proof march-to-april.proof --head march.head")]
pub(crate) struct VerifyProofArgs {
    /// The proof
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    proof: PathBuf,

    /// The tree head that it must be for; of a proof that a tree head goes on from an older one, the older
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath,
        required_unless_present = "root_key")]
    head: Option<PathBuf>,

    /// The key that must have made the vault (repeatable: one of them)
    #[arg(long, value_name = "ID", value_parser = key_id)]
    root_key: Vec<KeyId>,

    #[command(flatten)]
    json: JsonArg,
}

/// The largest proof that is read, in bytes.
const MOST: u64 = 1 << 30;

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
    events: Vec<&'p ProvenEvent>,
    /// The newer tree head, to be kept instead of the older one.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
}

pub(crate) fn run(args: &VerifyProofArgs) -> Result<(), Diagnostic> {
    let text = read(args)?;
    let failed = |error: ProofError| refused(args, &error.to_string());
    let proof = AnyProof::parse(&text).map_err(failed)?;
    let (held_to, head, older) = match &proof {
        AnyProof::Events(proof) => (&proof.head, &proof.head, None),
        AnyProof::Consistency(proof) => (&proof.old, &proof.new.head, Some(&proof.old)),
    };
    let named = args.head.as_deref().map(read_head).transpose();
    let named = named.map_err(|error| vault_failure(error, &args.proof))?;
    if let Some(named) = &named
        && named.head.head() != held_to.head()
    {
        return Err(other_head(args, &named.head, held_to));
    }
    let proven = match &proof {
        AnyProof::Events(proof) => proof.check(),
        AnyProof::Consistency(proof) => proof.check(),
    };
    let proven = proven.map_err(failed)?;
    check_root(args, &proven)?;
    let shown = Shown {
        proven: true,
        origin: head.head().origin.to_string(),
        size: head.head().size,
        root: head.head().root.to_string(),
        signed_by: proven.signer,
        root_key: proven.root_key,
        goes_on_from: older.map(|older| older.head().size),
        events: proven.events.iter().filter(|event| event.chosen).collect(),
        head: older.map(|_| head.to_string()),
    };
    match args.json.json {
        true => terminal::result_json(&shown),
        false => terminal::result(&in_words(args, &shown)),
    }
}

fn read(args: &VerifyProofArgs) -> Result<Vec<u8>, Diagnostic> {
    let path = &args.proof;
    let length = std::fs::metadata(path).map(|it| it.len());
    match length {
        Ok(length) if length > MOST => Err(Diagnostic::new(
            Class::Unavailable,
            format!(
                "'{}' is larger than any proof that is read (1 GiB).",
                path.display()
            ),
        )
        .fix("Name a file that 'provara prove' wrote.")),
        Ok(_) => {
            std::fs::read(path).map_err(|error| provara_explain::io_failure("read", path, &error))
        }
        Err(error) => Err(provara_explain::io_failure("read", path, &error)),
    }
}

/// A proof that proves nothing.
fn refused(args: &VerifyProofArgs, reason: &str) -> Diagnostic {
    Diagnostic::new(
        Class::Evidence,
        format!("'{}' proves nothing: {reason}.", args.proof.display()),
    )
    .fix("Ask whoever has the vault for a proof that 'provara prove' makes anew.")
}

/// A proof for another head than the one that it is held to.
fn other_head(args: &VerifyProofArgs, named: &SignedHead, of_proof: &SignedHead) -> Diagnostic {
    let words = |head: &SignedHead| {
        let head = head.head();
        format!(
            "'{}' over {} events, root {}",
            head.origin, head.size, head.root
        )
    };
    Diagnostic::new(
        Class::Evidence,
        format!(
            "'{}' is a proof for another tree head.",
            args.proof.display()
        ),
    )
    .detail(format!("yours          {}", words(named)))
    .detail(format!("of the proof   {}", words(of_proof)))
    .fix("Ask for a proof for the tree head that you have: provara prove VAULT … --head FILE")
}

/// Refuses a vault that another key made.
fn check_root(args: &VerifyProofArgs, proven: &Proven) -> Result<(), Diagnostic> {
    if args.root_key.is_empty()
        || proven
            .root_key
            .is_some_and(|key| args.root_key.contains(&key))
    {
        return Ok(());
    }
    let named: Vec<_> = args.root_key.iter().map(ToString::to_string).collect();
    let found = proven.root_key.map_or_else(
        || "none to which signed events lead".to_owned(),
        |key| key.to_string(),
    );
    Err(Diagnostic::new(
        Class::Evidence,
        "The proof is not of a vault that the key made which was named as its root key.",
    )
    .detail(format!("named   {}", named.join(" or ")))
    .detail(format!("found   {found}"))
    .fix("Compare the key with what the owner of the vault published."))
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
    if let Some(older) = shown.goes_on_from {
        let _ = writeln!(
            text,
            "\nThe tree head goes on from the older one, over {older} events. It may take its place:\n"
        );
        text.push_str(shown.head.as_deref().unwrap_or_default());
        return text;
    }
    let _ = writeln!(text, "\nIn the vault, as they were signed:");
    for event in &shown.events {
        let _ = writeln!(
            text,
            "  line {:<8} {}  {}  {} by {}{}",
            event.line,
            event.event_id,
            terminal::clean(&event.timestamp_utc),
            terminal::clean(&event.event_type),
            terminal::clean(&event.actor),
            match event.redacted {
                true => "  (payload redacted)",
                false => "",
            }
        );
    }
    let _ = writeln!(text, "\n{}", completeness(&shown.events));
    text
}

/// What the places of the events say of what is between them.
fn completeness(events: &[&ProvenEvent]) -> String {
    let follows = |pair: &[&ProvenEvent]| pair[0].line + 1 == pair[1].line;
    match events {
        [first, .., last] if events.windows(2).all(follows) => format!(
            "These are all events in lines {} to {}. Whether there are others, before or after, is not shown.",
            first.line, last.line
        ),
        _ => "Whether there are other events is not shown.".to_owned(),
    }
}
