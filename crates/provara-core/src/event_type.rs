//! The types of events: the ten reserved core types and custom types in reverse-domain notation, and which of
//! them decide about a vault rather than state something in it.

use std::fmt;
use std::str::FromStr;

macro_rules! core_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A reserved core type (PLUGIN_API, "Reserved Core Types").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CoreType { $($(#[$doc])* $name,)* }

        impl CoreType {
            /// Every core type, in the order of the specification.
            pub const ALL: &'static [CoreType] = &[$(CoreType::$name,)*];

            /// The name as it stands in an event.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(CoreType::$name => $text,)* }
            }
        }
    };
}

core_types! {
    /// The first event of a vault.
    Genesis = "GENESIS",
    /// Something seen.
    Observation = "OBSERVATION",
    /// Something claimed.
    Assertion = "ASSERTION",
    /// A belief made canonical.
    Attestation = "ATTESTATION",
    /// A belief taken back.
    Retraction = "RETRACTION",
    /// A key that is no longer trusted.
    KeyRevocation = "KEY_REVOCATION",
    /// A key that takes the place of a revoked one.
    KeyPromotion = "KEY_PROMOTION",
    /// A change of the reducer.
    ReducerEpoch = "REDUCER_EPOCH",
    /// A statement of the SCITT family.
    SignedStatement = "SIGNED_STATEMENT",
    /// A receipt of the SCITT family.
    Receipt = "RECEIPT",
}

/// The type of the event that gives an older vault its mark, and by which an owner who has looked accepts
/// a state that the seal does not vouch for (spec/VAULT_FORMAT, section 4).
pub const ADOPTION_TYPE: &str = "com.provara.vault.adopted";

/// The type of the event that adds a key (section 4).
pub const KEY_ADDED_TYPE: &str = "com.provara.key.added";

/// The type of the event that states the files beside the log (section 5).
pub const FILES_TYPE: &str = "com.provara.vault.files";

/// The type of the event that closes a vault (section 8).
pub const CLOSING_TYPE: &str = "com.provara.vault.seal";

/// The type of the event that permits a payload to be replaced (section 8).
pub const REDACTION_TYPE: &str = "com.provara.redaction";

/// What an event decides about its vault, beyond what it states (spec/VAULT_FORMAT, section 3).
///
/// Whoever appends such an event uses the authority of the vault's owner. All other types state something
/// that later events may contest, and that changes nothing about which events count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// Which keys count.
    Keys,
    /// That the owner takes over the state as it is.
    Adoption,
    /// Which files belong to the vault.
    Files,
    /// That nothing more may follow.
    Closing,
    /// That a payload may be erased.
    Redaction,
    /// How events are reduced from here on.
    Reducer,
}

/// The custom types that decide something.
const DECIDING: [(&str, Authority); 5] = [
    (ADOPTION_TYPE, Authority::Adoption),
    (KEY_ADDED_TYPE, Authority::Keys),
    (FILES_TYPE, Authority::Files),
    (CLOSING_TYPE, Authority::Closing),
    (REDACTION_TYPE, Authority::Redaction),
];

impl CoreType {
    /// What an event of this type decides about its vault; nothing for one that states something.
    #[must_use]
    pub const fn authority(self) -> Option<Authority> {
        match self {
            // What it says of keys is the mark of a new vault.
            Self::Genesis | Self::KeyRevocation | Self::KeyPromotion => Some(Authority::Keys),
            Self::ReducerEpoch => Some(Authority::Reducer),
            Self::Observation
            | Self::Assertion
            | Self::Attestation
            | Self::Retraction
            | Self::SignedStatement
            | Self::Receipt => None,
        }
    }
}

/// What the names of Provara's own types begin with.
const OWN_NAMESPACE: &str = "com.provara.";

/// The custom types that Provara itself defines.
pub const OWN_TYPES: [&str; 5] = [
    ADOPTION_TYPE,
    KEY_ADDED_TYPE,
    FILES_TYPE,
    CLOSING_TYPE,
    REDACTION_TYPE,
];

/// The core type that `name` spells, in any letter case.
#[must_use]
pub fn reserved_name(name: &str) -> Option<CoreType> {
    CoreType::ALL
        .iter()
        .copied()
        .find(|core| core.as_str().eq_ignore_ascii_case(name))
}

/// Why a text is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeNameError {
    /// A core name where a custom one is wanted.
    #[error("'{name}' is reserved for core types")]
    Reserved {
        /// The name as given.
        name: String,
    },
    /// Not three or more labels in reverse-domain notation.
    #[error("'{name}' is not in reverse-domain notation (as in com.example.audit.login)")]
    NotReverseDomain {
        /// The name as given.
        name: String,
    },
}

/// A custom type: three labels or more, as `com.acme.audit.login`. Letters keep their case;
/// comparison for collisions ignores it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomType(String);

impl CustomType {
    /// The name, with its letters as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is one of Provara's own that this version does not define. A reader takes an event of such a
    /// type as any other (spec/VAULT_FORMAT, section 3); one that is written anew could be meant for something that
    /// a later version defines.
    #[must_use]
    pub fn is_unknown_own(&self) -> bool {
        let begin = self.0.as_bytes().get(..OWN_NAMESPACE.len());
        let own = begin.is_some_and(|begin| begin.eq_ignore_ascii_case(OWN_NAMESPACE.as_bytes()));
        own && !OWN_TYPES.contains(&&*self.0)
    }

    /// The form under which two names collide.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for CustomType {
    type Err = TypeNameError;

    /// Takes `^[a-z0-9]+(\.[a-z0-9_-]+)+\.[a-z0-9_-]+$`, letters in either case
    /// (spec/VAULT_FORMAT, section 3).
    fn from_str(name: &str) -> Result<Self, TypeNameError> {
        if reserved_name(name).is_some() {
            return Err(TypeNameError::Reserved {
                name: name.to_owned(),
            });
        }
        let mut labels = name.split('.');
        let domain = labels.next().unwrap_or_default();
        let count = 1 + name.bytes().filter(|b| *b == b'.').count();
        let good = count >= 3
            && !domain.is_empty()
            && domain.bytes().all(|b| b.is_ascii_alphanumeric())
            && labels.all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            });
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(TypeNameError::NotReverseDomain {
                name: name.to_owned(),
            })
        }
    }
}

impl fmt::Display for CustomType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// One of the ten reserved types.
    Core(CoreType),
    /// A type that a third party defines.
    Custom(CustomType),
}

impl EventType {
    /// The name as it stands in an event.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Core(core) => core.as_str(),
            Self::Custom(custom) => custom.as_str(),
        }
    }

    /// What an event of this type decides about its vault; nothing for one that states something. Letter
    /// case makes no other type of a custom one here: a reader that folds names must not be surprised.
    #[must_use]
    pub fn authority(&self) -> Option<Authority> {
        match self {
            Self::Core(core) => core.authority(),
            Self::Custom(custom) => DECIDING
                .iter()
                .find(|(name, _)| custom.as_str().eq_ignore_ascii_case(name))
                .map(|(_, authority)| *authority),
        }
    }
}

impl FromStr for EventType {
    type Err = TypeNameError;

    fn from_str(name: &str) -> Result<Self, TypeNameError> {
        match CoreType::ALL.iter().find(|core| core.as_str() == name) {
            Some(core) => Ok(Self::Core(*core)),
            None => name.parse().map(Self::Custom),
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in [
            "com.acme.audit.login",
            "org.hl7.fhir.observation",
            "a.b-c.d_e",
            "Com.Acme.X",
        ] {
            assert_eq!(good.parse::<CustomType>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "login",
            "com.acme",
            "com..acme.x",
            ".a.b.c",
            "a.b.c.",
            "c_m.a.b",
            "a.b.ç",
        ] {
            assert!(matches!(
                bad.parse::<CustomType>(),
                Err(TypeNameError::NotReverseDomain { .. })
            ));
        }
        assert!(matches!(
            "genesis".parse::<CustomType>(),
            Err(TypeNameError::Reserved { .. })
        ));
        assert_eq!("GENESIS".parse(), Ok(EventType::Core(CoreType::Genesis)));
        assert!("genesis".parse::<EventType>().is_err());
    }

    #[test]
    fn what_decides_about_a_vault() {
        let authority = |name: &str| name.parse::<EventType>().unwrap().authority();
        let deciding = CoreType::ALL
            .iter()
            .filter(|core| core.authority().is_some());
        assert!(deciding.eq(&[
            CoreType::Genesis,
            CoreType::KeyRevocation,
            CoreType::KeyPromotion,
            CoreType::ReducerEpoch
        ]));
        assert_eq!(
            authority("com.provara.vault.seal"),
            Some(Authority::Closing)
        );
        assert_eq!(
            authority("Com.Provara.Redaction"),
            Some(Authority::Redaction)
        );
        assert_eq!(authority("com.provara.key.added"), Some(Authority::Keys));
        assert_eq!(
            authority("com.provara.vault.adopted"),
            Some(Authority::Adoption)
        );
        assert_eq!(authority("com.provara.vault.files"), Some(Authority::Files));
        assert_eq!(authority("com.provara.vault.sealed"), None);
        assert_eq!(authority("com.acme.audit.login"), None);
    }
}
