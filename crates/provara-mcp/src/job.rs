//! Blocking work: a bounded number at a time, with progress, and with an end when it is cancelled.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use provara_plugins::host::KillHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// How often somebody who waits hears that the work goes on.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the work may say and has to heed; given to the blocking side.
#[derive(Clone)]
pub(crate) struct JobHandle {
    stages: UnboundedSender<&'static str>,
    /// How much of the stage is done, in thousandths, and one more; 0 where that is not known.
    done: Arc<AtomicU32>,
    kill: Arc<Mutex<Kill>>,
}

#[derive(Default)]
struct Kill {
    cancelled: bool,
    kill_handle: Option<KillHandle>,
}

impl JobHandle {
    fn new(stages: UnboundedSender<&'static str>) -> Self {
        Self {
            stages,
            done: Arc::default(),
            kill: Arc::default(),
        }
    }

    /// The handle of work that nobody waits for or cancels.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self::new(unbounded_channel().0)
    }

    /// Tells how much of the stage is done, of how much; breaks once nobody waits for it any more.
    pub(crate) fn report_progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        let thousandths = (done as f64 / total.max(1) as f64 * 1000.0) as u32;
        self.done.store(1 + thousandths, Ordering::Relaxed);
        match self.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// How much of the stage is done, from 0 to 1, where that is known.
    fn part(&self) -> Option<f64> {
        let thousandths = self.done.load(Ordering::Relaxed).checked_sub(1)?;
        Some(f64::from(thousandths) / 1000.0)
    }

    /// Tells that the next stage begins.
    pub(crate) fn stage(&self, text: &'static str) {
        self.done.store(0, Ordering::Relaxed);
        // Nobody listens any more once the work was cancelled.
        let _ = self.stages.send(text);
    }

    /// Ties a plugin host to this work: it is killed when the work is cancelled.
    pub(crate) fn tie(&self, kill_handle: KillHandle) {
        let mut kill = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
        if kill.cancelled {
            kill_handle.kill();
        }
        kill.kill_handle = Some(kill_handle);
    }

    /// The host that was tied serves others again.
    pub(crate) fn untie(&self) {
        self.kill
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .kill_handle = None;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.kill
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancelled
    }

    /// Refuses to go on once nobody waits for the result; asked between stages.
    pub(crate) fn check_cancelled(&self) -> Result<(), Refusal> {
        match self.is_cancelled() {
            true => Err(Stop::Cancelled.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn cancel(&self) {
        let mut kill = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
        kill.cancelled = true;
        if let Some(kill_handle) = &kill.kill_handle {
            kill_handle.kill();
        }
    }
}

/// Cancels the work when the one who waits for it goes away, whatever the reason.
struct CancelOnDrop(JobHandle);

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

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => refusal,
            // Nobody reads it.
            Stop::Cancelled => Self::new("The call was cancelled.", "Call again."),
        }
    }
}

/// Runs blocking work. `progress` is called with how far it is, from 0 to `stages`, and with what it
/// does; the figure only grows.
///
/// Work that nobody waits for any more is not torn out of its step: its plugin is killed, and it ends
/// at the next stage, or the next time that it tells how far it is. It keeps its place among the
/// bounded number until then.
pub(crate) async fn run<T, W, P, F>(
    jobs: &Arc<Semaphore>,
    cancelled: &CancellationToken,
    mut progress: P,
    work: W,
) -> Result<T, Stop>
where
    T: Send + 'static,
    W: FnOnce(&JobHandle) -> Result<T, Refusal> + Send + 'static,
    P: FnMut(f64, &'static str) -> F,
    F: Future<Output = ()>,
{
    let permit: OwnedSemaphorePermit = tokio::select! {
        permit = Arc::clone(jobs).acquire_owned() => permit.map_err(|_| Stop::Cancelled)?,
        () = cancelled.cancelled() => return Err(Stop::Cancelled),
    };
    let (stages, mut heard): (_, UnboundedReceiver<&'static str>) = unbounded_channel();
    let handle = JobHandle::new(stages);
    let watched = CancelOnDrop(handle.clone());
    let mut done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work(&handle)
    });
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    let (mut stage, mut part, mut doing) = (0_u32, 0.0_f64, "");
    loop {
        tokio::select! {
            biased;
            Some(text) = heard.recv() => {
                if !doing.is_empty() {
                    stage += 1;
                }
                (doing, part) = (text, 0.0);
                progress(f64::from(stage), doing).await;
            }
            result = &mut done => {
                return match result {
                    Ok(result) => Ok(result?),
                    Err(error) => Err(Stop::Refused(Refusal::new(
                        &format!("The server failed: {error}."),
                        "Report it to the operator. If the call was to write something, look first \
                         whether it did.",
                    ))),
                };
            }
            () = cancelled.cancelled() => return Err(Stop::Cancelled),
            _ = beat.tick() => {
                // The figure has to grow each time. Where nothing is known it comes ever closer to the
                // next stage and is never there.
                let known = watched.0.part();
                let least = part + (1.0 - part) / if known.is_some() { 1000.0 } else { 2.0 };
                part = known.map_or(least, |known| known.min(0.999).max(least));
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
                while handle.report_progress(1, 2).is_continue() {
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
    fn what_is_known_of_a_stage_ends_with_it() {
        let handle = JobHandle::unheard();
        assert_eq!(handle.part(), None);
        assert!(handle.report_progress(1, 4).is_continue());
        assert_eq!(handle.part(), Some(0.25));
        assert!(handle.report_progress(0, 0).is_continue());
        assert_eq!(handle.part(), Some(0.0));
        handle.stage("next");
        assert_eq!(handle.part(), None);
        handle.cancel();
        assert!(handle.report_progress(1, 4).is_break());
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
