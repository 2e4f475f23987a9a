//! How a fetch goes: a bar for people at a terminal, a line now and then for logs. Both on standard error.

use hob_model_store::{Progress, in_words};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// A log gets a line each time so many hundredths more are there.
const STEP: u64 = 10;

/// Told by several threads.
pub(super) struct Meter {
    /// At a terminal only.
    bar: Option<ProgressBar>,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    there: u64,
    total: u64,
    /// Hundredths that were told.
    told: u64,
}

impl Count {
    /// Counts more bytes; the hundredths to tell now, if it is time.
    fn more(&mut self, bytes: u64) -> Option<u64> {
        self.there = self.there.saturating_add(bytes);
        let share = self.there.saturating_mul(100).checked_div(self.total)?;
        let due = share.min(100) / STEP * STEP;
        (due > self.told).then(|| {
            self.told = due;
            due
        })
    }
}

impl Meter {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, count: Mutex::default() }
    }

    pub(super) fn tell(&self, progress: Progress<'_>) {
        match progress {
            Progress::Begins { files, bytes, there } => {
                let size = if bytes > 0 { format!(", {}", in_words(bytes)) } else { String::new() };
                let known = if there > 0 { format!(", {} of it there", in_words(there)) } else { String::new() };
                self.begin(&format!("{files} files{size}{known}"), bytes, there);
            }
            Progress::Received { bytes } => self.more(bytes),
            Progress::Lost { bytes } => {
                let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
                count.there = count.there.saturating_sub(bytes);
                drop(count);
                if let Some(bar) = &self.bar {
                    bar.dec(bytes);
                }
                self.say(&format!("{} have to come again", in_words(bytes)));
            }
            Progress::Again { path, reason, wait } => {
                self.say(&format!("{path}: {reason}; again in {} s", wait.as_secs()));
            }
            Progress::Whole { path } => self.say(&format!("{path} is there")),
        }
    }

    /// Says what begins: so many bytes, of which some are there.
    pub(super) fn begin(&self, what: &str, bytes: u64, there: u64) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        (count.total, count.there) = (bytes, there);
        drop(count);
        if let Some(bar) = &self.bar {
            bar.set_length(bytes);
            bar.set_position(there);
            bar.reset_eta();
        }
        self.say(what);
    }

    /// So many bytes more are done.
    pub(super) fn more(&self, bytes: u64) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, total) = (count.more(bytes), count.total);
        drop(count);
        match (&self.bar, due) {
            (Some(bar), _) => bar.inc(bytes),
            (None, Some(share)) => self.say(&format!("{share} % of {}", in_words(total))),
            (None, None) => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A line above the bar. Nobody who reads it is no reason to stop.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => {
                writeln!(std::io::stderr().lock(), "{line}").ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_a_line_each_tenth() {
        let mut count = Count { total: 1000, ..Count::default() };
        let due: Vec<Option<u64>> = [50, 60, 10, 300, 580, 900].into_iter().map(|bytes| count.more(bytes)).collect();
        assert_eq!(due, [None, Some(10), None, Some(40), Some(100), None]);
        assert_eq!(Count::default().more(5), None, "a total of nothing is no share");
    }
}
