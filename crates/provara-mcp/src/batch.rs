//! Batches: several messages of JSON-RPC in one array (JSON-RPC 2.0, section 6).
//!
//! Revision 2025-03-26 of the protocol demands that they are taken, those before and after it do not have
//! them. What is answered to a batch is one array, once all of its requests are.

use std::collections::HashSet;

use rmcp::model::{ClientRequest, JsonRpcMessage, ProtocolVersion, RequestId};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::message::{self, Message, Refused};

/// The revision that has batches.
pub(crate) const REVISION: ProtocolVersion = ProtocolVersion::V_2025_03_26;

/// The most messages of one batch.
const MOST: usize = 256;

/// Whether a text would be a batch.
pub(crate) fn is_one(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.trim_ascii_start().first() == Some(&b'[')
}

/// The messages of a batch as they were written.
pub(crate) fn parts(text: &[u8]) -> Result<Vec<&RawValue>, Refused> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let parts: Vec<&RawValue> =
        serde_json::from_slice(text).map_err(|error| Refused::broken(error.to_string()))?;
    match parts.len() {
        0 => Err(Refused::invalid("a batch has a message at least")),
        1..=MOST => Ok(parts),
        _ => Err(Refused::invalid(format!(
            "a batch has at most {MOST} messages"
        ))),
    }
}

/// One message of a batch.
pub(crate) fn read(part: &RawValue) -> Result<Message, Refused> {
    let message = message::read(part.get().as_bytes())?;
    if let JsonRpcMessage::Request(request) = &message
        && matches!(request.request, ClientRequest::InitializeRequest(_))
    {
        let refused = Refused::invalid("'initialize' is no part of a batch");
        return Err(refused.to(request.id.clone()));
    }
    Ok(message)
}

/// The answer to a request in what the protocol's library says over HTTP: JSON, or events of a stream (WHATWG
/// HTML, section 9.2).
pub(crate) fn answer_in(text: &[u8], id: &Value) -> Option<Value> {
    let is_it = |value: &Value| {
        let has = |name: &str| value.get(name).is_some();
        (has("result") || has("error")) && value.get("id").is_none_or(|it| it == id || it.is_null())
    };
    let one = serde_json::from_slice(text).ok().filter(is_it);
    one.or_else(|| {
        let text = std::str::from_utf8(text).ok()?;
        let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
        events
            .filter_map(|data| serde_json::from_str(data.trim()).ok())
            .find(is_it)
    })
    .map(|mut answer: Value| {
        // One that names no request answers this one: it was the only one that was sent.
        answer["id"] = id.clone();
        answer
    })
}

/// The requests of the batches that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Open(Vec<Batch>);

#[derive(Debug, Default)]
struct Batch {
    waiting: HashSet<RequestId>,
    answers: Vec<Value>,
}

impl Open {
    /// Begins to wait for the answers to a batch, of which some are given. Where there is nothing to wait
    /// for, they are all.
    pub(crate) fn begin(
        &mut self,
        waiting: HashSet<RequestId>,
        answers: Vec<Value>,
    ) -> Option<Vec<Value>> {
        if waiting.is_empty() {
            return (!answers.is_empty()).then_some(answers);
        }
        self.0.push(Batch { waiting, answers });
        None
    }

    /// Whether a request is part of a batch.
    pub(crate) fn holds(&self, id: &RequestId) -> bool {
        self.0.iter().any(|batch| batch.waiting.contains(id))
    }

    /// Takes the answer to a request, or that there will be none. Gives all answers of its batch, if this was
    /// the last.
    pub(crate) fn settle(&mut self, id: &RequestId, answer: Option<Value>) -> Option<Vec<Value>> {
        let at = self.0.iter().position(|batch| batch.waiting.contains(id))?;
        let batch = &mut self.0[at];
        batch.waiting.remove(id);
        batch.answers.extend(answer);
        if !batch.waiting.is_empty() {
            return None;
        }
        let answers = self.0.swap_remove(at).answers;
        (!answers.is_empty()).then_some(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_a_batch() {
        assert!(is_one(b" [") && is_one(b"\xef\xbb\xbf[]") && !is_one(b"{[") && !is_one(b""));
        assert_eq!(parts(br#"[1,{"a":[2]}]"#).unwrap().len(), 2);
        let code = |text: &str| {
            let refused = parts(text.as_bytes()).unwrap_err();
            refused.answer().unwrap()["error"]["code"].as_i64().unwrap()
        };
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("[1,"), -32700);
        assert_eq!(code(&format!("[{}1]", "1,".repeat(MOST))), -32600);
    }

    #[test]
    fn nobody_greets_in_a_batch() {
        let greeting = json!([{"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {
            "protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}
        }}]);
        let text = greeting.to_string();
        let refused = read(parts(text.as_bytes()).unwrap()[0]).unwrap_err();
        let answer = refused.answer().unwrap();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(7), &json!(-32600))
        );
    }

    #[test]
    fn answers_come_together() {
        let mut open = Open::default();
        let id = RequestId::Number;
        assert_eq!(open.begin(HashSet::new(), Vec::new()), None);
        assert_eq!(
            open.begin(HashSet::new(), vec![json!(0)]),
            Some(vec![json!(0)])
        );
        let waiting = HashSet::from([id(1), id(2), id(3)]);
        assert_eq!(open.begin(waiting, vec![json!(0)]), None);
        assert_eq!(open.settle(&id(4), Some(json!(4))), None);
        assert_eq!(open.settle(&id(2), Some(json!(2))), None);
        assert!(open.holds(&id(1)) && !open.holds(&id(2)));
        assert_eq!(open.settle(&id(1), None), None);
        let all = vec![json!(0), json!(2), json!(3)];
        assert_eq!(open.settle(&id(3), Some(json!(3))), Some(all));
        assert!(!open.holds(&id(3)));
    }
}
