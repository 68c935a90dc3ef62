//! What a verification saw, held against what was remembered before it.

use provara_core::id::Digest;
use provara_core::scan::{Field, scan_line};
use provara_core::tree::proof::root_over;
use provara_core::verify::LogVerdict;
use provara_core::verify::seal::{SealJudgement, SealStanding};

use super::{Judged, Leaf, Present, Reached, Recollection, SealSeen, is_due, leaf, leaves_of};
use crate::log_snapshot::lines_of;
use crate::vault::Vault;

/// A seal that covers something, how many events, and how many bytes of the log they are.
pub(crate) type Sealed = (SealSeen, u64, u64);

/// The seal that a verification found, if it covers the vault as it is or an earlier state.
pub(crate) fn sealed(verdict: &LogVerdict, log: &[u8], judged: &SealJudgement) -> Option<Sealed> {
    let seal = seen(judged)?;
    match judged.standing {
        SealStanding::Current => Some((seal, verdict.tree.size(), log.len() as u64)),
        SealStanding::Continued { events, length } => Some((seal, events, length)),
        _ => None,
    }
}

/// The seal as far as its signature is sound.
fn seen(judged: &SealJudgement) -> Option<SealSeen> {
    let forged = matches!(
        judged.standing,
        SealStanding::Absent | SealStanding::Unreadable | SealStanding::Wrong
    );
    let signed_at = judged.signed_at_utc.as_deref()?.parse().ok()?;
    Some(SealSeen {
        root: judged.root.filter(|_| !forged)?,
        signed_at,
    })
}

impl Recollection {
    /// Holds what a verification found in `log` against what was remembered.
    pub(crate) fn compare_verified(
        &self,
        vault: &Vault,
        log: &[u8],
        verdict: &LogVerdict,
        judged: &SealJudgement,
    ) -> Judged {
        let Some(identity) = verdict.first_event else {
            return Judged::default();
        };
        let size = verdict.tree.size();
        let present = Present {
            identity,
            size,
            root_at: &|at| root_at(verdict, log, at),
            seal: seen(judged),
            leaves: &|| Some(leaves_of(log)?.iter().map(leaf).collect()),
        };
        self.compare(vault, &present)
    }

    /// Remembers what a verification found, as far as a seal covers it: for a vault that verifies.
    pub(crate) fn remember_verified(
        &self,
        vault: &Vault,
        log: &[u8],
        verdict: &LogVerdict,
        sealed: Sealed,
        judged: &Judged,
    ) -> Option<String> {
        let (seal, size, length) = sealed;
        let log = log.get(..usize::try_from(length).ok()?)?;
        let whole = log.strip_suffix(b"\n").unwrap_or(log);
        let last = &whole[memchr::memrchr(b'\n', whole).map_or(0, |at| at + 1)..];
        let mut now = Reached {
            identity: verdict.first_event?,
            size,
            length,
            tree_root: root_at(verdict, log, size)?,
            last_event: scan_line(last).ok()?.text(Field::EventId)?.parse().ok()?,
            seal: Some(seal),
            leaves: &[],
        };
        let paths = vault.known_paths();
        // The leaves are worth reading lines again only where something is kept at all.
        let due = paths.iter().any(|path| is_due(self.at(path), &now));
        if !self.whole || due {
            let leaves = self.leaves(log, verdict, size, judged);
            now.leaves = &leaves;
            return self.remember(vault, &now, judged);
        }
        None
    }

    /// The leaves of the first `size` events, from where they are kept already.
    fn leaves(&self, log: &[u8], verdict: &LogVerdict, size: u64, judged: &Judged) -> Vec<Leaf> {
        let from = match judged.reordered {
            true => 0,
            false => self.leaves_from().min(size),
        };
        let (known_from, known) = match &verdict.leaves {
            Some(kept) => (kept.from.min(size), kept.leaves.as_slice()),
            None => (size, [].as_slice()),
        };
        let first = from.min(known_from);
        let mut leaves = Vec::with_capacity((size - first) as usize);
        if known_from > from {
            let skipped: usize = lines_of(log)
                .take(from as usize)
                .map(|it| it.len() + 1)
                .sum();
            let taken: usize = lines_of(&log[skipped..])
                .take((known_from - from) as usize)
                .map(|it| it.len() + 1)
                .sum();
            let part = log.get(skipped..(skipped + taken).min(log.len()));
            match part.and_then(leaves_of) {
                Some(part) => leaves.extend(part.iter().map(leaf)),
                None => return Vec::new(),
            }
        }
        let skipped = from.saturating_sub(known_from) as usize;
        let wanted = (size - from.max(known_from)) as usize;
        leaves.extend(known.iter().skip(skipped).take(wanted));
        leaves
    }
}

/// The root over the first `at` events.
fn root_at(verdict: &LogVerdict, log: &[u8], at: u64) -> Option<Digest> {
    if at == verdict.tree.size() {
        return Some(verdict.tree.root());
    }
    if let Some((_, root)) = verdict.roots.iter().find(|(size, _)| *size == at) {
        return Some(*root);
    }
    let length: usize = lines_of(log).take(at as usize).map(|it| it.len() + 1).sum();
    let leaves = leaves_of(log.get(..length)?)?;
    (leaves.len() as u64 == at).then(|| root_over(&leaves))
}
