//! The command line's words, for agents: what is an option there is an argument here, or the
//! operator's.

/// What a tool calls otherwise than the command line does.
const ARGUMENTS: [(&str, &str); 4] = [
    ("add --force to replace it", "set 'overwrite' to replace it"),
    ("with --force either", "with 'overwrite' either"),
    ("--format ndjson takes", "the format ndjson takes"),
    ("; --unverified goes on all the same", ""),
];

/// A refusal of the command line as an agent reads it. Any option that is left in its advice is one
/// of the server's, which no call can give.
pub(super) fn for_agents(text: &str) -> String {
    // What comes before the advice may quote a vault, whose text stays as it is.
    let Some((found, fix)) = text.rsplit_once("\nFix: ") else {
        return text.to_owned();
    };
    let mut fix = fix.to_owned();
    for (option, argument) in ARGUMENTS {
        fix = fix.replace(option, argument);
    }
    if fix.split_whitespace().any(|word| word.starts_with("--")) {
        fix.push_str(" Options are the operator's to give: ask for them.");
    }
    format!("{found}\nFix: {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;
    use provara_plugins::staging::StagingError;
    use provara_vault::VaultError;

    #[test]
    fn options_are_arguments_or_the_operators() {
        let exists = error::export_staging_failure("csv", &StagingError::Exists("a.csv".into()));
        let text = for_agents(&exists.text());
        assert!(
            text.contains("set 'overwrite'") && !text.contains("--"),
            "{text}"
        );
        let actor = error::vault_failure(VaultError::EmptyActor, "v".as_ref());
        let text = for_agents(&actor.text());
        assert!(text.ends_with("--actor NAME. Options are the operator's to give: ask for them."));
        for text in ["ERROR: x --force.\nFix: Write it.", "no advice --force"] {
            assert_eq!(for_agents(text), text);
        }
    }
}
