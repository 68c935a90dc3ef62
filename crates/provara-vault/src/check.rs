//! The log held against the rules, on several threads and in bounded memory.

use std::ops::ControlFlow;

use provara_core::finding::{Finding, Severity};
use provara_core::keys::KeyRegistry;
use provara_core::verify::{
    Judge, KeyDirectory, LogVerdict, Sequencer, check_lines, check_lines_with,
};

use crate::error::VaultError;
use crate::signatures::Together;
use provara_core::parallel::{available_threads, in_order};

/// Checks `log` and then `more`, which follows it, under the keys of `registry`. The result does not
/// depend on the number of threads.
///
/// # Errors
/// [`VaultError::SignaturesDisagree`].
pub(crate) fn check_log(
    log: &[u8],
    more: &[u8],
    registry: &KeyRegistry,
    threads: usize,
) -> Result<LogVerdict, VaultError> {
    let mut sequencer = Sequencer::new(registry);
    sequencer.expect_length((log.len() + more.len()) as u64);
    let keys = KeyDirectory::new(registry);
    let judge = Together::new(&keys);
    let fed = feed(&mut sequencer, log, 0, &keys, &judge, threads, &mut |_| {
        ControlFlow::Continue(())
    });
    if let ControlFlow::Break(Stop::Undecided(it)) = fed {
        return Err(VaultError::SignaturesDisagree(it));
    }
    if !more.is_empty() {
        sequencer.feed(check_lines(more, log.len() as u64, &keys));
    }
    Ok(sequencer.finish(registry))
}

/// Why lines were not checked to their end.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// Whoever heard how far it was broke off.
    Told,
    /// There is no verdict for a signature.
    Undecided(E),
}

/// Gives `sequencer` the next `lines`, which stand at byte `from` of the log, with the verdicts of `judge` for their
/// signatures by `keys`, until `told`, which hears how far of the log it has come, in bytes, breaks.
pub(crate) fn feed<'l, J: Judge<Error: Send>>(
    sequencer: &mut Sequencer,
    lines: &'l [u8],
    from: u64,
    keys: &KeyDirectory,
    judge: &J,
    threads: usize,
    told: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> ControlFlow<Stop<J::Error>> {
    let check = |range: &'l [u8], offset: u64| {
        let offset = from + offset;
        let checked = check_lines_with(range, offset, keys, judge);
        checked.map(|lines| (lines, offset + range.len() as u64))
    };
    let mut undecided = None;
    let fed = in_order(lines, threads, check, |checked| match checked {
        Ok((lines, end)) => {
            sequencer.feed_with(lines, |messages| judge.hash(messages));
            told(end)
        }
        Err(error) => {
            undecided = Some(error);
            ControlFlow::Break(())
        }
    });
    match undecided {
        Some(error) => ControlFlow::Break(Stop::Undecided(error)),
        None => fed.map_break(|()| Stop::Told),
    }
}

/// Refuses an event that would not verify, or that would take what stands before it out of force:
/// `line` is the event, `registry` what `keys.json` is going to say.
pub(crate) fn candidate(log: &[u8], line: &[u8], registry: &KeyRegistry) -> Result<(), VaultError> {
    let verdict = check_log(log, line, registry, available_threads())?;
    match first_error(&verdict.findings, |_| true) {
        None => Ok(()),
        Some(finding) => Err(VaultError::WouldNotVerify {
            code: finding.code.as_str(),
            reason: match finding.line {
                Some(number) if finding.offset.is_some_and(|at| at < log.len() as u64) => {
                    format!(
                        "line {number} of the log would not verify: {}",
                        finding.message
                    )
                }
                _ => finding.message.clone(),
            },
        }),
    }
}

/// Refuses events beyond the seal that do not verify: a writer that was interrupted left them whole
/// and signed, or they are not a writer's.
pub(crate) fn unsealed(log: &[u8], sealed: u64, registry: &KeyRegistry) -> Result<(), VaultError> {
    let verdict = check_log(log, b"", registry, available_threads())?;
    let beyond = |finding: &Finding| finding.offset.is_some_and(|offset| offset >= sealed);
    match first_error(&verdict.findings, beyond) {
        None => Ok(()),
        Some(finding) => Err(VaultError::BrokenLog {
            line: finding.line.unwrap_or_default(),
            offset: finding.offset.unwrap_or_default(),
            reason: finding.message.clone(),
        }),
    }
}

fn first_error(findings: &[Finding], which: impl Fn(&Finding) -> bool) -> Option<&Finding> {
    findings
        .iter()
        .find(|finding| finding.severity == Severity::Error && which(finding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_core::verify::{OneByOne, SignedLine};

    /// Has no verdict.
    struct Undecided;

    impl Judge for Undecided {
        type Error = &'static str;

        fn judge(&self, _: &[SignedLine<'_>]) -> Result<Vec<bool>, &'static str> {
            Err("undecided")
        }
    }

    #[test]
    fn without_a_verdict_nothing_is_fed_and_nobody_told() {
        let registry = KeyRegistry::default();
        let keys = KeyDirectory::new(&registry);
        let log = b"not an event\n".repeat(100_000);
        for threads in [1, 2, 3] {
            let mut sequencer = Sequencer::new(&registry);
            let mut told = |_| panic!("nothing was checked");
            let fed = feed(
                &mut sequencer,
                &log,
                0,
                &keys,
                &Undecided,
                threads,
                &mut told,
            );
            assert!(matches!(
                fed,
                ControlFlow::Break(Stop::Undecided("undecided"))
            ));
            assert_eq!(sequencer.finish(&registry).lines, 0);

            let mut sequencer = Sequencer::new(&registry);
            let judge = OneByOne(&keys);
            let mut breaks = |_| ControlFlow::Break(());
            let fed = feed(&mut sequencer, &log, 0, &keys, &judge, threads, &mut breaks);
            assert!(matches!(fed, ControlFlow::Break(Stop::Told)));
        }
    }
}
