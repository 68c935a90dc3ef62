//! What a writer at work has put beyond its seal, held against the rules as far as it stands there.
//!
//! That the seal lags is the writer's doing and no fault; so is a last line without its end, and room that
//! the system made and has not filled (the NULs that [`LogIndex::read`](crate::index::LogIndex::read) takes
//! for a torn tail too). Whole lines are another matter: a writer writes none that does not verify, so
//! that whoever holds the lock cannot hide a forged one behind it. A writer whose disk refused takes its
//! lines back, perhaps while they are read: what is found counts only if the same bytes are still there
//! afterwards.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use provara_core::finding::Finding;
use provara_core::id::Digest;
use provara_core::keys::KeyRegistry;
use provara_core::verify::{KeyDirectory, OneByOne, Sequencer};
use sha2::{Digest as _, Sha256};

use crate::check;
use crate::files::MAX_TEXT;

/// How many bytes are read at a time: they may be cut off at any moment, and so are not mapped.
const PIECE: u64 = 8 << 20;

/// How long bytes in which something was found must stay as they are.
const AWHILE: Duration = Duration::from_millis(50);

/// The part of a log that its seal does not cover, while a writer is at work.
#[derive(Debug)]
pub(crate) struct UnsealedTail {
    log: File,
    /// Where it begins: after the sealed bytes, and after the line end that those may lack.
    from: u64,
    to: u64,
}

/// What there is to say of it.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// In whole lines.
    pub(crate) findings: Vec<Finding>,
    /// The bytes of those lines.
    pub(crate) checked: u64,
}

impl UnsealedTail {
    /// The bytes of `log` from `sealed` to `to`. `ended` says whether the sealed ones end with a line end.
    pub(crate) fn of(log: &File, sealed: u64, ended: bool, to: u64) -> io::Result<Self> {
        let mut first = [0];
        let joins = !ended && to > sealed && log.read_at(&mut first, sealed)? == 1;
        Ok(Self {
            log: log.try_clone()?,
            from: sealed + u64::from(joins && first == *b"\n"),
            to,
        })
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.to - self.from
    }

    /// Checks its whole lines, given what the lines before them left; breaks where `told` does.
    pub(crate) fn judge(
        &self,
        mut sequencer: Sequencer,
        registry: &KeyRegistry,
        threads: usize,
        told: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<(), Judged>> {
        let keys = KeyDirectory::new(registry);
        let judge = OneByOne(&keys);
        let mut hasher = Sha256::new();
        let mut at = self.from;
        while let Some(lines) = self.lines(at)? {
            hasher.update(&lines);
            let fed = check::feed(&mut sequencer, &lines, at, &keys, &judge, threads, told);
            if fed.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at += lines.len() as u64;
        }
        let mut findings = sequencer.finish(registry).findings;
        // What concerns keys.json and the log as a whole waits for the seal.
        findings.retain(|finding| finding.offset.is_some_and(|offset| offset >= self.from));
        if !findings.is_empty() {
            thread::sleep(AWHILE);
            if self.digest()? != Digest(hasher.finalize().into()) {
                return Ok(ControlFlow::Continue(Judged::default()));
            }
        }
        Ok(ControlFlow::Continue(Judged {
            findings,
            checked: at - self.from,
        }))
    }

    /// The SHA-256 of its whole lines, as they are now.
    fn digest(&self) -> io::Result<Digest> {
        let mut hasher = Sha256::new();
        let mut at = self.from;
        while let Some(lines) = self.lines(at)? {
            hasher.update(&lines);
            at += lines.len() as u64;
        }
        Ok(Digest(hasher.finalize().into()))
    }

    /// Whole lines from byte `at` on; none at the end, at a NUL, and where the writer took them back.
    fn lines(&self, at: u64) -> io::Result<Option<Vec<u8>>> {
        let rest = self.to - at;
        let mut length = rest.min(PIECE);
        while length > 0 {
            let mut bytes = vec![0; length as usize];
            match self.log.read_exact_at(&mut bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
            let zero = memchr::memchr(0, &bytes);
            let filled = zero.unwrap_or(bytes.len());
            if let Some(end) = memchr::memrchr(b'\n', &bytes[..filled]) {
                bytes.truncate(end + 1);
                return Ok(Some(bytes));
            }
            if zero.is_some() || length == rest || length >= MAX_TEXT {
                return Ok(None);
            }
            length = rest.min(length * 2);
        }
        Ok(None)
    }
}
