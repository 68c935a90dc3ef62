//! What the page about a verification is made of.

use super::findings::Group;
use super::picture::Timeline;

/// What came of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found.
    Valid,
    /// Nothing but warnings.
    Warned,
    /// The vault is not valid.
    Invalid,
}

/// The facts of the page. All texts are shown as they are, whatever they hold.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The vault, as it was named to the verification.
    pub vault: String,
    /// The version of what verified.
    pub version: String,
    /// When the page was written.
    pub written_at: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How many findings make the vault invalid.
    pub errors: u64,
    /// How many are warnings.
    pub warnings: u64,
    /// How many warnings whoever verified chose to allow.
    pub allowed: u64,
    /// Whether warnings were counted as errors.
    pub strict: bool,
    /// Which vault it is.
    pub identity: Identity,
    /// What was counted.
    pub counts: Counts,
    /// Digests that tell this state of the vault from every other.
    pub digests: Vec<Named>,
    /// What the seal vouches for.
    pub seal: Seal,
    /// The keys.
    pub keys: Keys,
    /// The events over the time that they state.
    pub timeline: Timeline,
    /// The types of events, the most frequent first.
    pub types: Counted,
    /// The tree heads that the vault was held to.
    pub heads: Vec<Head>,
    /// What third parties attest of the vault at a time.
    pub anchors: Vec<Anchor>,
    /// What was found, by rule.
    pub findings: Vec<Group>,
    /// What the verification says beside that.
    pub notes: Vec<String>,
    /// The commands that come to the same.
    pub commands: Vec<String>,
}

/// Which vault it is, and from where to where.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The name that the vault gives itself.
    pub uid: Option<String>,
    /// The key that made it.
    pub root_key: Option<String>,
    /// Whether whoever verified named the key that must have made it.
    pub root_key_was_named: bool,
    /// The id of the first event, and the time that it states.
    pub first_event: Option<(String, Option<String>)>,
    /// Those of the last.
    pub last_event: Option<(String, Option<String>)>,
    /// The event that closes the vault.
    pub closed_by: Option<String>,
    /// Whether it continues an older vault, and whether that was verified, too.
    pub predecessor: Option<bool>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Lines of the log, events or not.
    pub lines: u64,
    /// Lines that are no event in canonical form.
    pub unreadable: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// Signatures that verified.
    pub signatures: u64,
    /// Actors that signed an event.
    pub actors: u64,
    /// Actors whose chain has a gap.
    pub gaps: u64,
    /// Payloads that redactions took away.
    pub redacted: u64,
    /// Those of them of which nobody vouches for the rest of the line.
    pub unbound: u64,
    /// Whether some signatures verified in an earlier run on the same machine, and were not checked again.
    pub from_cache: bool,
}

/// A value with a name, and what it is of.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// What it is of, for somebody who computes it anew.
    pub of: String,
    /// The value.
    pub value: String,
}

/// What a seal vouches for.
#[derive(Debug, Clone, Default)]
pub struct Seal {
    /// Whether it is a good signature by a key that counts.
    pub standing: SealStanding,
    /// The key that signed it.
    pub key: Option<String>,
    /// When, as it says.
    pub signed_at: Option<String>,
}

/// What state a seal is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SealStanding {
    /// Of the vault as it is.
    Current,
    /// Of its first so many events; the later ones follow them.
    Continued(u64),
    /// Of another state.
    Other,
    /// There is none, or none that counts.
    #[default]
    None,
}

/// The keys of a vault over its log.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Whether signed events alone say which keys count.
    pub marked: bool,
    /// The key on which all others rest, where no signed event leads to it.
    pub unvouched: Option<String>,
    /// The first of them, in the order in which they came.
    pub first: Vec<Key>,
    /// How many more there are.
    pub more: u64,
}

/// A key over the log.
#[derive(Debug, Clone, Default)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// What it may do.
    pub roles: String,
    /// How many events name it as that of their signature.
    pub events: u64,
    /// How it came, as a sentence.
    pub came: String,
    /// What became of it, as a sentence.
    pub standing: String,
    /// Whether signed events lead to it.
    pub is_introduced: bool,
}

/// Names and how many events are of each.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// The most frequent.
    pub first: Vec<(String, u64)>,
    /// How many more there are, at least.
    pub more: u64,
    /// The events of those.
    pub more_events: u64,
}

/// A tree head that the vault was held to.
#[derive(Debug, Clone)]
pub struct Head {
    /// Where it came from.
    pub source: String,
    /// Which copy of which vault it is of.
    pub origin: String,
    /// Over how many events it is.
    pub events: u64,
    /// The root that it signs.
    pub root: String,
    /// Whether the vault goes on from it.
    pub holds: bool,
}

/// What a third party attests of the vault.
#[derive(Debug, Clone)]
pub struct Anchor {
    /// When, as that party says.
    pub when: String,
    /// The party.
    pub who: String,
    /// Over how many events.
    pub events: u64,
    /// Whether it is by somebody whom the reader named; otherwise it is what it says.
    pub holds: bool,
    /// What came of it, in words.
    pub verdict: String,
}
