//! What `manifest`, `adopt`, `redact`, `anchor add` and a merge are about to do, durable before they do it
//! (spec/VAULT_FORMAT, section 5).
//!
//! Each changes several files, and no system renames them at once. So the new small files, or what they
//! will be made of, are first written into one file of the vault, the intent; a log that becomes another
//! one is staged beside the old one, whole and durable with its name, before the intent names it. Only then
//! do files change, in any order. Whoever comes next goes *forward* from whatever a crash left ([`carry::settle`]),
//! and a reader judges the state that this gives.
//!
//! An intent has no signature of its own. It holds the `manifest.sig` that will be, and nothing is done
//! unless that is the current seal, by a key that counts, of the very state that going forward gives: it
//! can bring about nothing that a key of the vault did not sign.

pub(crate) mod carry;
pub(crate) mod pending;
pub(crate) mod version_1;

use provara_core::canonical::jcs;
use provara_core::id::Digest;
use provara_core::json::{self, Value, object};
use provara_core::layout;
use provara_core::manifest::{RootSignature, safe_path};

use crate::file_layer::is_fresh_name;

/// The `type` of an intent.
const INTENT_TYPE: &str = "provara_intent_v2";

/// What leaves an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Manifest,
    Adopt,
    Merge,
    Redact,
    Anchor,
}

impl Operation {
    const ALL: [Self; 5] = [
        Self::Manifest,
        Self::Adopt,
        Self::Merge,
        Self::Redact,
        Self::Anchor,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Adopt => "adopt",
            Self::Merge => "merge",
            Self::Redact => "redact",
            Self::Anchor => "anchor",
        }
    }

    /// With its article, for a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Manifest => "a new seal ('manifest')",
            Self::Adopt => "an adoption",
            Self::Merge => "a merge",
            Self::Redact => "a redaction",
            Self::Anchor => "a new anchor ('anchor add')",
        }
    }
}

/// Where the new bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Here.
    Content(Vec<u8>),
    /// In this file below the vault: a log that becomes another one.
    Staged(String),
    /// Behind the first bytes of the log: how many those are, and what follows them.
    Append { after: u64, text: Vec<u8> },
}

/// A file that gets other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) path: String,
    /// The SHA-256 before; none where it was not there.
    pub(crate) was: Option<Digest>,
    pub(crate) sha256: Digest,
    pub(crate) source: Source,
}

/// A file that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) path: String,
    pub(crate) was: Digest,
}

/// What an operation does to the files of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) operation: Operation,
    /// The root that the `manifest.sig` before states.
    pub(crate) from: Option<Digest>,
    /// The root of the new seal.
    pub(crate) to: Digest,
    /// All but `manifest.sig`.
    pub(crate) files: Vec<Step>,
    /// Checkpoints and anchors.
    pub(crate) removed: Vec<Removal>,
    /// The text of the new `manifest.sig`.
    pub(crate) seal: Vec<u8>,
}

/// The files that an intent may change, beside the log, `manifest.sig` and anchors.
const SMALL: [&str; 4] = [
    layout::KEYS,
    layout::SAFETY_POLICY,
    layout::MANIFEST,
    layout::MERKLE_ROOT,
];

impl Intent {
    /// Reads an intent in its one form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        const MALFORMED: &str = "it is not what an interrupted command leaves";
        let document = json::parse(text).map_err(|_| "it is not JSON")?;
        let intent = Self::read(&document).ok_or(MALFORMED)?;
        // Whatever else it holds, or in whatever other form: nobody wrote it so.
        match intent.to_bytes() == text {
            true => Ok(intent),
            false => Err(MALFORMED),
        }
    }

    fn read(document: &Value<'_>) -> Option<Self> {
        let text = |name| document.get(name).and_then(Value::as_str);
        (text("type")? == INTENT_TYPE).then_some(())?;
        let operation = text("operation")?;
        let seal = text("seal")?.as_bytes().to_vec();
        let to = text("to")?.parse().ok()?;
        let signature = RootSignature::parse(&seal).ok()?;
        (signature.merkle_root == to).then_some(())?;
        let files = document.get("files")?.as_array()?;
        let files: Vec<Step> = files.iter().map(read_step).collect::<Option<_>>()?;
        let distinct = |paths: &mut dyn Iterator<Item = &str>| {
            let mut paths: Vec<_> = paths.collect();
            let count = paths.len();
            paths.sort_unstable();
            paths.dedup();
            paths.len() == count
        };
        distinct(&mut files.iter().map(|step| step.path.as_str())).then_some(())?;
        let removed = document.get("removed")?.as_array()?;
        let removed: Vec<Removal> = removed.iter().map(read_removal).collect::<Option<_>>()?;
        distinct(&mut removed.iter().map(|removal| removal.path.as_str())).then_some(())?;
        Some(Self {
            operation: Operation::ALL
                .into_iter()
                .find(|it| it.name() == operation)?,
            from: optional_digest(document.get("from")?)?,
            to,
            files,
            removed,
            seal,
        })
    }

    /// The strict canonical form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let digest =
            |digest: Option<Digest>| digest.map_or(Value::Null, |it| it.to_string().into());
        let files = self.files.iter().map(|step| {
            let mut members = vec![
                ("path", step.path.clone().into()),
                ("was", digest(step.was)),
                ("sha256", step.sha256.to_string().into()),
            ];
            match &step.source {
                Source::Content(text) => members.push(("content", lossy(text))),
                Source::Staged(name) => members.push(("staged", name.clone().into())),
                Source::Append { after, text } => {
                    members.push(("append", lossy(text)));
                    members.push(("after", (*after).into()));
                }
            }
            object(members)
        });
        let removed = self.removed.iter().map(|removal| {
            object([
                ("path", removal.path.clone().into()),
                ("was", removal.was.to_string().into()),
            ])
        });
        let document = object([
            ("type", INTENT_TYPE.into()),
            ("operation", self.operation.name().into()),
            ("from", digest(self.from)),
            ("to", self.to.to_string().into()),
            ("files", Value::Array(files.collect())),
            ("removed", Value::Array(removed.collect())),
            ("seal", lossy(&self.seal)),
        ]);
        jcs(&document).expect("texts, and the length of a log")
    }

    pub(crate) fn step(&self, path: &str) -> Option<&Step> {
        self.files.iter().find(|step| step.path == path)
    }

    /// The staged log, relative to the vault.
    pub(crate) fn staged(&self) -> Option<&str> {
        match &self.step(layout::LOG)?.source {
            Source::Staged(name) => Some(name),
            Source::Content(_) | Source::Append { .. } => None,
        }
    }

    /// The new text of a small file.
    pub(crate) fn content(&self, path: &str) -> Option<&[u8]> {
        match &self.step(path)?.source {
            Source::Content(text) => Some(text),
            Source::Staged(_) | Source::Append { .. } => None,
        }
    }
}

/// A text as a JSON string: what writers make is UTF-8, and other bytes do not read back as themselves.
fn lossy(text: &[u8]) -> Value<'static> {
    String::from_utf8_lossy(text).into_owned().into()
}

#[expect(clippy::option_option, reason = "null differs from what is none")]
fn optional_digest(value: &Value<'_>) -> Option<Option<Digest>> {
    match value {
        Value::Null => Some(None),
        value => value.as_str()?.parse().ok().map(Some),
    }
}

fn read_step(value: &Value<'_>) -> Option<Step> {
    let text = |name| value.get(name).and_then(Value::as_str);
    let path = text("path")?;
    let sha256: Digest = text("sha256")?.parse().ok()?;
    let is_log = path == layout::LOG;
    let source = match (text("content"), text("staged"), text("append")) {
        (Some(content), None, None) if is_small(path) => {
            let content = content.as_bytes().to_vec();
            (Digest::of(&content) == sha256).then_some(())?;
            Source::Content(content)
        }
        (None, Some(staged), None) if is_log && is_staged_name(staged) => {
            Source::Staged(staged.to_owned())
        }
        (None, None, Some(append)) if is_log => Source::Append {
            after: value.get("after")?.as_i64()?.try_into().ok()?,
            text: append.as_bytes().to_vec(),
        },
        _ => return None,
    };
    Some(Step {
        path: path.to_owned(),
        was: optional_digest(value.get("was")?)?,
        sha256,
        source,
    })
}

/// Whether an intent may hold the new text of a file.
fn is_small(path: &str) -> bool {
    SMALL.contains(&path) || (safe_path(path) && layout::anchor_kind(path).is_some())
}

fn read_removal(value: &Value<'_>) -> Option<Removal> {
    let path = value.get("path")?.as_str()?;
    let is_one = layout::checkpoint_events(path).is_some() || layout::anchor_kind(path).is_some();
    let may_go = safe_path(path) && is_one;
    may_go.then_some(())?;
    Some(Removal {
        path: path.to_owned(),
        was: value.get("was")?.as_str()?.parse().ok()?,
    })
}

/// Whether a log may be staged there: under a temporary name beside the log.
fn is_staged_name(path: &str) -> bool {
    path.strip_prefix(layout::EVENTS)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(is_fresh_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_core::keys::SigningKey;
    use provara_core::manifest::sign_root;

    pub(super) fn intent() -> Intent {
        let to = Digest([7; 32]);
        let key = SigningKey::from_seed(&[1; 32]);
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let content = |path: &str, text: &[u8]| Step {
            path: path.to_owned(),
            was: None,
            sha256: Digest::of(text),
            source: Source::Content(text.to_vec()),
        };
        Intent {
            operation: Operation::Merge,
            from: Some(Digest([3; 32])),
            to,
            files: vec![
                Step {
                    path: layout::LOG.to_owned(),
                    was: Some(Digest([1; 32])),
                    sha256: Digest([2; 32]),
                    source: Source::Staged("events/.provara-tmp-00112233445566778899aabb".into()),
                },
                content(layout::KEYS, b"{\"keys\":[]}\n"),
                content(layout::MANIFEST, "\u{e9}".as_bytes()),
            ],
            removed: vec![Removal {
                path: "checkpoints/0000000007.chk".to_owned(),
                was: Digest([9; 32]),
            }],
            seal: sign_root(to, &key, now),
        }
    }

    #[test]
    fn an_intent_reads_back_and_names_nothing_else() {
        let staged = intent();
        let mut appended = staged.clone();
        appended.from = None;
        appended.files[0].source = Source::Append {
            after: 400,
            text: b"{\"a\":\"b\"}\n".to_vec(),
        };
        for intent in [&staged, &appended] {
            assert_eq!(Intent::parse(&intent.to_bytes()).as_ref(), Ok(intent));
        }
        let text = String::from_utf8(staged.to_bytes()).unwrap();
        for (from, to) in [
            ("identity/keys.json", "identity/private_keys.json"),
            ("identity/keys.json", "../elsewhere"),
            ("identity/keys.json", "manifest.json"),
            ("identity/keys.json", "manifest.sig"),
            ("checkpoints/0000000007.chk", "events/events.ndjson"),
            ("checkpoints/0000000007.chk", "checkpoints/../../x.chk"),
            ("events/.provara-tmp-0", "events/x-provara-tmp-0"),
            ("events/.provara-tmp-0", "../.provara-tmp-0"),
            ("\"staged\"", "\"content\""),
            ("\"operation\":\"merge\"", "\"operation\":\"remove\""),
            (INTENT_TYPE, "provara_intent_v3"),
            ("{\"files\"", "{ \"files\""),
            ("{\"files\"", "{\"a\":1,\"files\""),
            ("\"to\":\"07", "\"to\":\"08"),
            ("{\\\"keys\\\":[]}", "{\\\"keys\\\":{}}"),
        ] {
            assert!(text.contains(from), "{from}");
            let changed = text.replacen(from, to, 1);
            assert!(Intent::parse(changed.as_bytes()).is_err(), "{from} {to}");
        }
        for bad in ["", "{}", "[]", "null", &text[..text.len() - 1]] {
            assert!(Intent::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Intent::parse(format!("{text}\n").as_bytes()).is_err());
    }
}
