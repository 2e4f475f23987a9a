//! What came of several rounds.

use std::fmt;

/// One figure, measured several times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle one; the lower middle of an even number.
    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }
}

/// `8.05 (7.9–8.3)`
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median() < 10.0 { 2 } else { 1 };
        write!(f, "{:.digits$}", self.median())?;
        match self.0.as_slice() {
            [least, .., most] => write!(f, " ({least:.digits$}–{most:.digits$})"),
            [] | [_] => Ok(()),
        }
    }
}
