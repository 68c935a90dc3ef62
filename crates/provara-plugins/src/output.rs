//! What plugins print: copied to the user's stderr, marked and made harmless.
//!
//! A plugin may print; the protocol does not run over stdout. Each line gets the prefix
//! `[plugin] ` and loses its control characters. Lines are cut at a length and the whole at a
//! size, so that a plugin can neither hide a message nor fill a log.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::text::inline;

/// The longest line that is copied in one piece, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// The most that is handed on of each stream, in bytes: with the marks before the lines, and escapes.
const MAX_TOTAL: usize = 8 * 1024 * 1024;

/// The lines kept for the message about a host that did not start.
const KEPT_LINES: usize = 12;

/// How long a change of the label waits for what was printed under the old one.
const SETTLE_LIMIT: Duration = Duration::from_millis(200);

/// What an error or a line of output names while no plugin is known to be in hand.
pub const NO_PLUGIN: &str = "plugins";

/// The longest label, in characters.
const MAX_LABEL: usize = 200;

/// Takes finished lines, each with its line feed.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// The sink that writes to this process's stderr.
#[must_use]
pub fn stderr_sink() -> Sink {
    Arc::new(|line| {
        // A closed stderr is no reason to fail.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    })
}

#[derive(Default)]
struct Shared {
    label: String,
    tail: VecDeque<String>,
    /// Lines that wait until it is known whether there is a host; none once that is known.
    held: Option<Vec<String>>,
}

/// A stream that is being copied.
struct Stream {
    /// The pipe, to ask how much waits in it.
    pipe: OwnedFd,
    /// Whether something was taken from the pipe that the sink has not got yet. Set before
    /// anything is taken.
    busy: Arc<AtomicBool>,
}

/// Copies the streams of one host. Until [`Pumps::release`] they are kept back: where no host comes
/// to be, the error says what was printed.
pub(crate) struct Pumps {
    streams: Vec<Stream>,
    shared: Arc<Mutex<Shared>>,
    sink: Sink,
    running: usize,
    done: Receiver<()>,
    finished: Sender<()>,
}

impl Pumps {
    pub(crate) fn new(sink: Sink) -> Pumps {
        let (finished, done) = channel();
        let shared = Arc::new(Mutex::new(Shared {
            label: NO_PLUGIN.to_owned(),
            held: Some(Vec::new()),
            ..Shared::default()
        }));
        Pumps {
            shared,
            streams: Vec::new(),
            sink,
            running: 0,
            done,
            finished,
        }
    }

    /// Starts copying a pipe on a thread of its own.
    pub(crate) fn copy(
        &mut self,
        stream: impl Read + AsFd + Send + 'static,
    ) -> std::io::Result<()> {
        let (shared, sink) = (Arc::clone(&self.shared), Arc::clone(&self.sink));
        let busy = Arc::new(AtomicBool::new(false));
        let pipe = stream.as_fd().try_clone_to_owned()?;
        self.streams.push(Stream {
            pipe,
            busy: Arc::clone(&busy),
        });
        let finished = self.finished.clone();
        thread::Builder::new()
            .name("plugin-output".to_owned())
            .spawn(move || {
                pump(stream, &shared, &sink, &busy);
                // The receiver is gone when nobody waits any more.
                let _ = finished.send(());
            })?;
        self.running += 1;
        Ok(())
    }

    /// Waits until what was printed so far has its label, but not longer than `limit`.
    fn settle(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let idle = |stream: &Stream| {
            // In this order: what has left the pipe is marked as busy before it leaves.
            rustix::io::ioctl_fionread(&stream.pipe).map_or(true, |count| count == 0)
                && !stream.busy.load(Ordering::SeqCst)
        };
        while !self.streams.iter().all(idle) && Instant::now() < end {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Names the plugin in hand. What was printed before still belongs to the one before.
    pub(crate) fn set_label(&self, label: &str) {
        self.settle(SETTLE_LIMIT);
        let label: String = label.chars().take(MAX_LABEL).collect();
        lock(&self.shared).label = inline(&label).into_owned();
    }

    /// The plugin in hand.
    pub(crate) fn label(&self) -> String {
        lock(&self.shared).label.clone()
    }

    /// Hands on what was held back, and from now on every line as it comes.
    pub(crate) fn release(&self) {
        // The lock stays, so that no later line goes first.
        let mut shared = lock(&self.shared);
        for line in shared.held.take().into_iter().flatten() {
            (self.sink)(&line);
        }
    }

    /// The last lines that the host printed, for a message.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<String> = lock(&self.shared).tail.iter().cloned().collect();
        lines.join("\n")
    }

    /// Waits until the streams have ended, but not longer than `limit`: a process that escaped
    /// could hold a stream open.
    pub(crate) fn drain(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.running > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if self.done.recv_timeout(left).is_err() {
                return;
            }
            self.running -= 1;
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pump(mut stream: impl Read + AsFd, shared: &Mutex<Shared>, sink: &Sink, busy: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    let mut line: Vec<u8> = Vec::new();
    let mut left = MAX_TOTAL;
    loop {
        busy.store(false, Ordering::SeqCst);
        // An error shows again when reading.
        let _ = poll(&mut [PollFd::new(&stream, PollFlags::IN)], None);
        busy.store(true, Ordering::SeqCst);
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if left == 0 {
            // Go on reading, so that the plugin does not block on a full pipe.
            continue;
        }
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() == MAX_LINE {
                left = emit(&line, shared, sink, left);
                line.clear();
                if left == 0 {
                    break;
                }
            }
        }
    }
    if !line.is_empty() && left > 0 {
        emit(&line, shared, sink, left);
    }
    busy.store(false, Ordering::SeqCst);
}

/// Hands a line on, if it is not longer than `left` bytes with its mark; gives what is left of them then.
/// Where it does not fit, it is the end, and that is said in its place.
fn emit(line: &[u8], shared: &Mutex<Shared>, sink: &Sink, left: usize) -> usize {
    let text = String::from_utf8_lossy(line);
    let text = inline(text.strip_suffix('\r').unwrap_or(&text)).into_owned();
    let (line, left) = {
        let mut shared = lock(shared);
        let mut line = format!("[{}] {text}\n", shared.label);
        let left = left.saturating_sub(line.len());
        if left == 0 {
            line = format!("[{}] (further output is not shown)\n", shared.label);
        } else {
            if shared.tail.len() == KEPT_LINES {
                shared.tail.pop_front();
            }
            shared.tail.push_back(text);
        }
        match &mut shared.held {
            Some(held) => {
                held.push(line);
                return left;
            }
            None => (line, left),
        }
    };
    sink(&line);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(input: Vec<u8>) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let mut pumps = Pumps::new(Arc::new(move |line| {
            taken.lock().unwrap().push(line.to_owned());
        }));
        pumps.set_label("csv");
        pumps.release();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let writing = thread::spawn(move || writer.write_all(&input).unwrap());
        pumps.copy(reader).unwrap();
        writing.join().unwrap();
        pumps.drain(Duration::from_secs(10));
        assert_eq!(pumps.running, 0);
        std::mem::take(&mut *lines.lock().unwrap())
    }

    #[test]
    fn lines_are_marked_and_harmless() {
        assert_eq!(
            collect(b"one\r\n\x1b[2Jtwo\n\n\xff last".to_vec()),
            [
                "[csv] one\n",
                "[csv] \\u{1b}[2Jtwo\n",
                "[csv] \n",
                "[csv] \u{fffd} last\n"
            ]
        );
    }

    #[test]
    fn a_line_keeps_the_label_under_which_it_was_printed() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let mut pumps = Pumps::new(Arc::new(move |line: &str| {
            // A slow terminal.
            thread::sleep(Duration::from_millis(2));
            taken.lock().unwrap().push(line.to_owned());
        }));
        pumps.release();
        let (reader, mut writer) = std::io::pipe().unwrap();
        pumps.copy(reader).unwrap();
        for number in 0..20 {
            pumps.set_label(&number.to_string());
            writeln!(writer, "{number}").unwrap();
        }
        drop(writer);
        pumps.drain(Duration::from_secs(10));
        let expected: Vec<String> = (0..20)
            .map(|number| format!("[{number}] {number}\n"))
            .collect();
        assert_eq!(*lines.lock().unwrap(), expected);
    }

    #[test]
    fn lines_wait_until_there_is_a_host() {
        let (sender, lines) = channel();
        let mut pumps = Pumps::new(Arc::new(move |line| sender.send(line.to_owned()).unwrap()));
        let (reader, mut writer) = std::io::pipe().unwrap();
        pumps.copy(reader).unwrap();
        writeln!(writer, "early").unwrap();
        drop(writer);
        pumps.drain(Duration::from_secs(10));
        assert!(lines.try_recv().is_err());
        assert_eq!(pumps.tail(), "early");
        pumps.release();
        assert_eq!(lines.try_recv().unwrap(), "[plugins] early\n");
    }

    #[test]
    fn length_and_size_are_bounded() {
        let mark = "[csv] \n".len();
        for (input, each) in [
            (vec![b'x'; MAX_TOTAL + 10 * MAX_LINE], MAX_LINE + mark),
            // What a line costs is its mark, too, and what its characters are shown as.
            (vec![b'\n'; MAX_TOTAL], mark),
            (vec![0; MAX_TOTAL / 2], MAX_LINE * "\\u{0}".len() + mark),
        ] {
            let lines = collect(input);
            let (last, others) = lines.split_last().unwrap();
            assert_eq!(last, "[csv] (further output is not shown)\n");
            assert!(others.iter().all(|line| line.len() == each), "{each}");
            let total: usize = others.iter().map(String::len).sum();
            assert!(
                total < MAX_TOTAL && total + each >= MAX_TOTAL,
                "{total} {each}"
            );
        }
    }
}
