//! Events as they come: `--follow` and `--cursor`.
//!
//! Each time the log or its seal has changed, the vault is verified anew, and it is checked that what was
//! read before still stands there. The cursor is written after what it covers was: whoever goes on from it
//! may see an event twice after a crash, and misses none.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use provara_core::layout;
use provara_query::Asked;
use provara_report::{Class, Diagnostic};
use provara_vault::{SourceLog, Vault};

use super::cursor::{self, Cursor};
use super::print::Printer;
use super::select::Selection;
use super::{QueryArgs, explain_fields, gave_up, start};
use crate::{gate, terminal};

/// How often it is looked whether there is something new.
const LOOK: Duration = Duration::from_millis(200);

/// How much longer than a verification took is waited before the next, so that a large log that is written
/// all the time does not keep a processor busy.
const REST: u32 = 4;

pub(super) fn run(
    args: &QueryArgs,
    vault: &Vault,
    mut log: SourceLog,
    asked: &Asked,
    printer: &mut Printer<'_, impl Write>,
) -> Result<(), Diagnostic> {
    let mut place = match &args.cursor {
        Some(file) => cursor::read(file)?.unwrap_or_else(|| Cursor::after(&log, 0)),
        None => Cursor::after(&log, start(args, &log)?),
    };
    let (mut last, mut limit) = (args.last, args.limit.unwrap_or(u64::MAX));
    let (mut first, mut explained) = (true, false);
    let (mut took, mut seen) = (Duration::ZERO, None);
    loop {
        let Some(rest) = place.rest(&log) else {
            return Err(replaced(args));
        };
        let all = place.events + memchr::memchr_iter(b'\n', rest).count() as u64;
        let selection = Selection {
            start: place.events,
            last: last.take(),
            reverse: false,
            offset: 0,
            limit,
        };
        let before = printer.printed;
        let mut reached = place.events;
        let mut print = || {
            if first {
                printer.start()?;
                first = false;
            }
            selection.each(&log, &asked.query, |number, line| {
                reached = number;
                printer.event(number, line)
            })?;
            match args.follow {
                true => printer.flush(),
                false => printer.end(),
            }
        };
        match print() {
            Ok(()) => {}
            // Nobody read the last of it: the cursor stays where it was.
            Err(error) => return terminal::written(Err(error)),
        }
        gate::check_unchanged(&log, &args.vault.vault)?;
        gave_up(asked)?;
        if !explained {
            explained = true;
            explain(asked, &log, printer, limit);
        }
        limit -= printer.printed - before;
        // Where the limit ended it, the next begins after the last that was printed.
        let read = if limit == 0 { reached } else { all };
        if read > place.events {
            place = Cursor::after(&log, read);
        }
        if let Some(file) = &args.cursor {
            cursor::write(file, &place)?;
        }
        if !args.follow || limit == 0 {
            return Ok(());
        }
        if let Some(seen) = &seen {
            wait(vault, seen, took * REST);
        }
        // Before the vault is read: what changes meanwhile is looked at again.
        seen = Some(Signature::of(vault));
        let began = Instant::now();
        log = gate::verify_again(vault, &args.vault.vault, args.gate)?;
        took = began.elapsed();
    }
}

/// Says what of the request no event of the whole log meets: that there is nothing new is no reason to.
fn explain(asked: &Asked, log: &SourceLog, printer: &Printer<'_, impl Write>, limit: u64) {
    if limit == 0 {
        return;
    }
    let notes = match printer.printed {
        0 => provara_explain::nothing_chosen(asked, log),
        _ => {
            let types: Vec<_> = asked.query.wanted_types().collect();
            let actors: Vec<_> = asked.query.wanted_actors().collect();
            provara_explain::absent_names(&types, &actors, log)
        }
    };
    notes.iter().for_each(|text| terminal::note(text));
    explain_fields(asked, log, printer);
}

/// What changes with the log or its seal.
#[derive(PartialEq, Eq)]
struct Signature(Vec<Option<(u64, u64, i64, i64)>>);

impl Signature {
    fn of(vault: &Vault) -> Self {
        let files = std::iter::once(layout::LOG).chain(layout::SEAL);
        let of = |name| {
            let it = fs::metadata(vault.path().join(name)).ok()?;
            Some((it.ino(), it.len(), it.mtime(), it.mtime_nsec()))
        };
        Self(files.map(of).collect())
    }
}

/// Waits until something has changed, and at least as long as `rest`.
fn wait(vault: &Vault, seen: &Signature, rest: Duration) {
    thread::sleep(rest);
    while Signature::of(vault) == *seen {
        thread::sleep(LOOK);
    }
}

fn replaced(args: &QueryArgs) -> Diagnostic {
    let path = args.vault.vault.display();
    let diagnostic = Diagnostic::new(
        Class::Unavailable,
        format!(
            "The log of '{path}' is not the one that was followed: what was read of it before does not stand \
             there any more in the same order. It was replaced, restored, merged or redacted, or the cursor is of \
             another vault."
        ),
    );
    match &args.cursor {
        Some(file) => diagnostic.fix(format!(
            "Name the file that was used with this vault before. If it is '{0}', look at what happened to the vault; \
             then remove '{0}' to read the log from its start.",
            file.display()
        )),
        None => diagnostic.fix("Look at what happened to the vault, then start again."),
    }
}
