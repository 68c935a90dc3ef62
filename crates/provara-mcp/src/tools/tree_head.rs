//! What a vault holds now, signed for others to keep.

use provara_vault::TreeHeadOptions;
use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, output, signs};
use super::{Call, Tool};
use crate::answer::Answer;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The tool's name.
pub(super) const NAME: &str = "tree_head";

/// `tree_head`.
pub(super) struct TreeHead;

impl Tool for TreeHead {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Sign what a vault holds now",
            "Verify a vault and sign its tree head: a small text ('note', a C2SP signed note) that says how many \
             events it has and the root of the Merkle tree over them. Whoever keeps it can hold the vault to it \
             later ('heads' of 'verify_vault') and check proofs of events ('prove_event'). Pass it on as it is, to \
             the byte. Nothing in the vault changes; the machine remembers the last one that was signed.",
            choice.input(json!({}), &[]),
            output(&[
                ("note", "string"),
                ("origin", "string"),
                ("size", "integer"),
                ("root", "string"),
            ]),
            signs(),
        )
    }

    fn waits(&self, _: &Call) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let (handle, renderer) = (call.vault()?, &*call.server.renderer);
        job.stage("verifying");
        let vault = handle.open(renderer, job)?;
        let keyfile = handle.keyfile(renderer)?;
        let options = TreeHeadOptions {
            key_id: call.server.config.key_id,
            ..TreeHeadOptions::default()
        };
        let turn = handle.turn();
        let signed = vault.tree_head(&keyfile, &options);
        drop(turn);
        let receipt = signed.map_err(|error| handle.refusal(renderer, error))?;
        let answer = Answer::new().with("vault", handle.name.as_str());
        Ok(answer.with_members(&receipt))
    }
}
