//! Where the newest picture of somebody else waits to be looked at.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A picture that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// As JPEG.
    pub jpeg: Vec<u8>,
    /// It is what was shown last, some time ago.
    pub kept: bool,
}

/// Holds one: the newest takes the place of one that nobody has looked at.
#[derive(Debug, Default)]
pub struct Slot {
    newest: Mutex<Option<Handed>>,
    came: Condvar,
}

impl Slot {
    /// Hands one over.
    pub fn put(&self, picture: Handed) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(picture);
        self.came.notify_one();
    }

    /// Takes it, if one comes within the time.
    pub(super) fn take(&self, within: Duration) -> Option<Handed> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let came = self.came.wait_timeout_while(newest, within, |newest| newest.is_none());
        came.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_takes_the_place_of_one_that_nobody_looked_at() {
        let slot = Slot::default();
        assert_eq!(slot.take(Duration::ZERO), None);
        let picture = |byte| Handed { jpeg: vec![byte], kept: false };
        slot.put(picture(1));
        slot.put(picture(2));
        assert_eq!(slot.take(Duration::ZERO), Some(picture(2)));
        assert_eq!(slot.take(Duration::ZERO), None);
    }
}
