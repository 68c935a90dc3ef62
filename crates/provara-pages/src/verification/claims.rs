//! What a verification proves, and what it cannot: the sentences at the head of the page.

use super::facts::{SealStanding, Verdict, Verification};
use crate::text::{counted, grouped};

/// A sentence, and what more there is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// What is claimed.
    pub(super) says: String,
    /// Why, or what to do about it.
    pub(super) more: String,
}

fn claim(says: impl Into<String>, more: impl Into<String>) -> Claim {
    Claim {
        says: says.into(),
        more: more.into(),
    }
}

/// What is proven. Of an invalid vault that is next to nothing.
pub(super) fn proven(it: &Verification) -> Vec<Claim> {
    let counts = &it.counts;
    if it.verdict == Verdict::Invalid {
        let held = it.heads.iter().filter(|head| head.holds).count() as u64;
        let mut claims = vec![claim(
            format!(
                "{} of the {} fit.",
                counted(counts.signatures, "signature"),
                counted(counts.events, "event")
            ),
            "That an event is signed does not help it while the whole does not hold.",
        )];
        if held > 0 {
            claims.push(claim(
                format!("The log goes on from {}.", counted(held, "tree head")),
                "What was there then is still there.",
            ));
        }
        return claims;
    }
    let mut claims = vec![claim(
        match counts.redacted {
            0 => "No event was changed after it was signed.".to_owned(),
            redacted => format!(
                "No event was changed after it was signed, but for {} that signed events took away.",
                counted(redacted, "payload")
            ),
        },
        "Every event bears a signature over its exact bytes; each was checked.",
    )];
    if counts.gaps == 0 {
        claims.push(claim(
            "Of no actor an event was removed from the middle, put in between, or moved.",
            "Each event names the one before it of the same actor, so that each actor's events form one chain.",
        ));
    }
    if it.keys.marked && it.keys.unvouched.is_none() {
        claims.push(claim(
            "Only keys signed that the vault itself introduced.",
            "Signed events lead from the root key to each of them. What a file says beyond that counts for nothing.",
        ));
    }
    match it.seal.standing {
        SealStanding::Current => claims.push(claim(
            "No file was added, exchanged or removed without a key of the vault.",
            "A seal over all of it was signed by one.",
        )),
        SealStanding::Continued(events) => claims.push(claim(
            format!(
                "The first {} and the files with them are as they were sealed.",
                counted(events, "event")
            ),
            "What came after the seal follows it and is signed by itself.",
        )),
        SealStanding::Other | SealStanding::None => {}
    }
    if it.identity.root_key_was_named {
        claims.push(claim(
            "The key that whoever verified had named made the vault.",
            "So it is the vault that was meant, if the name of the key came by a way that can be trusted.",
        ));
    }
    let holding = it.heads.iter().filter(|head| head.holds);
    if let Some(latest) = holding.max_by_key(|head| head.events) {
        claims.push(claim(
            format!(
                "The first {} are those that were there when a tree head over them was signed.",
                counted(latest.events, "event")
            ),
            "None of them was removed, changed or put in another order since, if the head came by a way that can be trusted.",
        ));
    }
    let anchors = it.anchors.iter().filter(|anchor| anchor.holds);
    if let Some(anchor) = anchors.max_by_key(|anchor| anchor.events) {
        claims.push(claim(
            format!(
                "The first {} were there at the time that a third party attests.",
                counted(anchor.events, "event")
            ),
            "See \u{201c}Attested by third parties\u{201d} below.",
        ));
    }
    claims
}

/// What no verification of this vault proves.
pub(super) fn unproven(it: &Verification) -> Vec<Claim> {
    let mut claims = vec![completeness(it)];
    claims.push(claim(
        "Whether everything that happened was recorded.",
        "Of what nobody wrote down, or wrote down elsewhere, a vault knows nothing.",
    ));
    if it.counts.gaps > 0 {
        claims.push(claim(
            "What stood where a chain has a gap.",
            format!(
                "Of {} an event follows one that is not here.",
                counted(it.counts.gaps, "actor")
            ),
        ));
    }
    claims.push(claim(
        "Whether the actors are who they say.",
        "An actor is a name that the signer wrote. A key shows that whoever held it signed, and not who that was.",
    ));
    if !it.identity.root_key_was_named {
        claims.push(claim(
            "Whether the vault is the one that you mean.",
            "Anybody can make a vault that verifies. Ask its owner by another way for the root key, and compare it.",
        ));
    }
    claims.push(claim(
        "Whether the times are true.",
        "Each is what the clock of the writer said, or the writer.",
    ));
    claims.push(claim(
        "Whether the statements are true.",
        "A signature proves who says something and not that it is so.",
    ));
    if !it.keys.marked || it.keys.unvouched.is_some() {
        claims.push(claim(
            "Whether the keys are the owner's.",
            "In this vault a file, or somebody's trust, vouches for keys. Ask the owner about each of them.",
        ));
    }
    if matches!(it.seal.standing, SealStanding::Other | SealStanding::None) {
        claims.push(claim(
            "Whether files, or all events of an actor, were taken away or exchanged.",
            "No seal by a key of the vault is over what is here.",
        ));
    }
    if it.counts.unbound > 0 {
        claims.push(claim(
            "What redacted lines say beside their payload.",
            format!(
                "The redactions of {} do not bind what is left.",
                counted(it.counts.unbound, "event")
            ),
        ));
    }
    if it.identity.predecessor == Some(false) {
        claims.push(claim(
            "What the older vault says that this one continues.",
            "It was not looked at.",
        ));
    }
    if it.counts.from_cache {
        claims.push(claim(
            "What this run did not check again.",
            "Some signatures verified in an earlier run on the same machine, over the same bytes. The commands below check all.",
        ));
    }
    claims
}

/// Whether the end is the end: what only others can tell.
fn completeness(it: &Verification) -> Claim {
    let held = it.heads.iter().filter(|head| head.holds);
    let attested = it.anchors.iter().filter(|anchor| anchor.holds);
    let known = held.map(|head| head.events);
    let known = known.chain(attested.map(|anchor| anchor.events)).max();
    match known {
        None if !it.heads.is_empty() => claim(
            "Whether this is the latest state, and the only one.",
            "The tree heads that were given say that it is not: see what was found.",
        ),
        None => claim(
            "Whether this is the latest state, and the only one.",
            "An earlier copy that is put back verifies as well as it did then, and whoever holds the keys can write \
             another history. Only a tree head that somebody else kept at the time shows it; none was given.",
        ),
        Some(known) if known < it.counts.events => claim(
            format!(
                "Whether the events after the first {} are all, and the only ones.",
                grouped(known)
            ),
            "No tree head that was given, and that this vault goes on from, covers them. Later ones may have been cut off, or written anew by whoever holds \
             the keys.",
        ),
        Some(_) => claim(
            "Whether there were later events.",
            "The latest tree head that was given, or that a third party saw, is over all that is here; what came after it may have been cut off.",
        ),
    }
}
