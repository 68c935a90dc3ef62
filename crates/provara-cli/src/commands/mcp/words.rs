//! The command line's words, for agents, who have tools where a person has commands. What happened is
//! said in the same words; what can be done names the tool that does it, or says that it is the
//! operator's to do.

use provara_mcp::ErrorContext;
use provara_plugins::builtin::ExportError;
use provara_plugins::host::HostError;
use provara_plugins::staging::StagingError;
use provara_vault::{VaultError, layout};

use crate::failure::{Exit, Failure};
use crate::terminal::shell;
use crate::{error, gate};

/// What can be done about a vault that does not verify.
const EXAMINE: &str = "Call 'verify_vault' to see every finding, and show them to the operator, who can \
                       restore the vault from a copy that verifies.";

/// What an agent can do about a failure.
enum Advice {
    /// What a person can: it takes no command and no option.
    AsItIs,
    /// Something of its own.
    Agent(String),
    /// Ask the operator, who can do what a person can.
    Operator,
}

impl From<&str> for Advice {
    fn from(text: &str) -> Self {
        Self::Agent(text.to_owned())
    }
}

/// The whole text for an agent.
pub(super) fn render(context: ErrorContext<'_>) -> String {
    let advice = advice(&context);
    let failure = failure(context);
    // A plugin's author reads the same words, whoever called the plugin.
    if failure.exit() == Exit::Plugin {
        return failure.text();
    }
    let advised = match advice {
        Advice::AsItIs => failure,
        Advice::Agent(fix) => failure.fix(fix),
        Advice::Operator => failure.reword_fix(|fix| format!("Ask the operator to do this: {fix}")),
    };
    advised.text()
}

/// The same for a person.
fn failure(context: ErrorContext<'_>) -> Failure {
    match context {
        ErrorContext::Vault { error, vault } => error::vault_failure(error, vault),
        ErrorContext::Unverified { vault, report } => gate::refusal(vault, report),
        ErrorContext::Interpreter(error) => error::interpreter_failure(&error),
        ErrorContext::Discovery(error) => error::discovery_failure(error),
        ErrorContext::Host(error) => error::host_failure(error),
        ErrorContext::Refused { plugin, reason } => error::refused_by_plugin(plugin, reason),
        ErrorContext::Canonical(error) => error::canonical_failure(&error),
        ErrorContext::Export { error, vault } => error::export_failure(&error, vault),
        ErrorContext::Staging { error, format } => error::export_staging_failure(format, &error),
        _ => Failure::new(Exit::CouldNot, "The call failed.").fix("Look at the server's log."),
    }
}

/// What is not named here is the operator's.
fn advice(context: &ErrorContext<'_>) -> Advice {
    match context {
        ErrorContext::Unverified { .. } => EXAMINE.into(),
        ErrorContext::Refused { .. }
        | ErrorContext::Canonical(_)
        | ErrorContext::Host(HostError::TooLarge(_)) => Advice::AsItIs,
        ErrorContext::Export {
            error: ExportError::Line { .. },
            ..
        } => "Call 'verify_vault' to see every finding; the format ndjson takes the log as it is."
            .into(),
        ErrorContext::Staging { error, .. } => of_an_output(error),
        ErrorContext::Vault { error, vault } => match error {
            VaultError::SealLags { .. } => Advice::Agent(format!(
                "Do not append the event again: it is in the log. Ask the operator to run 'provara \
                 manifest {}' once the cause is gone.",
                shell(vault)
            )),
            error => of_a_vault(error),
        },
        _ => Advice::Operator,
    }
}

fn of_a_vault(error: &VaultError) -> Advice {
    match error {
        VaultError::Locked { .. }
        | VaultError::Closed { .. }
        | VaultError::Payload(_)
        | VaultError::Canonical(_)
        | VaultError::Unwritable { .. } => Advice::AsItIs,
        // A key is the operator's to give.
        VaultError::WouldNotVerify { code, .. } if !error::wants_another_key(code) => {
            Advice::AsItIs
        }
        VaultError::BrokenLog { .. } | VaultError::Structure { .. } => EXAMINE.into(),
        VaultError::SealContradiction { file, .. } if file != layout::KEYS => EXAMINE.into(),
        VaultError::GenesisByHand => {
            "Use OBSERVATION or a custom type; a vault gets its genesis event when it is made."
                .into()
        }
        VaultError::NotEmpty { .. } | VaultError::Exists { .. } => "Choose another name.".into(),
        VaultError::Stopped | VaultError::Cancelled => "Call again.".into(),
        _ => Advice::Operator,
    }
}

fn of_an_output(error: &StagingError) -> Advice {
    match error {
        StagingError::NoName(_) => "Give a name such as audit.csv.".into(),
        StagingError::Exists(_) => {
            "Give another name, or set 'overwrite' to replace what is there.".into()
        }
        StagingError::NotReplaceable { .. } => {
            "Give another name; what stands there is not replaced, with 'overwrite' either.".into()
        }
        StagingError::Forbidden { .. } => {
            "Give another name: in a vault every file is evidence.".into()
        }
        _ => Advice::Operator,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::{Path, PathBuf};

    use provara_core::canonical::CanonicalError;
    use provara_plugins::builtin::{self, Format};
    use provara_plugins::interpreter::InterpreterError;
    use provara_plugins::launch::LaunchError;

    use super::*;

    fn vault(error: VaultError) -> ErrorContext<'static> {
        ErrorContext::Vault {
            error,
            vault: Path::new("v"),
        }
    }

    fn staging(error: StagingError) -> ErrorContext<'static> {
        ErrorContext::Staging {
            error,
            format: "csv",
        }
    }

    fn fix(context: ErrorContext<'_>) -> String {
        let text = render(context);
        text.rsplit_once("\nFix: ").unwrap().1.to_owned()
    }

    fn refused() -> io::Error {
        io::ErrorKind::PermissionDenied.into()
    }

    /// Whether a text names what only a shell has.
    fn is_for_a_shell(text: &str) -> bool {
        text.contains("provara ") || text.contains("--")
    }

    #[test]
    fn what_an_agent_can_do_names_no_command_and_no_option() {
        let path = PathBuf::from("a.csv");
        let file = "identity/genesis.json".to_owned();
        let line = builtin::export(Format::Csv, [&b"x"[..]], &mut Vec::new());
        for (context, names) in [
            (vault(VaultError::GenesisByHand), "OBSERVATION"),
            (vault(VaultError::Cancelled), "Call again"),
            (
                vault(VaultError::Unwritable {
                    reason: String::new(),
                }),
                "smaller",
            ),
            (
                vault(VaultError::Locked {
                    path: "v/events/events.ndjson".into(),
                    waited: std::time::Duration::from_secs(1),
                    holder: "another writer".to_owned(),
                }),
                "Wait",
            ),
            (
                vault(VaultError::WouldNotVerify {
                    code: "PROVARA_E204",
                    reason: String::new(),
                }),
                "Correct the data",
            ),
            (
                vault(VaultError::Structure {
                    file: file.clone(),
                    reason: String::new(),
                }),
                "'verify_vault'",
            ),
            (
                vault(VaultError::SealContradiction {
                    file,
                    reason: String::new(),
                }),
                "'verify_vault'",
            ),
            (
                ErrorContext::Export {
                    error: line.unwrap_err(),
                    vault: Path::new("v"),
                },
                "'verify_vault'",
            ),
            (staging(StagingError::Exists(path.clone())), "'overwrite'"),
            (
                staging(StagingError::NotReplaceable { path, what: "x" }),
                "'overwrite'",
            ),
            (
                ErrorContext::Canonical(CanonicalError::OutOfRange {
                    path: "$".to_owned(),
                    token: "1e999".to_owned(),
                }),
                "as a string",
            ),
        ] {
            let fix = fix(context);
            assert!(fix.contains(names) && !is_for_a_shell(&fix), "{fix}");
        }
    }

    #[test]
    fn what_takes_a_shell_is_the_operators() {
        let keyfile = VaultError::KeyfileMissing { path: "k".into() };
        let invalid = VaultError::WouldNotVerify {
            code: "PROVARA_E202",
            reason: String::new(),
        };
        for context in [
            vault(VaultError::EmptyActor),
            vault(keyfile),
            vault(invalid),
            staging(StagingError::Io {
                path: "a.csv".into(),
                source: refused(),
            }),
            ErrorContext::Interpreter(InterpreterError::NotFound { tried: Vec::new() }),
            ErrorContext::Host(HostError::Launch(LaunchError::Refused("x".to_owned()))),
            ErrorContext::Discovery(HostError::Io(refused())),
        ] {
            let fix = fix(context);
            assert!(fix.starts_with("Ask the operator to do this: "), "{fix}");
        }
        let lags = VaultError::SealLags {
            event_id: "evt_0123456789abcdef01234567".parse().unwrap(),
            line: 3,
            source: Box::new(VaultError::Stopped),
        };
        let fix = fix(vault(lags));
        assert!(fix.starts_with("Do not append the event again"), "{fix}");
        assert!(fix.contains("Ask the operator to run 'provara manifest v'"));
    }

    #[test]
    fn a_plugins_failure_is_told_in_the_same_words() {
        let nothing = || StagingError::Nothing;
        let text = error::export_staging_failure("csv", &nothing()).text();
        assert_eq!(render(staging(nothing())), text);
        let late = || HostError::TimedOut {
            plugin: "com.example.slow".to_owned(),
            limit: std::time::Duration::from_secs(2),
        };
        let text = error::host_failure(late()).text();
        assert_eq!(render(ErrorContext::Host(late())), text);
        assert!(is_for_a_shell(&text));
    }
}
