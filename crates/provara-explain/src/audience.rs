//! Who reads a diagnostic, and what changes with it: an agent has tools where a person has commands.

use std::path::Path;

use provara_core::canonical::CanonicalError;
use provara_core::finding::Report;
use provara_core::number_policy::NumberPolicy;
use provara_plugins::builtin::ExportError;
use provara_plugins::catalog::EventTypeInfo;
use provara_plugins::host::HostError;
use provara_plugins::interpreter::InterpreterError;
use provara_plugins::staging::StagingError;
use provara_vault::{HeadRefusal, ProofRefusal, VaultError, layout};

use crate::errors;
use provara_report::shell;
use provara_report::{Class, Diagnostic};

/// Who reads a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A person at a shell: advice is a command or an option.
    Person,
    /// An agent with the tools of the MCP server: advice is a tool, or to ask the operator.
    Agent,
}

/// An error of the libraries, with what it is about.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorContext<'a> {
    /// An operation on a vault failed.
    Vault {
        /// The error.
        error: VaultError,
        /// The vault, as it was named.
        vault: &'a Path,
    },
    /// The vault does not verify, so that nothing is derived from it.
    Unverified {
        /// The vault, as it was named.
        vault: &'a Path,
        /// What was found.
        report: &'a Report,
    },
    /// There is no interpreter for plugins.
    Interpreter(InterpreterError),
    /// The plugin host failed while it loaded the plugins.
    Discovery(HostError),
    /// A plugin, or its host, failed.
    Host(HostError),
    /// The plugin's own `validate` refused the data.
    Refused {
        /// The event type.
        plugin: &'a EventTypeInfo,
        /// The plugin's reason.
        reason: &'a str,
    },
    /// The data has no canonical form.
    Canonical(CanonicalError),
    /// A built-in export stopped.
    Export {
        /// The error.
        error: ExportError,
        /// The vault, as it was named.
        vault: &'a Path,
    },
    /// An export's output could not be staged or moved into its place.
    Staging {
        /// The error.
        error: StagingError,
        /// The name of the export format.
        format: &'a str,
    },
}

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

impl ErrorContext<'_> {
    /// The error in words for whoever reads them. What happened is said in the same words to all; what can
    /// be done names a command to a person, and to an agent the tool that does it, or the operator who
    /// can. A plugin's failure is told in the same words to both: a plugin's author reads them.
    #[must_use]
    pub fn diagnostic(self, audience: Audience) -> Diagnostic {
        let advice = advice(&self);
        let diagnostic = self.for_a_person();
        if audience == Audience::Person || diagnostic.class() == Class::Plugin {
            return diagnostic;
        }
        match advice {
            Advice::AsItIs => diagnostic,
            Advice::Agent(fix) => diagnostic.fix(fix),
            Advice::Operator => {
                diagnostic.reword_fix(|fix| format!("Ask the operator to do this: {fix}"))
            }
        }
    }

    fn for_a_person(self) -> Diagnostic {
        match self {
            Self::Vault { error, vault } => errors::vault_failure(error, vault),
            Self::Unverified { vault, report } => errors::unverified(vault, report, true),
            Self::Interpreter(error) => errors::interpreter_failure(&error),
            Self::Discovery(error) => errors::discovery_failure(error),
            Self::Host(error) => errors::host_failure(error),
            Self::Refused { plugin, reason } => errors::refused_by_plugin(plugin, reason),
            Self::Canonical(error) => errors::canonical_failure(&error, &NumberPolicy::Exact),
            Self::Export { error, vault } => errors::export_failure(&error, vault),
            Self::Staging { error, format } => errors::export_staging_failure(format, &error),
        }
    }
}

/// What is not named here is the operator's.
fn advice(context: &ErrorContext<'_>) -> Advice {
    match context {
        ErrorContext::Unverified { .. } => EXAMINE.into(),
        ErrorContext::Refused { .. } | ErrorContext::Host(HostError::TooLarge(_)) => Advice::AsItIs,
        ErrorContext::Canonical(error) => {
            Advice::Agent(errors::canonical_fix_without_options(error))
        }
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
            VaultError::LogLost { .. } => Advice::Agent(
                "Do not append the event again before you have looked for it ('query_events'): the log is \
                 another one. Tell the operator that another program changed it."
                    .to_owned(),
            ),
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
        // The agent chooses its keys, and what stands in its batch.
        | VaultError::IdempotencyKey { .. }
        | VaultError::KeyReused { .. }
        | VaultError::ClosedByBatch
        | VaultError::NotInAtomicBatch { .. }
        | VaultError::Unwritable { .. }
        | VaultError::TooLarge { .. } => Advice::AsItIs,
        // Random bytes are an option of the command line.
        VaultError::Ambiguous(_) => {
            Advice::Agent("Put the data below a member of another name.".to_owned())
        }
        VaultError::Canonical(error) => Advice::Agent(errors::canonical_fix_without_options(error)),
        // A key is the operator's to give.
        VaultError::WouldNotVerify { code, .. } if !errors::wants_another_key(code) => {
            Advice::AsItIs
        }
        VaultError::BrokenLog { .. } | VaultError::Structure { .. } => EXAMINE.into(),
        VaultError::SealContradiction { file, .. } if file != layout::KEYS => EXAMINE.into(),
        VaultError::GenesisByHand => {
            "Use OBSERVATION or a custom type; a vault gets its genesis event when it is made."
                .into()
        }
        VaultError::NotEmpty { .. } | VaultError::Exists { .. } => "Choose another name.".into(),
        VaultError::Head { .. } => {
            "Pass the whole text of a tree head, line ends included: 'note' as 'tree_head' gives it.".into()
        }
        VaultError::TreeHead(HeadRefusal::Overtaken) => Advice::AsItIs,
        VaultError::TreeHead(HeadRefusal::Broken(_)) => EXAMINE.into(),
        VaultError::Proof(refusal) => match refusal {
            ProofRefusal::NoSuchEvent { .. } => "Find the event's id with 'query_events'; if it came after the tree \
                                                 head, sign a new one with 'tree_head'."
                .into(),
            ProofRefusal::Lines { .. } | ProofRefusal::Older { .. } => {
                "Name lines that the tree head is over, or sign a new one with 'tree_head'.".into()
            }
            ProofRefusal::Unreadable
            | ProofRefusal::Longer { .. }
            | ProofRefusal::OtherTree { .. }
            | ProofRefusal::Unsigned { .. } => {
                "The vault is not what the tree head was signed for: see what 'verify_vault' says with it among \
                 'heads', and tell the operator."
                    .into()
            }
        },
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
    use std::path::PathBuf;

    use provara_core::number_rule::NumberFault;
    use provara_plugins::builtin::{self, Format};
    use provara_plugins::launch::LaunchError;

    use super::*;

    fn tell(context: ErrorContext<'_>) -> String {
        context.diagnostic(Audience::Agent).to_string()
    }

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
        let text = tell(context);
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
                vault(VaultError::Ambiguous(provara_vault::Ambiguity::Tombstone)),
                "another name",
            ),
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
                vault(VaultError::KeyReused {
                    key: "k".to_owned(),
                    actor: "agent".to_owned(),
                    event: None,
                    difference: "with other data",
                }),
                "Give what is new a new key",
            ),
            (
                vault(VaultError::IdempotencyKey {
                    reason: "is empty".to_owned(),
                }),
                "Give each request a key of its own",
            ),
            (
                vault(VaultError::ClosedByBatch),
                "Put the closing event last",
            ),
            (
                vault(VaultError::NotInAtomicBatch {
                    event_type: "com.provara.key.added".to_owned(),
                }),
                "Take the event out of the batch",
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
                ErrorContext::Canonical(CanonicalError::Number {
                    path: "$".to_owned(),
                    token: "1e999".to_owned(),
                    fault: NumberFault::OutOfRange,
                }),
                "as a string, \"1e999\".",
            ),
        ] {
            let fix = fix(context);
            assert!(fix.contains(names) && !is_for_a_shell(&fix), "{fix}");
            assert!(!fix.starts_with("Ask the operator"), "{fix}");
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
        let told = errors::export_staging_failure("csv", &nothing()).to_string();
        assert_eq!(tell(staging(nothing())), told);
        let late = || HostError::TimedOut {
            plugin: "com.example.slow".to_owned(),
            limit: std::time::Duration::from_secs(2),
        };
        let told = errors::host_failure(late()).to_string();
        assert_eq!(tell(ErrorContext::Host(late())), told);
        assert!(is_for_a_shell(&told));
    }
}
