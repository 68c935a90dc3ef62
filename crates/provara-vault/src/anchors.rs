//! The anchors that stand in a vault, held against its log and against whom a reader trusts (spec/VAULT_FORMAT,
//! section 10).

use std::collections::BTreeSet;

use provara_core::anchor::{Anchor, AnchorError, Sighting, WitnessKey, witnessed};
use provara_core::finding::{Code, Finding};
use provara_core::keys::KeyRegistry;
use provara_core::layout::{ANCHORS, AnchorKind};
use provara_core::time::Timestamp;
use provara_core::tree_head::SignedHead;
use provara_core::verify::{KeptHead, LogVerdict};
use provara_timestamps::{Authorities, Stamp, Token, TokenError};
use serde::{Serialize, Serializer};

use crate::error::VaultError;
use crate::heads::Held;
use crate::vault_files::VaultFiles;
use crate::vault_snapshot::VaultSnapshot;

/// The most anchors that a vault has: one an hour for a year.
pub(crate) const MOST_ANCHORS: usize = 10_000;

/// How many bytes of anchors are read.
const MOST_BYTES: usize = 64 << 20;

/// How many reasons why time-stamps do not count are told.
const MOST_REASONS: usize = 3;

/// The file of an anchor, relative to the vault, and what is in it, or why it cannot be read.
pub type ReadAnchor = (String, Result<Anchor, AnchorError>);

/// The anchors of a vault as they were read.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    read: Vec<ReadAnchor>,
    /// How many more there are.
    more: usize,
}

/// What a verification found of an anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenAnchor {
    /// The file, relative to the vault.
    pub file: String,
    /// What it is.
    #[serde(serialize_with = "kind_name")]
    pub kind: AnchorKind,
    /// The origin of the head that was seen.
    pub origin: String,
    /// How many events the head is over.
    pub events: u64,
    /// By whom it was seen, as it says.
    pub claimed_by: Vec<String>,
    /// Of a time-stamp, when, as it says.
    pub claimed_at_utc: Option<Timestamp>,
    /// By whom of those that were named it was seen, and when.
    pub seen: Vec<SeenBy>,
}

/// Who of those that were named saw a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenBy {
    /// The name of the witness, the root key of the other vault, or the subject of the authority's certificate.
    pub by: String,
    /// When, as that one says.
    pub at_utc: Timestamp,
}

fn kind_name<S: Serializer>(kind: &AnchorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(anchor_words(*kind).0)
}

/// When a time-stamp was made, as it says; `None` for other anchors.
#[must_use]
pub fn stamped_at(anchor: &Anchor) -> Option<Timestamp> {
    let Anchor::TimeStamp { token, .. } = anchor else {
        return None;
    };
    let token = Token::parse(token).ok()?;
    Timestamp::from_unix_micros(token.unix_micros())
}

/// Who of the authorities that a reader trusts stamped the head of an anchor, and when; `None` where none of them did.
///
/// # Errors
/// The token is none, is over something else, or its signature does not fit.
pub fn stamped_by(
    anchor: &Anchor,
    authorities: &Authorities,
) -> Result<Option<SeenBy>, TokenError> {
    let Anchor::TimeStamp { head, token } = anchor else {
        return Ok(None);
    };
    // Of an authority that nobody named it proves nothing.
    let (_, stamp) = judge_token(head, token, authorities)?;
    Ok(stamp.ok().and_then(|stamp| seen_by(&stamp)))
}

/// A token over a head; and its stamp, or why it counts for nobody who trusts these authorities.
///
/// # Errors
/// What is wrong with it, whomever a reader trusts.
fn judge_token(
    head: &SignedHead,
    token: &[u8],
    authorities: &Authorities,
) -> Result<(Token, Result<Stamp, TokenError>), TokenError> {
    let token = Token::parse(token)?;
    token.is_over(head.to_string().as_bytes())?;
    token.verify_itself()?;
    match token.verify(authorities) {
        Err(error @ TokenError::Signature(_)) => Err(error),
        stamp => Ok((token, stamp)),
    }
}

fn seen_by(stamp: &Stamp) -> Option<SeenBy> {
    Some(SeenBy {
        by: stamp.authority.clone(),
        at_utc: Timestamp::from_unix_micros(stamp.unix_micros)?,
    })
}

/// A moment that is told in whole seconds may be as late as the end of that second.
fn end_of_second(at: Timestamp) -> Timestamp {
    match at.unix_micros() % 1_000_000 {
        0 => Timestamp::from_unix_micros(at.unix_micros() + 1_000_000).unwrap_or(at),
        _ => at,
    }
}

/// What an anchor is called: as a value, in a sentence, and for several.
#[must_use]
pub fn anchor_words(kind: AnchorKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        AnchorKind::Head => ("cosigned_head", "cosigned tree head", "cosigned tree heads"),
        AnchorKind::TimeStamp => ("time_stamp", "time-stamp", "time-stamps"),
        AnchorKind::Event => ("event", "event of another vault", "events of other vaults"),
    }
}

/// What came of the anchors.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<String>,
    /// What there is to say of anchors where a reader names nobody.
    pub(crate) unasked: Option<String>,
    pub(crate) seen: Vec<SeenAnchor>,
}

impl Anchors {
    /// Reads those of a snapshot.
    ///
    /// # Errors
    /// [`VaultError::Io`]: a merge may have taken one away meanwhile.
    pub(crate) fn of_snapshot(
        files: &dyn VaultFiles,
        snapshot: &VaultSnapshot,
    ) -> Result<Self, VaultError> {
        let mut paths = snapshot.anchors().map(str::to_owned);
        let mut anchors = Self::default();
        let mut bytes = 0;
        for path in paths.by_ref().take(MOST_ANCHORS) {
            // One that an intent brings stands nowhere else yet.
            let text = match snapshot.text(&path) {
                Some(text) => text.to_vec(),
                None => files.read(&path)?.ok_or_else(|| VaultError::Io {
                    action: "read",
                    path: path.clone().into(),
                    source: std::io::ErrorKind::NotFound.into(),
                })?,
            };
            bytes += text.len();
            if bytes > MOST_BYTES {
                anchors.more = 1;
                break;
            }
            let anchor = Anchor::parse(&text);
            anchors.read.push((path, anchor));
        }
        anchors.more += paths.count();
        Ok(anchors)
    }

    /// Each with its file, and why one cannot be read.
    pub(crate) fn into_read(self) -> Vec<ReadAnchor> {
        self.read
    }

    /// Those that could be read.
    pub(crate) fn readable(&self) -> impl Iterator<Item = (&str, &Anchor)> {
        let read = self.read.iter();
        read.filter_map(|(path, anchor)| Some((path.as_str(), anchor.as_ref().ok()?)))
    }

    /// The sizes at which the root of the event tree is needed.
    pub(crate) fn sizes(&self) -> BTreeSet<u64> {
        let sizes = self.readable().map(|(_, anchor)| anchor.head().head().size);
        sizes.filter(|size| *size > 0).collect()
    }

    /// Holds them against a log that was verified, and against those that `held` names.
    pub(crate) fn judge(&self, held: &Held, log: &LogVerdict, registry: &KeyRegistry) -> Judged {
        let mut keys = BTreeSet::new();
        let named = held.witnesses.iter();
        let mut judge = Judge {
            held,
            // Who is named twice has seen the vault once.
            named: named.filter(|it| keys.insert(it.key_id())).collect(),
            found: Judged::default(),
            sightings: Vec::new(),
            stamps: Vec::new(),
            reasons: Vec::new(),
        };
        for (path, anchor) in &self.read {
            match anchor {
                Ok(anchor) => judge.anchor(path, anchor, log, registry),
                Err(error) => judge.invalid(path, error),
            }
        }
        if self.more > 0 {
            let message = format!(
                "there are more than {MOST_ANCHORS} anchors, or more than 64 MiB of them: {} were not looked at",
                self.more
            );
            let finding = Finding::new(Code::E019, ANCHORS, message);
            judge.found.findings.push(finding);
        }
        judge.witnesses(log.tree.size());
        judge.authorities(log.tree.size());
        judge.unasked();
        judge.found
    }
}

/// Anchors on the way through their judgement.
struct Judge<'a> {
    held: &'a Held,
    /// The witnesses that were named, each once.
    named: Vec<&'a WitnessKey>,
    found: Judged,
    /// Of the witnesses that were named.
    sightings: Vec<Sighting>,
    /// Of authorities that were named, with how many events they are over.
    stamps: Vec<(u64, Stamp)>,
    /// Why time-stamps do not count.
    reasons: Vec<String>,
}

impl Judge<'_> {
    fn invalid(&mut self, path: &str, reason: &dyn ToString) {
        let message = format!("the anchor proves nothing: {}", reason.to_string());
        let finding = Finding::new(Code::E019, path, message);
        self.found.findings.push(finding);
    }

    fn anchor(&mut self, path: &str, anchor: &Anchor, log: &LogVerdict, registry: &KeyRegistry) {
        let head = anchor.head();
        let kept = KeptHead {
            source: path.to_owned(),
            head: head.clone(),
        };
        if let Some(finding) = kept.judge(log, registry) {
            self.found.findings.push(finding);
            return;
        }
        if let Err(error) = anchor.check() {
            return self.invalid(path, &error);
        }
        if anchor.path() != path {
            return self.invalid(path, &"its name is not that of what it holds");
        }
        let mut seen = SeenAnchor {
            file: path.to_owned(),
            kind: anchor.kind(),
            origin: head.head().origin.to_string(),
            events: head.head().size,
            claimed_by: anchor.claims(),
            claimed_at_utc: None,
            seen: Vec::new(),
        };
        if let Anchor::TimeStamp { head, token } = anchor {
            match self.token(&mut seen, head, token) {
                Ok(()) => {}
                Err(error) => return self.invalid(path, &error),
            }
        }
        for (witness, key) in self.named.iter().enumerate() {
            match anchor.seen_by(key) {
                Ok(None) => {}
                Ok(Some(at)) => {
                    seen.seen.push(SeenBy {
                        by: key.name(),
                        at_utc: at,
                    });
                    self.sightings.push(Sighting {
                        events: seen.events,
                        at,
                        witness,
                    });
                }
                Err(error) => return self.invalid(path, &error),
            }
        }
        self.found.seen.push(seen);
    }

    /// A token over a head: what is wrong with it, whomever a reader trusts.
    fn token(
        &mut self,
        seen: &mut SeenAnchor,
        head: &SignedHead,
        token: &[u8],
    ) -> Result<(), TokenError> {
        let (token, stamp) = judge_token(head, token, &self.held.authorities)?;
        seen.claimed_at_utc = Timestamp::from_unix_micros(token.unix_micros());
        match stamp {
            Ok(stamp) => {
                seen.seen.extend(seen_by(&stamp));
                self.stamps.push((seen.events, stamp));
            }
            // Of an authority that nobody named it proves nothing, and is no fault of the vault.
            Err(error) => self.reasons.push(format!("'{}': {error}", seen.file)),
        }
        Ok(())
    }

    /// What the witnesses together saw, of those that were named.
    fn witnesses(&mut self, events: u64) {
        let named = &self.named;
        if named.is_empty() {
            return;
        }
        let needed = self.held.witnesses_needed.unwrap_or(named.len());
        let name = |witness: usize| named[witness].name();
        match witnessed(&self.sightings, needed) {
            Some(seen) => {
                let by: Vec<_> = seen.by.iter().map(|it| name(*it)).collect();
                self.found.notes.push(format!(
                    "the first {} of its {events} events existed before {}, as {needed} of {} witnesses say; they \
                     were seen by {}",
                    seen.events,
                    end_of_second(seen.at),
                    named.len(),
                    by.join(", ")
                ));
            }
            None => {
                let who: BTreeSet<_> = self.sightings.iter().map(|it| it.witness).collect();
                let who: Vec<_> = who.into_iter().map(name).collect();
                let message = "fewer witnesses than were asked for have seen a tree head of the vault that it holds";
                let all: Vec<_> = named.iter().map(|it| it.name()).collect();
                let expected = format!("{needed} of {}", all.join(", "));
                let found = match who.is_empty() {
                    true => "none".to_owned(),
                    false => who.join(", "),
                };
                let finding = Finding::new(Code::E020, ANCHORS, message);
                self.found.findings.push(finding.compare(expected, found));
            }
        }
    }

    /// What the authorities say, of those that were named.
    fn authorities(&mut self, events: u64) {
        if self.held.authorities.is_empty() {
            return;
        }
        let most = self.stamps.iter().map(|(size, _)| *size).max();
        let stamps = self.stamps.iter().filter(|(size, _)| Some(*size) == most);
        match stamps.min_by_key(|(_, stamp)| stamp.unix_micros) {
            Some((size, stamp)) => {
                let at = Timestamp::from_unix_micros(stamp.latest_micros);
                let at = at.map_or_else(
                    || "a time beyond the calendar".to_owned(),
                    |it| it.to_string(),
                );
                self.found.notes.push(format!(
                    "the first {size} of its {events} events existed before {at}, as the time-stamp authority '{}' \
                     says",
                    stamp.authority
                ));
            }
            None => {
                let message = "no time-stamp of the vault leads to a certificate that was named";
                let expected = "a time-stamp by an authority of the certificates named";
                let found = match self.reasons.len() {
                    0 => "no time-stamps".to_owned(),
                    count => {
                        let told = &self.reasons[..count.min(MOST_REASONS)];
                        let more = count.saturating_sub(MOST_REASONS);
                        let more = match more {
                            0 => String::new(),
                            more => format!("; and {more} more"),
                        };
                        format!("{}{more}", told.join("; "))
                    }
                };
                let finding = Finding::new(Code::E020, ANCHORS, message);
                self.found.findings.push(finding.compare(expected, found));
            }
        }
    }

    /// What there is to say of anchors that nobody was asked about.
    fn unasked(&mut self) {
        let asked = !self.held.witnesses.is_empty() || !self.held.authorities.is_empty();
        if asked || self.found.seen.is_empty() {
            return;
        }
        let kinds = [AnchorKind::Head, AnchorKind::TimeStamp, AnchorKind::Event];
        let counts = kinds.into_iter().filter_map(|kind| {
            let count = self.found.seen.iter().filter(|it| it.kind == kind).count();
            let (_, one, several) = anchor_words(kind);
            match count {
                0 => None,
                1 => Some(format!("1 {one}")),
                count => Some(format!("{count} {several}")),
            }
        });
        let counts: Vec<_> = counts.collect();
        self.found.unasked = Some(format!(
            "anchors: {}, which the log goes on from; who made them was not asked, as no witness and no time-stamp \
             authority was named",
            counts.join(", ")
        ));
    }
}
