//! The log held against the rules, on several threads and in bounded memory.

use std::ops::ControlFlow;

use provara_core::finding::{Finding, Severity};
use provara_core::keys::KeyRegistry;
use provara_core::verify::{KeyDirectory, LogVerdict, Sequencer, check_lines};

use crate::error::VaultError;
use crate::parallel::{available_threads, in_order};

/// Checks `log` and then `more`, which follows it, under the keys of `registry`. The result does not
/// depend on the number of threads.
pub(crate) fn check_log(
    log: &[u8],
    more: &[u8],
    registry: &KeyRegistry,
    threads: usize,
) -> LogVerdict {
    let mut sequencer = Sequencer::new(registry);
    let _ = feed(&mut sequencer, log, 0, registry, threads, &mut |_| {
        ControlFlow::Continue(())
    });
    if !more.is_empty() {
        let keys = KeyDirectory::new(registry);
        sequencer.feed(check_lines(more, log.len() as u64, &keys));
    }
    sequencer.finish(registry)
}

/// Gives `sequencer` the next `lines`, which stand at byte `from` of the log, until `told`, which hears how
/// far of the log it has come, in bytes, breaks.
pub(crate) fn feed<'l>(
    sequencer: &mut Sequencer,
    lines: &'l [u8],
    from: u64,
    registry: &KeyRegistry,
    threads: usize,
    told: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let keys = KeyDirectory::new(registry);
    let check = |range: &'l [u8], offset: u64| {
        let offset = from + offset;
        (
            check_lines(range, offset, &keys),
            offset + range.len() as u64,
        )
    };
    in_order(lines, threads, check, |(lines, end)| {
        sequencer.feed(lines);
        told(end)
    })
}

/// Refuses an event that would not verify, or that would take what stands before it out of force:
/// `line` is the event, `registry` what `keys.json` is going to say.
pub(crate) fn candidate(log: &[u8], line: &[u8], registry: &KeyRegistry) -> Result<(), VaultError> {
    let verdict = check_log(log, line, registry, available_threads());
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
    let verdict = check_log(log, b"", registry, available_threads());
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
