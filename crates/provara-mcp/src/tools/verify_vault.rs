//! The verdict on a vault, and every finding, a page at a time.

use provara_vault::VerifyOptions;
use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, reads};
use super::{Call, Tool};
use crate::answer::Answer;
use crate::args;
use crate::job::JobHandle;
use crate::read::{MAX_FINDINGS, cursor, report};
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
             report every finding with its code, line and event, causes before what follows from them. Call it before relying on what a \
             vault says. An invalid vault is an answer (valid: false), not a failure of the call. \
             'explain-finding' is a prompt that explains a code.",
            choice.input(
                json!({
                    "strict": {"type": "boolean", "default": false, "description": "Count warnings as errors."},
                    "no_cache": {"type": "boolean", "default": false, "description": "Check every signature again, whatever verified before on this machine."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FINDINGS, "default": FINDINGS},
                    "cursor": {"type": "string", "maxLength": 40, "description": "next_cursor of the page before."}
                }),
                &[],
            ),
            json!({
                "type": "object",
                "required": ["vault", "valid", "event_count", "errors", "warnings", "findings", "notes"],
                "properties": {
                    "vault": {"type": "string"},
                    "valid": {"type": "boolean"},
                    "event_count": {"type": "integer"},
                    "errors": {"type": "integer"},
                    "warnings": {"type": "integer"},
                    "findings": {"type": "array", "items": {
                        "type": "object",
                        "required": ["code", "name", "severity", "message", "file"],
                        "properties": {
                            "code": {"type": "string"},
                            "name": {"type": "string"},
                            "severity": {"type": "string", "enum": ["error", "warning"]},
                            "message": {"type": "string"},
                            "event_id": {"type": ["string", "null"]},
                            "file": {"type": "string"},
                            "line": {"type": ["integer", "null"]}
                        }
                    }},
                    "notes": {"type": "array", "items": {"type": "string"}},
                    "next_cursor": {"type": "string"}
                }
            }),
            reads(),
        )
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        let options = VerifyOptions {
            strict: args::flag(&call.arguments, "strict"),
            no_cache: args::flag(&call.arguments, "no_cache"),
            ..VerifyOptions::default()
        };
        let limit = args::count(&call.arguments, "limit", FINDINGS);
        let cursor = cursor(&call.arguments)?;
        job.stage("verifying");
        report(&call.server, &handle, &options, limit, cursor, job)
    }
}
