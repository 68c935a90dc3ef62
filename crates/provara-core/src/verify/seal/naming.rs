//! The seals that events name, and what that tells of where a seal may lie (spec/VAULT_FORMAT, section 5).

use std::collections::HashMap;

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
    /// Where the first line that names a seal ends, for each that was asked for.
    first: HashMap<SealName, Option<usize>>,
}

/// What is wrong beyond a seal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// A line names a seal that neither is this one nor one that a line under it names.
    OtherSeal { line: u64, name: SealName },
    /// A line states other files than those on the disk.
    OtherFiles { line: u64 },
    /// A line follows another event than the one in the line before it.
    OtherLine { line: u64 },
}

impl<'a> Naming<'a> {
    pub(super) fn of(log: &'a [u8]) -> Self {
        Self {
            log,
            first: HashMap::new(),
        }
    }

    /// The least length of the log that the seal `this` can cover, given what its lines name: beyond it a
    /// line names this seal, or one that a line under it names.
    pub(super) fn bound(&mut self, this: SealName) -> usize {
        let finder = FinderRev::new(NEEDLE);
        let (mut low, mut at) = (0, self.log.len());
        while at > low
            && let Some(found) = finder.rfind(&self.log[low..at])
        {
            let start = line_start(self.log, low + found);
            let line = line_at(self.log, start);
            if let Some(name) = name_of(line).filter(|name| *name != this) {
                let first = self.first_naming(name);
                low = low.max(first.expect("this line names it"));
            }
            at = start;
        }
        low
    }

    /// Where the first line that names a seal ends; none where no line does.
    pub(super) fn first_naming(&mut self, name: SealName) -> Option<usize> {
        if let Some(first) = self.first.get(&name) {
            return *first;
        }
        let text = format!("\"seal\":\"{name}\"");
        let finder = Finder::new(&text);
        let mut ends = finder.find_iter(self.log).filter_map(|at| {
            let start = line_start(self.log, at);
            let line = line_at(self.log, start);
            (name_of(line) == Some(name)).then(|| (start + line.len() + 1).min(self.log.len()))
        });
        let first = ends.next();
        drop(ends);
        self.first.insert(name, first);
        first
    }

    /// Holds the lines beyond the first `length` bytes, which are `events` events, against the seal `this`
    /// and the files on the disk; gives the lines that neither name a seal nor are bound to the line before.
    pub(super) fn beyond(
        &mut self,
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
            if let Some(name) = name.filter(|name| *name != this)
                && self.first_naming(name).is_none_or(|first| first > length)
            {
                return Err(Beyond::OtherSeal { line: number, name });
            }
            if line.text(Field::Type).as_deref() == Some(FILES_TYPE)
                && stated(&line).is_none_or(|root| root != files)
            {
                return Err(Beyond::OtherFiles { line: number });
            }
            let after = id_in(&line, Field::After);
            if after.is_some() && after != before {
                return Err(Beyond::OtherLine { line: number });
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
    fn a_seal_covers_what_names_another_one() {
        // Line 3 names seal 1, lines 4 and 6 name seal 2.
        let lines = [
            line("a", None),
            line("b", None),
            line("a", Some(1)),
            line("b", Some(2)),
            line("a", None),
            line("c", Some(2)),
        ];
        let (log, ends) = (lines.concat(), ends(&lines));
        let bound = |seal| Naming::of(log.as_bytes()).bound(name(seal));
        assert_eq!(bound(2), ends[3], "line 3 names another seal");
        assert_eq!(
            bound(1),
            ends[4],
            "line 6 names one that line 4 named first"
        );
        assert_eq!(bound(7), ends[4]);
        assert_eq!(bound(9), ends[4], "a payload names nothing");
        let beyond = |events: u64, seal| {
            let at = (events, ends[events as usize]);
            Naming::of(log.as_bytes()).beyond(at, name(seal), Digest([0; 32]))
        };
        assert_eq!(beyond(3, 2), Ok(vec![5]));
        assert_eq!(beyond(4, 1), Ok(vec![5]));
        let other = Beyond::OtherSeal {
            line: 4,
            name: name(2),
        };
        assert_eq!(beyond(3, 1), Err(other));
        assert_eq!(beyond(6, 1), Ok(vec![]));
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
        assert_eq!(beyond(Digest([4; 32])), Err(Beyond::OtherFiles { line: 1 }));
    }
}
