//! Which back end verifies signatures: `PROVARA_SIGNATURES`, or else the fastest one that the processor can run.

use provara_explain::{missing_signatures, unknown_signatures};
use provara_report::Diagnostic;
use provara_vault::provara_signatures::{Backend, Chosen, UnknownBackend, VARIABLE};

use crate::vault::environment;

/// Chooses it for this process, before anything is verified.
pub(crate) fn choose() -> Result<(), Diagnostic> {
    let Some(name) = environment(VARIABLE) else {
        return Ok(());
    };
    let backend = match name.to_str() {
        Some(name) => Backend::from_name(name),
        None => Err(UnknownBackend(name.to_string_lossy().into_owned())),
    };
    let backend = backend.map_err(|error| unknown_signatures(&error))?;
    let chosen = Chosen::forced(backend).map_err(missing_signatures)?;
    provara_vault::choose_signatures(chosen);
    Ok(())
}
