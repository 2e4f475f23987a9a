//! What a person sees while there is nothing to read yet. On a terminal alone.

use crate::cli::on_terminal;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A spinner on a terminal, nothing elsewhere.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn begin(what: &'static str) -> Self {
        let bar = on_terminal().then(ProgressBar::new_spinner);
        let progress = Self(bar);
        progress.say(what);
        progress
    }

    pub(super) fn say(&self, what: &'static str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what);
            bar.enable_steady_tick(Duration::from_millis(100));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// How much of a long prompt the model has read.
pub(super) struct Reading {
    shown: bool,
    bar: Option<ProgressBar>,
}

impl Reading {
    /// `shown` is false where nobody looks.
    pub(super) fn new(shown: bool) -> Self {
        Self { shown, bar: None }
    }

    pub(super) fn at(&mut self, tokens: usize, of: usize) {
        let (tokens, of) = (u64::try_from(tokens).unwrap_or(u64::MAX), u64::try_from(of).unwrap_or(u64::MAX));
        if !self.shown {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("reading {wide_bar} {human_pos}/{human_len} tokens, {eta} left");
            ProgressBar::new(of).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(tokens);
    }

    /// Something else is to be seen now.
    pub(super) fn over(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.over();
    }
}
