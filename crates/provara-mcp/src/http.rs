//! The HTTP transport: who may connect, how many at a time, and how much they may send.
//!
//! What a browser could be made to do is refused before the protocol sees it: a request whose `Host`
//! is a name that is not ours (DNS rebinding), or whose `Origin` is a page of somebody else. A token,
//! where there is one, is compared in constant time.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::model::JsonRpcMessage;
use rmcp::transport::streamable_http_server::{
    SessionId, StreamableHttpServerConfig, StreamableHttpService,
};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::batch;
use crate::config::HttpSettings;
use crate::error::ServeError;
use crate::exact;
use crate::limits::MAX_MESSAGE;
use crate::message::{self, Refused};
use crate::session::Session;
use crate::sessions::Sessions;
use crate::state::ServerState;
use crate::tools::Registry;
use crate::write_timeout::WriteTimeout;

/// The path of the one endpoint.
const ENDPOINT: &str = "/mcp";

/// The most connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// What all requests in hand may weigh, in KiB, whether their clients still wait or not.
const MAX_LOAD: usize = 32 << 10;

/// What a request weighs besides its body, in KiB.
const REQUEST_LOAD: usize = 16;

/// How long a client may read nothing of what it is sent.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// How long a client may take to send its headers.
const HEADERS_LIMIT: Duration = Duration::from_secs(10);

/// How long a client may take to send a whole request.
const BODY_LIMIT: Duration = Duration::from_secs(60);

/// How long a request may take until its answer begins, besides the time that a plugin may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

const JSON: &str = "application/json";

type Answer = Response<BoxBody<Bytes, Infallible>>;
type Protocol = StreamableHttpService<Session, Sessions>;

/// What every connection needs.
struct Endpoint {
    settings: HttpSettings,
    /// The address that is listened on.
    address: SocketAddr,
    sessions: Arc<Sessions>,
    load: Arc<Semaphore>,
    /// How long a request may take until its answer begins.
    answer_limit: Duration,
    protocol: Protocol,
}

/// Listens until the process ends.
pub(crate) async fn serve(
    server: &Arc<ServerState>,
    registry: &Arc<Registry>,
    settings: &HttpSettings,
) -> Result<(), ServeError> {
    let failed = |source| ServeError::Listen {
        address: settings.listen,
        source,
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let sessions = Arc::new(Sessions::new());
    // Hosts and origins are judged here, where a refusal is logged.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(MAX_MESSAGE)
        .with_cancellation_token(server.stopping.child_token());
    let (for_sessions, registry) = (Arc::clone(server), Arc::clone(registry));
    let protocol = StreamableHttpService::new(
        move || Ok(Session::new(&for_sessions, &registry)),
        Arc::clone(&sessions),
        config,
    );
    let endpoint = Arc::new(Endpoint {
        settings: settings.clone(),
        address,
        sessions,
        load: Arc::new(Semaphore::new(MAX_LOAD)),
        answer_limit: ANSWER_LIMIT.saturating_add(server.config.plugins.timeout),
        protocol,
    });
    tracing::info!("listening on http://{address}{ENDPOINT}");
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&room).acquire_owned() => place,
            () = server.stopping.cancelled() => return Ok(()),
        };
        let Ok(place) = place else { return Ok(()) };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: it passes, and must not become a busy loop.
                tracing::error!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let endpoint = Arc::clone(&endpoint);
        tokio::spawn(async move {
            connection(endpoint, stream, peer).await;
            drop(place);
        });
    }
}

async fn connection(endpoint: Arc<Endpoint>, stream: TcpStream, peer: SocketAddr) {
    // Small answers are not held back for more.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { Ok::<_, Infallible>(endpoint.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_LIMIT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, READ_LIMIT)), service);
    // Whoever hangs up in the middle has ended their connection.
    if let Err(error) = connection.await {
        if is_timeout(&error) {
            tracing::warn!("ended the connection of {peer}: it reads nothing");
        } else if error.is_parse() || error.is_timeout() {
            tracing::warn!("ended the connection of {peer}: {error}");
        }
    }
}

/// Whether a connection ended because its client read nothing.
fn is_timeout(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// The session that a request is for.
fn session_of(headers: &HeaderMap) -> Option<SessionId> {
    let session = headers.get("mcp-session-id")?.to_str().ok()?;
    Some(session.into())
}

/// Whether a request is of the revision that has batches: one that names none is taken to be (MCP 2025-06-18,
/// "Protocol Version Header").
fn takes_batches(headers: &HeaderMap) -> bool {
    match headers.get("mcp-protocol-version") {
        None => session_of(headers).is_some(),
        Some(version) => version.as_bytes() == batch::REVISION.as_str().as_bytes(),
    }
}

/// What a request weighs, in KiB. One that does not say how long it is may have any length.
fn weight(headers: &HeaderMap) -> u32 {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let length = length.map_or(MAX_MESSAGE, |length: usize| length.min(MAX_MESSAGE));
    u32::try_from(REQUEST_LOAD + (length >> 10)).unwrap_or(u32::MAX)
}

impl Endpoint {
    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Answer {
        if let Err((status, reason)) = self.admit(&mut request) {
            let method = request.method();
            tracing::warn!("refused {method} from {peer}: {reason}");
            return refused(status, &reason);
        }
        let method = request.method().clone();
        let log = |reason: &str| tracing::warn!("refused {method} from {peer}: {reason}");
        let (head, body) = request.into_parts();
        // No other method has anything to say; what comes with it is not read.
        let body = match method == Method::POST {
            true => whole(body).await,
            false => Ok(Bytes::new()),
        };
        let body = match body {
            Ok(body) => body,
            Err((status, reason)) => {
                log(&reason);
                return refused(status, &reason);
            }
        };
        if batch::is_one(&body) && takes_batches(&head.headers) {
            return self.batch(&head, &body).await;
        }
        if let Some(misread) = message::misread(&body) {
            return no_message(&misread);
        }
        if session_of(&head.headers).is_none()
            && message::greets(&body)
            && let Err(reason) = self.sessions.make_room().await
        {
            log(&reason);
            return refused(StatusCode::SERVICE_UNAVAILABLE, &reason);
        }
        let (text, exact) = exact::of(&body);
        let text = match text {
            Cow::Borrowed(_) => body.clone(),
            Cow::Owned(text) => text.into(),
        };
        let mut request = Request::from_parts(head, Full::new(text));
        if let Some(exact) = exact {
            // The head of a request goes to the handler, with what is attached to it.
            request.extensions_mut().insert(exact);
        }
        let answer = tokio::time::timeout(self.answer_limit, self.protocol.handle(request)).await;
        let Ok(mut answer) = answer else {
            let reason = "the request took too long";
            log(reason);
            return refused(StatusCode::REQUEST_TIMEOUT, reason);
        };
        let status = answer.status();
        if !status.is_client_error() && !status.is_server_error() {
            tracing::debug!("{method} from {peer}: {status}");
            // The session is gone when this is said, so nothing is merely accepted: clients (mcp 2.3.0 for
            // Python) take 202 for a failure to end it.
            if method == Method::DELETE && status == StatusCode::ACCEPTED {
                *answer.status_mut() = StatusCode::NO_CONTENT;
            }
            return answer;
        }
        if let (StatusCode::UNSUPPORTED_MEDIA_TYPE, Err(wrong)) = (status, message::read(&body)) {
            return no_message(&wrong);
        }
        in_form(answer, log).await
    }

    /// Answers several messages in one, one after the other. What a call tells on its way is left out: one
    /// array is answered.
    async fn batch(&self, head: &http::request::Parts, body: &Bytes) -> Answer {
        // As one message alone is told by the protocol's library.
        match session_of(&head.headers) {
            None => return refused(StatusCode::BAD_REQUEST, "a session is needed for a batch"),
            Some(session) if !self.sessions.touch(&session) => {
                return refused(StatusCode::NOT_FOUND, "the session is not open");
            }
            Some(_) => {}
        }
        let parts = match batch::parts(body) {
            Ok(parts) => parts,
            Err(refused) => return no_message(&refused),
        };
        let mut answers: Vec<Value> = Vec::new();
        let mut status = StatusCode::ACCEPTED;
        for part in parts {
            let message = match batch::read(part) {
                Ok(message) => message,
                Err(refused) => {
                    refused.log();
                    answers.extend(refused.answer());
                    continue;
                }
            };
            let id = match &message {
                JsonRpcMessage::Request(request) => serde_json::to_value(&request.id).ok(),
                _ => None,
            };
            let answered = self.one_of_batch(head, part.get());
            let (given, text) = match tokio::time::timeout(self.answer_limit, answered).await {
                Ok(answered) => answered,
                Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the batch took too long"),
            };
            match &id {
                Some(id) => answers.extend(batch::answer_in(&text, id)),
                None if given.is_client_error() || given.is_server_error() => status = given,
                None => {}
            }
        }
        if answers.is_empty() {
            let mut answer = Response::new(Full::new(Bytes::new()).boxed());
            *answer.status_mut() = status;
            return answer;
        }
        json(StatusCode::OK, &Value::Array(answers))
    }

    /// The status and the whole text of the answer to one message.
    async fn one_of_batch(&self, head: &http::request::Parts, text: &str) -> (StatusCode, Bytes) {
        let (text, exact) = exact::of(text.as_bytes());
        let mut request =
            Request::from_parts(head.clone(), Full::new(Bytes::from(text.into_owned())));
        request.headers_mut().remove(header::CONTENT_LENGTH);
        if let Some(exact) = exact {
            request.extensions_mut().insert(exact);
        }
        let (head, body) = self.protocol.handle(request).await.into_parts();
        match body.collect().await {
            Ok(body) => (head.status, body.to_bytes()),
            Err(never) => match never {},
        }
    }

    /// Lets a request in, if it may come and there is room.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), (StatusCode, String)> {
        self.judge(request)?;
        // The protocol's library would call the end of what never began a success.
        if let Some(session) = session_of(request.headers())
            && !self.sessions.touch(&session)
            && request.method() == Method::DELETE
        {
            return Err((StatusCode::NOT_FOUND, "the session is not open".to_owned()));
        }
        if request.method() == Method::POST {
            let load = Arc::clone(&self.load).try_acquire_many_owned(weight(request.headers()));
            let load = load.map_err(|_| {
                let reason = "too many requests are in hand".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, reason)
            })?;
            // Whoever handles the request gets what is attached, and drops it when it is done.
            request.extensions_mut().insert(Arc::new(load));
        }
        Ok(())
    }

    /// Whether a request may come in.
    fn judge<B>(&self, request: &Request<B>) -> Result<(), (StatusCode, String)> {
        let headers = request.headers();
        let host = self.host(request, headers)?;
        if !self.is_our_host(host) {
            let host = provara_plugins::text::inline(host);
            return Err((
                StatusCode::FORBIDDEN,
                format!("the host '{host}' is not served here"),
            ));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("?");
            if !self.is_our_origin(origin) {
                let origin = provara_plugins::text::inline(origin);
                let reason = format!("the origin '{origin}' is not allowed");
                return Err((StatusCode::FORBIDDEN, reason));
            }
        }
        if let Some(token) = &self.settings.token
            && !bears(headers, token)
        {
            let reason = "the bearer token is missing or wrong".to_owned();
            return Err((StatusCode::UNAUTHORIZED, reason));
        }
        if request.uri().path() != ENDPOINT {
            return Err((StatusCode::NOT_FOUND, format!("the endpoint is {ENDPOINT}")));
        }
        Ok(())
    }

    fn host<'r, B>(
        &self,
        request: &'r Request<B>,
        headers: &'r HeaderMap,
    ) -> Result<&'r str, (StatusCode, String)> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let host = host.or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        });
        match (host, hosts.next()) {
            (Some(host), None) => Ok(host),
            _ => Err((
                StatusCode::BAD_REQUEST,
                "there is not one Host header".to_owned(),
            )),
        }
    }

    /// An address cannot be rebound; a name must be one that is ours.
    fn is_our_host(&self, authority: &str) -> bool {
        let name = host_of(authority);
        match name.parse::<IpAddr>() {
            // Who listens on loopback alone is not reached under any other address.
            Ok(address) => address.is_loopback() || !self.address.ip().is_loopback(),
            Err(_) => {
                let ours = |host: &String| host.eq_ignore_ascii_case(name);
                name.eq_ignore_ascii_case("localhost") || self.settings.hosts.iter().any(ours)
            }
        }
    }

    fn is_our_origin(&self, origin: &str) -> bool {
        if self
            .settings
            .origins
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(origin))
        {
            return true;
        }
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| {
            let name = host_of(authority);
            name.eq_ignore_ascii_case("localhost")
                || name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        })
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address; nothing, which is never ours, for
/// what is no such pair.
fn host_of(authority: &str) -> &str {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or("no port"))),
            None => ("", None),
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        Some(port) if port.parse::<u16>().is_err() => "",
        _ => host,
    }
}

/// Whether the request carries the token. Takes as long for a wrong one of its length as for the right one.
fn bears(headers: &HeaderMap, token: &str) -> bool {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return false;
    };
    let Some((scheme, given)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let same = given.trim().as_bytes().ct_eq(token.as_bytes());
    scheme.eq_ignore_ascii_case("bearer") & bool::from(same)
}

/// The whole body of a request.
async fn whole(body: Incoming) -> Result<Bytes, (StatusCode, String)> {
    let read = Limited::new(body, MAX_MESSAGE).collect();
    let Ok(read) = tokio::time::timeout(BODY_LIMIT, read).await else {
        let reason = "the request was not sent in time".to_owned();
        return Err((StatusCode::REQUEST_TIMEOUT, reason));
    };
    read.map(Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            let reason = format!("a message has at most {} MiB", MAX_MESSAGE >> 20);
            return (StatusCode::PAYLOAD_TOO_LARGE, reason);
        }
        let reason = format!("the request is not whole: {error}");
        (StatusCode::BAD_REQUEST, reason)
    })
}

/// Logs that what was sent is no message, and answers it.
fn no_message(wrong: &Refused) -> Answer {
    wrong.log();
    let error = wrong.answer().unwrap_or_default();
    json(StatusCode::BAD_REQUEST, &error)
}

/// A refusal of the protocol's library, in the form of every other.
async fn in_form(answer: Answer, log: impl Fn(&str)) -> Answer {
    let (mut head, body) = answer.into_parts();
    let text = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let reason = String::from_utf8_lossy(&text);
    log(&provara_plugins::text::inline(&reason));
    let is_json = head.headers.get(header::CONTENT_TYPE);
    if is_json.is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes())) {
        return Response::from_parts(head, Full::new(text).boxed());
    }
    let mut answer = refused(head.status, &reason);
    let allowed = head.headers.remove(header::ALLOW);
    answer
        .headers_mut()
        .extend(allowed.map(|methods| (header::ALLOW, methods)));
    answer
}

fn refused(status: StatusCode, reason: &str) -> Answer {
    let error = serde_json::json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": {"code": -32000, "message": format!("Refused: {reason}")}
    });
    let mut answer = json(status, &error);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = header::HeaderValue::from_static("Bearer");
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    answer
}

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static(JSON);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
