//! Blocking work: a bounded number at a time, with progress, and with an end when it is cancelled.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use provara_plugins::host::Killer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::served::Refusal;

/// How often somebody who waits hears that the work goes on.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the work may say and has to heed; given to the blocking side.
#[derive(Clone)]
pub(crate) struct Handle {
    stages: UnboundedSender<&'static str>,
    kill: Arc<Mutex<Kill>>,
}

#[derive(Default)]
struct Kill {
    cancelled: bool,
    killer: Option<Killer>,
}

impl Handle {
    /// Tells that the next stage begins.
    pub(crate) fn stage(&self, text: &'static str) {
        // Nobody listens any more once the work was cancelled.
        let _ = self.stages.send(text);
    }

    /// Ties a plugin host to this work: it is killed when the work is cancelled.
    pub(crate) fn tie(&self, killer: Killer) {
        let mut kill = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
        if kill.cancelled {
            killer.kill();
        }
        kill.killer = Some(killer);
    }

    /// The host that was tied serves others again.
    pub(crate) fn untie(&self) {
        self.kill
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .killer = None;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.kill
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancelled
    }

    fn cancel(&self) {
        let mut kill = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
        kill.cancelled = true;
        if let Some(killer) = &kill.killer {
            killer.kill();
        }
    }
}

/// Cancels the work when the one who waits for it goes away, whatever the reason.
struct CancelOnDrop(Handle);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The work was refused, or failed.
    Refused(Refusal),
    /// The client does not want the result any more, or the server ends.
    Cancelled,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Runs blocking work. `progress` is called with how far it is, from 0 to `stages`, and with what it
/// does; the figure only grows.
///
/// Work that nobody waits for any more is not torn out of its step: its plugin is killed, and it ends
/// at the next stage. It keeps its place among the bounded number until then.
pub(crate) async fn run<T, W, P, F>(
    jobs: &Arc<Semaphore>,
    cancelled: &CancellationToken,
    mut progress: P,
    work: W,
) -> Result<T, Stop>
where
    T: Send + 'static,
    W: FnOnce(&Handle) -> Result<T, Refusal> + Send + 'static,
    P: FnMut(f64, &'static str) -> F,
    F: Future<Output = ()>,
{
    let permit: OwnedSemaphorePermit = tokio::select! {
        permit = Arc::clone(jobs).acquire_owned() => permit.map_err(|_| Stop::Cancelled)?,
        () = cancelled.cancelled() => return Err(Stop::Cancelled),
    };
    let (stages, mut heard): (_, UnboundedReceiver<&'static str>) = unbounded_channel();
    let handle = Handle {
        stages,
        kill: Arc::default(),
    };
    let _cancel = CancelOnDrop(handle.clone());
    let mut done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work(&handle)
    });
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    let (mut stage, mut beats, mut doing) = (0_u32, 0_u32, "");
    loop {
        tokio::select! {
            biased;
            Some(text) = heard.recv() => {
                if !doing.is_empty() {
                    stage += 1;
                }
                (doing, beats) = (text, 0);
                progress(f64::from(stage), doing).await;
            }
            result = &mut done => {
                return match result {
                    Ok(result) => Ok(result?),
                    Err(error) => Err(Stop::Refused(Refusal::new(
                        &format!("The server failed: {error}."),
                        "Report it; the vault is as it was.",
                    ))),
                };
            }
            () = cancelled.cancelled() => return Err(Stop::Cancelled),
            _ = beat.tick() => {
                beats += 1;
                // Ever closer to the next stage, never there.
                let part = 1.0 - 1.0 / (1.0 + f64::from(beats));
                progress(f64::from(stage) + part, doing).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn stages_arrive_before_the_result() {
        let seen = Mutex::new(Vec::new());
        let result = runtime().block_on(run(
            &Arc::new(Semaphore::new(1)),
            &CancellationToken::new(),
            |at, text| {
                seen.lock().unwrap().push((at, text));
                async {}
            },
            |handle| {
                handle.stage("one");
                handle.stage("two");
                Ok(7)
            },
        ));
        assert_eq!(result.unwrap(), 7);
        assert_eq!(*seen.lock().unwrap(), [(0.0, "one"), (1.0, "two")]);
    }

    #[test]
    fn cancelled_work_is_told_and_keeps_its_place_until_it_ends() {
        let runtime = runtime();
        let jobs = Arc::new(Semaphore::new(1));
        let token = CancellationToken::new();
        let (started, wait) = std::sync::mpsc::channel();
        let (ended, end) = std::sync::mpsc::channel();
        let canceller = token.clone();
        std::thread::spawn(move || {
            wait.recv().unwrap();
            canceller.cancel();
        });
        let result: Result<(), _> = runtime.block_on(run(
            &jobs,
            &token,
            |_, _| async {},
            move |handle| {
                started.send(()).unwrap();
                while !handle.is_cancelled() {
                    std::thread::yield_now();
                }
                ended.send(()).unwrap();
                Ok(())
            },
        ));
        assert!(matches!(result, Err(Stop::Cancelled)));
        end.recv().unwrap();
        // The place is free again.
        runtime.block_on(async { drop(jobs.acquire().await.unwrap()) });
    }

    #[test]
    fn a_panic_is_a_refusal() {
        let result: Result<(), _> = runtime().block_on(run(
            &Arc::new(Semaphore::new(1)),
            &CancellationToken::new(),
            |_, _| async {},
            |_| panic!("a defect"),
        ));
        assert!(matches!(result, Err(Stop::Refused(_))));
    }
}
