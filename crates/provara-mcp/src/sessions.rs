//! The sessions of the HTTP transport: how many there are, how long they last, and which requests each
//! has in hand.
//!
//! The protocol's library finds the request that an answer is for by its id alone: of two at a time with
//! one id, one would never be answered. So the second is refused here, as over stdio.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use rmcp::model::{
    ClientJsonRpcMessage, GetExtensions, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_server::session::ServerSseMessage;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{SessionId, SessionManager};

use crate::message::Refused;

/// The most sessions at a time. One more takes the place of that which was silent for longest.
const MAX_SESSIONS: usize = 256;

/// How long a session must have been silent to lose its place.
const SILENT: Duration = Duration::from_secs(300);

/// How long a session is kept that nobody asks for: an agent may think for long.
const SESSION_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What is known of each session.
type Known = Arc<Mutex<HashMap<SessionId, State>>>;

struct State {
    /// When it was last asked for.
    seen: Instant,
    /// The requests that are not done.
    open: HashSet<RequestId>,
}

fn locked(known: &Known) -> MutexGuard<'_, HashMap<SessionId, State>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sessions of a server.
pub(crate) struct Sessions {
    local: LocalSessionManager,
    known: Known,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        let mut local = LocalSessionManager::default();
        local.session_config.keep_alive = Some(SESSION_LIMIT);
        Self {
            local,
            known: Known::default(),
        }
    }

    /// Notes that a session is asked for; false where there is no such.
    pub(crate) fn touch(&self, id: &SessionId) -> bool {
        let mut known = locked(&self.known);
        let state = known.get_mut(id);
        state.map(|state| state.seen = Instant::now()).is_some()
    }

    /// Makes room for one more session.
    ///
    /// # Errors
    /// The reason, if every place is taken by one that was asked for lately.
    pub(crate) async fn make_room(&self) -> Result<(), String> {
        let silent = {
            let known = locked(&self.known);
            if known.len() < MAX_SESSIONS {
                return Ok(());
            }
            let oldest = known.iter().min_by_key(|(_, state)| state.seen);
            oldest
                .filter(|(_, state)| state.seen.elapsed() >= SILENT)
                .map(|(id, _)| Arc::clone(id))
        };
        let Some(silent) = silent else {
            return Err(format!("{MAX_SESSIONS} sessions are open"));
        };
        // One that has ended by itself meanwhile has made room, too.
        let _ = self.close_session(&silent).await;
        Ok(())
    }

    /// A place for a request; none where one with this id is in hand.
    fn begin(&self, session: &SessionId, id: &RequestId) -> Option<Arc<Place>> {
        let mut known = locked(&self.known);
        // One that ends at this moment is for the protocol's library to refuse.
        let free = known
            .get_mut(session)
            .is_none_or(|state| state.open.insert(id.clone()));
        free.then(|| {
            Arc::new(Place {
                known: Arc::clone(&self.known),
                session: Arc::clone(session),
                id: id.clone(),
            })
        })
    }
}

/// A request in hand, until its handler has ended and its answer is sent or not wanted any more.
struct Place {
    known: Known,
    session: SessionId,
    id: RequestId,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(state) = locked(&self.known).get_mut(&self.session) {
            state.open.remove(&self.id);
        }
    }
}

type Messages = Pin<Box<dyn Stream<Item = ServerSseMessage> + Send + Sync>>;

/// What a request is answered with.
enum Answers {
    /// The messages of its handler, the last of which is the answer.
    Taken(Messages, Option<Arc<Place>>),
    /// One error, which is then gone.
    Refused(Option<ServerSseMessage>),
}

impl Stream for Answers {
    type Item = ServerSseMessage;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Refused(error) => Poll::Ready(error.take()),
            Self::Taken(messages, place) => {
                let next = messages.as_mut().poll_next(context);
                if let Poll::Ready(Some(message)) = &next
                    && message.message.as_deref().is_some_and(is_answer)
                {
                    // Before the client has it: it may use the id again.
                    *place = None;
                }
                next
            }
        }
    }
}

fn is_answer(message: &ServerJsonRpcMessage) -> bool {
    matches!(
        message,
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)
    )
}

impl SessionManager for Sessions {
    type Error = <LocalSessionManager as SessionManager>::Error;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let (id, transport) = self.local.create_session().await?;
        let state = State {
            seen: Instant::now(),
            open: HashSet::new(),
        };
        locked(&self.known).insert(Arc::clone(&id), state);
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.local.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.local.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        locked(&self.known).remove(id);
        self.local.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let mut place = None;
        if let JsonRpcMessage::Request(request) = &mut message {
            place = self.begin(id, &request.id);
            let Some(place) = &place else {
                let refused = Refused::in_hand(request.id.clone());
                refused.log();
                let error = ServerSseMessage::from_message(refused.error());
                return Ok(Answers::Refused(Some(error)));
            };
            // What is attached goes to the handler, and is dropped when that ends.
            let extensions = request.request.extensions_mut();
            extensions.insert(Arc::clone(place));
        }
        let messages = self.local.create_stream(id, message).await?;
        Ok(Answers::Taken(Box::pin(messages), place))
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        self.local.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.resume(id, last_event_id).await
    }
}
