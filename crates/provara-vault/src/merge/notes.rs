//! What there is to tell of a merge.

use provara_core::manifest::FileEntry;
use provara_core::merge::Merge;

use super::Other;
use crate::found::Found;

/// What there is to tell of a merge that is going to be done.
pub(super) fn notes(
    ours: &Found<'_>,
    other: &Other<'_>,
    merged: &Merge<'_>,
    before: &[FileEntry],
    stale: bool,
) -> Vec<String> {
    let mut notes = ours.notes.clone();
    if stale {
        notes.push("the seal lagged behind the log; it now covers it".to_owned());
    }
    notes.extend(variant_notes(merged));
    let here = |path: &String| before.iter().any(|entry| entry.path == *path);
    let absent = other.artifacts.iter().filter(|path| !here(path)).count();
    if absent > 0 {
        notes.push(format!(
            "{absent} files below artifacts/ of the other copy are not here: a merge takes events alone"
        ));
    }
    let absent = other.anchors.iter().filter(|path| !here(path)).count();
    if absent > 0 {
        notes.push(format!(
            "{absent} anchors of the other copy are not here: those of tree heads that this log goes on from can be \
             added by 'provara anchor add'"
        ));
    }
    notes
}

fn variant_notes(merged: &Merge<'_>) -> Vec<String> {
    let (redacted, signed): (Vec<_>, Vec<_>) = merged
        .variants()
        .iter()
        .partition(|variant| variant.theirs_redacted);
    let mut notes = Vec::new();
    match redacted.len() {
        0 => {}
        1 => {
            notes
                .push("1 payload was redacted in the other log, and now is in this one".to_owned());
        }
        many => notes.push(format!(
            "{many} payloads were redacted in the other log, and now are in this one"
        )),
    }
    match signed.len() {
        0 => {}
        1 => notes.push(
            "1 event stands in both logs in different versions; the choice depends on them alone"
                .to_owned(),
        ),
        many => notes.push(format!(
            "{many} events stand in both logs in different versions; the choice depends on them alone"
        )),
    }
    notes
}
