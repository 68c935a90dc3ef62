//! How far a command has come that takes longer than a second: a line on a terminal's stderr, and nothing on
//! anything else.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is quicker shows nothing.
const QUIET: Duration = Duration::from_secs(1);

/// A line that tells how far a command has come, at what rate, and how long the rest will take.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    /// A line that shows once a second has gone by.
    pub(crate) fn new() -> Self {
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            since: Instant::now(),
        }
    }

    /// Tells that `count` things are done, and how many bytes of how many were gone through, if that is known.
    pub(crate) fn tell(&self, count: u64, things: &str, bytes: Option<(u64, u64)>) {
        let elapsed = self.since.elapsed();
        if elapsed < QUIET {
            return;
        }
        let rate = count as f64 / elapsed.as_secs_f64();
        self.bar
            .set_message(format!("{count} {things}, {rate:.0}/s"));
        self.show(match bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}, {eta} left",
            None => "{spinner} {msg}, {elapsed} so far",
        });
        if let Some((done, total)) = bytes {
            self.bar.set_length(total);
            self.bar.set_position(done);
        }
        self.bar.tick();
    }

    /// Tells how many bytes of how many are done.
    pub(crate) fn tell_bytes(&self, what: &str, done: u64, total: u64) {
        if self.since.elapsed() < QUIET {
            return;
        }
        self.bar.set_message(what.to_owned());
        self.show(
            "{bar:30} {percent:>3}%  {msg}: {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        );
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn show(&self, template: &str) {
        if self.bar.is_hidden() {
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            // On what is no terminal it draws nothing.
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
