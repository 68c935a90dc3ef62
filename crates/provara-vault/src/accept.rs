//! A state that somebody put in the place of a vault by hand, taken for what is there from now on.

use provara_core::finding::Report;
use provara_core::verify::report;

use crate::error::VaultError;
use crate::memory::{GivenUp, Remembered, Store, Unusable, Which, forget, place_of, set_to};
use crate::vault::Vault;
use crate::verify::VerifyOptions;

/// What came of accepting a vault as it is.
#[derive(Debug)]
pub struct Acceptance {
    /// The verification, which memory had no part in. What does not verify is not accepted.
    pub report: Report,
    /// What was remembered at the vault's paths.
    pub before: Vec<Remembered>,
    /// What is there now; nothing, where the vault does not verify.
    pub now: Option<Remembered>,
    /// Whether an interrupted command is still to be settled: nothing is remembered until that is done.
    pub unsettled: bool,
    /// What of `before` is not continued by what is there.
    pub given_up: Vec<GivenUp>,
    /// That tree heads which were published of this copy do not hold for what is there, if so; a sentence.
    pub heads_given_up: Option<String>,
}

impl Vault {
    /// Verifies the vault and remembers it as it is, whatever this machine remembered of its path: for an
    /// owner who has put it there, or has looked.
    ///
    /// # Errors
    /// As [`Vault::verify`]; [`VaultError::Memory`] where nothing can be kept, or no seal covers anything.
    pub fn accept(&self) -> Result<Acceptance, VaultError> {
        let silent = self.clone().with_memory(false);
        let mut alone = silent.examine_alone(&VerifyOptions::default())?;
        let (log, sealed, unsettled) = (alone.log.take(), alone.sealed, alone.unsettled);
        let report = report(alone.verdict, alone.findings, alone.notes, false, &[]);
        let remembered = || -> Result<Vec<Remembered>, Unusable> {
            let store = Store::open(self.state_directory(), Some(self.path()))?;
            let found = store.into_iter().flat_map(|store| {
                let known = self.known_paths().into_iter();
                known.filter_map(move |path| store.recall(&path).ok().flatten())
            });
            Ok(found.map(|record| Remembered::of(&record)).collect())
        };
        let mut acceptance = Acceptance {
            report,
            before: remembered()?,
            now: None,
            unsettled,
            given_up: Vec::new(),
            heads_given_up: None,
        };
        if acceptance.report.is_valid() {
            let nothing = || VaultError::Memory {
                reason: "no seal covers the vault, and only what a seal covers is remembered"
                    .to_owned(),
            };
            let (seal, _, length) = sealed.ok_or_else(nothing)?;
            let log = log.ok_or_else(nothing)?;
            let length = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(log.bytes().len());
            let set = set_to(self, &log.bytes()[..length], seal)?;
            (acceptance.given_up, acceptance.heads_given_up) = (set.given_up, set.heads);
            let own = place_of(self.path());
            let now = remembered()?;
            acceptance.now = now.into_iter().find(|it| place_of(&it.path) == own);
            if unsettled {
                // What was verified is what is to come. It must not be remembered before it stands there.
                for path in self.known_paths() {
                    forget(self.state_directory(), &Which::At(path))?;
                }
            }
        }
        Ok(acceptance)
    }
}
