//! The process that applies schemas: what it is asked, and how it answers.
//!
//! A question is a header of one line of JSON, a line feed and a body: for `compile`, and for `inspect`, which
//! asks for all its faults and for advice on it as well, the schema, and behind it
//! the further ones where there are any; for `check` the data as lines of JSON. Frames and replies are those of [`crate::protocol`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use provara_core::json;
use serde::{Deserialize, Serialize};

use super::{CompiledSchema, Inspected, Schema, SchemaViolation, inspect};
use crate::protocol::{self, FrameReader};

#[derive(Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) op: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) event_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) version: Cow<'a, str>,
    /// How many bytes of the body are the schema; those behind it are the further schemas.
    pub(crate) schema_length: usize,
}

/// The result of `check`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) unfit: Option<Unfit>,
}

/// The first of the data that does not fit.
#[derive(Serialize, Deserialize)]
pub(crate) struct Unfit {
    pub(crate) at: usize,
    pub(crate) violations: Vec<SchemaViolation>,
    pub(crate) more: usize,
}

/// The process's end: answers until the core closes the socket.
pub(crate) fn serve(socket: &mut UnixStream) -> ! {
    // For the first schema that of its dialect is compiled, too. The runtime of the plugins takes longer to
    // start than that.
    let _ = CompiledSchema::new("", "", "{\"type\":\"object\"}");
    let mut frames = FrameReader::default();
    let mut schemas = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(question) = frames.next_frame() {
        let done = match question {
            Some(question) => {
                answer(&question, &mut schemas).and_then(|reply| socket.write_all(&reply))
            }
            None => socket.read(&mut buffer).and_then(|count| {
                frames.push(&buffer[..count]);
                (count > 0)
                    .then_some(())
                    .ok_or(io::ErrorKind::UnexpectedEof.into())
            }),
        };
        if done.is_err() {
            break;
        }
    }
    std::process::exit(0)
}

fn answer(question: &[u8], schemas: &mut HashMap<String, CompiledSchema>) -> io::Result<Vec<u8>> {
    let end = question.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or(io::ErrorKind::InvalidData)?;
    let (header, body) = (&question[..end], &question[end + 1..]);
    let header: Header<'_> = serde_json::from_slice(header)?;
    let result = match &*header.op {
        op @ ("compile" | "inspect") => {
            let text = std::str::from_utf8(body).map_err(io::Error::other)?;
            let parts = text.split_at_checked(header.schema_length);
            let (schema, further) = parts.ok_or(io::ErrorKind::InvalidData)?;
            let further = (!further.is_empty()).then_some(further);
            let (event_type, version) = (&*header.event_type, &*header.version);
            let (inspected, compiled) = match op {
                "inspect" => inspect(Schema {
                    event_type,
                    version,
                    json: schema,
                    further,
                }),
                _ => match CompiledSchema::with_further(event_type, version, schema, further) {
                    Ok(compiled) => (Inspected::default(), Some(compiled)),
                    Err(error) => (Inspected::refused(error.to_string()), None),
                },
            };
            if let Some(compiled) = compiled {
                schemas.insert(event_type.to_owned(), compiled);
            }
            serde_json::to_value(inspected)?
        }
        _ => {
            let schema = schemas
                .get(&*header.event_type)
                .ok_or(io::ErrorKind::InvalidData)?;
            let mut unfit = None;
            for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
                if line.is_empty() {
                    break;
                }
                let data = json::parse(line).map_err(io::Error::other)?;
                if let Err(found) = schema.validate(&data) {
                    let (violations, more) = (found.violations, found.more);
                    unfit = Some(Unfit {
                        at,
                        violations,
                        more,
                    });
                    break;
                }
            }
            serde_json::to_value(Checked { unfit })?
        }
    };
    let reply = serde_json::json!({ "id": header.id, "ok": true, "result": result });
    let reply = serde_json::to_vec(&reply)?;
    protocol::frame(&reply).map_err(|_| io::ErrorKind::InvalidData.into())
}
