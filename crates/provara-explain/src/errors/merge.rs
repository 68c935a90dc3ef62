//! Why a merge is refused, in words.

use provara_core::finding::Severity;
use provara_core::merge::MergeError;
use provara_vault::{LateEvent, MergeRefusal, VaultError};

use provara_report::Diagnostic;
use provara_report::shell;
use provara_report::text::inline;

/// How many findings of the other vault are shown.
const SHOWN: usize = 5;

/// Adds what a person needs to see: both events of each fork, the rules that would be loosened, what
/// was found in the other vault.
pub(super) fn with_details(mut failure: Diagnostic, refusal: &MergeRefusal) -> Diagnostic {
    match refusal {
        MergeRefusal::Forks { forks } => {
            for fork in forks {
                let prev = match fork.prev_event_hash {
                    Some(id) => format!("follow {id}"),
                    None => "are the actor's first".to_owned(),
                };
                let actor = inline(&fork.actor);
                failure = failure.detail(format!("Two events of '{actor}' {prev}:"));
                for event in &fork.events {
                    let side = if event.ours { "here" } else { "there" };
                    let text = inline(&event.event_json);
                    failure = failure.detail(format!("  {side:5}  {text}"));
                }
            }
            failure
        }
        MergeRefusal::AfterRevocation { reason, events, .. } => {
            failure = failure.detail(format!("Of the first: {}.", inline(reason)));
            for event in events.iter().take(SHOWN) {
                failure = failure.detail(format!(
                    "  {}  {}  {} by '{}', {}",
                    if event.ours { "here " } else { "there" },
                    event.event_id,
                    inline(&event.event_type),
                    inline(&event.actor),
                    inline(&event.timestamp_utc)
                ));
            }
            match events.len().saturating_sub(SHOWN) {
                0 => failure,
                more => failure.detail(format!("  and {more} more")),
            }
        }
        MergeRefusal::SafetyLoosened { rules } => rules.iter().fold(failure, |failure, rule| {
            failure.detail(inline(&rule.to_string()))
        }),
        MergeRefusal::OtherInvalid { report, .. } => report
            .findings()
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .take(SHOWN)
            .fold(failure, |failure, finding| {
                failure.detail(finding.to_string())
            }),
        _ => failure,
    }
}

/// What helps where events come after the key that signed them was revoked. `in_place` says that this log, as it
/// stands, has them before the revocation that would be appended to it.
fn after_revocation(events: &[LateEvent], vault: &str, in_place: bool) -> String {
    let ours = events.iter().any(|event| event.ours);
    let target = if ours { "the other copy" } else { vault };
    let again = format!(
        "say there again what these events say: {}",
        said_again(target)
    );
    match in_place {
        true => format!(
            "Best {again}. Only if you know that nobody else had the key: --append-only leaves them before \
             the revocation, where they verify, and {vault} is then the vault to go on with."
        ),
        false => format!(
            "They have no place here in either order: merge other copies before a key is revoked. Keep the copy \
             that has them, and {again}."
        ),
    }
}

/// How events of another copy are said again in `target`, with a key that counts there.
fn said_again(target: &str) -> String {
    format!(
        "'provara query COPY --format ndjson' shows them; make a record of each that somebody vouches for, \
         {{\"type\":…,\"actor\":…,\"data\":PAYLOAD}}, with its id as a further member of the data, such as \
         repeats_event_id, and append these to {target} with --batch, signed by a key that counts there"
    )
}

/// What the user can do; `of_other` says it of an error of the other vault.
pub(super) fn fix(
    refusal: &MergeRefusal,
    vault: &str,
    of_other: impl Fn(&VaultError, &str) -> String,
) -> String {
    match refusal {
        MergeRefusal::Logs(MergeError::Unrelated { .. }) => {
            "Name a copy of the same vault: one that began as this one did.".to_owned()
        }
        MergeRefusal::Logs(MergeError::Missing { prev, .. }) => format!(
            "Import a bundle first that holds {prev}; 'provara delta export' without --since holds \
             everything."
        ),
        MergeRefusal::Logs(_) | MergeRefusal::Delta(_) => {
            "Ask for the bundle anew: provara delta export VAULT --output FILE.".to_owned()
        }
        MergeRefusal::OtherInvalid { path, .. } => format!(
            "Run 'provara verify {}' to see every finding; merge from a copy that verifies.",
            shell(path)
        ),
        MergeRefusal::Forks { .. } => {
            "Find out which of the two the actor stands by. --keep-forks keeps both on purpose; the \
             vault then no longer verifies and takes no further event."
                .to_owned()
        }
        MergeRefusal::UntrustedKeys { key_ids } => format!(
            "Ask the vault's owner whether the keys are theirs; if so, add {}.",
            key_ids
                .iter()
                .map(|id| format!("--trust-key {id}"))
                .collect::<Vec<_>>()
                .join(" ")
        ),
        MergeRefusal::NoSuchKey { .. } => {
            "Name a key that stands in the other side's identity/keys.json.".to_owned()
        }
        MergeRefusal::SafetyLoosened { .. } => format!(
            "Merge the other way first, which tightens the other vault's policy: provara merge OTHER \
             {vault}."
        ),
        MergeRefusal::ResultInvalid {
            append_only_helps: true,
            ..
        } => "Add --append-only: this log as it is, and the new events after it, verify.".to_owned(),
        MergeRefusal::ResultInvalid { event_id, .. } => format!(
            "Look at {} in both copies; no order of the two logs verifies. What the other copy holds can \
             be said again here: {}.",
            event_id.as_deref().unwrap_or("what is named above"),
            said_again(vault)
        ),
        MergeRefusal::AfterRevocation {
            events,
            append_only_helps,
            ..
        } => after_revocation(events, vault, *append_only_helps),
        MergeRefusal::OtherUnsealed { path, source } => of_other(source, &shell(path)),
    }
}
