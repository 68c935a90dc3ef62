//! Messages as lines: bounded reading, and writing to a client that may have gone.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::batch;
use crate::limits::MAX_MESSAGE;
use crate::message::{self, IdFinder, Message, Refused};

/// How often is looked whether a client that is not read has gone.
const LOOK: Duration = Duration::from_millis(250);

/// What is kept of the buffer of a line once that is read.
const KEPT: usize = 64 << 10;

/// What a line is.
pub(crate) enum Line {
    Message(Box<Message>),
    /// An array, which may be several messages.
    Batch(Vec<u8>),
    /// Neither.
    Refused(Refused),
}

/// Reads messages, one a line. A line that is too long is passed over without being kept.
pub(crate) struct Reader<R> {
    stream: BufReader<R>,
    line: Vec<u8>,
    /// The line in hand is too long: what is left of it is only searched for its id.
    too_long: Option<IdFinder>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream: BufReader::new(stream),
            line: Vec::new(),
            too_long: None,
        }
    }

    /// The next line with its length in bytes; nothing at the end. What was read before this is dropped is not
    /// lost.
    pub(crate) async fn next(&mut self) -> io::Result<Option<(usize, Line)>> {
        loop {
            let read = self.stream.fill_buf().await?;
            let at_end = read.is_empty();
            let (part, whole) = match read.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (read.len(), at_end),
            };
            if self.line.len() + part > MAX_MESSAGE && self.too_long.is_none() {
                let mut finder = IdFinder::default();
                finder.feed(&std::mem::take(&mut self.line));
                self.too_long = Some(finder);
            }
            match &mut self.too_long {
                Some(finder) => finder.feed(&read[..part]),
                None => self.line.extend_from_slice(&read[..part]),
            }
            self.stream.consume(part);
            if !whole {
                continue;
            }
            if let Some(finder) = self.too_long.take() {
                let refused = Refused::too_long(finder.found());
                return Ok(Some((0, Line::Refused(refused))));
            }
            let text = self.line.trim_ascii();
            if !text.is_empty() {
                let line = match batch::is_one(text) {
                    true => Line::Batch(text.to_vec()),
                    false => message::read(text)
                        .map_or_else(Line::Refused, |message| Line::Message(Box::new(message))),
                };
                let length = self.line.len();
                self.line.clear();
                self.line.shrink_to(KEPT);
                return Ok(Some((length, line)));
            }
            self.line.clear();
            if at_end {
                return Ok(None);
            }
        }
    }
}

/// Writes messages, one a line, one after the other.
pub(crate) struct Writer<W> {
    stream: Arc<Mutex<Option<W>>>,
    /// How long a message may take to be read once nothing more will be asked.
    write_timeout: Duration,
    /// Nothing more will be asked.
    ended: CancellationToken,
    /// Nothing can be written any more.
    lost: CancellationToken,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Writer<W> {
    pub(crate) fn new(stream: W, write_timeout: Duration) -> Self {
        Self {
            stream: Arc::new(Mutex::new(Some(stream))),
            write_timeout,
            ended: CancellationToken::new(),
            lost: CancellationToken::new(),
        }
    }

    /// Writes a message, whatever becomes of `self` meanwhile.
    pub(crate) fn write<T>(
        &self,
        message: T,
    ) -> impl Future<Output = io::Result<()>> + Send + use<T, W>
    where
        T: Serialize + Send + 'static,
    {
        let stream = Arc::clone(&self.stream);
        let (ended, lost) = (self.ended.clone(), self.lost.clone());
        let write_timeout = self.write_timeout;
        async move {
            let mut stream = stream.lock().await;
            let open = stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let mut line = serde_json::to_vec(&message)?;
            drop(message);
            line.push(b'\n');
            let written = async {
                open.write_all(&line).await?;
                open.flush().await
            };
            let given_up = async {
                ended.cancelled().await;
                tokio::time::sleep(write_timeout).await;
            };
            let written = tokio::select! {
                written = written => written,
                () = given_up => Err(io::ErrorKind::TimedOut.into()),
            };
            if written.is_err() {
                *stream = None;
                lost.cancel();
            }
            written
        }
    }

    /// Nothing more will be asked.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Whether nothing more will be asked, and nothing can be answered.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_cancelled() && self.lost.is_cancelled()
    }

    /// Ends once everything is written, or given up.
    pub(crate) async fn close(&self) {
        self.end();
        *self.stream.lock().await = None;
    }
}

/// Ends when the other end of a stream is closed, also while there is something to read in it; never
/// where that cannot be known.
pub(crate) async fn hung_up(stream: Option<&OwnedFd>) {
    let Some(stream) = stream else {
        return std::future::pending().await;
    };
    let closed = PollFlags::HUP | PollFlags::ERR;
    loop {
        let mut watched = [PollFd::new(stream, PollFlags::empty())];
        let looked = poll(&mut watched, Some(&Timespec::default()));
        if looked.is_ok() && watched[0].revents().intersects(closed) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::time::timeout;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test);
    }

    /// What is answered to each line; `true` for a message.
    async fn lines(text: &[u8]) -> Vec<Result<bool, i64>> {
        let mut reader = Reader::new(text);
        let mut found = Vec::new();
        while let Some((length, message)) = reader.next().await.unwrap() {
            found.push(match message {
                Line::Message(_) | Line::Batch(_) => Ok(length > 0),
                Line::Refused(refused) => {
                    let answer = refused.answer().unwrap();
                    Err(answer["id"].as_i64().unwrap_or_default())
                }
            });
        }
        found
    }

    #[test]
    fn every_line_is_read_or_refused() {
        run(async {
            let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
            let long = "x".repeat(MAX_MESSAGE);
            let text = format!("\n{ping}\r\n{{\n{{\"id\":3,\"x\":\"{long}\"}}\n\n{ping}");
            let expected = [Ok(true), Err(0), Err(3), Ok(true)];
            assert_eq!(lines(text.as_bytes()).await, expected);
            // The longest that is read, and one byte more.
            let padding = " ".repeat(MAX_MESSAGE - ping.len() - 1);
            let text = format!("{ping}{padding}\n{ping}{padding} \n{long}");
            let expected = [Ok(true), Err(1), Err(0)];
            assert_eq!(lines(text.as_bytes()).await, expected);
        });
    }

    #[test]
    fn a_stream_that_is_closed_is_noticed_before_it_is_read() {
        run(async {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let ours = OwnedFd::from(ours);
            std::io::Write::write_all(&mut &theirs, b"something").unwrap();
            assert!(timeout(2 * LOOK, hung_up(Some(&ours))).await.is_err());
            assert!(timeout(2 * LOOK, hung_up(None)).await.is_err());
            drop(theirs);
            timeout(4 * LOOK, hung_up(Some(&ours))).await.unwrap();
        });
    }

    #[test]
    fn who_reads_nothing_is_given_up_once_nothing_more_is_asked() {
        run(async {
            let (ours, _theirs) = tokio::io::duplex(16);
            let writer = Writer::new(ours, LOOK);
            let first = tokio::spawn(writer.write("x".repeat(100)));
            let second = tokio::spawn(writer.write("x"));
            tokio::time::sleep(2 * LOOK).await;
            assert!(!first.is_finished() && !writer.is_over());
            writer.close().await;
            let first = first.await.unwrap().unwrap_err();
            assert_eq!(first.kind(), io::ErrorKind::TimedOut);
            assert!(second.await.unwrap().is_err());
            assert!(writer.is_over());
        });
    }
}
