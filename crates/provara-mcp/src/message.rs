//! One message out of bytes, and what is answered to bytes that are none (JSON-RPC 2.0, section 5.1).

use std::collections::HashMap;

use provara_core::json::ParseErrorKind;
use provara_plugins::text::inline;
use rmcp::RoleServer;
use rmcp::model::{
    ErrorCode, ErrorData, GetExtensions as _, JsonRpcMessage, PaginatedRequestParams, RequestId,
    ServerJsonRpcMessage,
};
use rmcp::service::RxJsonRpcMessage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::exact;
use crate::limits::MAX_MESSAGE;

/// A message of a client.
pub(crate) type Message = RxJsonRpcMessage<RoleServer>;

/// Why bytes are no message of the protocol.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refused {
    code: ErrorCode,
    reason: String,
    /// What the operator is told instead, where the reason quotes the message.
    logged: Option<&'static str>,
    /// The request that is answered, where that can be read: whoever sent it waits for an answer.
    id: Option<RequestId>,
    /// Whether it would be an answer itself. Such are never answered, or two peers that do not
    /// understand each other would go on for ever.
    is_answer: bool,
}

impl Refused {
    fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            logged: None,
            id: None,
            is_answer: false,
        }
    }

    /// What is no request.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID_REQUEST, reason)
    }

    /// What does not parse.
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Self::new(ErrorCode::PARSE_ERROR, reason)
    }

    /// The same, said to the request of this id.
    pub(crate) fn to(self, id: RequestId) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }

    /// A request whose id is that of one that is not answered yet.
    pub(crate) fn in_hand(id: RequestId) -> Self {
        let reason = "a request with this id is in hand";
        Self {
            id: Some(id),
            ..Self::new(ErrorCode::INVALID_REQUEST, reason)
        }
    }

    /// A message of more bytes than are read.
    pub(crate) fn too_long(id: Option<RequestId>) -> Self {
        let reason = format!("a message has at most {} MiB", MAX_MESSAGE >> 20);
        Self {
            id,
            ..Self::new(ErrorCode::INVALID_REQUEST, reason)
        }
    }

    /// Tells the operator.
    pub(crate) fn log(&self) {
        let reason = self.logged.unwrap_or(&self.reason);
        tracing::warn!("refused a message: {}", inline(reason));
    }

    /// The answer, unless there is none to be given.
    pub(crate) fn answer(&self) -> Option<Value> {
        (!self.is_answer).then(|| {
            json!({
                "jsonrpc": "2.0",
                "id": self.id,
                "error": {"code": self.code, "message": self.text()}
            })
        })
    }

    /// The answer as a message, for what has an id and so cannot be an answer itself.
    pub(crate) fn error(self) -> ServerJsonRpcMessage {
        let error = ErrorData::new(self.code, self.text(), None);
        JsonRpcMessage::error(error, self.id)
    }

    fn text(&self) -> String {
        let name = match self.code {
            ErrorCode::PARSE_ERROR => "Parse error",
            ErrorCode::INVALID_PARAMS => "Invalid parameters",
            _ => "Invalid request",
        };
        format!("{name}: {}", self.reason)
    }
}

/// The longest name of a member that is told whole, in characters.
const LONGEST_NAME: usize = 100;

/// The methods that list something, a page at a time.
const LISTS: [&str; 4] = [
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "tools/list",
];

/// Reads one message.
pub(crate) fn read(text: &[u8]) -> Result<Message, Refused> {
    // A mark of the byte order may be passed over (RFC 8259, section 8.1).
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if let Some(misread) = misread(text) {
        return Err(misread);
    }
    let (text, exact) = exact::of(text);
    let mut message: Message =
        serde_json::from_slice(&text).map_err(|error| explain(&text, &error))?;
    if let (Some(exact), JsonRpcMessage::Request(request)) = (exact, &mut message) {
        // What is attached goes to the handler.
        request.request.extensions_mut().insert(exact);
    }
    Ok(message)
}

/// What the protocol's library would take for something else. Of two members of one name the last would
/// count, and be signed. Parameters of a list that do not fit would be none at all, and a client that
/// turns pages get the first one for ever.
pub(crate) fn misread(text: &[u8]) -> Option<Refused> {
    let envelope: Envelope<'_> = serde_json::from_slice(text).ok()?;
    if let Some(name) = twice(text) {
        let reason = format!("an object has the member '{name}' twice");
        return Some(Refused {
            id: envelope.known_id(),
            is_answer: envelope.is_answer(),
            logged: Some("an object has a member twice"),
            ..Refused::new(ErrorCode::INVALID_PARAMS, reason)
        });
    }
    let method = envelope.method.as_ref()?.as_str()?;
    // A notice of that name is none of the protocol, and not answered.
    let id = envelope.known_id()?;
    let params = envelope.params.filter(|_| LISTS.contains(&method))?;
    let error = serde_json::from_str::<PaginatedRequestParams>(params.get()).err()?;
    let reason = format!("those of {method} do not fit: {error}");
    Some(Refused {
        id: Some(id),
        logged: Some("the parameters of a list do not fit"),
        ..Refused::new(ErrorCode::INVALID_PARAMS, reason)
    })
}

/// The name, or its start, of a member that an object anywhere in the text has twice. The library reads
/// nothing in which this reader would stop earlier for another reason.
fn twice(text: &[u8]) -> Option<String> {
    match provara_core::json::parse(text).err()?.kind {
        ParseErrorKind::DuplicateKey(name) if name.chars().nth(LONGEST_NAME).is_some() => {
            let start: String = name.chars().take(LONGEST_NAME).collect();
            Some(inline(&start).into_owned() + "…")
        }
        ParseErrorKind::DuplicateKey(name) => Some(inline(&name).into_owned()),
        _ => None,
    }
}

/// Whether a message asks for a session.
pub(crate) fn greets(text: &[u8]) -> bool {
    let envelope: Option<Envelope<'_>> = serde_json::from_slice(text).ok();
    envelope.is_some_and(|envelope| envelope.method == Some("initialize".into()))
}

/// The members that tell what a message is. All others are passed over, however deep they go.
#[derive(Deserialize)]
struct Envelope<'a> {
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

impl Envelope<'_> {
    /// The id, if it is one.
    fn known_id(&self) -> Option<RequestId> {
        let id = self.id.as_ref()?;
        RequestId::deserialize(id).ok()
    }

    /// Whether it would be an answer.
    fn is_answer(&self) -> bool {
        self.method.is_none() && (self.result.is_some() || self.error.is_some())
    }

    /// Why the parameters are none that any method could have.
    fn misfit(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Parameters {
            #[serde(rename = "_meta")]
            _meta: Option<HashMap<String, IgnoredAny>>,
        }
        let params = self.params?.get();
        if !params.starts_with('{') {
            return Some("'params' is no object".to_owned());
        }
        let wrong = serde_json::from_str::<Parameters>(params).err()?;
        Some(format!("'_meta' does not fit: {wrong}"))
    }
}

fn explain(text: &[u8], error: &serde_json::Error) -> Refused {
    let broken = |reason: String| Refused::new(ErrorCode::PARSE_ERROR, reason);
    if let Err(error) = std::str::from_utf8(text) {
        return broken(format!("{error}"));
    }
    let envelope: Envelope<'_> = match serde_json::from_slice(text) {
        Ok(envelope) => envelope,
        Err(error) if error.is_data() => {
            // A batch is an array, which only one revision of the protocol has.
            let reason = "a message is one JSON object, each member once";
            return Refused::new(ErrorCode::INVALID_REQUEST, reason);
        }
        Err(error) => return broken(error.to_string()),
    };
    let known = envelope.known_id();
    let invalid = ErrorCode::INVALID_REQUEST;
    let (code, reason) = if envelope.jsonrpc != Some("2.0".into()) {
        (invalid, "'jsonrpc' is not \"2.0\"".to_owned())
    } else if envelope.id.is_some() && known.is_none() {
        (
            invalid,
            "'id' is neither a text nor a whole number".to_owned(),
        )
    } else if !matches!(envelope.method, Some(Value::String(_))) {
        (invalid, "'method' is missing, or is no text".to_owned())
    } else if error.is_syntax() {
        // Grammatical, and beyond what is read: 128 levels, a lone surrogate, a number of 400 digits.
        (invalid, error.to_string())
    } else if let Some(reason) = envelope.misfit() {
        (ErrorCode::INVALID_PARAMS, reason)
    } else {
        (invalid, "it is neither a request nor a notice".to_owned())
    };
    Refused {
        id: known,
        is_answer: envelope.is_answer(),
        logged: (code == ErrorCode::INVALID_PARAMS)
            .then_some("'params' or its '_meta' does not fit"),
        ..Refused::new(code, reason)
    }
}

/// Finds the id of a request that is too long to be kept, wherever in it that stands.
#[derive(Debug, Default)]
pub(crate) struct IdFinder {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The outermost object's member in hand: what of it lies at its own level.
    token: Vec<u8>,
    is_id: bool,
    found: Option<RequestId>,
}

impl IdFinder {
    /// The longest id, or name of a member, that is looked at, in bytes.
    const TOKEN: usize = 256;

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.next(byte);
        }
    }

    /// The id, if it has come.
    pub(crate) fn found(self) -> Option<RequestId> {
        self.found
    }

    fn next(&mut self, byte: u8) {
        if self.in_string {
            self.in_string = byte != b'"' || self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    return;
                }
                b'}' | b']' => {
                    self.end_of_member();
                    self.depth = self.depth.saturating_sub(1);
                    return;
                }
                b':' if self.depth == 1 => {
                    self.is_id = self.token.trim_ascii() == b"\"id\"";
                    self.token.clear();
                    return;
                }
                b',' => {
                    self.end_of_member();
                    return;
                }
                _ => {}
            }
        }
        if self.depth == 1 && self.token.len() <= Self::TOKEN {
            self.token.push(byte);
        }
    }

    fn end_of_member(&mut self) {
        if self.depth != 1 {
            return;
        }
        if self.is_id && self.token.len() <= Self::TOKEN {
            self.found = serde_json::from_slice(&self.token).ok();
        }
        self.is_id = false;
        self.token.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> (i32, Value) {
        let answer = read(text).unwrap_err().answer().unwrap();
        (
            i32::try_from(answer["error"]["code"].as_i64().unwrap()).unwrap(),
            answer["id"].clone(),
        )
    }

    #[test]
    fn what_does_not_parse_and_what_is_no_request() {
        for text in [&b"{"[..], b"\xff\xfe", b"x", b"{\"id\":1,}", b"[[["] {
            assert_eq!(refused(text), (-32700, Value::Null), "{text:?}");
        }
        for text in [
            "[]",
            "null",
            "7",
            "\"x\"",
            "{}",
            r#"{"jsonrpc":"1.0","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","method":7}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        ] {
            assert_eq!(refused(text.as_bytes()), (-32600, Value::Null), "{text}");
        }
        for given in ["7", "[1]", "\"x\"", "false", "{\"_meta\":7}"] {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{given}}}"#);
            assert_eq!(refused(text.as_bytes()), (-32602, 1.into()), "{text}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        for rest in [
            r#""method":"ping""#.to_owned(),
            r#""jsonrpc":"2.0""#.to_owned(),
            r#""jsonrpc":"2.0","method":"ping","result":1"#.to_owned(),
            r#""jsonrpc":"2.0","method":"ping","params":{"x":"\ud800"}"#.to_owned(),
            format!(r#""jsonrpc":"2.0","method":"ping","params":{deep}"#),
        ] {
            let text = format!(r#"{{"id":"a",{rest}}}"#);
            assert_eq!(refused(text.as_bytes()), (-32600, "a".into()), "{text}");
        }
    }

    #[test]
    fn no_member_counts_that_stands_twice() {
        let call = |rest: &str| {
            let head = r#""jsonrpc":"2.0","id":1,"method":"tools/call","params""#;
            format!(r#"{{{head}:{rest}}}"#)
        };
        for (params, name) in [
            (r#"{"name":"a","name":"b"}"#, "name"),
            (r#"{"name":"a","arguments":{"x":1,"x":1}}"#, "x"),
            (
                r#"{"name":"a","arguments":{"x":[0,{"ok":1,"\u006fk":2}]}}"#,
                "ok",
            ),
            (
                r#"{"name":"a","arguments":{"\u0007":1,"\u0007":2}}"#,
                "\\u{7}",
            ),
            (r#"{"_meta":{"x":1,"x":2},"name":"a"}"#, "x"),
        ] {
            let text = call(params);
            assert_eq!(refused(text.as_bytes()), (-32602, 1.into()), "{text}");
            let refused = read(text.as_bytes()).unwrap_err().text();
            assert!(refused.contains(&format!("'{name}' twice")), "{refused}");
        }
        let long = "x".repeat(LONGEST_NAME);
        let text = call(&format!(r#"{{"{long}y":1,"{long}y":2}}"#));
        let refused = read(text.as_bytes()).unwrap_err().text();
        assert!(refused.contains(&format!("'{long}…'")), "{refused}");
        // An answer is refused, and not answered.
        let answer = br#"{"jsonrpc":"2.0","id":1,"result":{"x":1,"x":2}}"#;
        assert_eq!(read(answer).unwrap_err().answer(), None);
        // What is as deep as can be, and has numbers of every kind, is taken as before.
        let deep = "[".repeat(124) + &"]".repeat(124);
        let numbers = "[-0,1e-400,0.10000000000000000555,123456789012345678901234567890,1e308]";
        for value in [deep.as_str(), numbers, r#"{"x":{"x":1},"X":2}"#] {
            let text = call(&format!(r#"{{"name":"a","arguments":{{"x":{value}}}}}"#));
            assert!(read(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_cursor_that_is_no_text_is_not_taken_for_none() {
        for method in LISTS {
            for given in ["{\"cursor\":5}", "{\"cursor\":[\"1\"]}", "{\"_meta\":7}"] {
                let text =
                    format!(r#"{{"params":{given},"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
                assert_eq!(refused(text.as_bytes()), (-32602, 1.into()), "{text}");
            }
            let notice =
                format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"cursor":5}}}}"#);
            assert!(read(notice.as_bytes()).is_ok());
            for given in [
                "null",
                "{}",
                "{\"cursor\":null}",
                "{\"cursor\":\"5\",\"x\":1}",
            ] {
                let text =
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{given}}}"#);
                assert!(read(text.as_bytes()).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_none_is_not_answered() {
        let text = br#"{"jsonrpc":"1.0","id":1,"result":{}}"#;
        assert_eq!(read(text).unwrap_err().answer(), None);
        assert!(read(br#"{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}"#).is_ok());
    }

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let padding = "x\\\"{[,".repeat(100);
        for (text, id) in [
            (format!(r#"{{"id":7,"x":"{padding}"}}"#), json!(7)),
            (format!(r#"{{"x":"{padding}","id":"a,b"}}"#), json!("a,b")),
            (
                format!(r#"{{"x":{{"id":1}},"id" : 8 ,"y":["{padding}"]}}"#),
                json!(8),
            ),
            (r#"{"x":{"id":1},"y":["id",2]}"#.to_owned(), Value::Null),
            (r#"{"x":"\"id\":3,","id":null}"#.to_owned(), Value::Null),
            (format!(r#"{{"id":"{padding}{padding}"}}"#), Value::Null),
            (r#"]]]{"id":9}"#.to_owned(), json!(9)),
        ] {
            let mut finder = IdFinder::default();
            for part in text.as_bytes().chunks(3) {
                finder.feed(part);
            }
            let found = finder.found().map(RequestId::into_json_value);
            assert_eq!(found.unwrap_or_default(), id, "{text}");
        }
    }
}
