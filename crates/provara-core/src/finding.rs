//! What a verification says: findings with codes, and the report that holds them
//! (spec/VAULT_FORMAT, section 9).

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident: $severity:ident = $name:literal,)*) => {
        /// The code of a finding; `E` codes are the format's, `W` codes are this verifier's
        /// warnings.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The printed form, such as `PROVARA_E003`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => concat!("PROVARA_", stringify!($variant)),)* }
            }

            /// The name, such as `INVALID_SIGNATURE`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// How much a finding with this code weighs, unless the verification is strict.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// A stored hash is not that of its data.
    E001: Error = "HASH_MISMATCH",
    /// `prev_event_hash` is not the actor's previous event.
    E002: Error = "BROKEN_CAUSAL_CHAIN",
    /// Ed25519 says no.
    E003: Error = "INVALID_SIGNATURE",
    /// The id is not the content's.
    E004: Error = "EVENT_ID_MISMATCH",
    /// `prev_event_hash` is another actor's event.
    E005: Error = "CROSS_ACTOR_CHAIN_REFERENCE",
    /// A reference names no event of the log.
    E006: Error = "ORPHAN_CHAIN_REFERENCE",
    /// An id twice.
    E007: Error = "DUPLICATE_EVENT_ID",
    /// The computed root is not `merkle_root.txt`.
    E008: Error = "MERKLE_ROOT_MISMATCH",
    /// A stored state hash is not the recomputed one.
    E009: Error = "STATE_HASH_DIVERGENCE",
    /// A listed file is not there.
    E010: Error = "MANIFEST_FILE_MISSING",
    /// A listed file has another size.
    E011: Error = "MANIFEST_SIZE_MISMATCH",
    /// A listed file has another hash.
    E012: Error = "MANIFEST_HASH_MISMATCH",
    /// An actor's first event follows an event that is not in the log.
    E013: Error = "FIRST_EVENT_PREV_NOT_NULL",
    /// A marked vault has no `manifest.sig`.
    E014: Error = "SEAL_ABSENT",
    /// `manifest.sig` vouches for other content than that of the vault.
    E015: Error = "SEAL_OF_OTHER_CONTENT",
    /// A redacted event is not the one that the redaction named.
    E016: Error = "TOMBSTONE_MISMATCH",
    /// The vault is not a later state of the one that a tree head was signed for.
    E017: Error = "TREE_HEAD_CONTRADICTED",
    /// No key of the vault that counts there signed a tree head.
    E018: Error = "TREE_HEAD_NOT_SIGNED",
    /// An anchor is not what it says.
    E019: Error = "ANCHOR_INVALID",
    /// Fewer saw the vault than a reader asks for.
    E020: Error = "NOT_WITNESSED",
    /// Not 64 lower-case hex digits.
    E100: Error = "HASH_FORMAT",
    /// A malformed event id.
    E101: Error = "EVENT_ID_FORMAT",
    /// A malformed key id, or one that is not its key's.
    E102: Error = "KEY_ID_FORMAT",
    /// A signature that is not the Base64 of 64 bytes.
    E103: Error = "SIGNATURE_FORMAT",
    /// Not canonical JSON.
    E104: Error = "CANONICAL_FORMAT",
    /// Not UTC RFC 3339.
    E105: Error = "TIMESTAMP_FORMAT",
    /// A key that signs its own revocation or promotion.
    E200: Error = "KEY_ROTATION_SELF_SIGN",
    /// A promotion without a revocation before it.
    E201: Error = "KEY_ROTATION_WRONG_SEQUENCE",
    /// A signer that is not trusted at this position.
    E202: Error = "KEY_ROTATION_INVALID_SIGNER",
    /// A revocation without its trust boundary.
    E203: Error = "KEY_ROTATION_BOUNDARY_MISSING",
    /// The signer's key is not known.
    E204: Error = "KEY_NOT_FOUND",
    /// A key to which no signed event of a marked vault leads.
    E205: Error = "KEY_NOT_INTRODUCED",
    /// An event names a seal in a vault that has no mark.
    E206: Error = "MARK_MISSING",
    /// Another key made the vault than the one that was named.
    E207: Error = "ROOT_KEY_MISMATCH",
    /// A field that must be there is not, or is of the wrong kind.
    E300: Error = "REQUIRED_FIELD_MISSING",
    /// Neither a core type nor reverse-domain.
    E301: Error = "INVALID_CUSTOM_EVENT_TYPE",
    /// The files of the vault do not stand as they must.
    E302: Error = "VAULT_STRUCTURE_INVALID",
    /// A version that this verifier does not know.
    E303: Error = "SPEC_VERSION_MISMATCH",
    /// A merge would loosen a safety tier.
    E400: Error = "SAFETY_TIER_LOOSENING",
    /// The seal, or a file of it, is that of an earlier state.
    W001: Warning = "SEAL_LAGS",
    /// There is no `manifest.sig`.
    W002: Warning = "MANIFEST_SIGNATURE_ABSENT",
    /// An actor signs with a key that never signed for it and that no rotation introduced.
    W003: Warning = "ACTOR_KEY_CHANGED",
    /// `ts_logical` goes backwards within an actor.
    W004: Warning = "LOGICAL_CLOCK_BACKWARDS",
    /// `timestamp_utc` goes backwards within an actor.
    W005: Warning = "TIMESTAMP_BACKWARDS",
    /// The last line has no line end.
    W006: Warning = "FINAL_LINE_END_MISSING",
    /// Events in an older form: token-preserving JSON, or ids without `actor_key_id`.
    W007: Warning = "LEGACY_FORM",
    /// A predecessor vault is named but was not checked.
    W008: Warning = "PREDECESSOR_NOT_CHECKED",
    /// A key that signed and to which no signed event leads, in a vault without a mark.
    W009: Warning = "KEY_NOT_INTRODUCED",
    /// The vault does not continue what this machine saw of it.
    W010: Warning = "NOT_A_CONTINUATION",
    /// Another vault stands where this machine saw one.
    W011: Warning = "OTHER_VAULT_HERE",
    /// A redaction that does not bind the event that it redacts.
    W012: Warning = "REDACTION_UNBOUND",
    /// A redaction whose target still has its payload.
    W013: Warning = "REDACTION_NOT_CARRIED_OUT",
    /// An event beyond the seal is its actor's first there and names no seal.
    W014: Warning = "SURPLUS_NAMES_NO_SEAL",
    /// The sealed files are not those that the log states.
    W015: Warning = "FILES_NOT_STATED",
    /// A folder of tree heads has none for the vault.
    W016: Warning = "NO_TREE_HEAD",
}

impl Code {
    /// Whether the code is a warning unless the verification is strict.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        matches!(self.severity(), Severity::Warning)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The vault is not valid.
    Error,
    /// The vault is valid, and an auditor should know.
    Warning,
}

/// One thing that a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What rule.
    pub code: Code,
    /// Its name, such as `INVALID_SIGNATURE`.
    pub name: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What happened, for people.
    pub message: String,
    /// The event, as far as it names itself.
    pub event_id: Option<String>,
    /// Its actor.
    pub actor: Option<String>,
    /// The file, relative to the vault.
    pub file: String,
    /// The line in the log, from 1.
    pub line: Option<u64>,
    /// The offset in the file in bytes, from 0.
    pub offset: Option<u64>,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl Finding {
    /// A finding about a file.
    #[must_use]
    pub fn new(code: Code, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            name: code.name(),
            severity: code.severity(),
            message: message.into(),
            event_id: None,
            actor: None,
            file: file.into(),
            line: None,
            offset: None,
            expected: None,
            found: None,
        }
    }

    /// With what should be there and what is.
    #[must_use]
    pub fn compare(mut self, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, " {}", self.message)
    }
}

/// The result of a verification. Only the verifier of this crate makes one that is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    valid: bool,
    event_count: u64,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

impl Report {
    /// Judges the findings; under `strict` a warning weighs as much as an error, unless its code is `allowed`.
    #[must_use]
    pub(crate) fn judge(
        strict: bool,
        allowed: &[Code],
        event_count: u64,
        mut findings: Vec<Finding>,
        notes: Vec<String>,
    ) -> Self {
        if strict {
            let counts = |it: &&mut Finding| !(it.code.is_warning() && allowed.contains(&it.code));
            for finding in findings.iter_mut().filter(counts) {
                finding.severity = Severity::Error;
            }
        }
        let valid = findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning);
        Self {
            valid,
            event_count,
            findings,
            notes,
        }
    }

    /// Whether nothing was found that makes the vault invalid.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.valid
    }

    /// The number of lines of the log that are events, sound or not.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// Everything found, in the order of the log, then file by file.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What was counted and what was not checked.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_of_a_code_is_that_of_its_severity() {
        for code in Code::ALL {
            let letter = match code.severity() {
                Severity::Error => "PROVARA_E",
                Severity::Warning => "PROVARA_W",
            };
            assert!(code.as_str().starts_with(letter), "{code}");
        }
    }
}
