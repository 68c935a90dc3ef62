//! The page that shows chosen events to somebody who has only a browser, and checks itself there; and the archive around it.
//!
//! The data stand in the page once, in one element; they are found without running anything ([`data_in`]). What the page
//! shows is written by [`page`] from the data alone, so that whoever has the data can tell whether a page is one of ours.

mod archive;
mod rows;

use std::ops::RangeInclusive;

use askama::Template;
use provara_core::anchor::Anchor;
use provara_core::disclosure::Disclosure;
use provara_core::event_proof::{Proven, ProvenEvent};
use provara_core::history::KeyEventKind;
use provara_core::layout::AnchorKind;
use provara_core::scan::{Field, scan_line};
use provara_core::tree;

pub use self::archive::{CHECKER, EVIDENCE, PAGE, files, pack};

use self::rows::rows;
use crate::frame::Frame;
use crate::text::{self, filters};

/// What checks the page in the browser, and what shows the result there.
const SCRIPT: &str = concat!(
    include_str!("disclosure/checker.js"),
    "\n",
    include_str!("disclosure/page.js")
);

/// The one opening tag that the data have.
const OPENING: &str = "<script type=\"application/json\" id=\"evidence\">";

const CLOSING: &str = "</script>";

/// Why a page holds no data; a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoData {
    /// No element of data, or one without end.
    None,
    /// More than one.
    Several,
    /// Not written as data of a page are, in which one document has one text.
    Form,
}

/// The page of a disclosure, of which `proven` was proven. `version` is that of the program.
#[must_use]
pub fn page(disclosure: &Disclosure, proven: &Proven, version: &str) -> String {
    let head = disclosure.proof.head.head();
    let title = format!("Events of {}", head.origin.uid);
    let document = String::from_utf8(disclosure.to_json()).expect("canonical JSON");
    let data = in_page(&document);
    Page {
        frame: Frame {
            title: &title,
            version,
            script: Some(SCRIPT),
        },
        it: disclosure,
        proven,
        pieces: pieces(disclosure, proven),
        uid: &head.origin.uid,
        origin: head.origin.to_string(),
        size: head.size,
        root: head.root.to_string(),
        data,
    }
    .render()
    .expect("a String takes whatever is written to it")
}

/// The document that stands in a page, as [`Disclosure::parse`] takes it. The page is searched, and nothing in it is run.
///
/// # Errors
/// [`NoData`].
pub fn data_in(page: &[u8]) -> Result<Vec<u8>, NoData> {
    let mut found = memchr::memmem::find_iter(page, OPENING.as_bytes());
    let at = found.next().ok_or(NoData::None)? + OPENING.len();
    if found.next().is_some() {
        return Err(NoData::Several);
    }
    let length = memchr::memmem::find(&page[at..], CLOSING.as_bytes()).ok_or(NoData::None)?;
    let data = &page[at..at + length];
    let document = out_of_page(data);
    let again = std::str::from_utf8(&document).is_ok_and(|it| in_page(it).as_bytes() == data);
    again.then_some(document).ok_or(NoData::Form)
}

/// Whether bytes begin as a page does; no document does.
#[must_use]
pub fn is_page(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"<")
}

/// The characters that could end the element, or a line of a script, and how they stand in the page: JSON has them only
/// inside strings.
const WRITTEN: [(char, &str); 5] = [
    ('<', "\\u003c"),
    ('>', "\\u003e"),
    ('&', "\\u0026"),
    ('\u{2028}', "\\u2028"),
    ('\u{2029}', "\\u2029"),
];

/// A document, without its line end, as it stands in a page.
fn in_page(document: &str) -> String {
    let text = document.strip_suffix('\n').unwrap_or(document);
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match WRITTEN.iter().find(|(written, _)| *written == c) {
            Some((_, escape)) => out.push_str(escape),
            None => out.push(c),
        }
    }
    out
}

/// The document that stands so in a page.
fn out_of_page(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 1);
    let mut rest = data;
    while let Some(at) = memchr::memchr2(b'\\', b'<', rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let written = WRITTEN
            .iter()
            .find(|(_, escape)| from.starts_with(escape.as_bytes()));
        let taken = match written {
            Some((c, escape)) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                escape.len()
            }
            // What follows a backslash is no beginning of an escape.
            None => {
                let taken = from.len().min(if from[0] == b'\\' { 2 } else { 1 });
                out.extend_from_slice(&from[..taken]);
                taken
            }
        };
        rest = &from[taken..];
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
    out
}

/// What stands in the list: an event, or what is left out before the next.
enum Piece<'a> {
    Gap(RangeInclusive<u64>),
    Event(Card<'a>),
}

struct Card<'a> {
    event: &'a ProvenEvent,
    /// Of the payload, a way to each value and the value.
    rows: Vec<(String, String)>,
    /// The digest of a payload that is not here.
    withheld: Option<String>,
}

impl Card<'_> {
    fn speaks_of_keys(&self) -> bool {
        KeyEventKind::of(&self.event.event_type).is_some()
    }
}

impl Piece<'_> {
    fn gap(lines: &RangeInclusive<u64>) -> String {
        let (from, to) = (text::grouped(*lines.start()), text::grouped(*lines.end()));
        match from == to {
            true => format!("Line {from} is not shown"),
            false => format!("Lines {from} to {to} are not shown"),
        }
    }
}

fn pieces<'a>(disclosure: &Disclosure, proven: &'a Proven) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut next = 1;
    for (event, shown) in proven.events.iter().zip(&disclosure.proof.events) {
        if event.line > next {
            pieces.push(Piece::Gap(next..=event.line - 1));
        }
        next = event.line + 1;
        let line = scan_line(&shown.line).ok();
        let payload = line.as_ref().and_then(|it| it.raw(Field::Payload));
        let tombstone = line
            .as_ref()
            .filter(|_| event.withheld)
            .and_then(tree::tombstone);
        pieces.push(Piece::Event(Card {
            event,
            rows: match event.withheld {
                true => Vec::new(),
                false => payload.map(rows).unwrap_or_default(),
            },
            withheld: tombstone.map(|it| it.original.to_string()),
        }));
    }
    let size = disclosure.proof.head.head().size;
    if next <= size {
        pieces.push(Piece::Gap(next..=size));
    }
    pieces
}

/// The template, with what it does not work out itself.
#[derive(Template)]
#[template(path = "disclosure.html")]
struct Page<'a> {
    frame: Frame<'a>,
    it: &'a Disclosure,
    proven: &'a Proven,
    pieces: Vec<Piece<'a>>,
    uid: &'a str,
    origin: String,
    size: u64,
    root: String,
    data: String,
}

impl Page<'_> {
    /// The lines that follow each other without a gap, where there are several.
    fn stretches(&self) -> Vec<String> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for event in &self.proven.events {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == event.line => *last = event.line,
                _ => runs.push((event.line, event.line)),
            }
        }
        if runs == [(1, self.size)] {
            return vec![
                "These are all events that the log had then: none is left out.".to_owned(),
            ];
        }
        let whole = runs.into_iter().filter(|(from, to)| from < to);
        whole
            .map(|(from, to)| {
                let (from, to) = (text::grouped(from), text::grouped(to));
                format!("Nothing is missing between lines {from} and {to}.")
            })
            .collect()
    }

    /// How many events of the log are here, in words.
    fn share(&self) -> String {
        let shown = self.proven.events.len() as u64;
        format!(
            "{} of the {}",
            text::grouped(shown),
            text::counted(self.size, "event")
        )
    }

    fn anchor(&self, anchor: &Anchor) -> String {
        let claims = anchor.claims().join(", ");
        match anchor.kind() {
            AnchorKind::Head => format!("Cosigned, it says, by {claims}"),
            AnchorKind::TimeStamp => "Stamped with a time by an authority".to_owned(),
            AnchorKind::Event => format!("Written into another log, it says: {claims}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_go_into_a_page_and_come_out() {
        for text in [
            "{\"a\":\"</script><!-- & \u{2028}\u{2029} \\\\u003c \\\\\\\\ \\\"é\"}\n",
            "{}\n",
            "{\"\\\\\":\"\\\\<\"}\n",
        ] {
            let written = in_page(text);
            assert!(!written.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
            let page = format!("<p>{OPENING}{written}{CLOSING}</p>");
            assert_eq!(data_in(page.as_bytes()).unwrap(), text.as_bytes());
            assert_eq!(
                data_in(format!("{page}{OPENING}").as_bytes()),
                Err(NoData::Several)
            );
        }
        assert_eq!(data_in(b"<p>"), Err(NoData::None));
        assert_eq!(data_in(OPENING.as_bytes()), Err(NoData::None));
    }

    #[test]
    fn the_script_ends_nothing_and_asks_for_nothing() {
        for word in [
            "</",
            "<!--",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "fetch(",
            "XMLHttp",
            "import(",
            "http:",
            "https:",
            "WebSocket",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
    }
}
