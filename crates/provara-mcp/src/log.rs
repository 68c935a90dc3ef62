//! What the server says to its operator: lines on standard error.
//!
//! Lines are events of `tracing` at five levels. Two rules hold for all of them:
//!
//! * Only this crate's events are written, and of an event only its message. The protocol's library tells
//!   whole messages to `tracing`, and with them what agents write into vaults.
//! * A message names what happened: a tool, a method, a peer, a number. What a client sent (data, arguments,
//!   a token) and keys are in no message, also where an answer to the client quotes them.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use provara_plugins::text::inline;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

/// How much is written: a level, and what is graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What keeps the server from its work.
    Error,
    /// What was refused, and connections that were ended.
    Warn,
    /// Where the server listens.
    Info,
    /// Every call and every request.
    Debug,
}

/// Writes lines up to `level` to standard error from now on, for the whole process. Where somebody listens
/// to `tracing` already, they go on and nothing is written here.
pub fn to_stderr(level: LogLevel) {
    let lines = Lines {
        most: level.into(),
        // A closed stderr is no reason to fail.
        write: |line: &str| drop(std::io::stderr().lock().write_all(line.as_bytes())),
    };
    let _ = tracing::subscriber::set_global_default(lines);
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

/// Writes events as lines.
struct Lines<W> {
    most: LevelFilter,
    write: W,
}

impl<W: Fn(&str) + 'static> Subscriber for Lines<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let ours = target.split("::").next() == Some(env!("CARGO_CRATE_NAME"));
        ours && metadata.is_event() && *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        // In one piece, so that no other line gets between.
        (self.write)(&format!("provara mcp: {}\n", inline(&message.0)));
    }

    // There are no spans: none is enabled.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message of an event, without its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn written(level: LogLevel, events: impl FnOnce()) -> String {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let lines = Lines {
            most: level.into(),
            write: move |line: &str| sink.lock().unwrap().push_str(line),
        };
        tracing::subscriber::with_default(lines, events);
        let text = text.lock().unwrap();
        text.clone()
    }

    fn all() {
        tracing::error!("one");
        tracing::warn!("two");
        tracing::info!("three");
        tracing::debug!("four");
        tracing::trace!("five");
    }

    #[test]
    fn a_level_has_what_is_graver() {
        let lines = |count: usize| {
            let words = ["one", "two", "three", "four"].into_iter().take(count);
            words.map(|word| format!("provara mcp: {word}\n")).collect()
        };
        let levels = [
            LogLevel::Off,
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
        ];
        for (count, level) in levels.into_iter().enumerate() {
            let expected: String = lines(count);
            assert_eq!(written(level, all), expected, "{level:?}");
        }
    }

    #[test]
    fn nothing_of_others_and_no_field_is_written() {
        let text = written(LogLevel::Debug, || {
            tracing::error!(target: "rmcp::service", "{}", "payload");
            tracing::error!(target: "provara_mcp_other", "payload");
            tracing::error!(payload = "payload", "a\u{1b}[31m\nb");
            let _span = tracing::error_span!("payload").entered();
        });
        assert_eq!(text, "provara mcp: a\\u{1b}[31m\\nb\n");
    }
}
