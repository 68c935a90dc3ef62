//! The pipe to the one client of a server over stdio, read no faster than its answers are taken.
//!
//! The protocol's library takes whatever comes and keeps every answer until the client reads it: one
//! that asks and does not read would fill the memory. So requests wait here for their turn. When too
//! many wait, nothing more is read, and the client's own pipe fills up. Notices are no requests: one
//! that cancels gets past those that wait, as long as anything is read at all.
//!
//! What is no message is answered with an error and logged, one at a time: while an error is not read,
//! nothing is.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{
    ClientNotification, ClientRequest, GetExtensions, GetMeta, JsonRpcMessage, JsonRpcRequest,
    RequestId, ServerResult,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::batch;
use crate::limits::END_LIMIT;
use crate::lines::{Line, Reader, Writer, hung_up};
use crate::message::{self, Message, Refused};

/// How many requests are worked on at a time.
const RUNNING: usize = 32;

/// How many messages may wait to be written before no further request is begun.
const WRITING: usize = 8;

/// How many messages may wait to be written before notices are dropped.
const NOTICES: usize = 64;

/// How many requests may wait for their turn.
const HELD: usize = 256;

/// How many bytes all requests may have that are not done. One more message may be read beyond it.
const BYTES: usize = 16 << 20;

/// What is not done.
#[derive(Debug, Default)]
struct Load {
    running: usize,
    bytes: usize,
    writing: usize,
    /// The requests that are neither answered nor cancelled.
    open: HashSet<RequestId>,
    /// Those of them that came in batches.
    batches: batch::Open,
    /// Whether the session is of the revision that has batches.
    takes_batches: bool,
}

#[derive(Debug, Default)]
struct Room {
    load: Mutex<Load>,
    /// Told when the load has become less.
    less: Notify,
}

impl Room {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's share of the load, from its arrival to the end of its handler, however that comes about.
#[derive(Debug)]
struct Share {
    room: Arc<Room>,
    bytes: usize,
    runs: bool,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut load = self.room.load();
        load.bytes -= self.bytes;
        load.running -= usize::from(self.runs);
        drop(load);
        self.room.less.notify_one();
    }
}

/// A message on its way out.
struct Writing(Arc<Room>);

impl Writing {
    /// Counts a message, unless `most` are on their way already.
    fn begin(room: &Arc<Room>, most: usize) -> Option<Self> {
        let mut load = room.load();
        if load.writing >= most {
            return None;
        }
        load.writing += 1;
        Some(Self(Arc::clone(room)))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.load().writing -= 1;
        self.0.less.notify_one();
    }
}

/// What is written in one line.
#[derive(Serialize)]
#[serde(untagged)]
enum Outgoing {
    One(Box<TxJsonRpcMessage<RoleServer>>),
    /// The answers to a batch.
    All(Vec<Value>),
}

/// The transport over a pair of streams.
pub(crate) struct Pipe<R, W> {
    reader: Reader<R>,
    writer: Writer<W>,
    /// The stream that is read, to see its end while it is not read.
    read: Option<OwnedFd>,
    held: VecDeque<(JsonRpcRequest<ClientRequest>, Share)>,
    /// Other messages of a batch, which go on at once.
    ready: VecDeque<Message>,
    /// An error that is being written.
    refusing: Option<JoinHandle<()>>,
    /// Whether a request has come that opens a session.
    opened: bool,
    /// Whether the client has closed its end.
    ended: bool,
    room: Arc<Room>,
}

impl<R, W> Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// `descriptor` is another one of what is read, where it has one.
    pub(crate) fn new(read: R, write: W, descriptor: Option<OwnedFd>) -> Self {
        Self {
            reader: Reader::new(read),
            writer: Writer::new(write, END_LIMIT),
            read: descriptor,
            held: VecDeque::new(),
            ready: VecDeque::new(),
            refusing: None,
            opened: false,
            ended: false,
            room: Arc::default(),
        }
    }

    /// The next request, if it may begin.
    fn begin(&mut self) -> Option<JsonRpcRequest<ClientRequest>> {
        let load = self.room.load();
        let full = load.running >= RUNNING || load.writing >= WRITING;
        drop(load);
        if full {
            return None;
        }
        let (mut request, mut share) = self.held.pop_front()?;
        // One that listens goes on for as long as the client likes, and does not count.
        if !matches!(
            request.request,
            ClientRequest::SubscriptionsListenRequest(_)
        ) {
            share.runs = true;
            self.room.load().running += 1;
            // What is attached goes to the handler, and is dropped when that ends.
            request.request.extensions_mut().insert(Arc::new(share));
        }
        Some(request)
    }

    fn may_read(&self) -> bool {
        self.held.len() < HELD && self.room.load().bytes < BYTES && self.refusing.is_none()
    }

    /// Takes what has been read. What need not wait goes on at once.
    fn take(&mut self, bytes: usize, message: Message) -> Option<Message> {
        match message {
            JsonRpcMessage::Request(request) => {
                if let Err(refused) = self.hold(request, bytes) {
                    self.refuse(&refused);
                }
                None
            }
            JsonRpcMessage::Notification(notice) if self.cancels_held(&notice.notification) => None,
            // The protocol's library would end with the first message that opens no session.
            _ if !self.opened => {
                tracing::warn!("passed over a message: no session is open");
                None
            }
            other => Some(other),
        }
    }

    /// Takes several messages in one. What is answered to them is written together.
    fn take_batch(&mut self, text: &[u8]) {
        if !self.room.load().takes_batches {
            // Said in the words for what is no message.
            if let Err(refused) = message::read(text) {
                self.refuse(&refused);
            }
            return;
        }
        let parts = match batch::parts(text) {
            Ok(parts) => parts,
            Err(refused) => return self.refuse(&refused),
        };
        let bytes = text.len() / parts.len();
        let (mut waiting, mut answers) = (HashSet::new(), Vec::new());
        for part in parts {
            let held = batch::read(part).and_then(|message| match message {
                JsonRpcMessage::Request(request) => {
                    let id = request.id.clone();
                    self.hold(request, bytes)
                        .map(|()| waiting.insert(id))
                        .map(drop)
                }
                other => {
                    let other = self.take(bytes, other);
                    self.ready.extend(other);
                    Ok(())
                }
            });
            if let Err(refused) = held {
                refused.log();
                answers.extend(refused.answer());
            }
        }
        let mut load = self.room.load();
        // A later message of the batch may have cancelled an earlier one.
        waiting.retain(|id| load.open.contains(id));
        let all = load.batches.begin(waiting, answers);
        drop(load);
        if let Some(all) = all {
            self.answer_now(all);
        }
    }

    /// Writes something of our own before anything else is read.
    fn answer_now<T: Serialize + Send + 'static>(&mut self, answer: T) {
        let written = self.writer.write(answer);
        // A client that has gone needs no answer.
        self.refusing = Some(tokio::spawn(async move { drop(written.await) }));
    }

    fn hold(
        &mut self,
        request: JsonRpcRequest<ClientRequest>,
        bytes: usize,
    ) -> Result<(), Refused> {
        let mut load = self.room.load();
        if !load.open.insert(request.id.clone()) {
            drop(load);
            return Err(Refused::in_hand(request.id));
        }
        load.bytes += bytes;
        drop(load);
        let greets = matches!(request.request, ClientRequest::InitializeRequest(_));
        self.opened |= greets || request.request.get_meta().protocol_version().is_some();
        let share = Share {
            room: Arc::clone(&self.room),
            bytes,
            runs: false,
        };
        self.held.push_back((request, share));
        Ok(())
    }

    /// Whether a notice cancels a request that waits here, which is then forgotten.
    fn cancels_held(&mut self, notice: &ClientNotification) -> bool {
        let ClientNotification::CancelledNotification(cancelled) = notice else {
            return false;
        };
        let Some(id) = &cancelled.params.request_id else {
            return false;
        };
        // It is not answered any more.
        let mut load = self.room.load();
        load.open.remove(id);
        let all = load.batches.settle(id, None);
        drop(load);
        if let Some(all) = all {
            self.answer_now(all);
        }
        let found = self.held.iter().position(|(request, _)| request.id == *id);
        found.and_then(|at| self.held.remove(at)).is_some()
    }

    /// Logs that something is no message, and begins to answer it.
    fn refuse(&mut self, refused: &Refused) {
        refused.log();
        if let Some(answer) = refused.answer() {
            self.answer_now(answer);
        }
    }

    /// What is written of a message: nothing yet of the answer to one request of a batch, and all answers with
    /// the last.
    fn outgoing(
        &self,
        item: TxJsonRpcMessage<RoleServer>,
        answered: Option<RequestId>,
    ) -> Option<Outgoing> {
        let mut load = self.room.load();
        if let JsonRpcMessage::Response(answer) = &item
            && let ServerResult::InitializeResult(result) = &answer.result
        {
            load.takes_batches = result.protocol_version == batch::REVISION;
        }
        if let Some(id) = answered {
            load.open.remove(&id);
            if load.batches.holds(&id) {
                let answer = serde_json::to_value(item).ok();
                return load.batches.settle(&id, answer).map(Outgoing::All);
            }
        }
        Some(Outgoing::One(Box::new(item)))
    }

    /// Nothing more will be read.
    fn end(&mut self) {
        self.ended = true;
        self.writer.end();
    }
}

/// Notices that nothing more will be asked, while nothing is read.
async fn no_more<W>(read: Option<&OwnedFd>, writer: &Writer<W>) -> Infallible
where
    W: AsyncWrite + Send + Unpin + 'static,
{
    hung_up(read).await;
    writer.end();
    std::future::pending().await
}

impl<R, W> Transport<RoleServer> for Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let (most, answered) = match &item {
            JsonRpcMessage::Notification(_) => (NOTICES, None),
            JsonRpcMessage::Response(answer) => (usize::MAX, Some(answer.id.clone())),
            JsonRpcMessage::Error(answer) => (usize::MAX, answer.id.clone()),
            JsonRpcMessage::Request(_) => (usize::MAX, None),
        };
        let out = self.outgoing(item, answered);
        // A client that does not read misses notices.
        let writing = out.and_then(|out| Some((Writing::begin(&self.room, most)?, out)));
        let sent = writing.map(|(writing, out)| (writing, self.writer.write(out)));
        async move {
            match sent {
                Some((_writing, sent)) => sent.await,
                None => Ok(()),
            }
        }
    }

    // Dropped and called again whenever something else happens: no message may live across an await.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if self.writer.is_over() {
                // Nobody is there any more to take an answer.
                return None;
            }
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if let Some(request) = self.begin() {
                return Some(JsonRpcMessage::Request(request));
            }
            if let Some(refusing) = &mut self.refusing {
                tokio::select! {
                    _ = refusing => self.refusing = None,
                    () = self.room.less.notified() => {}
                    never = no_more(self.read.as_ref(), &self.writer) => match never {},
                }
                continue;
            }
            if self.ended {
                if self.held.is_empty() {
                    return None;
                }
                let less = self.room.less.notified();
                tokio::time::timeout(END_LIMIT, less).await.ok()?;
                continue;
            }
            if !self.may_read() {
                tokio::select! {
                    () = self.room.less.notified() => {}
                    never = no_more(self.read.as_ref(), &self.writer) => match never {},
                }
                continue;
            }
            let read = tokio::select! {
                read = self.reader.next() => read,
                () = self.room.less.notified() => continue,
            };
            match read {
                Ok(Some((bytes, Line::Message(message)))) => {
                    if let Some(message) = self.take(bytes, *message) {
                        return Some(message);
                    }
                }
                Ok(Some((_, Line::Batch(text)))) => self.take_batch(&text),
                Ok(Some((_, Line::Refused(refused)))) => self.refuse(&refused),
                Ok(None) => self.end(),
                Err(error) => {
                    tracing::error!("could not read on: {error}");
                    self.end();
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.held.clear();
        self.writer.close().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
