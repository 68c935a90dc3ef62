//! Why a joined log does not verify, told so that somebody can act on it: above all the events of a copy that
//! comes after the key which signed them was revoked.

use provara_core::finding::{Code, Finding};
use provara_core::merge::Merge;
use provara_core::scan::{Field, scan_line};
use provara_core::verify::LogVerdict;

use crate::error::{LateEvent, MergeRefusal};

/// The refusal of a joined `log` that came to `verdict`, whose first fault is `wrong`.
pub(super) fn refusal(
    wrong: &Finding,
    verdict: &LogVerdict,
    log: &[u8],
    merged: &Merge<'_>,
) -> MergeRefusal {
    let late = verdict.findings.iter().filter(|it| it.code == Code::E202);
    let events: Vec<_> = late
        .filter_map(|finding| late_event(finding, verdict, log, merged))
        .collect();
    let is_first = |event: &LateEvent| Some(&event.event_id) == wrong.event_id.as_ref();
    match wrong.code == Code::E202 && events.iter().any(is_first) {
        true => MergeRefusal::AfterRevocation {
            reason: wrong.message.clone(),
            events,
            append_only_helps: false,
        },
        false => MergeRefusal::ResultInvalid {
            code: wrong.code.as_str(),
            reason: wrong.message.clone(),
            event_id: wrong.event_id.clone(),
            append_only_helps: false,
        },
    }
}

/// The event that a finding is about, if a revoked key signed it.
fn late_event(
    finding: &Finding,
    verdict: &LogVerdict,
    log: &[u8],
    merged: &Merge<'_>,
) -> Option<LateEvent> {
    let rest = log.get(usize::try_from(finding.offset?).ok()?..)?;
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let bytes = &rest[..end];
    let line = scan_line(bytes).ok()?;
    let text = |field| line.text(field).map(|text| text.into_owned());
    let key_id = text(Field::ActorKeyId)?.parse().ok()?;
    verdict.revoked_keys.contains(&key_id).then_some(())?;
    let is_this = |it: &[u8]| it.strip_suffix(b"\n").unwrap_or(it) == bytes;
    Some(LateEvent {
        event_id: finding.event_id.clone()?,
        event_type: text(Field::Type)?,
        actor: text(Field::Actor)?,
        timestamp_utc: text(Field::TimestampUtc)?,
        key_id,
        ours: !merged.imported().any(is_this),
    })
}
