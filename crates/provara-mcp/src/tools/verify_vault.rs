//! The verdict on a vault, and every finding, a page at a time.

use provara_core::finding::Code;
use provara_vault::VerifyOptions;
use rmcp::model::Tool as Described;
use serde_json::{Value, json};

use super::describe::{Choice, described, output, reads};
use super::{Call, Tool, heads};
use crate::answer::Answer;
use crate::args;
use crate::cursor::Cursors;
use crate::job::JobHandle;
use crate::read::{MAX_FINDINGS, report};
use crate::refusal::Refusal;

/// The findings of one page where a call does not say.
const FINDINGS: usize = 50;

/// The tool's name.
pub(super) const NAME: &str = "verify_vault";

/// `verify_vault`.
pub(super) struct VerifyVault;

impl Tool for VerifyVault {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Verify a vault",
            "Check every event's id and signature, the chains, the keys over time and the seal, and \
             report what was verified (identity, counts, hashes) and every finding with its code, line and \
             event, causes before what follows from them. Call it before relying on what a vault says. It is held to tree heads ('tree_head') and root keys that are given. An invalid vault is an answer (valid: false), not a failure of the call. \
             'explain-finding' is a prompt that explains a code.",
            choice.input(
                json!({
                    "strict": {"type": "boolean", "default": false, "description": "Count warnings as errors."},
                    "allow": {"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 12}, "description": "Warnings that do not count, by code, such as W007; how many were allowed is told."},
                    "heads": heads::heads_schema(),
                    "root_keys": heads::root_keys_schema(),
                    "no_cache": {"type": "boolean", "default": false, "description": "Check every signature again, whatever verified before on this machine."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FINDINGS, "default": FINDINGS},
                    "cursor": {"type": "string", "maxLength": 40, "description": "next_cursor of the page before."}
                }),
                &[],
            ),
            output(&[
                ("valid", "boolean"),
                ("event_count", "integer"),
                ("findings", "array"),
                ("next_cursor", "string"),
            ]),
            reads(),
        )
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        let options = VerifyOptions {
            strict: args::flag(&call.arguments, "strict"),
            allowed: allowed(call)?,
            describe: true,
            no_cache: args::flag(&call.arguments, "no_cache"),
            held: heads::held(call, &handle)?,
            ..VerifyOptions::default()
        };
        let limit = args::count(&call.arguments, "limit", FINDINGS);
        let cursors = Cursors::of(&call.arguments, &handle.path);
        let skip = cursors.given(&call.arguments)?;
        job.stage("verifying");
        report(&call.server, &handle, &options, limit, skip, &cursors, job)
    }
}

/// The warnings that the call allows.
fn allowed(call: &Call) -> Result<Vec<Code>, Refusal> {
    let given = call.arguments.get("allow").and_then(Value::as_array);
    let names = given.into_iter().flatten().filter_map(Value::as_str);
    let code = |name: &str| {
        let name = name.strip_prefix("PROVARA_").unwrap_or(name);
        let is_it = |code: &&Code| code.as_str().strip_prefix("PROVARA_") == Some(name);
        let found = Code::ALL
            .iter()
            .find(is_it)
            .filter(|code| code.is_warning());
        found.copied().ok_or_else(|| {
            Refusal::new(
                &format!("No warning has the code '{}'.", provara_plugins::text::inline(name)),
                "Name codes of warnings that a report showed, such as W007; errors cannot be allowed.",
            )
        })
    };
    names.map(code).collect()
}
