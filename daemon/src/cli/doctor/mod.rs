//! `hob doctor`: whether everything that hob needs is well, and what to do where it is not.
//!
//! It changes nothing but caches, and looks while hob runs too. Libraries are tried in a process of their own: one that was built for
//! another processor, or whose driver is broken, ends that process and not the doctor.

mod board;
mod child;
mod surroundings;

use super::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// hob runs, and something will be missed.
    Warn,
    /// hob does not run, or not as the settings say.
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was looked at, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    what: String,
    level: Level,
    found: String,
    /// What to do; nothing where all is well.
    advice: Option<String>,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), level: Level::Ok, found: found.into(), advice: None }
    }

    fn warn(what: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.to_owned(), level: Level::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    /// Many errors say themselves what to do; they need no advice beside it.
    fn fail(what: &str, found: impl Into<String>, advice: Option<&str>) -> Self {
        Self { what: what.to_owned(), level: Level::Fail, found: found.into(), advice: advice.map(str::to_owned) }
    }

    fn in_lines(&self) -> Vec<String> {
        let first = format!("{:4}  {:11} {}", self.level.word(), self.what, self.found);
        let advice = self.advice.iter().map(|advice| format!("{:18}-> {advice}", ""));
        [first].into_iter().chain(advice).collect()
    }
}

pub(super) async fn doctor(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let findings = examine(invocation, &settings).await;
    invocation.print(&findings, || findings.iter().flat_map(Finding::in_lines).collect())?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// From what carries the rest to what stands on it.
async fn examine(invocation: &Invocation, settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![board::processor(settings), board::heat(settings), board::memory(), board::clock()];
    findings.extend(board::disks(settings));
    findings.extend(child::library_and_providers(invocation, settings));
    findings.push(surroundings::model(settings));
    findings.push(surroundings::broker(settings));
    findings.extend(surroundings::plugins(settings).await);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn a_finding_says_how_it_stands_and_then_what_to_do() {
        let findings = [
            Finding::ok("clock", "2026-11-24"),
            Finding::warn("memory", "40 MB free", "stop something"),
            Finding::fail("model", "there is no model", None),
        ];
        let lines: Vec<String> = findings.iter().flat_map(Finding::in_lines).collect();
        assert_snapshot!(lines.join("\n"), @r"
        ok    clock       2026-11-24
        warn  memory      40 MB free
                          -> stop something
        fail  model       there is no model
        ");
    }
}
