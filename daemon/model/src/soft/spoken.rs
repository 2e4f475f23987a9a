//! What was said lately, in memory alone: speech never lies on the shelf.

use hob_events::MediumId;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of samples that are kept: eight times the longest that is said at once.
const MOST_BYTES: usize = 16 << 20;

/// See the module. Cheap to clone; all clones are one. When it is full the oldest is forgotten.
#[derive(Debug, Clone, Default)]
pub struct Spoken(Arc<Mutex<VecDeque<Said>>>);

#[derive(Debug)]
struct Said {
    id: MediumId,
    samples: Arc<[f32]>,
}

impl Spoken {
    /// Keeps what was said: samples from -1 to 1, 16 kHz, one channel. Returns its name.
    #[must_use]
    pub fn keep(&self, samples: &[f32]) -> MediumId {
        let mut digest = Sha256::new();
        samples.iter().for_each(|sample| digest.update(sample.to_le_bytes()));
        let id = MediumId(digest.finalize().into());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|said| said.id != id);
        kept.push_back(Said { id, samples: samples.into() });
        let bytes = |said: &Said| size_of_val(&*said.samples);
        while kept.len() > 1 && kept.iter().map(bytes).sum::<usize>() > MOST_BYTES {
            kept.pop_front();
        }
        id
    }

    /// What was said, unless it is forgotten.
    #[must_use]
    pub fn samples(&self, id: MediumId) -> Option<Arc<[f32]>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|said| said.id == id).map(|said| Arc::clone(&said.samples))
    }
}

impl PartialEq for Spoken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Spoken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_found_by_its_name_until_there_is_no_room() {
        let spoken = Spoken::default();
        let long = |level: f32| vec![level; 480_000];
        let ids: Vec<MediumId> = [0.1, 0.2, 0.3].map(|level| spoken.keep(&long(level))).into();
        assert_eq!(spoken.keep(&long(0.1)), ids[0], "the same has the same name");
        assert!(ids.iter().all(|id| spoken.samples(*id).is_some_and(|samples| samples.len() == 480_000)));
        for level in 4..12_u8 {
            let _kept = spoken.keep(&long(f32::from(level)));
        }
        assert!(spoken.samples(ids[1]).is_none(), "the oldest made room");
    }
}
