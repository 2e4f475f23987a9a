//! The table, as it stands in docs/benchmarks.md.

use crate::series::Series;
use std::fmt;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// A multiple of llama.cpp.
    AtLeast(f64),
    /// A share, or an amount.
    AtMost(f64),
    /// It is only told.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    TokensPerSecond,
    Milliseconds,
    Percent,
    Mebibytes,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    seen: Series,
    unit: Unit,
    beside: Option<Series>,
    /// What the target speaks of.
    judged: f64,
    target: Target,
}

impl Row {
    /// A speed against another.
    pub(crate) fn speed(what: String, seen: &Series, beside: &Series, target: Target) -> Self {
        let judged = seen.median() / beside.median();
        let unit = Unit::TokensPerSecond;
        Self { what, seen: seen.clone(), unit, beside: Some(beside.clone()), judged, target }
    }

    /// A time as a share of another.
    pub(crate) fn part(what: String, seen: &Series, whole: &Series, target: Target) -> Self {
        let judged = seen.median() / whole.median() * 100.0;
        let unit = Unit::Milliseconds;
        Self { what, seen: seen.clone(), unit, beside: Some(whole.clone()), judged, target }
    }

    /// A figure by itself.
    pub(crate) fn alone(what: String, seen: &Series, unit: Unit, target: Target) -> Self {
        Self { what, seen: seen.clone(), unit, beside: None, judged: seen.median(), target }
    }

    pub(crate) fn was_measured(&self) -> bool {
        !self.seen.is_empty() && self.beside.as_ref().is_none_or(|beside| !beside.is_empty())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, seen, unit, beside, judged, target } = self;
        let unit = match unit {
            Unit::TokensPerSecond => "tok/s",
            Unit::Milliseconds => "ms",
            Unit::Percent => "%",
            Unit::Mebibytes => "MiB",
        };
        write!(f, "| {what} | {seen} {unit} | ")?;
        match beside {
            Some(beside) => write!(f, "{beside} | ")?,
            None => write!(f, "| ")?,
        }
        match (self.unit, beside) {
            (Unit::TokensPerSecond, _) => write!(f, "{judged:.2} × | ")?,
            (Unit::Milliseconds, _) => write!(f, "{judged:.1} % | ")?,
            (Unit::Percent | Unit::Mebibytes, _) => write!(f, "| ")?,
        }
        let verdict = |reached: bool| if reached { "reached" } else { "**missed**" };
        match (*target, self.unit) {
            (Target::AtLeast(least), _) => write!(f, "≥ {least} × | {} |", verdict(*judged >= least)),
            (Target::AtMost(most), Unit::Mebibytes) => write!(f, "≤ {most} MiB | {} |", verdict(*judged <= most)),
            (Target::AtMost(most), _) => write!(f, "≤ {most} % | {} |", verdict(*judged <= most)),
            (Target::None, _) => write!(f, "| |"),
        }
    }
}

/// All lines, and what is to be known about them.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) remarks: Vec<String>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | hob | beside (llama.cpp Q4_0, or cold) | ratio | target | |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        writeln!(f)?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "- {remark}"))
    }
}
