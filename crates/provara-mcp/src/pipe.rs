//! The pipe to the one client of a server over stdio, read no faster than its answers are taken.
//!
//! The protocol's library takes whatever comes and keeps every answer until the client reads it: one
//! that asks and does not read would fill the memory. So requests wait here for their turn. When too
//! many wait, nothing more is read, and the client's own pipe fills up. Notices are no requests: one
//! that cancels gets past those that wait, as long as anything is read at all.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rmcp::RoleServer;
use rmcp::model::{
    ClientNotification, ClientRequest, GetExtensions, JsonRpcMessage, JsonRpcRequest,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::{END_LIMIT, MAX_MESSAGE};

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

/// The transport over a pair of streams.
pub(crate) struct Pipe<R: AsyncRead + Unpin, W: AsyncWrite> {
    inner: AsyncRwTransport<RoleServer, Metered<R>, W>,
    /// The bytes that were read, and how many of them belong to messages that have come.
    read: Arc<AtomicUsize>,
    weighed: usize,
    held: VecDeque<(JsonRpcRequest<ClientRequest>, Share)>,
    /// Whether the client has closed its end.
    ended: bool,
    room: Arc<Room>,
}

impl<R, W> Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    pub(crate) fn new(read: R, write: W) -> Self {
        let metered = Metered {
            inner: read,
            read: Arc::default(),
        };
        Self {
            read: Arc::clone(&metered.read),
            inner: AsyncRwTransport::new_server(metered, write).with_max_line_length(MAX_MESSAGE),
            weighed: 0,
            held: VecDeque::new(),
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
        self.held.len() < HELD && self.room.load().bytes < BYTES
    }

    fn hold(&mut self, request: JsonRpcRequest<ClientRequest>) {
        let read = self.read.load(Ordering::Relaxed);
        let bytes = read - std::mem::replace(&mut self.weighed, read);
        self.room.load().bytes += bytes;
        let share = Share {
            room: Arc::clone(&self.room),
            bytes,
            runs: false,
        };
        self.held.push_back((request, share));
    }

    /// Whether a notice cancels a request that waits here, which is then forgotten.
    fn cancels_held(&mut self, notice: &ClientNotification) -> bool {
        let ClientNotification::CancelledNotification(cancelled) = notice else {
            return false;
        };
        let meant = |(request, _): &(JsonRpcRequest<_>, _)| {
            Some(&request.id) == cancelled.params.request_id.as_ref()
        };
        let found = self.held.iter().position(meant);
        found.and_then(|at| self.held.remove(at)).is_some()
    }
}

impl<R, W> Transport<RoleServer> for Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let most = match item {
            JsonRpcMessage::Notification(_) => NOTICES,
            _ => usize::MAX,
        };
        // A client that does not read misses notices.
        let sent = Writing::begin(&self.room, most).map(|writing| (writing, self.inner.send(item)));
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
            if let Some(request) = self.begin() {
                return Some(JsonRpcMessage::Request(request));
            }
            if self.ended {
                if self.held.is_empty() {
                    return None;
                }
                // Nobody may be there any more to take an answer.
                let less = self.room.less.notified();
                tokio::time::timeout(END_LIMIT, less).await.ok()?;
                continue;
            }
            if !self.may_read() {
                self.room.less.notified().await;
                continue;
            }
            let message = tokio::select! {
                message = self.inner.receive() => message,
                () = self.room.less.notified() => continue,
            };
            match message {
                None => self.ended = true,
                Some(JsonRpcMessage::Request(request)) => self.hold(request),
                Some(JsonRpcMessage::Notification(notice))
                    if self.cancels_held(&notice.notification) => {}
                other => return other,
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.held.clear();
        self.inner.close().await
    }
}

/// A stream that counts what is read of it.
struct Metered<R> {
    inner: R,
    read: Arc<AtomicUsize>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use rmcp::model::{EmptyResult, RequestId, ServerResult};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_millis(100);

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test);
    }

    /// A pipe, the client's end of what it reads, and of what it writes.
    fn pipe() -> (Pipe<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
        let (asks, read) = tokio::io::duplex(64 << 20);
        let (write, answers) = tokio::io::duplex(1 << 10);
        (Pipe::new(read, write), asks, answers)
    }

    async fn ask(asks: &mut DuplexStream, id: usize, padding: usize) {
        let padding = "x".repeat(padding);
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\
             \"params\":{{\"name\":\"t\",\"arguments\":{{\"x\":\"{padding}\"}}}}}}\n"
        );
        asks.write_all(text.as_bytes()).await.unwrap();
    }

    async fn cancel(asks: &mut DuplexStream, id: usize) {
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
             \"params\":{{\"requestId\":{id}}}}}\n"
        );
        asks.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything that comes without anything being answered.
    async fn all(pipe: &mut Pipe<DuplexStream, DuplexStream>) -> Vec<RxJsonRpcMessage<RoleServer>> {
        let mut come = Vec::new();
        while let Ok(Some(message)) = timeout(SOON, pipe.receive()).await {
            come.push(message);
        }
        come
    }

    fn answer(id: usize) -> TxJsonRpcMessage<RoleServer> {
        let id = RequestId::Number(i64::try_from(id).unwrap());
        JsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), id)
    }

    fn id(message: &RxJsonRpcMessage<RoleServer>) -> Option<String> {
        match message {
            JsonRpcMessage::Request(request) => Some(request.id.to_string()),
            _ => None,
        }
    }

    #[test]
    fn requests_wait_for_their_turn_and_cancellations_do_not() {
        run(async {
            let (mut pipe, mut asks, _answers) = pipe();
            for id in 0..RUNNING + 10 {
                ask(&mut asks, id, 0).await;
            }
            cancel(&mut asks, 3).await;
            cancel(&mut asks, RUNNING).await;
            let mut come = all(&mut pipe).await;
            let notice = come.pop().unwrap();
            assert!(
                matches!(notice, JsonRpcMessage::Notification(_)),
                "{notice:?}"
            );
            assert_eq!(come.len(), RUNNING);
            assert_eq!(pipe.held.len(), 9, "the one that was cancelled is gone");
            // A handler that ends makes room for the next, which is not the one that was cancelled.
            drop(come.pop());
            let next = all(&mut pipe).await;
            assert_eq!(next.len(), 1);
            assert_eq!(id(&next[0]).unwrap(), (RUNNING + 1).to_string());
        });
    }

    #[test]
    fn no_more_is_read_than_may_wait() {
        run(async {
            let (mut pipe, mut asks, _answers) = pipe();
            for id in 0..2 * HELD {
                ask(&mut asks, id, 0).await;
            }
            let come = all(&mut pipe).await;
            assert_eq!((come.len(), pipe.held.len()), (RUNNING, HELD));
            drop(come);
            assert_eq!(all(&mut pipe).await.len(), RUNNING);
        });
        run(async {
            let (mut pipe, mut asks, _answers) = pipe();
            for id in 0..20 {
                ask(&mut asks, id, BYTES / 8).await;
            }
            let come = all(&mut pipe).await;
            assert_eq!(come.len(), 8);
            drop(come);
            assert_eq!(pipe.room.load().bytes, 0);
            assert_eq!(all(&mut pipe).await.len(), 8);
        });
    }

    #[test]
    fn a_client_that_does_not_read_is_asked_nothing_new_and_misses_notices() {
        run(async {
            let (mut pipe, mut asks, mut answers) = pipe();
            // More than the client's end takes before it is read.
            let stuck: Vec<_> = (0..100)
                .map(|id| tokio::spawn(pipe.send(answer(id))))
                .collect();
            tokio::task::yield_now().await;
            ask(&mut asks, 1000, 0).await;
            assert!(all(&mut pipe).await.is_empty());
            let notice = rmcp::model::ToolListChangedNotification::default();
            let sent = pipe.send(JsonRpcMessage::notification(notice.into()));
            timeout(SOON, sent).await.expect("it is dropped").unwrap();
            let reads = tokio::spawn(async move {
                let mut text = String::new();
                answers.read_to_string(&mut text).await.unwrap();
                text
            });
            assert_eq!(all(&mut pipe).await.len(), 1);
            for sent in stuck {
                sent.await.unwrap().unwrap();
            }
            pipe.close().await.unwrap();
            let text = reads.await.unwrap();
            assert_eq!(text.lines().count(), 100);
            assert!(!text.contains("list_changed"));
        });
    }

    #[test]
    fn what_came_before_the_end_is_done() {
        run(async {
            let (mut pipe, mut asks, _answers) = pipe();
            for id in 0..RUNNING + 5 {
                ask(&mut asks, id, 0).await;
            }
            drop(asks);
            let come = all(&mut pipe).await;
            assert_eq!(come.len(), RUNNING);
            drop(come);
            for _ in 0..5 {
                assert!(pipe.receive().await.is_some());
            }
            assert!(pipe.receive().await.is_none());
        });
    }
}
