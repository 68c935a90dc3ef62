//! Why a writer does not go on from a seal.

use provara_core::finding::Severity;
use provara_core::id::EventId;
use provara_core::layout;
use provara_core::verify::seal::{OF_NO_STATE, SealJudgement, SealStanding};

use crate::error::{OtherSeal, VaultError};

/// Why nothing is written to a vault whose seal was judged so; `None` for one that vouches for what is
/// there, or for an earlier state of it. The log holds `events` events, of which `last` is the last.
pub(crate) fn refused(
    judged: &SealJudgement,
    events: u64,
    last: Option<EventId>,
) -> Option<VaultError> {
    let found = judged
        .findings
        .iter()
        .find(|it| it.severity == Severity::Error && it.file == layout::MANIFEST_SIG);
    let reason = found.map(|finding| finding.message.clone());
    // The sentence of the refusal says so itself.
    let more = |reason: &String| reason != OF_NO_STATE;
    Some(match judged.standing {
        SealStanding::Current | SealStanding::Continued { .. } => return None,
        SealStanding::Absent => VaultError::SealAbsent { events },
        SealStanding::NotCounting => VaultError::SealNotCounting {
            reason: reason.unwrap_or_else(|| "its key may not sign".to_owned()),
        },
        SealStanding::Other => VaultError::SealOfOther(Box::new(OtherSeal {
            events,
            last,
            root: judged.root,
            key_id: judged.key_id,
            signed_at_utc: judged.signed_at_utc.clone().unwrap_or_default(),
            reason: reason.filter(more),
        })),
        SealStanding::Unreadable | SealStanding::Wrong => VaultError::SealContradiction {
            file: layout::MANIFEST_SIG.to_owned(),
            reason: reason.unwrap_or_else(|| "it is no signature of a seal".to_owned()),
        },
    })
}
