//! The vault that another one continues, as the later one names it (spec/VAULT_FORMAT, sections 1
//! and 8).

use crate::finding::{Code, Finding};
use crate::id::{Digest, EventId};
use crate::json::Value;
use crate::layout::GENESIS;
use crate::scan::scan_line;

/// The vault that this one continues, as `predecessor_vault` of `genesis.json` and of the signed
/// `GENESIS` event names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// The Merkle root of its last seal.
    pub merkle_root: Option<Digest>,
    /// The number of its events, the seal event included.
    pub final_event_count: Option<u64>,
    /// Its seal event; none only where what is written is no event id, which is a fault.
    pub seal_event_id: Option<EventId>,
    /// A SHA-256 of its seal event.
    pub seal_event_hash: Option<Digest>,
    /// The size of its event tree, the seal event included.
    pub tree_size: Option<u64>,
    /// The root of its event tree of that size, which no redaction changes.
    pub tree_root: Option<Digest>,
}

/// A closed vault, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Its events up to and with the one that closes it.
    pub events: u64,
    /// The line of that one, without its line end.
    pub line: Vec<u8>,
    /// Whether redactions follow it, which change the Merkle root.
    pub redacted: bool,
    /// The Merkle root of its manifest.
    pub merkle_root: Option<Digest>,
    /// The root of the event tree over those events.
    pub tree_root: Digest,
}

/// What is wrong with a member, before it is known in which file it stands.
type Fault = (Code, String);

impl Predecessor {
    /// Reads the member `predecessor_vault` of a document, if it has one, and gives what is wrong with
    /// it. A member of the wrong kind would otherwise be compared with nothing.
    pub(in crate::verify) fn read(document: &Value<'_>) -> (Option<Self>, Vec<Fault>) {
        const WHOLE: &str = "predecessor_vault";
        let mut faults = Vec::new();
        let value = match document.get(WHOLE) {
            None | Some(Value::Null) => return (None, faults),
            Some(value) => value,
        };
        if value.as_object().is_none() {
            faults.push((Code::E300, format!("'{WHOLE}' is not an object")));
        }
        let mut members = Members {
            value,
            faults: &mut faults,
        };
        let read = Self {
            merkle_root: members.digest("merkle_root"),
            final_event_count: members.count("final_event_count"),
            seal_event_id: members.text("seal_event_id", Code::E101),
            seal_event_hash: members.digest("seal_event_hash"),
            tree_size: members.count("tree_size"),
            tree_root: members.digest("tree_root"),
        };
        if value.as_object().is_some() && members.stated("seal_event_id").is_none() {
            members.fault(Code::E300, "seal_event_id", "is missing");
        }
        (Some(read), faults)
    }

    /// Holds what is named against the vault that was found and that verifies.
    #[must_use]
    pub fn check(&self, found: &Closed) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut differ = |code, name: &str, found: String, named: &dyn std::fmt::Display| {
            let message = format!("'predecessor_vault.{name}' is not that of the predecessor");
            findings.push(Finding::new(code, GENESIS, message).compare(found, named));
        };
        for (name, named) in [
            ("final_event_count", self.final_event_count),
            ("tree_size", self.tree_size),
        ] {
            if let Some(named) = named.filter(|named| *named != found.events) {
                differ(Code::E302, name, found.events.to_string(), &named);
            }
        }
        if let Some(named) = self.tree_root.filter(|named| *named != found.tree_root) {
            differ(Code::E008, "tree_root", found.tree_root.to_string(), &named);
        }
        // A redaction keeps the event tree and no other root.
        let is_compared = !(found.redacted && self.tree_root.is_some());
        if let (Some(named), Some(root)) = (&self.merkle_root, found.merkle_root)
            && *named != root
            && is_compared
        {
            differ(Code::E008, "merkle_root", root.to_string(), named);
        }
        let last_line = found.line.as_slice();
        if let (Some(named), Ok(line)) = (&self.seal_event_hash, scan_line(last_line)) {
            // The format does not say which form of the event is hashed: each of the three that a
            // tool could mean is accepted.
            let (mut signed, mut content) = (Vec::new(), Vec::new());
            line.signed_bytes(&mut signed);
            line.id_preimage(&mut content);
            let hashes = [last_line, &signed, &content].map(Digest::of);
            if !hashes.contains(named) {
                differ(Code::E001, "seal_event_hash", hashes[0].to_string(), named);
            }
        }
        findings
    }
}

/// Reads the members of the object one by one; one that is `null` counts as absent.
struct Members<'v, 'f> {
    value: &'v Value<'v>,
    faults: &'f mut Vec<Fault>,
}

impl<'v> Members<'v, '_> {
    fn stated(&self, name: &str) -> Option<&'v Value<'v>> {
        self.value.get(name).filter(|value| **value != Value::Null)
    }

    fn fault(&mut self, code: Code, name: &str, what: impl std::fmt::Display) {
        let message = format!("'predecessor_vault.{name}' {what}");
        self.faults.push((code, message));
    }

    fn count(&mut self, name: &str) -> Option<u64> {
        let value = self.stated(name)?;
        let count = value.as_i64().and_then(|count| u64::try_from(count).ok());
        if count.is_none() {
            self.fault(Code::E300, name, "is not a count");
        }
        count
    }

    fn digest(&mut self, name: &str) -> Option<Digest> {
        self.text(name, Code::E100)
    }

    /// A text of a fixed form, which has `code` where it is malformed.
    fn text<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
        code: Code,
    ) -> Option<T> {
        match self.stated(name)?.as_str().map(str::parse) {
            Some(Ok(read)) => Some(read),
            Some(Err(error)) => {
                self.fault(code, name, format_args!("is {error}"));
                None
            }
            None => {
                self.fault(Code::E300, name, "is not a string");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"actor":"a","event_id":"e","sig":"s","type":"t"}"#;

    fn found() -> Closed {
        Closed {
            events: 3,
            line: LINE.to_vec(),
            redacted: false,
            merkle_root: Some(Digest([1; 32])),
            tree_root: Digest([2; 32]),
        }
    }

    fn named() -> Predecessor {
        Predecessor {
            merkle_root: Some(Digest([1; 32])),
            final_event_count: Some(3),
            seal_event_id: None,
            seal_event_hash: None,
            tree_size: Some(3),
            tree_root: Some(Digest([2; 32])),
        }
    }

    fn codes(named: &Predecessor, found: &Closed) -> Vec<Code> {
        named.check(found).iter().map(|it| it.code).collect()
    }

    #[test]
    fn the_seal_event_is_hashed_in_any_of_its_forms() {
        let with = |seal_event_hash| Predecessor {
            seal_event_hash: Some(seal_event_hash),
            ..named()
        };
        for form in [
            LINE,
            br#"{"actor":"a","event_id":"e","type":"t"}"#,
            br#"{"actor":"a","type":"t"}"#,
        ] {
            assert_eq!(codes(&with(Digest::of(form)), &found()), []);
        }
        let other = with(Digest::of(b"another line"));
        assert_eq!(codes(&other, &found()), [Code::E001]);
    }

    #[test]
    fn a_redaction_changes_the_merkle_root_and_not_the_tree() {
        let mut closed = found();
        assert_eq!(codes(&named(), &closed), []);
        closed.merkle_root = Some(Digest([9; 32]));
        assert_eq!(codes(&named(), &closed), [Code::E008]);
        closed.redacted = true;
        assert_eq!(codes(&named(), &closed), []);
        let without_tree = Predecessor {
            tree_root: None,
            ..named()
        };
        assert_eq!(codes(&without_tree, &closed), [Code::E008]);
        closed.tree_root = Digest([9; 32]);
        assert_eq!(codes(&named(), &closed), [Code::E008]);
        closed.events = 4;
        let counts = [Code::E302, Code::E302, Code::E008];
        assert_eq!(codes(&named(), &closed), counts);
    }
}
