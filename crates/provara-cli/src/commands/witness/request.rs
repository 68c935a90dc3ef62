//! `provara witness request`: a cosignature asked for at a witness that somebody else runs (C2SP tlog-witness).

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use provara_core::cosignature::{Cosigned, Witness};
use provara_core::signed_note::signature_lines;
use provara_core::tree_head::SignedHead;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{SourceLog, Vault, VaultError, WitnessKey, read_head};
use ureq::http::StatusCode;

use crate::args::{JsonArg, KeyArgs, VaultArg};
use crate::commands::anchor::told;
use crate::{gate, new_head, terminal, vault};

/// Have a tree head of the vault cosigned by a witness that somebody else runs
///
/// Signs a tree head, as 'provara tree-head' does, unless --head names one; sends it to the witness with the proof that it goes on from what the
/// witness saw last (C2SP tlog-witness, add-checkpoint); checks the cosignature against KEY; and keeps it in the
/// vault, as 'provara anchor add' does. The witness learns the origin, the number of events and the root; no event.
/// It must know the vault's key: what it asks its operator for is printed where it does not. Exit codes: 0 cosigned and kept, 1 the
/// witness saw another history or a later state, 3 it was not reached, or refuses.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara witness request https://witness.example.org my-vault \\
    --witness witness.example.org/w1+8d66cf3c+BOrTbM2M5cOsCnjCyaDeG1xDxvjpvnVwgRVNvhqbZvcg")]
pub(super) struct RequestArgs {
    /// Where the witness takes requests: add-checkpoint is put behind it
    #[arg(value_name = "URL")]
    url: String,

    #[command(flatten)]
    vault: VaultArg,

    /// The witness's key: name, '+', 8 hexadecimal digits, '+', Base64
    #[arg(long, value_name = "KEY", value_parser = witness)]
    witness: Witness,

    /// Have this tree head cosigned [default: a new one, signed now]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    head: Option<PathBuf>,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    json: JsonArg,
}

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read, in bytes.
const MOST: u64 = 1 << 16;

/// How often it is tried anew where the witness saw another size: another process may be at work.
const TRIES: u32 = 4;

fn witness(text: &str) -> Result<Witness, String> {
    text.parse()
        .map_err(|error: provara_core::cosignature::WitnessKeyError| error.to_string())
}

pub(super) fn run(args: &RequestArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let failed = |error: VaultError| vault_failure(error, path);
    let url = endpoint(&args.url)?;
    let vault = vault::open(path)?;
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let head = match &args.head {
        Some(file) => read_head(file).map_err(failed)?.head,
        None => new_head::sign(&vault, path, &args.key)?,
    };
    let log = gate::verify_strictly(&vault, path)?;
    let cosigned = ask(args, &url, &vault, &log, head)?;
    gate::check_unchanged(&log, path)?;
    let note = cosigned.to_string();
    let added = vault.add_anchor(&keyfile, args.key.key_id, note.as_bytes(), &[]);
    let receipt = added.map_err(failed)?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    told(&receipt, args.json)
}

/// The URL that a request goes to.
fn endpoint(prefix: &str) -> Result<String, Diagnostic> {
    let is_http = ["http://", "https://"]
        .iter()
        .any(|it| prefix.starts_with(it));
    match is_http && !prefix.contains(['?', '#']) {
        true => Ok(format!("{}/add-checkpoint", prefix.trim_end_matches('/'))),
        false => Err(Diagnostic::new(
            Class::Usage,
            format!("'{prefix}' is no place where a witness takes requests."),
        )
        .fix("Give the submission prefix of the witness, such as https://witness.example.org.")),
    }
}

/// How many events the witness saw, as far as the anchors of the vault tell.
fn seen_before(vault: &Vault, witness: &Witness, head: &SignedHead) -> u64 {
    let key = WitnessKey::Cosigner(Box::new(witness.clone()));
    let anchors = vault.anchors().unwrap_or_default().into_iter();
    let anchors = anchors.filter_map(|(_, anchor)| anchor.ok());
    let of_origin = anchors.filter(|it| it.head().head().origin == head.head().origin);
    let seen = of_origin.filter(|it| matches!(it.seen_by(&key), Ok(Some(_))));
    let seen = seen.map(|it| it.head().head().size);
    seen.filter(|size| *size <= head.head().size)
        .max()
        .unwrap_or(0)
}

/// The head with the cosignature of the witness.
fn ask(
    args: &RequestArgs,
    url: &str,
    vault: &Vault,
    log: &SourceLog,
    head: SignedHead,
) -> Result<SignedHead, Diagnostic> {
    let path = &args.vault.vault;
    let mut old = seen_before(vault, &args.witness, &head);
    for _ in 0..TRIES {
        let digests = vault.consistency(log, old, &head);
        let digests = digests.map_err(|error| vault_failure(error, path))?;
        let mut body = format!("old {old}\n");
        for digest in &digests {
            body.push_str(&digest.to_base64());
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&head.to_string());
        let answer = post(url, &body)?;
        match answer.status {
            StatusCode::OK => return cosigned(args, head, &answer.text),
            StatusCode::CONFLICT if answer.is_size => {
                let seen = answer
                    .text
                    .strip_suffix('\n')
                    .and_then(|it| it.parse::<u64>().ok());
                let seen = seen.ok_or_else(|| refused(url, &answer))?;
                if seen > head.head().size {
                    return Err(later(args, &head, seen));
                }
                if seen == old {
                    return Err(contradicted(args, &head, seen));
                }
                old = seen;
            }
            StatusCode::CONFLICT => return Err(contradicted(args, &head, old)),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => {
                return Err(unknown(args, &head, &answer));
            }
            _ => return Err(refused(url, &answer)),
        }
    }
    Err(Diagnostic::new(
        Class::Unavailable,
        "The witness sees other tree heads of the vault all the time.",
    )
    .fix("See that one process at a time asks for the vault, and try again."))
}

/// What a witness answers.
struct Answer {
    status: StatusCode,
    /// Whether it says how many events the witness saw.
    is_size: bool,
    text: String,
}

fn post(url: &str, body: &str) -> Result<Answer, Diagnostic> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .user_agent(concat!("provara/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let failed = |error: ureq::Error| {
        Diagnostic::new(
            Class::Unavailable,
            format!("The witness at '{url}' was not reached: {error}."),
        )
        .fix("See that the address is right and the network lets it through; then try again. Nothing was changed.")
    };
    let mut response = agent
        .post(url)
        .content_type("text/plain")
        .send(body)
        .map_err(failed)?;
    let kind = response.headers().get("content-type");
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_size = kind
        .split(';')
        .next()
        .is_some_and(|it| it.trim() == "text/x.tlog.size");
    let status = response.status();
    let text = response
        .body_mut()
        .with_config()
        .limit(MOST)
        .read_to_string();
    Ok(Answer {
        status,
        is_size,
        text: text.map_err(failed)?,
    })
}

/// The head with the cosignature in an answer, if that is the witness's. Other lines count for nothing.
fn cosigned(args: &RequestArgs, head: SignedHead, text: &str) -> Result<SignedHead, Diagnostic> {
    let wrong = |what: &str| {
        Diagnostic::new(
            Class::Unavailable,
            format!("The answer of the witness has {what}."),
        )
        .fix("Compare the key with the one that the witness publishes. Nothing was changed.")
    };
    let lines =
        signature_lines(text, 1).map_err(|error| wrong(&format!("no cosignature: {error}")))?;
    let hash = args.witness.key_hash();
    let own = lines
        .into_iter()
        .find(|it| it.name == args.witness.name() && it.key_hash == hash);
    let own = own.ok_or_else(|| wrong("no cosignature of the key that was named"))?;
    let cosigned = head
        .signed_also(own)
        .map_err(|error| wrong(&format!("one signature too many: {error}")))?;
    match args.witness.cosigned(cosigned.note()) {
        Cosigned::At(_) => Ok(cosigned),
        Cosigned::Not | Cosigned::Wrongly => Err(wrong("a cosignature that does not verify")),
    }
}

fn later(args: &RequestArgs, head: &SignedHead, seen: u64) -> Diagnostic {
    Diagnostic::new(
        Class::Evidence,
        format!(
            "The witness '{}' has seen {seen} events of '{}', and the vault has {}: it is an earlier state, or was cut.",
            args.witness.name(),
            head.head().origin,
            head.head().size
        ),
    )
    .fix("Look for the later copy: this one does not have all that it had.")
}

fn contradicted(args: &RequestArgs, head: &SignedHead, seen: u64) -> Diagnostic {
    Diagnostic::new(
        Class::Evidence,
        format!(
            "The witness '{}' has seen another state of '{}' over {seen} events than this vault's.",
            args.witness.name(),
            head.head().origin,
        ),
    )
    .fix(
        "Ask the witness for the tree head that it cosigned, and hold the vault to it: provara verify VAULT --head FILE",
    )
}

/// The witness does not know the vault, or not the key that signed.
fn unknown(args: &RequestArgs, head: &SignedHead, answer: &Answer) -> Diagnostic {
    let what = match answer.status {
        StatusCode::NOT_FOUND => "does not know the origin",
        _ => "does not know the key that signed",
    };
    let origin = head.head().origin.to_string();
    let failure = Diagnostic::new(
        Class::Unavailable,
        format!("The witness '{}' {what} '{origin}'.", args.witness.name()),
    );
    let keys = verifier_keys(args, head);
    let failure = keys
        .iter()
        .fold(failure, |failure, key| failure.detail(key));
    failure.fix("Give its operator the key above, in which the origin stands, and try again. Nothing was changed.")
}

/// The keys that signed the head, as witnesses are told of them (C2SP signed-note, Verifier keys).
fn verifier_keys(args: &RequestArgs, head: &SignedHead) -> Vec<String> {
    let vault = vault::open(&args.vault.vault).ok();
    let keys = vault.and_then(|vault| vault.head_signers(head).ok());
    let origin = head.head().origin.to_string();
    let keys = keys.unwrap_or_default();
    keys.iter()
        .map(|key| provara_core::signed_note::verifier_key(&origin, key))
        .collect()
}

fn refused(url: &str, answer: &Answer) -> Diagnostic {
    let said: String = answer.text.chars().take(200).collect();
    let failure = Diagnostic::new(
        Class::Unavailable,
        format!("The witness at '{url}' answers {}.", answer.status),
    );
    let failure = match said.trim() {
        "" => failure,
        said => failure.detail(format!("it says: {}", terminal::clean(said))),
    };
    failure.fix("Ask whoever runs it. Nothing was changed.")
}
