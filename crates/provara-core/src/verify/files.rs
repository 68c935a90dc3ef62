//! The files beside the log: identity, policies, the seal, and what must not be there
//! (spec/VAULT_FORMAT, sections 1 and 5).

mod seal;
mod size;

use crate::finding::{Code, Finding};
use crate::id::KeyId;
use crate::json::{self, Value};
use crate::keys::{KeyEntryError, KeyRegistry};
use crate::layout::{GENESIS, KEYS, ONTOLOGY, RETENTION_POLICY, SAFETY_POLICY, SYNC_CONTRACT};
use crate::verify::{LogVerdict, Predecessor};

pub use seal::{DiskEntry, SealFiles, check_fit};
pub(in crate::verify) use seal::{
    check_listing, check_manifest_against_disk, check_root_file, read_manifest, read_root_file,
};
pub(in crate::verify) use size::AboutLog;

/// What is said of a file without which there is no vault.
pub const MISSING: &str = "a file that every vault has is missing";

fn missing(file: &str) -> Finding {
    Finding::new(Code::E302, file, MISSING)
}

fn field(file: &str, name: &str, expected: &str) -> Finding {
    Finding::new(
        Code::E300,
        file,
        format!("'{name}' is missing or is not {expected}"),
    )
}

/// Reads a JSON document, or says why it is none.
fn document<'a>(file: &str, text: Option<&'a [u8]>) -> Result<Value<'a>, Box<Finding>> {
    let text = text.ok_or_else(|| Box::new(missing(file)))?;
    let value = json::parse(text).map_err(|error| {
        let mut finding = Finding::new(Code::E104, file, format!("not JSON: {}", error.kind));
        finding.offset = Some(error.offset as u64);
        Box::new(finding)
    })?;
    if value.as_object().is_none() {
        return Err(Box::new(Finding::new(
            Code::E302,
            file,
            "not a JSON object",
        )));
    }
    Ok(value)
}

/// What `identity/genesis.json` says, beside what it must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenesisFile {
    /// `uid`
    pub uid: Option<String>,
    /// `root_key_id`
    pub root_key_id: Option<String>,
    /// The vault that this one follows.
    pub predecessor: Option<Predecessor>,
}

/// Checks `identity/genesis.json`.
#[must_use]
pub fn check_genesis(text: Option<&[u8]>) -> (GenesisFile, Vec<Finding>) {
    let document = match document(GENESIS, text) {
        Ok(document) => document,
        Err(finding) => return (GenesisFile::default(), vec![*finding]),
    };
    let mut findings = Vec::new();
    let text = |name| {
        document
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    for name in ["uid", "birth_timestamp", "root_key_id"] {
        if text(name).is_none() {
            findings.push(field(GENESIS, name, "a non-empty string"));
        }
    }
    for name in ["governance_model", "initial_ontology_versions"] {
        if document.get(name).is_none() {
            findings.push(field(GENESIS, name, "there"));
        }
    }
    if text("root_key_id").is_some_and(|id| id.parse::<KeyId>().is_err()) {
        findings.push(Finding::new(
            Code::E102,
            GENESIS,
            "'root_key_id' is no key id",
        ));
    }
    let (predecessor, faults) = Predecessor::read(&document);
    let fault = |(code, message)| Finding::new(code, GENESIS, message);
    findings.extend(faults.into_iter().map(fault));
    let file = GenesisFile {
        uid: text("uid").map(str::to_owned),
        root_key_id: text("root_key_id").map(str::to_owned),
        predecessor,
    };
    (file, findings)
}

/// Holds `genesis.json` against the `GENESIS` event and `keys.json`.
#[must_use]
pub fn check_identity(
    file: &GenesisFile,
    log: &LogVerdict,
    registry: &KeyRegistry,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(event) = &log.genesis {
        for (name, stated, signed) in [
            ("uid", &file.uid, &event.uid),
            ("root_key_id", &file.root_key_id, &event.root_key_id),
        ] {
            if let (Some(stated), Some(signed)) = (stated, signed)
                && stated != signed
            {
                let message = format!("'{name}' is not that of the signed GENESIS event");
                findings.push(Finding::new(Code::E302, GENESIS, message).compare(signed, stated));
            }
        }
    }
    if let Some(event) = &log.genesis
        && event.predecessor != file.predecessor
    {
        let message = "'predecessor_vault' is not that of the signed GENESIS event";
        findings.push(Finding::new(Code::E302, GENESIS, message));
    }
    let root = file
        .root_key_id
        .as_ref()
        .and_then(|id| id.parse::<KeyId>().ok());
    if let Some(root) = root.filter(|id| registry.get(id).is_none()) {
        let message = format!("the root key {root} is not in keys.json");
        findings.push(Finding::new(Code::E204, GENESIS, message));
    }
    findings
}

/// Checks `identity/keys.json`. What it says of rotations is held against the log by
/// [`Sequencer::finish`](crate::verify::Sequencer::finish).
#[must_use]
pub fn check_keys(text: Option<&[u8]>) -> (KeyRegistry, Vec<Finding>) {
    let Some(text) = text else {
        return (KeyRegistry::default(), vec![missing(KEYS)]);
    };
    match KeyRegistry::parse(text) {
        Err(error) => {
            let code = match error {
                crate::keys::KeyRegistryError::Json(_) => Code::E104,
                crate::keys::KeyRegistryError::NotAnObject => Code::E302,
                crate::keys::KeyRegistryError::Shape => Code::E300,
            };
            (
                KeyRegistry::default(),
                vec![Finding::new(code, KEYS, error.to_string())],
            )
        }
        Ok(registry) => {
            let finding = |problem: &KeyEntryError| {
                let code = match problem {
                    KeyEntryError::Field { .. }
                    | KeyEntryError::Revocation { .. }
                    | KeyEntryError::Revocations => Code::E300,
                    KeyEntryError::Id { .. } => Code::E102,
                    KeyEntryError::PublicKey { .. } | KeyEntryError::Duplicate { .. } => Code::E302,
                };
                let finding = Finding::new(code, KEYS, problem.to_string());
                match problem {
                    KeyEntryError::Id { given, derived, .. } => finding.compare(derived, given),
                    _ => finding,
                }
            };
            let findings = registry.problems.iter().map(finding).collect();
            (registry, findings)
        }
    }
}

/// Checks the files under `policies/`; `read` gives the bytes of a file.
#[must_use]
pub fn check_policies<'a>(read: impl Fn(&str) -> Option<&'a [u8]>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut check = |file: &'static str, rules: fn(&Value<'_>) -> Vec<Finding>| match document(
        file,
        read(file),
    ) {
        Ok(document) => findings.extend(rules(&document)),
        Err(finding) => findings.push(*finding),
    };
    check(SAFETY_POLICY, safety_policy);
    check(SYNC_CONTRACT, sync_contract);
    check(RETENTION_POLICY, |document| {
        let permanent = document.get("events").and_then(Value::as_str) == Some("permanent");
        if permanent {
            Vec::new()
        } else {
            vec![field(RETENTION_POLICY, "events", "\"permanent\"")]
        }
    });
    check(ONTOLOGY, |_| Vec::new());
    findings
}

fn safety_policy(document: &Value<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for level in ["L0", "L1", "L2", "L3"] {
        let class = document
            .get("action_classes")
            .and_then(|classes| classes.get(level));
        if class.and_then(Value::as_object).is_none() {
            findings.push(field(
                SAFETY_POLICY,
                &format!("action_classes.{level}"),
                "an object",
            ));
        }
    }
    let ratchet = document.get("merge_ratchet").and_then(Value::as_str);
    if ratchet != Some("most_restrictive_wins") {
        findings.push(field(
            SAFETY_POLICY,
            "merge_ratchet",
            "\"most_restrictive_wins\"",
        ));
    }
    findings
}

fn sync_contract(document: &Value<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, least, expected) in [
        ("authorities", 1, "a non-empty list"),
        ("degradation_ladder", 2, "a list of two or more"),
    ] {
        let list = document.get(name).and_then(Value::as_array);
        if list.is_none_or(|list| list.len() < least) {
            findings.push(field(SYNC_CONTRACT, name, expected));
        }
    }
    if document
        .get("merge_policies")
        .and_then(Value::as_object)
        .is_none()
    {
        findings.push(field(SYNC_CONTRACT, "merge_policies", "an object"));
    }
    if !document
        .get("replication_factor")
        .is_some_and(Value::is_integer_token)
    {
        findings.push(field(SYNC_CONTRACT, "replication_factor", "an integer"));
    }
    findings
}
