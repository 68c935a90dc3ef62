//! Work on a log in ranges of whole lines, on several threads, with results in the order of the log.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How much of the log one thread takes at a time, in bytes.
const RANGE: usize = 256 << 10;

/// How many results may wait to be taken, for each thread: what bounds the memory.
const WAITING: usize = 2;

/// The number of threads that the machine offers.
#[must_use]
pub fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Calls `work` with every range of `log` and its offset, on `threads` threads, and `take` with the
/// results in the order of the log, until it breaks, and gives whether it did. What `take` sees does
/// not depend on the number of threads.
pub fn in_order<'l, T: Send>(
    log: &'l [u8],
    threads: usize,
    work: impl Fn(&'l [u8], u64) -> T + Sync,
    mut take: impl FnMut(T) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let ranges = ranges(log);
    let threads = threads.clamp(1, ranges.len().max(1));
    if threads == 1 {
        for (offset, range) in ranges {
            take(work(range, offset))?;
        }
        return ControlFlow::Continue(());
    }
    thread::scope(|scope| {
        // Range i goes to thread i modulo their number, and is awaited from there: the order of the
        // log is kept and no thread runs far ahead.
        let results: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel::<T>(WAITING);
                let (ranges, work) = (&ranges, &work);
                let spawned = thread::Builder::new().spawn_scoped(scope, move || {
                    for (offset, range) in ranges.iter().skip(first).step_by(threads) {
                        if sender.send(work(range, *offset)).is_err() {
                            return;
                        }
                    }
                });
                // Where the system has no thread to give, the caller's own does its share.
                spawned.ok().map(|_| receiver)
            })
            .collect();
        for (index, (offset, range)) in ranges.iter().enumerate() {
            take(match &results[index % threads] {
                Some(results) => results.recv().expect("a result for every range"),
                None => work(range, *offset),
            })?;
        }
        ControlFlow::Continue(())
    })
}

/// How many items one thread takes at a time in [`map_pieces`].
const PIECE: usize = 128;

/// Gives `work` of every item, in their order, on as many threads as the machine has or as there is
/// work for. The result does not depend on their number.
pub fn map<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let count = items.len();
    let pieces = map_pieces(items, threads, |piece| {
        piece.into_iter().map(&work).collect::<Vec<R>>()
    });
    let mut results = Vec::with_capacity(count);
    pieces.into_iter().for_each(|piece| results.extend(piece));
    results
}

/// As [`map`], for a few items of much work each.
pub fn each<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let alone = |piece: Vec<T>| piece.into_iter().map(&work).collect::<Vec<R>>();
    let pieces = in_pieces(items, 1, threads, alone);
    pieces.into_iter().flatten().collect()
}

/// As [`map`], for items that follow each other: some are given to `work` together.
pub fn map_pieces<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(Vec<T>) -> R + Sync,
) -> Vec<R> {
    in_pieces(items, PIECE, threads, work)
}

/// Gives `size` items at a time to `work`.
fn in_pieces<T: Send, R: Send>(
    items: Vec<T>,
    size: usize,
    threads: usize,
    work: impl Fn(Vec<T>) -> R + Sync,
) -> Vec<R> {
    let mut pieces = Vec::with_capacity(items.len().div_ceil(size));
    let mut items = items.into_iter();
    while items.len() > 0 {
        let piece: Vec<T> = items.by_ref().take(size).collect();
        pieces.push(Mutex::new((Some(piece), None)));
    }
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut piece = piece.lock().unwrap_or_else(PoisonError::into_inner);
            let items = piece.0.take().expect("each piece is taken once");
            piece.1 = Some(work(items));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(pieces.len()) {
            // Where the system has no thread to give, there are fewer.
            let _ = thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    let done = pieces.into_iter().map(|piece| {
        let (_, result) = piece.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.expect("each piece is worked on")
    });
    done.collect()
}

/// Cuts the log at line ends into pieces of about [`RANGE`] bytes, each with its offset.
fn ranges(log: &[u8]) -> Vec<(u64, &[u8])> {
    let mut ranges = Vec::with_capacity(log.len() / RANGE + 1);
    let mut start = 0;
    while start < log.len() {
        let least = (start + RANGE).min(log.len());
        let end = memchr::memchr(b'\n', &log[least..]).map_or(log.len(), |at| least + at + 1);
        ranges.push((start as u64, &log[start..end]));
        start = end;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(count: usize, tail: &str) -> Vec<u8> {
        let line = [vec![b'x'; 1000], vec![b'\n']].concat();
        [line.repeat(count), tail.as_bytes().to_vec()].concat()
    }

    #[test]
    fn items_are_mapped_in_their_order() {
        for count in [0, 1, PIECE, 10 * PIECE + 3] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            for threads in [1, 2, 7] {
                assert_eq!(map(items.clone(), threads, |item| item * 2), expected);
                assert_eq!(each(items.clone(), threads, |item| item * 2), expected);
            }
        }
    }

    #[test]
    fn ranges_are_whole_lines_and_cover_the_log() {
        for (count, tail) in [(0, ""), (1, ""), (1000, ""), (1000, "tail"), (0, "tail")] {
            let log = log(count, tail);
            let mut at = 0;
            for (offset, range) in ranges(&log) {
                assert_eq!(offset, at);
                at += range.len() as u64;
                assert!(range.ends_with(b"\n") || at == log.len() as u64);
            }
            assert_eq!(at, log.len() as u64);
        }
    }

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        let log = log(3000, "tail");
        let offsets = |threads, most: usize| {
            let mut seen = Vec::new();
            let _ = in_order(
                &log,
                threads,
                |range, offset| (offset, range.len()),
                |result| {
                    seen.push(result);
                    if seen.len() == most {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
            seen
        };
        let all = offsets(1, usize::MAX);
        assert!(all.len() > 8);
        for threads in [2, 3, 100] {
            assert_eq!(offsets(threads, usize::MAX), all);
            assert_eq!(offsets(threads, 3), all[..3]);
        }
    }
}
