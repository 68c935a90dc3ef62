//! The seals that events name, and what that tells of where a seal may lie (spec/VAULT_FORMAT, section 5).

use memchr::memmem::{Finder, FinderRev};

use crate::id::{Digest, EventId};
use crate::json::{self, Value};
use crate::mark::{FILES_TYPE, SealName};
use crate::scan::{Field, Line, scan_line};

/// What a line that names a seal holds somewhere, if perhaps in a payload.
const NEEDLE: &[u8] = b"\"seal\":\"";

/// Which lines of a log name which seals.
#[derive(Debug)]
pub(super) struct Naming<'a> {
    log: &'a [u8],
}

/// What is wrong beyond a seal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// A line names another seal, or this one although it does not stand directly beyond it.
    Seal { line: u64, name: SealName },
    /// A line states other files than those on the disk.
    Files { line: u64 },
    /// A line follows another event than the one in the line before it.
    Line { line: u64 },
}

impl<'a> Naming<'a> {
    pub(super) fn of(log: &'a [u8]) -> Self {
        Self { log }
    }

    /// The least length of the log that the seal `this` can cover, given what its lines name: a line that names
    /// a seal stands directly beyond it, so that the last one that does lies beyond this seal, and directly, or
    /// under it.
    pub(super) fn bound(&self, this: SealName) -> usize {
        let finder = FinderRev::new(NEEDLE);
        let mut at = self.log.len();
        while let Some(found) = finder.rfind(&self.log[..at]) {
            at = line_start(self.log, found);
            let line = line_at(self.log, at);
            match name_of(line) {
                Some(name) if name == this => return at,
                Some(_) => return (at + line.len() + 1).min(self.log.len()),
                None => {}
            }
        }
        0
    }

    /// Where the first line that names a seal ends; none where no line does.
    pub(super) fn first_naming(&self, name: SealName) -> Option<usize> {
        let text = format!("\"seal\":\"{name}\"");
        Finder::new(&text).find_iter(self.log).find_map(|at| {
            let start = line_start(self.log, at);
            let line = line_at(self.log, start);
            (name_of(line) == Some(name)).then(|| (start + line.len() + 1).min(self.log.len()))
        })
    }

    /// The seal that the line at byte `start` names.
    pub(super) fn named_at(&self, start: usize) -> Option<SealName> {
        name_of(line_at(self.log, start))
    }

    /// Holds the lines beyond the first `length` bytes, which are `events` events, against the seal `this`
    /// and the files on the disk; gives the lines that neither name a seal nor are bound to the line before.
    pub(super) fn beyond(
        &self,
        (events, length): (u64, usize),
        this: SealName,
        files: Digest,
    ) -> Result<Vec<u64>, Beyond> {
        let mut loose = Vec::new();
        let sealed = self.log[..length].strip_suffix(b"\n");
        let last = sealed.map(|sealed| line_at(self.log, line_start(self.log, sealed.len())));
        let mut before = last.and_then(|line| id_in(&scan_line(line).ok()?, Field::EventId));
        let lines = self.log[length..].split_inclusive(|byte| *byte == b'\n');
        for (number, bytes) in (events + 1..).zip(lines) {
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            // What is no event has a finding of its own.
            let Ok(line) = scan_line(bytes) else { continue };
            let name = name_in(&line);
            if let Some(name) = name.filter(|name| *name != this || number != events + 1) {
                return Err(Beyond::Seal { line: number, name });
            }
            if line.text(Field::Type).as_deref() == Some(FILES_TYPE)
                && stated(&line).is_none_or(|root| root != files)
            {
                return Err(Beyond::Files { line: number });
            }
            let after = id_in(&line, Field::After);
            if after.is_some() && after != before {
                return Err(Beyond::Line { line: number });
            }
            let follows = before.is_some() && id_in(&line, Field::PrevEventHash) == before;
            if name.is_none() && after.is_none() && !follows {
                loose.push(number);
            }
            before = id_in(&line, Field::EventId);
        }
        Ok(loose)
    }
}

fn id_in(line: &Line<'_>, field: Field) -> Option<EventId> {
    line.text(field)?.parse().ok()
}

fn line_start(log: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &log[..at]).map_or(0, |end| end + 1)
}

fn line_at(log: &[u8], start: usize) -> &[u8] {
    let rest = &log[start..];
    &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())]
}

fn name_of(line: &[u8]) -> Option<SealName> {
    name_in(&scan_line(line).ok()?)
}

fn name_in(line: &Line<'_>) -> Option<SealName> {
    line.text(Field::Seal)?.parse().ok()
}

/// The root that a statement of files states.
fn stated(line: &Line<'_>) -> Option<Digest> {
    let payload = json::parse(line.raw(Field::Payload)?).ok()?;
    payload
        .get("files_root")
        .and_then(Value::as_str)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(byte: u8) -> SealName {
        SealName([byte; 16])
    }

    /// An event of which nothing but the actor and the seal matters: its id is that of its actor.
    fn line(actor: &str, seal: Option<u8>) -> String {
        let seal = seal.map_or(String::new(), |byte| {
            format!(",\"seal\":\"{}\"", name(byte))
        });
        let trap = format!("\"payload\":{{\"seal\":\"{}\"}}", name(9));
        format!("{{\"actor\":\"{actor}\",{trap}{seal},\"type\":\"com.acme.a.b\"}}\n")
    }

    fn ends(lines: &[String]) -> Vec<usize> {
        let mut at = 0;
        let mut ends = vec![0];
        ends.extend(lines.iter().map(|line| {
            at += line.len();
            at
        }));
        ends
    }

    #[test]
    fn the_last_line_that_names_a_seal_bounds_what_a_seal_covers() {
        let lines = [
            line("a", None),
            line("b", Some(1)),
            line("a", Some(2)),
            line("b", None),
            line("c", None),
        ];
        let (log, ends) = (lines.concat(), ends(&lines));
        let bound = |seal| Naming::of(log.as_bytes()).bound(name(seal));
        assert_eq!(bound(2), ends[2], "line 3 follows it");
        assert_eq!(bound(1), ends[3], "line 3 names another one");
        assert_eq!(bound(9), ends[3], "a payload names nothing");
        let beyond = |events: u64, seal| {
            let at = (events, ends[events as usize]);
            Naming::of(log.as_bytes()).beyond(at, name(seal), Digest([0; 32]))
        };
        assert_eq!(beyond(2, 2), Ok(vec![4, 5]));
        assert_eq!(beyond(3, 7), Ok(vec![4, 5]));
        let other = |line, seal| {
            Err(Beyond::Seal {
                line,
                name: name(seal),
            })
        };
        assert_eq!(beyond(1, 1), other(3, 2));
        assert_eq!(beyond(1, 2), other(2, 1), "not directly beyond it");
        assert_eq!(beyond(5, 1), Ok(vec![]));
    }

    #[test]
    fn files_that_are_stated_beyond_a_seal_are_those_of_the_disk() {
        let text = |root: Digest| {
            format!(
                "{{\"actor\":\"a\",\"payload\":{{\"files_root\":\"{root}\"}},\"type\":\"{FILES_TYPE}\"}}\n"
            )
        };
        let log = text(Digest([3; 32]));
        let beyond = |files| Naming::of(log.as_bytes()).beyond((0, 0), name(1), files);
        assert_eq!(beyond(Digest([3; 32])), Ok(vec![1]));
        assert_eq!(beyond(Digest([4; 32])), Err(Beyond::Files { line: 1 }));
    }
}
