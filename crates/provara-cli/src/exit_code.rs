//! Who must act, as an exit code.

use std::process::ExitCode;

use provara_report::Class;

/// The exit code of a process that ends with such a failure; 0 (done) is none.
pub(crate) fn exit_code(class: Class) -> ExitCode {
    ExitCode::from(number(class))
}

/// The same as a number.
pub(crate) fn number(class: Class) -> u8 {
    match class {
        Class::Evidence => 1,
        Class::Usage => 2,
        Class::Unavailable => 3,
        Class::Plugin => 4,
        // As a shell reports a process that a signal ended.
        Class::Interrupted(signal) => 128 + signal,
    }
}
