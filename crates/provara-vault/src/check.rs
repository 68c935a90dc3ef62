//! The log held against the rules, on several threads and in bounded memory.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread;

use provara_core::finding::{Finding, Severity};
use provara_core::keys::KeyRegistry;
use provara_core::verify::{CheckedLine, KeyDirectory, LogVerdict, Sequencer, check_lines};

use crate::error::VaultError;

/// How much of the log one thread takes at a time, in bytes.
const RANGE: usize = 256 << 10;

/// How many checked ranges may wait for the in-order stage, for each thread.
const WAITING: usize = 2;

/// The number of threads that the machine offers.
pub(crate) fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Checks `log` and then `more`, which follows it, under the keys of `registry`. The result does not
/// depend on the number of threads.
pub(crate) fn check_log(
    log: &[u8],
    more: &[u8],
    registry: &KeyRegistry,
    threads: usize,
) -> LogVerdict {
    let keys = KeyDirectory::new(registry);
    let mut sequencer = Sequencer::new(registry);
    let ranges = ranges(log);
    let threads = threads.clamp(1, ranges.len().max(1));
    if threads == 1 {
        for (offset, range) in &ranges {
            sequencer.feed(check_lines(range, *offset, &keys));
        }
    } else {
        thread::scope(|scope| {
            // Range i goes to thread i modulo their number, and is awaited from there: the order of
            // the log is kept and no thread runs far ahead.
            let results: Vec<_> = (0..threads)
                .map(|first| {
                    let (sender, receiver) = sync_channel::<Vec<CheckedLine<'_>>>(WAITING);
                    let (ranges, keys) = (&ranges, &keys);
                    scope.spawn(move || {
                        for (offset, range) in ranges.iter().skip(first).step_by(threads) {
                            if sender.send(check_lines(range, *offset, keys)).is_err() {
                                return;
                            }
                        }
                    });
                    receiver
                })
                .collect();
            for index in 0..ranges.len() {
                sequencer.feed(
                    results[index % threads]
                        .recv()
                        .expect("a result for every range"),
                );
            }
        });
    }
    if !more.is_empty() {
        sequencer.feed(check_lines(more, log.len() as u64, &keys));
    }
    sequencer.finish(registry)
}

/// Cuts the log at line ends into pieces of about [`RANGE`] bytes, each with its offset.
fn ranges(log: &[u8]) -> Vec<(u64, &[u8])> {
    let mut ranges = Vec::with_capacity(log.len() / RANGE + 1);
    let mut start = 0;
    while start < log.len() {
        let least = (start + RANGE).min(log.len());
        let end = match log[least..].iter().position(|byte| *byte == b'\n') {
            Some(at) => least + at + 1,
            None => log.len(),
        };
        ranges.push((start as u64, &log[start..end]));
        start = end;
    }
    ranges
}

/// Refuses an event that would not verify, or that would take what stands before it out of force:
/// `line` is the event, `registry` what `keys.json` is going to say.
pub(crate) fn candidate(log: &[u8], line: &[u8], registry: &KeyRegistry) -> Result<(), VaultError> {
    let verdict = check_log(log, line, registry, available_threads());
    match first_error(&verdict.findings, |_| true) {
        None => Ok(()),
        Some(finding) => Err(VaultError::Rotation {
            code: finding.code.as_str(),
            reason: match finding.line {
                Some(number) if number < verdict.event_count => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_whole_lines_and_cover_the_log() {
        let line = [vec![b'x'; 1000], vec![b'\n']].concat();
        for (count, tail) in [(0, ""), (1, ""), (1000, ""), (1000, "tail"), (0, "tail")] {
            let log = [line.repeat(count), tail.as_bytes().to_vec()].concat();
            let ranges = ranges(&log);
            let mut at = 0;
            for (offset, range) in &ranges {
                assert_eq!(*offset, at);
                at += range.len() as u64;
                assert!(range.ends_with(b"\n") || at == log.len() as u64);
            }
            assert_eq!(at, log.len() as u64);
        }
    }
}
