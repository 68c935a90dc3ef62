//! A proof that events are in a vault, for somebody who has not the vault.

use provara_vault::{Chosen, SourceLog};
use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, output, part_cursor, reads};
use super::{Call, Tool, heads};
use crate::answer::{Answer, MAX_ANSWER};
use crate::args;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The most events that are named by their ids.
const MOST: usize = 50;

/// The last line of a log that can be named.
const LAST_LINE: u64 = 1 << 40;

/// The tool's name.
pub(super) const NAME: &str = "prove_event";

/// `prove_event`.
pub(super) struct ProveEvent;

impl Tool for ProveEvent {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Prove events to somebody without the vault",
            "A proof that events, named by their ids or as a range of lines, are in the vault as a tree head says it \
             is ('tree_head'). Of a range it also proves that nothing between was left out. Whoever has the tree \
             head checks it with 'provara verify-proof', without the vault. The events are in it, with those that \
             bring the keys. Pass 'proof' on as it is, to the byte. The vault is verified first.",
            choice.input(
                json!({
                    "head": heads::head_schema("The tree head that whoever gets the proof has: the 'note' of 'tree_head'."),
                    "event_ids": {"type": "array", "maxItems": MOST, "items": {"type": "string", "maxLength": 28}, "description": "The events. Either these or lines."},
                    "first_line": {"type": "integer", "minimum": 1, "maximum": LAST_LINE, "description": "The first line of the log, from 1, whose event is proven."},
                    "last_line": {"type": "integer", "minimum": 1, "maximum": LAST_LINE, "description": "The last one; first_line by default."},
                    "cursor": part_cursor()
                }),
                &["head"],
            ),
            output(&[("proof", "string"), ("origin", "string"), ("size", "integer")]),
            reads(),
        )
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let (handle, renderer) = (call.vault()?, &*call.server.renderer);
        let text = args::text(&call.arguments, "head").unwrap_or_default();
        let head = heads::head(call, &handle, "head", text)?;
        let chosen = chosen(call)?;
        let (vault, log) = call.verify_first(&handle, job, "proving")?;
        if let Chosen::Lines(from, to) = chosen {
            bounded(&log, from, to)?;
        }
        let proof = vault.prove(&log, &head, &chosen);
        // First of all: what it read may be why it failed.
        handle.check_unchanged(&log, renderer)?;
        let proof = proof.map_err(|error| handle.refusal(renderer, error))?;
        let document = String::from_utf8_lossy(&proof.to_json()).into_owned();
        let (origin, size) = (head.head().origin.to_string(), head.head().size);
        Ok(Answer::new()
            .with("vault", handle.name.as_str())
            .with("origin", &origin)
            .with("size", &size)
            .with("proof", &document))
    }
}

/// Which events are asked for.
fn chosen(call: &Call) -> Result<Chosen, Refusal> {
    let ids = heads::event_ids(call)?;
    let given = |name| call.arguments.contains_key(name);
    // The schema bounds it far below what a float cannot count.
    let line = |name, absent| args::count(&call.arguments, name, absent);
    let (first, last) = (given("first_line"), given("last_line"));
    match (&ids[..], first, last) {
        ([], true, _) => {
            let from = line("first_line", 1);
            Ok(Chosen::Lines(from as u64, line("last_line", from) as u64))
        }
        ([_, ..], false, false) => Ok(Chosen::Events(ids)),
        _ => Err(Refusal::new(
            "It is not said which events are to be proven: by their ids, or in which lines.",
            "Give either 'event_ids', or 'first_line' and 'last_line'.",
        )),
    }
}

/// Refuses lines whose proof would be longer than any answer, before it is made.
fn bounded(log: &SourceLog, from: u64, to: u64) -> Result<(), Refusal> {
    let place = |line: u64| usize::try_from(line).unwrap_or(usize::MAX);
    let lines = log.bytes().split(|byte| *byte == b'\n');
    let lines = lines
        .skip(place(from).saturating_sub(1))
        .take(place(to.saturating_sub(from).saturating_add(1)));
    let mut room = MAX_ANSWER;
    for line in lines {
        room = room.checked_sub(line.len()).ok_or_else(|| {
            Refusal::new(
                &format!("The events of lines {from} to {to} have more bytes than an answer may ({MAX_ANSWER})."),
                "Name fewer lines, or ask the operator for a proof: 'provara prove'.",
            )
        })?;
    }
    Ok(())
}
