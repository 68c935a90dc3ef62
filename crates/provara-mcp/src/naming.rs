//! Names of the tools that plugins bring.
//!
//! A tool's name has 1 to 64 characters out of letters, digits, `_` and `-` for the APIs that clients speak to,
//! and clients put the server's name before it, as `mcp__provara__`: so it has at most 46 here. A plugin's name
//! may be longer and has dots. So a tool is called `append_`, `reduce_` or `export_` and the plugin's name
//! with `_` for everything but letters and digits. The end gives way to `_` and eight digits of the
//! SHA-256 of the plugin's full name where the tool's would be too long, or that of two plugins, or that
//! of a built-in tool, or where it ends in what could be such digits. They depend on that name alone:
//! whichever plugin comes first, each tool is always called the same.

use std::collections::BTreeMap;

use provara_core::id::Digest;

/// What the names of plugins' tools begin with.
pub(crate) const PREFIXES: [&str; 3] = [APPEND, REDUCE, EXPORT];

/// An event type's.
pub(crate) const APPEND: &str = "append_";

/// A reducer's.
pub(crate) const REDUCE: &str = "reduce_";

/// An export's.
pub(crate) const EXPORT: &str = "export_";

/// The longest name of a tool.
pub(crate) const MAX: usize = 46;

/// The tool's name without regard to others.
fn plain(prefix: &str, name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    prefix.chars().chain(name.chars().map(letter)).collect()
}

fn hashed(prefix: &str, name: &str) -> String {
    let digest = Digest::of(name.as_bytes()).to_string();
    let mut tool = plain(prefix, name);
    // Only ASCII is left, so that every place is a boundary.
    tool.truncate(MAX - 9);
    format!("{tool}_{}", &digest[..8])
}

/// Whether a name ends like one with digits of a hash, which it could then be taken for.
fn looks_hashed(tool: &str) -> bool {
    let digit =
        |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte.to_ascii_lowercase());
    tool.rsplit_once('_')
        .is_some_and(|(_, end)| end.len() == 8 && end.bytes().all(digit))
}

/// The names of the tools for plugins of all kinds, given as prefix and name, in their order.
/// `taken` are the names of built-in tools.
pub(crate) fn tool_names(plugins: &[(&str, &str)], taken: &[&str]) -> Vec<String> {
    // Without regard to case: a client may fold names.
    let mut wanted: BTreeMap<String, usize> = taken
        .iter()
        .map(|name| (name.to_ascii_lowercase(), 1))
        .collect();
    for (prefix, name) in plugins {
        *wanted
            .entry(plain(prefix, name).to_ascii_lowercase())
            .or_default() += 1;
    }
    plugins
        .iter()
        .map(|(prefix, name)| {
            let plain = plain(prefix, name);
            let alone = wanted[&plain.to_ascii_lowercase()] == 1;
            if plain.len() <= MAX && alone && !looks_hashed(&plain) {
                plain
            } else {
                hashed(prefix, name)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_derived() {
        let names = tool_names(
            &[
                ("append_", "com.acme.audit.login"),
                ("reduce_", "com.acme.compliance.monitor"),
                ("export_", "siem-splunk"),
            ],
            &["append_event"],
        );
        assert_eq!(
            names,
            [
                "append_com_acme_audit_login",
                "reduce_com_acme_compliance_monitor",
                "export_siem_splunk"
            ]
        );
    }

    #[test]
    fn clashes_are_resolved_whatever_the_order() {
        let a = ("append_", "com.acme.a-b");
        let b = ("append_", "com.acme.a_b");
        let c = ("append_", "COM.acme.a.b");
        let one = tool_names(&[a, b, c], &[]);
        let other = tool_names(&[c, a, b], &[]);
        assert_eq!(one, [&other[1..], &other[..1]].concat());
        let distinct: std::collections::BTreeSet<_> =
            one.iter().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!(distinct.len(), 3);
        assert!(one.iter().all(|name| name.len() <= MAX));
    }

    #[test]
    fn a_plugin_takes_no_built_in_name() {
        let names = tool_names(&[("export_", "vault")], &["export_vault"]);
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("export_vault_"), "{names:?}");
    }

    #[test]
    fn no_name_is_chosen_to_be_another_tools() {
        let (a, b) = (("append_", "com.acme.a-b"), ("append_", "com.acme.a_b"));
        let taken = tool_names(&[a, b], &[]);
        let like = taken[0].strip_prefix("append_").unwrap();
        let names = tool_names(&[a, b, ("append_", like)], &[]);
        assert_eq!(names[..2], taken);
        assert!(!taken.contains(&names[2]), "{names:?}");
    }

    #[test]
    fn long_names_stay_within_the_limit_and_apart() {
        let long = format!("com.acme.{}", "x".repeat(150));
        let (a, b) = (format!("{long}.a"), format!("{long}.b"));
        let names = tool_names(&[("append_", &a), ("append_", &b)], &[]);
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| name.len() == MAX), "{names:?}");
        let fits = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(names.iter().all(fits));
    }
}
