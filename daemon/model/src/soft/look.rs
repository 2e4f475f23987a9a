//! How long one goes on looking at the media of a prompt.

use super::Rows;
use super::library::ShowMediumError;
use crate::interrupt::Interrupt;

/// Reading and preparing media takes from milliseconds to seconds each, and a prompt may show hundreds of pictures. So before
/// each it is asked whether anyone still waits, and after each whether the rows so far can fit at all.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    /// None for a look that nobody ends.
    interrupt: Option<&'a Interrupt>,
    /// Tokens that fit.
    context: usize,
    /// Rows seen so far.
    rows: usize,
}

impl<'a> Look<'a> {
    /// However long it takes.
    pub(crate) fn at_leisure() -> Self {
        Self { interrupt: None, context: usize::MAX, rows: 0 }
    }

    /// For a generation.
    pub(crate) fn of(interrupt: &'a Interrupt, context: usize) -> Self {
        Self { interrupt: Some(interrupt), context, rows: 0 }
    }

    /// Whether the next medium is to be looked at.
    pub(super) fn go_on(&self) -> Result<(), ShowMediumError> {
        match self.interrupt.and_then(Interrupt::ended) {
            Some(why) => Err(ShowMediumError::Ended(why)),
            None => Ok(()),
        }
    }

    /// A medium was looked at.
    pub(super) fn saw(&mut self, rows: &Rows) -> Result<(), ShowMediumError> {
        self.rows = self.rows.saturating_add(rows.ids().count());
        if self.rows > self.context {
            return Err(ShowMediumError::TooMuch { rows: self.rows, context: self.context });
        }
        Ok(())
    }
}
