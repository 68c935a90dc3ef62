//! Which implementation decides, chosen at run time.

#[cfg(target_arch = "x86_64")]
use crate::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use crate::avx512::Avx512;
use crate::engine::{Engine, ManyHashes};
use crate::portable::Portable;

/// The environment variable that names a back end, for those who read the environment.
pub const VARIABLE: &str = "PROVARA_SIGNATURES";

/// An implementation. The verdicts of all are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `ed25519-dalek`, one signature at a time and without tables.
    Dalek,
    /// Tables, one signature after another, on any processor.
    Portable,
    /// Tables, four signatures at a time, with AVX2.
    Avx2,
    /// Tables, eight signatures and SHA-512, or sixteen SHA-256, at a time, with AVX-512 and its IFMA.
    Avx512,
}

impl Backend {
    /// All of them, from the slowest to the fastest.
    pub const ALL: [Self; 4] = [Self::Dalek, Self::Portable, Self::Avx2, Self::Avx512];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dalek => "dalek",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The one of this name.
    ///
    /// # Errors
    /// [`UnknownBackend`].
    pub fn from_name(name: &str) -> Result<Self, UnknownBackend> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// No back end has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no back end {0:?}")]
pub struct UnknownBackend(pub String);

/// The processor lacks what a back end needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the processor has not what the back end {0} needs")]
pub struct MissingBackend(pub Backend);

/// A back end that this processor can run.
#[derive(Debug, Clone, Copy)]
pub struct Chosen(Found);

/// With what was found of the processor.
#[derive(Debug, Clone, Copy)]
enum Found {
    Dalek,
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Chosen {
    /// The fastest one.
    #[must_use]
    pub fn fastest() -> Self {
        let found = Backend::ALL.into_iter().rev().find_map(Self::find);
        found.unwrap_or(Self(Found::Portable))
    }

    /// dalek, which every processor can run.
    #[must_use]
    pub fn dalek() -> Self {
        Self(Found::Dalek)
    }

    /// This one and no other.
    ///
    /// # Errors
    /// [`MissingBackend`].
    pub fn forced(backend: Backend) -> Result<Self, MissingBackend> {
        Self::find(backend).ok_or(MissingBackend(backend))
    }

    /// Which one it is.
    #[must_use]
    pub fn backend(self) -> Backend {
        match self.0 {
            Found::Dalek => Backend::Dalek,
            Found::Portable => Backend::Portable,
            #[cfg(target_arch = "x86_64")]
            Found::Avx2(_) => Backend::Avx2,
            #[cfg(target_arch = "x86_64")]
            Found::Avx512(_) => Backend::Avx512,
        }
    }

    fn find(backend: Backend) -> Option<Self> {
        let found = match backend {
            Backend::Dalek => Found::Dalek,
            Backend::Portable => Found::Portable,
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => Found::Avx2(Avx2::detect()?),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => Found::Avx512(Avx512::detect()?),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Avx2 | Backend::Avx512 => return None,
        };
        Some(Self(found))
    }

    /// What decides with tables; `None` where dalek decides all.
    pub(crate) fn engine(self) -> Option<Box<dyn Engine>> {
        match self.0 {
            Found::Dalek => None,
            Found::Portable => Some(Box::new(Portable)),
            #[cfg(target_arch = "x86_64")]
            Found::Avx2(engine) => Some(Box::new(engine)),
            #[cfg(target_arch = "x86_64")]
            Found::Avx512(engine) => Some(Box::new(engine)),
        }
    }

    /// What hashes short messages together; `None` where they are hashed one after another.
    pub(crate) fn many_hashes(&self) -> Option<&dyn ManyHashes> {
        match &self.0 {
            Found::Dalek | Found::Portable => None,
            // Eight at a time would take longer than one after another with the SHA extensions.
            #[cfg(target_arch = "x86_64")]
            Found::Avx2(_) => None,
            #[cfg(target_arch = "x86_64")]
            Found::Avx512(engine) => Some(engine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for backend in Backend::ALL {
            assert_eq!(Backend::from_name(&backend.to_string()), Ok(backend));
        }
        for name in ["", "AVX2", "avx2 ", "sse"] {
            assert_eq!(
                Backend::from_name(name),
                Err(UnknownBackend(name.to_owned()))
            );
        }
    }

    #[test]
    fn what_is_forced_is_what_decides() {
        for backend in Backend::ALL {
            match Chosen::forced(backend) {
                Ok(chosen) => assert_eq!(chosen.backend(), backend),
                Err(missing) => {
                    assert_eq!(missing, MissingBackend(backend));
                    assert!(matches!(backend, Backend::Avx2 | Backend::Avx512));
                }
            }
        }
        let available = |backend: &Backend| Chosen::forced(*backend).is_ok();
        let last = Backend::ALL.into_iter().rfind(available);
        assert_eq!(Some(Chosen::fastest().backend()), last);
    }
}
