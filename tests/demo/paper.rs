//! How the demo looks: one block a command, columns aligned, colour only where a person looks.

use crate::Shown;
use hob_events::{ActionReport, CommandResult, Delivery, Timings};
use serde_json::Value;
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::time::Duration;

/// Where the demo is written.
pub(crate) struct Paper {
    colour: bool,
}

impl Paper {
    pub(crate) fn on_stdout() -> Self {
        let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour }
    }

    pub(crate) fn line(&self, text: &str) {
        // Whoever closed the pipe does not want to read on.
        writeln!(stdout(), "{text}").ok();
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn row(&self, word: &str, text: &str) {
        self.line(&format!("     {} {text}", self.paint("2", &format!("{word:<7}"))));
    }

    pub(crate) fn opening(&self, port: u16, model: &Path, ready: Duration) {
        let model = model.file_name().unwrap_or_default().to_string_lossy();
        self.line(&format!("hob in a small house: 11 devices, mosquitto on port {port}, the model {model}"));
        self.line(&format!("ready after {:.1} s; each command goes to hob/demo/command\n", ready.as_secs_f64()));
    }

    pub(crate) fn command(&self, number: usize, words: &str) {
        self.line(&self.paint("1", &format!("{number:>3}  {words}")));
    }

    pub(crate) fn scene(&self, shown: &Shown, missing: Option<&str>) {
        for action in &shown.result.actions {
            self.row("call", &call(action));
        }
        if let Some(question) = &shown.question {
            self.row("asks", question);
        }
        for told in &shown.told {
            self.row("home", &format!("{} heard {}", told.device, told.payload));
        }
        match &shown.result.error {
            Some(error) if shown.result.actions.is_empty() => {
                self.row("error", &format!("{}: {}", error.code, error.message));
            }
            Some(_) | None => self.row("reply", &shown.result.speech),
        }
        if shown.result.model.is_some() {
            self.row("ms", &times(&shown.result.timings));
        }
        match missing {
            None => self.line(&format!("     {}\n", self.paint("32", "as expected"))),
            Some(missing) => self.line(&format!("     {}\n", self.paint("31", &format!("NOT as expected: {missing}")))),
        }
    }

    pub(crate) fn closing(&self, seen: &[(CommandResult, bool)]) {
        let fine = seen.iter().filter(|(_, fine)| *fine).count();
        let asked = |pick: fn(&Timings) -> f64| {
            let mut times: Vec<f64> = seen
                .iter()
                .filter(|(result, _)| result.model.is_some() && !result.timings.from_memo)
                .map(|(result, _)| pick(&result.timings))
                .collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        self.line(&format!(
            "{} of {} as expected; half of those that the model decided took at most {:.0} ms (prefill {:.0}, decode {:.0})",
            fine,
            seen.len(),
            asked(|timings| timings.total_ms),
            asked(|timings| timings.prefill_ms),
            asked(|timings| timings.decode_ms),
        ));
    }
}

fn call(action: &ActionReport) -> String {
    let args: Vec<String> = action.args.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
    let receipts: Vec<String> = action.devices.iter().map(|device| receipt(&device.device, device.delivery)).collect();
    let after = if receipts.is_empty() { action.outcome.clone() } else { receipts.join(", ") };
    format!("{}({})  {after}", action.tool, args.join(", "))
}

fn receipt(device: &str, delivery: Delivery) -> String {
    match delivery {
        Delivery::Sent => format!("{device} sent"),
        Delivery::Confirmed => format!("{device} confirmed"),
        Delivery::Unknown => format!("{device} unknown"),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn times(timings: &Timings) -> String {
    if timings.from_memo {
        return format!(
            "queue {:>4.0}   from the memo   tool {:>4.0}   total {:>5.0}",
            timings.queue_ms, timings.tool_ms, timings.total_ms
        );
    }
    format!(
        "queue {:>4.0}   prefill {:>5.0} ({:>4} tokens, {:>4} cached)   decode {:>5.0} ({:>3} tokens)   tool {:>4.0}   total {:>5.0}",
        timings.queue_ms,
        timings.prefill_ms,
        timings.prefill_tokens,
        timings.cached_tokens,
        timings.decode_ms,
        timings.generated_tokens,
        timings.tool_ms,
        timings.total_ms,
    )
}
