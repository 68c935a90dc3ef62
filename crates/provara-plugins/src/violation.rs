//! Attempts that the sandbox ended, in words: what was tried, which rule it met, what the user could
//! allow.
//!
//! The sandbox is the kernel's; a plugin only sees a `PermissionError`. The host's audit hook says
//! which call that was, as far as a plugin lets it, and this module says what it means. Nothing is
//! decided here.

use std::fmt;

use crate::text::inline;

/// The purposes of a host, as far as rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Listing,
    EventType,
    Reducer,
    Export,
}

/// An attempt that the sandbox refused. All texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The call, as `open('/home/u/.ssh/id')`, or other words that follow "it tried".
    pub tried: String,
    /// The rule, a sentence without its full stop.
    pub rule: &'static str,
    /// What the user could do to allow it, if anything.
    pub allow: Option<&'static str>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it tried {}, but {}", self.tried, self.rule)
    }
}

/// A rule that a failure may come from which does not say so: many libraries put what the system answered
/// into words of their own. The text is a sentence, and safe for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    rule: &'static str,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Its sandbox may be why: {}. If you trust it, --sandbox=off shows whether it is.",
            self.rule
        )
    }
}

/// What libraries say, in small letters, where the system gave no memory and no threads.
const OF_LIMITS: [&str; 9] = [
    "cannot allocate",
    "mmap failed",
    "memory allocation",
    "bad_alloc",
    "out of memory",
    "failed to allocate",
    "malloc of size",
    "can't start new thread",
    "resource temporarily unavailable",
];

/// The same where a file could not be written.
const OF_WRITING: [&str; 4] = [
    "no usable temporary directory",
    "unable to open database file",
    "attempt to write a readonly database",
    "read-only file system",
];

/// The same, if the system refused at all.
const OF_MAKING: [&str; 14] = [
    "create directory",
    "creating directory",
    "create the directory",
    "make directory",
    "mkdir",
    "create file",
    "creating file",
    "create temporary",
    "creating temporary",
    "failed to create",
    "could not create",
    "cannot create",
    "to write",
    "for writing",
];

/// The same where the system refused without saying what.
const OF_REFUSALS: [&str; 4] = [
    "permission denied",
    "operation not permitted",
    "os error 13)",
    "os error 1)",
];

/// Finds out whether a failure may come from the sandbox, by what was said of it.
pub(crate) fn suspect(role: Role, network: bool, said: &str) -> Option<Suspicion> {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
    let restriction = if has(&OF_LIMITS) {
        Restriction::Limits
    } else if has(&OF_WRITING) || (has(&OF_MAKING) && has(&OF_REFUSALS)) {
        Restriction::Writing
    } else if has(&OF_REFUSALS) {
        Restriction::Reading
    } else {
        return None;
    };
    let rule = rule(restriction, role, network);
    Some(Suspicion { rule })
}

/// How the host's words begin where a limit was met.
const LIMITS: [&str; 4] = [
    "to use more ",
    "to start more ",
    "to open more ",
    "to write a larger ",
];

/// The kind of restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restriction {
    Reading,
    Writing,
    Attributes,
    Network,
    Processes,
    Limits,
}

/// Finds out whether a failure comes from the sandbox, and from which restriction.
///
/// `exception` and `message` are Python's, `tried` is the audit hook's word.
pub(crate) fn explain(
    role: Role,
    network: bool,
    exception: Option<&str>,
    message: Option<&str>,
    tried: Option<&str>,
) -> Option<Violation> {
    let message = message.unwrap_or_default();
    // The sandbox lets an export with network access reach a name server.
    if network && is_lookup(exception, tried) {
        return None;
    }
    let limit = matches!(exception, Some("MemoryError"))
        || tried.is_some_and(|tried| LIMITS.iter().any(|words| tried.starts_with(words)));
    // The numbers of EPERM, EACCES, EXDEV and ENOSYS are the same wherever there is a sandbox.
    let refused = matches!(exception, Some("PermissionError" | "gaierror"))
        || ["[Errno 1]", "[Errno 13]", "[Errno 18]", "[Errno 38]"]
            .iter()
            .any(|code| message.contains(code));
    if !limit && !refused && tried.is_none() {
        return None;
    }
    let restriction = if limit {
        Restriction::Limits
    } else {
        restriction(exception, tried.unwrap_or_default())
    };
    let said = Some(message)
        .filter(|text| !text.is_empty())
        .or(exception)
        .unwrap_or_default();
    let said = inline(said.lines().next().unwrap_or_default());
    let shown = match tried.and_then(|text| text.lines().next()) {
        Some(tried) => inline(tried).into_owned(),
        None if limit => format!("to use more than it may ({said})"),
        None => format!("something that the system refused ({said})"),
    };
    let allow = match shown.contains(KEYS) {
        true => Some(
            "Signing keys are kept there: no plugin needs one. Uninstall its package unless you know why it \
             asks.",
        ),
        false => allow(restriction, role, network),
    };
    Some(Violation {
        tried: shown,
        rule: rule(restriction, role, network),
        allow,
    })
}

/// What the files are called that hold a vault's signing keys.
const KEYS: &str = "private_keys";

/// Whether a failure is that of looking up a name.
fn is_lookup(exception: Option<&str>, tried: Option<&str>) -> bool {
    exception == Some("gaierror")
        || tried.is_some_and(|tried| {
            tried.starts_with("socket.getaddrinfo") || tried.starts_with("socket.gethostby")
        })
}

/// Which restriction a call meets; reading is what remains.
fn restriction(exception: Option<&str>, tried: &str) -> Restriction {
    let starts = |names: &[&str]| names.iter().any(|name| tried.starts_with(name));
    if exception == Some("gaierror") || starts(&["socket."]) {
        Restriction::Network
    } else if starts(&[
        "subprocess.",
        "posix_spawn",
        "os.exec",
        "os.fork",
        "os.system",
        "os.kill",
        "os.spawn",
        "os.startfile",
        "os.posix_spawn",
        "os.sched_set",
        "os.setpriority",
        "os.getpriority",
        "os.getpgid",
        "os.getsid",
        "os.setsid",
        "os.pidfd_open",
        "os.memfd_create",
        "os.nice",
        "resource.",
        "_multiprocessing.",
    ]) {
        Restriction::Processes
    } else if starts(&[
        "os.chown",
        "os.lchown",
        "os.chflags",
        "os.setxattr",
        "os.removexattr",
        "os.link",
        "os.symlink",
        "os.lockf",
        "fcntl.",
    ]) {
        Restriction::Attributes
    } else if starts(&[
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkfifo",
        "os.mknod",
        "os.truncate",
        "shutil.",
    ]) || (tried.starts_with("open(") && tried.contains(", '") && !tried.contains(", 'r"))
    {
        Restriction::Writing
    } else {
        Restriction::Reading
    }
}

fn rule(restriction: Restriction, role: Role, network: bool) -> &'static str {
    match (restriction, role) {
        (Restriction::Reading, Role::Listing | Role::EventType) => {
            "an event type may read nothing but Python, its packages and its state directory"
        }
        (Restriction::Reading, Role::Reducer) => {
            "a reducer may read nothing but Python, its packages and the events it is given"
        }
        (Restriction::Reading, Role::Export) => {
            "an export may read nothing but Python, its packages and the vault without its keyfiles"
        }
        (Restriction::Writing, Role::Listing | Role::EventType) => {
            "an event type may write nothing but its temporary directory (TMPDIR) and its state \
             directory (PROVARA_PLUGIN_STATE)"
        }
        (Restriction::Writing, Role::Reducer) => {
            "a reducer may write nothing but its temporary directory (TMPDIR), which is in memory"
        }
        (Restriction::Writing, Role::Export) => {
            "an export may write nothing but its output, its temporary directory (TMPDIR) and its \
             state directory (PROVARA_PLUGIN_STATE)"
        }
        (Restriction::Attributes, _) => {
            "a plugin may make no links and locks, and change no owner or attribute of a file"
        }
        (Restriction::Network, _) if network => {
            "a plugin may use no sockets but those of the Internet"
        }
        (Restriction::Network, _) => "a plugin may not use the network or any other socket",
        (Restriction::Processes, _) => {
            "a plugin may start no process or program, and may not reach another one"
        }
        (Restriction::Limits, _) => {
            "a plugin has limits for memory (also for what is only reserved), threads, open files and \
             file sizes"
        }
    }
}

fn allow(restriction: Restriction, role: Role, network: bool) -> Option<&'static str> {
    match (restriction, role) {
        (Restriction::Network, Role::Export) if !network => {
            Some("If you trust it with the network, add --allow-net.")
        }
        (Restriction::Reading, _) => Some(
            "Data that it needs belongs in its package. If you trust it with all that you can \
             read and write, add --sandbox=off.",
        ),
        _ => Some("If you trust it with all that you may do yourself, add --sandbox=off."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(role: Role, exception: &str, message: &str, tried: Option<&str>) -> &'static str {
        explain(role, false, Some(exception), Some(message), tried)
            .unwrap()
            .rule
    }

    #[test]
    fn each_wall_is_named() {
        let denied = |role, tried| rule_of(role, "PermissionError", "", Some(tried));
        assert!(denied(Role::Reducer, "open('/x')").contains("may read nothing"));
        assert!(
            denied(Role::Reducer, "open('/x', 'w')").starts_with("a reducer may write nothing")
        );
        assert!(denied(Role::Export, "open('/x', 'rb')").contains("vault without its keyfiles"));
        assert!(denied(Role::Export, "open('/x', 'a')").contains("but its output"));
        assert!(denied(Role::EventType, "os.mkdir('/x', 511)").contains("state directory"));
        assert!(denied(Role::Reducer, "os.mkfifo(path)").contains("write nothing"));
        assert!(denied(Role::EventType, "os.chown('/x', 0, 0)").contains("no owner"));
        assert!(denied(Role::Reducer, "subprocess.Popen(('true'))").contains("no process"));
        assert!(denied(Role::Reducer, "socket.socket(2, 1, 0)").contains("network"));
        assert!(rule_of(Role::Export, "gaierror", "[Errno -3] …", None).contains("network"));
        assert!(rule_of(Role::Export, "OSError", "[Errno 38] …", None).contains("may read"));
        assert!(rule_of(Role::Export, "MemoryError", "", None).contains("memory"));
        let limit = Some("to write a larger file than it may");
        assert!(rule_of(Role::Export, "OSError", "[Errno 27] …", limit).contains("size"));
    }

    #[test]
    fn other_failures_are_no_violations() {
        for (exception, message) in [
            ("ValueError", "no"),
            ("FileNotFoundError", "[Errno 2] No such file"),
            ("OSError", "[Errno 111] refused"),
        ] {
            assert_eq!(
                explain(Role::Export, false, Some(exception), Some(message), None),
                None
            );
        }
    }

    #[test]
    fn what_smells_of_the_sandbox_is_told() {
        let said = |role, text| suspect(role, false, text).map(|suspicion| suspicion.to_string());
        for (text, rule) in [
            (
                "IO Error: Cannot open file \"/x\": Permission denied",
                "may read nothing",
            ),
            (
                "failed to open: Operation not permitted (os error 1)",
                "may read nothing",
            ),
            (
                "[Errno 2] No usable temporary directory found in ['/tmp']",
                "may write nothing",
            ),
            ("unable to open database file", "may write nothing"),
            (
                "IO Error: Failed to create directory \".tmp\": Permission denied",
                "may write nothing but its temporary directory (TMPDIR)",
            ),
            (
                "Could not open file '/x' for writing: Permission denied",
                "may write nothing",
            ),
            (
                "mmap failed to reserve 0x180000000 bytes",
                "limits for memory",
            ),
            ("what():  std::bad_alloc", "limits for memory"),
            ("memory allocation of 8 bytes failed", "limits for memory"),
        ] {
            let said = said(Role::Reducer, text).unwrap();
            assert!(
                said.contains(rule) && said.ends_with("whether it is."),
                "{said}"
            );
        }
        for text in [
            "",
            "the door is not open",
            "division by zero",
            "failed to create a plan",
        ] {
            assert_eq!(said(Role::Export, text), None);
        }
    }

    #[test]
    fn a_name_that_is_not_found_is_no_violation_with_the_network() {
        let said = |network, exception, tried| {
            let message = "[Errno -3] Temporary failure in name resolution";
            explain(Role::Export, network, Some(exception), Some(message), tried)
                .map(|violation| violation.rule)
        };
        let lookup = Some("socket.getaddrinfo('example.com', 443, 0, 1, 0)");
        for (exception, tried) in [
            ("gaierror", None),
            ("gaierror", lookup),
            ("URLError", lookup),
        ] {
            assert!(said(false, exception, tried).is_some_and(|rule| rule.contains("network")));
            assert_eq!(said(true, exception, tried), None);
        }
        let socket = Some("socket.socket(1, 1, 0)");
        let rule = said(true, "PermissionError", socket).unwrap();
        assert!(rule.contains("but those of the Internet"), "{rule}");
    }

    #[test]
    fn what_could_be_allowed_depends_on_the_role() {
        let allow = |role, network| {
            explain(
                role,
                network,
                Some("PermissionError"),
                None,
                Some("socket.socket(2, 1, 0)"),
            )
            .unwrap()
            .allow
            .unwrap()
        };
        let key = Some("open('v/identity/private_keys.json')");
        let advice = explain(Role::Export, false, Some("PermissionError"), None, key).unwrap();
        assert!(advice.allow.unwrap().contains("Uninstall"));
        assert!(allow(Role::Export, false).contains("--allow-net"));
        assert!(!allow(Role::Reducer, false).contains("--allow-net"));
        let shown = explain(
            Role::Reducer,
            false,
            Some("PermissionError"),
            Some("a\x1b\nb"),
            None,
        );
        assert_eq!(
            shown.unwrap().tried,
            "something that the system refused (a\\u{1b})"
        );
        let shown = explain(Role::Reducer, false, Some("MemoryError"), Some(""), None).unwrap();
        assert!(
            shown
                .to_string()
                .starts_with("it tried to use more than it may (MemoryError), but")
        );
    }
}
