//! What it means that a listed file has another size. A log only grows, so its size tells more; what is
//! said of it is what is known, and no more.

use crate::finding::Severity;
use crate::id::Digest;
use crate::layout::LOG;
use crate::manifest::ListedFile;
use crate::verify::LogVerdict;

/// How many actors are named.
const NAMED: usize = 5;

/// What is known of a log beside its size.
#[derive(Debug, Clone, Copy)]
pub(in crate::verify) struct AboutLog<'a> {
    /// Its bytes.
    pub(in crate::verify) log: &'a [u8],
    /// What they came to.
    pub(in crate::verify) verdict: &'a LogVerdict,
}

/// What is said of a file of `found` bytes that is `listed` with another size.
pub(super) fn other_size(listed: &ListedFile, found: u64, about: Option<AboutLog<'_>>) -> String {
    match listed.path.as_str() {
        LOG if found < listed.size => format!(
            "the log is shorter than when it was sealed, so that no prefix of it is what was sealed; {}",
            about.map_or("no more is known".to_owned(), |about| gaps(about.verdict))
        ),
        LOG => {
            let (size, sealed) = (listed.size, listed.sha256.parse::<Digest>().ok());
            let begin = about.and_then(|about| about.log.get(..usize::try_from(size).ok()?));
            let begin = match begin.map(Digest::of) {
                Some(prefix) if Some(prefix) == sealed => format!(
                    ": its first {size} bytes are what was sealed, and the rest was added afterwards"
                ),
                Some(_) => format!(
                    ", and its first {size} bytes are not what was sealed: more than its end has changed"
                ),
                None => String::new(),
            };
            format!("the log is longer than when it was sealed{begin}")
        }
        _ => "the size is not that of the manifest".to_owned(),
    }
}

/// Which chains have a gap, and what follows for a log that is shorter than it was.
fn gaps(log: &LogVerdict) -> String {
    let named: Vec<_> = log.gaps.iter().take(NAMED).collect();
    let mut names = named
        .iter()
        .map(|name| format!("'{}'", name.escape_debug()))
        .collect::<Vec<_>>()
        .join(", ");
    if log.gaps.len() > NAMED {
        names.push_str(&format!(" and {} more", log.gaps.len() - NAMED));
    }
    let sound = |finding: &crate::finding::Finding| finding.severity != Severity::Error;
    match log.gaps.len() {
        1 => format!("the chain of {names} has a gap"),
        2.. => format!("the chains of {names} have gaps"),
        0 if log.findings.iter().all(sound) => {
            "no chain has a gap, so what is missing can only have \
             stood at the end of chains, unless a chain was signed anew"
                .to_owned()
        }
        0 => "no chain has a gap".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_log_begins_with_what_was_sealed_or_not() {
        let verdict = LogVerdict::default();
        let of = |listed: &[u8], log| {
            let listed = ListedFile {
                path: LOG.into(),
                sha256: Digest::of(listed).to_string(),
                size: 2,
                leaf: Digest::of(b""),
            };
            let verdict = &verdict;
            other_size(&listed, 4, Some(AboutLog { log, verdict }))
        };
        assert!(of(b"1\n", b"1\n2\n").ends_with("and the rest was added afterwards"));
        assert!(of(b"1\n", b"3\n2\n").ends_with("more than its end has changed"));
    }

    #[test]
    fn a_few_actors_are_named_and_the_rest_counted() {
        let of = |count: usize| {
            gaps(&LogVerdict {
                gaps: (0..count).map(|number| number.to_string()).collect(),
                ..LogVerdict::default()
            })
        };
        assert_eq!(of(1), "the chain of '0' has a gap");
        let five = "the chains of '0', '1', '2', '3', '4'";
        assert_eq!(of(5), format!("{five} have gaps"));
        assert_eq!(of(7), format!("{five} and 2 more have gaps"));
    }
}
