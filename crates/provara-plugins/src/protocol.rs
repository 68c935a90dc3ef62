//! The host protocol, version 2: what the core and the plugin host say to each other.
//!
//! A frame is a length of four bytes, big-endian, and that many bytes of UTF-8 JSON. The core
//! sends one request at a time, `{"id": n, "op": …}`, and expects exactly one reply with the same
//! id, either `{"id": n, "ok": true, "result": {…}}` or `{"id": n, "ok": false, "error": {…}}`. Before
//! the reply to `discover` the host says whose code it is about to run, `{"id": n, "loading": …}` with
//! a `Loading` or null, so that one which never returns can be named, and left out the next time. It
//! waits until the core has taken note, `{"id": n, "noted": true}`, so that what that code prints is known
//! to be its own. Anything else is a [`Violation`]: the host runs plugins, so nothing that it says is believed
//! before it is checked. The version is the protocol's own and moves only when the protocol does.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 2;

/// The largest frame, in bytes, in either direction.
pub const MAX_FRAME: usize = 64 * 1024 * 1024;

/// How many times a host may say what it is loading before its reply.
pub(crate) const MAX_NAMED: usize = 10_000;

/// What a host did that the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The announced length is beyond [`MAX_FRAME`].
    #[error("announced a frame of {0} bytes (at most {MAX_FRAME} are allowed)")]
    Oversized(u64),
    /// The frame is not a JSON reply.
    #[error("sent a frame that is no reply: {0}")]
    Malformed(String),
    /// The reply has another id than the request.
    #[error("answered request {found} while request {expected} was open")]
    WrongId {
        /// The id of the open request.
        expected: u64,
        /// The id in the reply.
        found: u64,
    },
    /// The host names plugins and comes to no end.
    #[error("said more than {MAX_NAMED} times what it was loading")]
    Endless,
    /// Bytes arrived while no request was open.
    #[error("sent a reply that nobody had asked for")]
    Unsolicited,
    /// The result has not the shape that the operation defines.
    #[error("answered '{op}' with a result of the wrong shape: {detail}")]
    WrongShape {
        /// The operation.
        op: &'static str,
        /// What was wrong with the result.
        detail: String,
    },
    /// The host speaks another version of the protocol.
    #[error("speaks version {0} of the host protocol, not version {VERSION}")]
    Version(u32),
}

/// One request, as the bytes of its frame's body.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation, for messages.
    pub op: &'static str,
    body: Vec<u8>,
}

impl Request {
    /// Starts a request; `id` is chosen by the core and returns in the reply.
    pub fn new(id: u64, op: &'static str) -> Request {
        Request {
            op,
            body: format!("{{\"id\":{id},\"op\":\"{op}\"").into_bytes(),
        }
    }

    /// Adds a member whose value is a number.
    pub fn number(mut self, key: &str, value: u64) -> Request {
        self.key(key);
        self.body.extend_from_slice(value.to_string().as_bytes());
        self
    }

    /// Adds a member whose value is a string.
    pub fn string(mut self, key: &str, value: &str) -> Request {
        self.key(key);
        provara_core::canonical::write_string(&mut self.body, value);
        self
    }

    /// Adds a member whose value is already JSON.
    pub fn json(mut self, key: &str, value: &[u8]) -> Request {
        self.key(key);
        self.body.extend_from_slice(value);
        self
    }

    fn key(&mut self, key: &str) {
        self.body.push(b',');
        provara_core::canonical::write_string(&mut self.body, key);
        self.body.push(b':');
    }

    /// The whole frame: length and body.
    ///
    /// # Errors
    /// The body's length in bytes if it is beyond [`MAX_FRAME`].
    pub fn into_frame(mut self) -> Result<Vec<u8>, usize> {
        self.body.push(b'}');
        frame(&self.body)
    }
}

/// Puts the length before a body.
///
/// # Errors
/// The body's length in bytes if it is beyond [`MAX_FRAME`].
pub fn frame(body: &[u8]) -> Result<Vec<u8>, usize> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME);
    let length = length.ok_or(body.len())?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Collects the bytes of frames as they arrive.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
}

impl FrameReader {
    /// Takes bytes as they came from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The body of the next whole frame, if it has arrived.
    ///
    /// # Errors
    /// [`Violation::Oversized`] as soon as the length is known.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Violation> {
        let Some(head) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(Violation::Oversized(length as u64));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(4 + length);
        let mut body = std::mem::replace(&mut self.bytes, rest);
        body.drain(..4);
        Ok(Some(body))
    }

    /// Whether any byte waits that belongs to no frame taken so far.
    pub fn has_bytes(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// How a plugin failed, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WireError {
    /// `raised`, `not_json`, `not_found`, `exit` or `internal`.
    pub kind: FailureKind,
    /// The plugin at fault, as the host names it.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The name of the exception's class.
    #[serde(default)]
    pub exception: Option<String>,
    /// The exception's text.
    #[serde(default)]
    pub message: Option<String>,
    /// The traceback, of several lines.
    #[serde(default)]
    pub traceback: Option<String>,
    /// The call that the system refused, if it was one.
    #[serde(default)]
    pub tried: Option<String>,
}

/// The classes of failure that the host distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The plugin raised an exception.
    Raised,
    /// The plugin returned something that is not JSON.
    NotJson,
    /// No such plugin.
    NotFound,
    /// The plugin asked the interpreter to exit.
    Exit,
    /// The host itself failed.
    Internal,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: u64,
    ok: bool,
    // Read once its type is known: a tree of a hostile frame could be much larger than the frame.
    #[serde(borrow)]
    result: Option<&'a serde_json::value::RawValue>,
    error: Option<WireError>,
}

/// Whose code the host is about to run while it loads plugins. The host's word, and so that of any
/// plugin in it; it comes back as it is in `skip`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loading {
    /// The entry point with its distribution, or an item of `PROVARA_PLUGINS`.
    pub(crate) plugin: String,
    /// The module, while it is being imported: whatever else is in it cannot be loaded either.
    pub(crate) module: Option<String>,
}

/// What a frame says that is being loaded for the request `id`, which may be nothing; none if it is
/// another frame.
pub(crate) fn parse_loading(body: &[u8], id: u64) -> Option<Option<Loading>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Frame {
        id: u64,
        // As it is, so that a frame without it is another one.
        #[serde(deserialize_with = "Option::deserialize")]
        loading: Option<Loading>,
    }
    let frame: Frame = serde_json::from_slice(body).ok()?;
    (frame.id == id).then_some(frame.loading)
}

/// The frame that tells the host that it was noted what it is about to load.
pub(crate) fn noted(id: u64) -> Vec<u8> {
    frame(format!("{{\"id\":{id},\"noted\":true}}").as_bytes()).expect("a frame of a few bytes")
}

/// A reply: the operation's result, or how the plugin failed.
pub type Reply<T> = Result<T, WireError>;

/// Reads a reply to the request `id` of the operation `op`.
///
/// # Errors
/// A [`Violation`] if the frame is not exactly such a reply.
pub fn parse_reply<T: DeserializeOwned>(
    body: &[u8],
    id: u64,
    op: &'static str,
) -> Result<Reply<T>, Violation> {
    let malformed = |text: String| Violation::Malformed(crate::text::inline(&text).into_owned());
    let envelope: Envelope<'_> =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    if envelope.id != id {
        return Err(Violation::WrongId {
            expected: id,
            found: envelope.id,
        });
    }
    match envelope {
        Envelope {
            ok: true,
            result: Some(result),
            error: None,
            ..
        } => serde_json::from_str(result.get())
            .map(Ok)
            .map_err(|error| Violation::WrongShape {
                op,
                detail: crate::text::inline(&error.to_string()).into_owned(),
            }),
        Envelope {
            ok: false,
            result: None,
            error: Some(error),
            ..
        } => Ok(Err(error)),
        Envelope { ok, .. } => Err(malformed(format!(
            "\"ok\" is {ok}, which does not fit its other members"
        ))),
    }
}

/// The result of `hello`.
#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    /// The protocol's version that the host speaks.
    pub protocol: u32,
    /// The version of the Python package `provara`.
    pub version: String,
    /// The version of Python.
    pub python: String,
    /// The path of the interpreter.
    pub executable: String,
}

/// The result of `discover`.
#[derive(Debug, Clone, Deserialize)]
pub struct Discovered {
    /// Every plugin found.
    pub plugins: Vec<WirePlugin>,
    /// What went wrong on the way.
    pub problems: Vec<WireProblem>,
    /// What the process looked at, where it was to load one distribution alone.
    #[serde(default)]
    pub files: Option<Vec<String>>,
}

/// Where a plugin comes from, as the host describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct WireOrigin {
    /// Module and qualified name of its class.
    pub class: String,
    /// The installed distribution that it belongs to.
    #[serde(default)]
    pub distribution: Option<String>,
    /// The version of that distribution.
    #[serde(default)]
    pub version: Option<String>,
    /// How it was found.
    pub source: WireSource,
    /// The name of its entry point.
    #[serde(default)]
    pub entry_point: Option<String>,
    /// The item of `PROVARA_PLUGINS` that it was found by.
    #[serde(default)]
    pub item: Option<String>,
}

/// One plugin as the host describes it; nothing in it is checked yet.
#[derive(Debug, Clone, Deserialize)]
pub struct WirePlugin {
    /// `event_type`, `reducer` or `export`.
    pub kind: WireKind,
    /// The plugin's name.
    pub name: String,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: WireOrigin,
    /// The JSON Schema of an event type, as text.
    #[serde(default)]
    pub schema_json: Option<String>,
    /// The further schemas of an event type, one JSON object by URI, as text.
    #[serde(default)]
    pub schemas_json: Option<String>,
    /// What the attribute `schemas` is, where it looks meant as further schemas and is not read: `list`.
    #[serde(default)]
    pub unread_schemas: Option<String>,
    /// The version of the schema.
    #[serde(default)]
    pub schema_version: Option<String>,
    /// The alias of an event type.
    #[serde(default)]
    pub cli_command: Option<String>,
    /// What the plugin says of itself.
    #[serde(default)]
    pub description: Option<String>,
}

/// The kinds of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireKind {
    /// Defines a custom event type.
    EventType,
    /// Derives a state from events.
    Reducer,
    /// Writes the vault in another form.
    Export,
}

/// How a plugin was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WireSource {
    /// Through an entry point of an installed distribution.
    EntryPoint,
    /// Through a call of the registry.
    Registered,
    /// Through `PROVARA_PLUGINS`.
    Environment,
}

/// Something that went wrong during discovery.
#[derive(Debug, Clone, Deserialize)]
pub struct WireProblem {
    /// `invalid`, `collision`, `load`, `name` or `schema`.
    pub kind: String,
    /// The plugin or entry point.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The installed distribution that it belongs to, where that is known.
    #[serde(default)]
    pub distribution: Option<String>,
    /// The text for people, of several lines.
    pub text: String,
    /// Where the plugin comes from, if it is an event type whose schema cannot be read.
    #[serde(default)]
    pub origin: Option<WireOrigin>,
}

/// The result of `schema`: the texts, or why there are none.
#[derive(Debug, Clone, Deserialize)]
pub struct WireSchema {
    /// The JSON Schema of the event type, as text.
    #[serde(default)]
    pub schema_json: Option<String>,
    /// The further schemas, one JSON object by URI, as text.
    #[serde(default)]
    pub schemas_json: Option<String>,
    /// The version of the schema.
    #[serde(default)]
    pub schema_version: Option<String>,
    /// Why the schema cannot be read.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The result of `validate`.
#[derive(Debug, Clone, Deserialize)]
pub struct Validated {
    /// What the plugin's `validate` decided.
    pub valid: bool,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// The call that the system refused, if `validate` raised because of one.
    #[serde(default)]
    pub tried: Option<String>,
}

/// The result of `reduce`.
#[derive(Debug, Clone, Deserialize)]
pub struct Reduced {
    /// The reducer's output as JSON text.
    pub output_json: String,
}

/// The result of `export`: nothing.
#[derive(Debug, Clone, Deserialize)]
pub struct Exported {}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> FrameReader {
        let mut reader = FrameReader::default();
        reader.push(bytes);
        reader
    }

    #[test]
    fn frames_survive_any_split() {
        let frame = Request::new(7, "validate")
            .string("type", "a\"b\n")
            .json("data", b"{}")
            .number("log_fd", 5)
            .into_frame()
            .unwrap();
        let body = br#"{"id":7,"op":"validate","type":"a\"b\n","data":{},"log_fd":5}"#;
        for cut in 0..frame.len() {
            let mut reader = reader(&frame[..cut]);
            assert_eq!(reader.next_frame().unwrap(), None);
            reader.push(&frame[cut..]);
            reader.push(&frame);
            assert_eq!(reader.next_frame().unwrap().as_deref(), Some(&body[..]));
            assert_eq!(reader.next_frame().unwrap().as_deref(), Some(&body[..]));
            assert!(!reader.has_bytes());
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_before_its_body() {
        assert_eq!(
            reader(&[0xff; 4]).next_frame(),
            Err(Violation::Oversized(u64::from(u32::MAX)))
        );
        assert_eq!(frame(&vec![0; MAX_FRAME + 1]), Err(MAX_FRAME + 1));
    }

    #[test]
    fn a_plugin_is_named_by_one_frame_only() {
        let named = |body: &str| parse_loading(body.as_bytes(), 3);
        let loading = Loading {
            plugin: "a (b)".to_owned(),
            module: Some("m".to_owned()),
        };
        let body = r#"{"id":3,"loading":{"plugin":"a (b)","module":"m"}}"#;
        assert_eq!(named(body), Some(Some(loading)));
        assert_eq!(named(r#"{"id":3,"loading":null}"#), Some(None));
        for other in [
            r#"{"id":2,"loading":null}"#,
            r#"{"id":3}"#,
            r#"{"id":3,"loading":"a"}"#,
            r#"{"id":3,"loading":{"module":"m"}}"#,
            r#"{"id":3,"loading":null,"ok":true,"result":{}}"#,
            r#"{"id":3,"ok":true,"result":{}}"#,
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn replies_must_fit_their_request() {
        let parse = |body: &str| parse_reply::<Validated>(body.as_bytes(), 3, "validate");
        let good = parse(r#"{"id":3,"ok":true,"result":{"valid":true}}"#)
            .unwrap()
            .unwrap();
        assert!(good.valid && good.reason.is_none());
        assert_eq!(
            parse(r#"{"id":4,"ok":true,"result":{"valid":true}}"#).unwrap_err(),
            Violation::WrongId {
                expected: 3,
                found: 4
            }
        );
        let failed = parse(r#"{"id":3,"ok":false,"error":{"kind":"exit","plugin":"p"}}"#);
        assert_eq!(failed.unwrap().unwrap_err().kind, FailureKind::Exit);
        for malformed in [
            "",
            "[]",
            "{}",
            r#"{"id":3,"ok":true}"#,
            r#"{"id":3,"ok":false,"result":{"valid":true}}"#,
            r#"{"id":3,"ok":true,"result":{"valid":true},"error":{"kind":"exit"}}"#,
            r#"{"id":3,"id":3,"ok":true,"result":{"valid":true}}"#,
            r#"{"id":3,"ok":true,"result":{"valid":true}} x"#,
            r#"{"id":3,"ok":false,"error":{"kind":"other"}}"#,
        ] {
            assert!(
                matches!(parse(malformed), Err(Violation::Malformed(_))),
                "{malformed}"
            );
        }
        assert!(matches!(
            parse(r#"{"id":3,"ok":true,"result":{"valid":"yes"}}"#),
            Err(Violation::WrongShape { op: "validate", .. })
        ));
    }
}
