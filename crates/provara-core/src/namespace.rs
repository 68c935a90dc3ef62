//! The namespaces of beliefs (spec/VAULT_FORMAT, section 3).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Where a belief belongs. Readers take any other text as [`Namespace::Local`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// Attested.
    Canonical,
    /// The default.
    Local,
    /// In dispute.
    Contested,
    /// Superseded.
    Archived,
}

impl Namespace {
    /// The name as it stands in an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Local => "local",
            Self::Contested => "contested",
            Self::Archived => "archived",
        }
    }
}

/// A text is none of the four namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of canonical, local, contested, archived")]
pub struct NamespaceError;

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        [
            Self::Canonical,
            Self::Local,
            Self::Contested,
            Self::Archived,
        ]
        .into_iter()
        .find(|namespace| namespace.as_str() == text)
        .ok_or(NamespaceError)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
