//! Libraries, each tried by `hob provider test` in a process of its own.

use super::super::provider::Library;
use super::{Finding, Invocation};
use crate::settings::Settings;
use hob_onnx::{Attached, Difference, Provider, Share, Wanted};
use serde::Deserialize;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A provider that compiles for its device takes seconds; one that hangs is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// By signal(7): the processor does not know an instruction.
const SIGILL: i32 = 4;

/// What `hob --json provider test` prints, as far as it is told here.
#[derive(Debug, Deserialize)]
struct Tested {
    onnxruntime: Library,
    on: Attached,
    ran: Vec<Share>,
    difference: Difference,
    run_ms: f64,
    cpu_run_ms: f64,
}

/// How a child ended that tried a provider.
#[derive(Debug)]
enum Outcome {
    Works(Box<Tested>),
    /// It said why.
    Refused(String),
    /// It was ended from outside.
    Signal(i32),
    /// It did not end.
    Hangs,
    /// It could not be begun, or said nothing that can be read.
    Unclear(String),
}

/// The library by running something on the processor, then every other provider that the settings name.
pub(super) fn library_and_providers(invocation: &Invocation, settings: &Settings) -> Vec<Finding> {
    let cpu = attempt(invocation, Wanted::any(Provider::Cpu));
    let library = library_finding(cpu);
    // Without the library the others would only say the same again.
    let usable = library.level == super::Level::Ok;
    let others = settings.model.providers.iter().filter(|wanted| usable && wanted.provider != Provider::Cpu);
    let tried = others.map(|wanted| provider_finding(*wanted, attempt(invocation, *wanted), settings.model.fallback));
    let mut findings = vec![library];
    findings.extend(tried);
    findings
}

fn library_finding(outcome: Outcome) -> Finding {
    const WHAT: &str = "onnxruntime";
    match outcome {
        Outcome::Works(tested) => {
            let Library { version, path } = tested.onnxruntime;
            Finding::ok(WHAT, format!("{version}, {}; it runs", path.display()))
        }
        Outcome::Signal(SIGILL) => Finding::fail(
            WHAT,
            "it uses instructions that this processor does not have",
            Some("name one that was built for this processor with `[onnx] library`: an older one, or your own"),
        ),
        other @ (Outcome::Refused(_) | Outcome::Signal(_) | Outcome::Hangs | Outcome::Unclear(_)) => {
            Finding::fail(WHAT, told(other), None)
        }
    }
}

fn provider_finding(wanted: Wanted, outcome: Outcome, fallback: bool) -> Finding {
    let what = wanted.to_string();
    match outcome {
        Outcome::Works(tested) => {
            let ran: Vec<String> = tested.ran.iter().map(Share::to_string).collect();
            let Tested { on, difference, run_ms, cpu_run_ms, .. } = *tested;
            let times = format!("{run_ms:.3} ms a run, {cpu_run_ms:.3} ms on the processor");
            let apart = format!("{:.1e} of {:.1e} apart", difference.greatest, difference.of);
            Finding::ok(&what, format!("{on}; ran: {}; {apart}; {times}", ran.join(", ")))
        }
        // With a fallback hob starts all the same, unless the plugin ends it.
        Outcome::Refused(why) if fallback => {
            Finding::warn(&what, why, "`[model] fallback` is on: until then the processor does its work")
        }
        other @ (Outcome::Refused(_) | Outcome::Signal(_) | Outcome::Hangs | Outcome::Unclear(_)) => {
            let advice = "or take it out of `[model] providers`; docs/how-to/providers.md says what it needs";
            Finding::fail(&what, told(other), Some(advice))
        }
    }
}

fn told(outcome: Outcome) -> String {
    match outcome {
        Outcome::Works(_) => "it works".to_owned(),
        Outcome::Refused(why) | Outcome::Unclear(why) => why,
        Outcome::Signal(SIGILL) => "it uses instructions that this processor does not have".to_owned(),
        Outcome::Signal(signal) => format!("it ends the process that loads it, with signal {signal}"),
        Outcome::Hangs => format!("it did not end within {} seconds", PATIENCE.as_secs()),
    }
}

fn attempt(invocation: &Invocation, wanted: Wanted) -> Outcome {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return Outcome::Unclear(format!("hob does not find itself: {error}")),
    };
    let mut command = Command::new(own);
    command.arg("--json").arg("--config").arg(&invocation.config).args(["provider", "test"]).arg(wanted.to_string());
    match finished(&mut command, PATIENCE) {
        Ok(Some((status, said, complaint))) => outcome(status, &said, &complaint),
        Ok(None) => Outcome::Hangs,
        Err(error) => Outcome::Unclear(format!("it cannot be tried in a process of its own: {error}")),
    }
}

fn outcome(status: ExitStatus, said: &str, complaint: &str) -> Outcome {
    if let Some(signal) = status.signal() {
        return Outcome::Signal(signal);
    }
    if status.success() {
        return match serde_json::from_str(said) {
            Ok(tested) => Outcome::Works(tested),
            Err(error) => Outcome::Unclear(format!("what it said is not understood: {error}")),
        };
    }
    // Libraries write what they like before; the reason is what hob said last.
    let why = complaint.lines().rev().find_map(|line| line.strip_prefix("hob: "));
    Outcome::Refused(why.unwrap_or(complaint.trim()).to_owned())
}

/// Runs a command to its end: how it ended, and what it said on both ways. Nothing when it takes too long; it is ended then.
fn finished(command: &mut Command, patience: Duration) -> io::Result<Option<(ExitStatus, String, String)>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // Both are read at once: a child whose other pipe is full would wait for ever. A process that ends closes them.
        let (ended, end) = mpsc::channel();
        let complaint = scope.spawn(move || all_of(stderr));
        let said = scope.spawn(move || {
            let said = all_of(stdout);
            ended.send(()).ok();
            said
        });
        let late = end.recv_timeout(patience).is_err();
        if late {
            child.kill()?;
        }
        let status = child.wait()?;
        let (said, complaint) = (said.join().unwrap_or_default(), complaint.join().unwrap_or_default());
        Ok((!late).then_some((status, said, complaint)))
    })
}

fn all_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn shell(script: &str, patience: Duration) -> Option<(ExitStatus, String, String)> {
        finished(Command::new("sh").args(["-c", script]), patience).unwrap()
    }

    #[test]
    fn a_child_that_dies_of_an_instruction_hangs_or_refuses_is_told_apart() {
        let long = Duration::from_secs(60);
        let (status, said, complaint) = shell("kill -ILL $$", long).unwrap();
        let outcome_of_signal = outcome(status, &said, &complaint);
        assert!(matches!(outcome_of_signal, Outcome::Signal(SIGILL)));
        let finding = library_finding(outcome_of_signal);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.found.contains("instructions that this processor does not have"));

        let (status, said, complaint) = shell("echo noise >&2; echo 'hob: no such thing' >&2; exit 1", long).unwrap();
        let Outcome::Refused(why) = outcome(status, &said, &complaint) else { unreachable!("it said why") };
        assert_eq!(why, "no such thing");

        let (status, said, complaint) = shell("echo '{'", long).unwrap();
        assert!(matches!(outcome(status, &said, &complaint), Outcome::Unclear(_)));
        assert!(shell("exec sleep 60", Duration::ZERO).is_none());
    }

    #[test]
    fn with_a_fallback_a_provider_that_is_away_is_a_warning_and_one_that_kills_is_not() {
        let wanted = Wanted::any(Provider::Cuda);
        let away = || Outcome::Refused("it is away".to_owned());
        assert_eq!(provider_finding(wanted, away(), true).level, Level::Warn);
        assert_eq!(provider_finding(wanted, away(), false).level, Level::Fail);
        assert_eq!(provider_finding(wanted, Outcome::Signal(11), true).level, Level::Fail);
    }
}
