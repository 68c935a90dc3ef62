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
    let (requests, read) = tokio::io::duplex(64 << 20);
    let (write, answers) = tokio::io::duplex(1 << 10);
    let mut pipe = Pipe::new(read, write, None);
    pipe.opened = true;
    (pipe, requests, answers)
}

async fn ask(requests: &mut DuplexStream, id: usize, padding: usize) {
    let padding = "x".repeat(padding);
    let text = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\
         \"params\":{{\"name\":\"t\",\"arguments\":{{\"x\":\"{padding}\"}}}}}}\n"
    );
    requests.write_all(text.as_bytes()).await.unwrap();
}

async fn cancel(requests: &mut DuplexStream, id: usize) {
    let text = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
         \"params\":{{\"requestId\":{id}}}}}\n"
    );
    requests.write_all(text.as_bytes()).await.unwrap();
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
        let (mut pipe, mut requests, _answers) = pipe();
        for id in 0..RUNNING + 10 {
            ask(&mut requests, id, 0).await;
        }
        cancel(&mut requests, 3).await;
        cancel(&mut requests, RUNNING).await;
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
        let (mut pipe, mut requests, _answers) = pipe();
        for id in 0..2 * HELD {
            ask(&mut requests, id, 0).await;
        }
        let come = all(&mut pipe).await;
        assert_eq!((come.len(), pipe.held.len()), (RUNNING, HELD));
        drop(come);
        assert_eq!(all(&mut pipe).await.len(), RUNNING);
    });
    run(async {
        let (mut pipe, mut requests, _answers) = pipe();
        for id in 0..20 {
            ask(&mut requests, id, BYTES / 8).await;
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
        let (mut pipe, mut requests, mut answers) = pipe();
        // More than the client's end takes before it is read.
        let stuck: Vec<_> = (0..100)
            .map(|id| tokio::spawn(pipe.send(answer(id))))
            .collect();
        tokio::task::yield_now().await;
        ask(&mut requests, 1000, 0).await;
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
fn before_a_session_is_open_nothing_but_requests_goes_on() {
    run(async {
        let (mut pipe, mut requests, _answers) = pipe();
        pipe.opened = false;
        cancel(&mut requests, 1).await;
        ask(&mut requests, 1, 0).await;
        let come = all(&mut pipe).await;
        assert_eq!(come.iter().filter_map(id).collect::<Vec<_>>(), ["1"]);
        assert_eq!(come.len(), 1);
    });
}

#[test]
fn what_is_no_message_is_answered_before_anything_else_is_read() {
    run(async {
        let (mut pipe, mut requests, mut answers) = pipe();
        ask(&mut requests, 1, 0).await;
        let first = all(&mut pipe).await;
        // A second request of the same id, and what the client's end cannot take at once.
        ask(&mut requests, 1, 0).await;
        for _ in 0..20 {
            requests.write_all(b"nonsense\n").await.unwrap();
        }
        ask(&mut requests, 2, 0).await;
        assert!(all(&mut pipe).await.is_empty());
        let reads = tokio::spawn(async move {
            let mut text = String::new();
            answers.read_to_string(&mut text).await.unwrap();
            text
        });
        let second = all(&mut pipe).await;
        assert_eq!(second.iter().filter_map(id).collect::<Vec<_>>(), ["2"]);
        drop(first);
        // Once the first is answered, its id is free.
        pipe.send(answer(1)).await.unwrap();
        ask(&mut requests, 1, 0).await;
        assert_eq!(all(&mut pipe).await.len(), 1);
        pipe.close().await.unwrap();
        let text = reads.await.unwrap();
        assert_eq!(text.matches("with this id is in hand").count(), 1);
        assert_eq!(text.matches("-32700").count(), 20);
    });
}

#[test]
fn what_came_before_the_end_is_done() {
    run(async {
        let (mut pipe, mut requests, _answers) = pipe();
        for id in 0..RUNNING + 5 {
            ask(&mut requests, id, 0).await;
        }
        drop(requests);
        let come = all(&mut pipe).await;
        assert_eq!(come.len(), RUNNING);
        drop(come);
        for _ in 0..5 {
            assert!(pipe.receive().await.is_some());
        }
        assert!(pipe.receive().await.is_none());
    });
}
