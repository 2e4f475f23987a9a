//! Prompt-lookup drafting: what was said before is likely to be said again.
//!
//! The last ids are looked up in all that stands before them; what followed there is run along with the next step, and each
//! id of it is kept as long as it is the one that would have been chosen anyway. So the answer is the same, and a step that
//! was right about three ids saves three steps. A longer step costs more, on some boards as much as it saves: both are
//! measured as they come, and drafts are made only where they pay.

use std::time::Duration;

/// Ids of a draft at most. Longer ones are rarely right to their end, and cost in full.
const MOST: usize = 4;

/// Ids that have to agree before what followed them is taken for a draft: with fewer, most drafts are wrong.
const AGREEING: [usize; 2] = [3, 2];

/// What followed the last time that `tokens` ended as they do now; nothing when they never did.
pub(crate) fn look_up(tokens: &[u32], most: usize) -> &[u32] {
    for length in AGREEING {
        let Some((before, end)) = tokens.len().checked_sub(length).map(|place| tokens.split_at(place)) else {
            continue;
        };
        // The last one is the nearest in kind. It may overlap with the end itself, as in "hm, hm, hm".
        let place = (0..before.len()).rev().find(|place| tokens.get(*place..place + length) == Some(end));
        if let Some(place) = place {
            let follows = tokens.get(place + length..).unwrap_or_default();
            return follows.get(..most.min(follows.len())).unwrap_or_default();
        }
    }
    &[]
}

/// Steps of each kind before their costs are believed.
const ENOUGH: u32 = 6;

/// Chances that are let pass after drafts did not pay, before they are tried again.
const PAUSE: u32 = 96;

/// Drafts have to save so much to be gone on with after a trial; once on, they go on until they save nothing.
const WORTH: f64 = 1.1;

/// How much a new figure counts against those before it.
const FRESH: f64 = 0.15;

/// Whether drafts pay, by what steps with and without them took in this very session.
#[derive(Debug)]
pub(crate) struct Drafting {
    allowed: bool,
    plain: Average,
    drafted: Average,
    /// Ids written by a step with a draft.
    written: Average,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// So many drafted steps are to be made before it is decided.
    Trial(u32),
    On,
    /// So many chances are let pass.
    Off(u32),
}

/// A moving average.
#[derive(Debug, Clone, Copy, Default)]
struct Average {
    value: f64,
    count: u32,
}

impl Average {
    fn add(&mut self, figure: f64) {
        self.count = self.count.saturating_add(1);
        let share = FRESH.max(1.0 / f64::from(self.count));
        self.value += (figure - self.value) * share;
    }
}

impl Drafting {
    /// `allowed` is the owner's word.
    pub(crate) fn new(allowed: bool) -> Self {
        Self {
            allowed,
            plain: Average::default(),
            drafted: Average::default(),
            written: Average::default(),
            standing: Standing::Trial(ENOUGH),
        }
    }

    /// One that takes drafts to pay from the first step on.
    #[cfg(test)]
    pub(crate) fn eager() -> Self {
        Self { plain: Average { value: 1e9, count: ENOUGH }, ..Self::new(true) }
    }

    /// How many steps without a draft were noted.
    #[cfg(test)]
    pub(crate) fn plain_steps(&self) -> u32 {
        self.plain.count
    }

    /// The draft to run with the next step, of `room` ids at most.
    pub(crate) fn draft(&mut self, tokens: &[u32], room: usize) -> Vec<u32> {
        // Without knowing what a step costs nothing can be said about one that costs more.
        if !self.allowed || self.plain.count < ENOUGH {
            return Vec::new();
        }
        let draft = look_up(tokens, MOST.min(room));
        if draft.is_empty() {
            return Vec::new();
        }
        match self.standing {
            Standing::Trial(_) | Standing::On => draft.to_vec(),
            Standing::Off(0 | 1) => {
                (self.drafted, self.written) = (Average::default(), Average::default());
                self.standing = Standing::Trial(ENOUGH);
                draft.to_vec()
            }
            Standing::Off(chances) => {
                self.standing = Standing::Off(chances - 1);
                Vec::new()
            }
        }
    }

    /// A step without a draft took so long.
    pub(crate) fn note_plain(&mut self, took: Duration) {
        self.plain.add(took.as_secs_f64());
    }

    /// A step with a draft took so long and wrote so many ids.
    pub(crate) fn note_drafted(&mut self, took: Duration, written: u32) {
        self.drafted.add(took.as_secs_f64());
        self.written.add(f64::from(written));
        let saves = self.saves();
        self.standing = match self.standing {
            Standing::Trial(left) if left > 1 => Standing::Trial(left - 1),
            Standing::Trial(_) if saves >= WORTH => Standing::On,
            Standing::On if saves >= 1.0 => Standing::On,
            Standing::Trial(_) | Standing::On | Standing::Off(_) => Standing::Off(PAUSE),
        };
    }

    /// How many times faster ids come with drafts than without.
    fn saves(&self) -> f64 {
        if self.drafted.value > 0.0 { self.written.value * self.plain.value / self.drafted.value } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_followed_the_last_time_is_the_draft() {
        assert_eq!(look_up(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 4), [4, 5, 9, 1]);
        assert_eq!(look_up(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 2), [4, 5]);
        assert_eq!(look_up(&[7, 2, 3, 4, 7, 2, 3, 5, 8, 2, 3], 1), [5], "the later of two");
        assert_eq!(look_up(&[1, 2, 3, 6, 9, 2, 3, 5, 1, 2, 3], 1), [6], "the longer agreement before the later one");
        assert_eq!(look_up(&[8, 8, 8, 8], 4), [8]);
        assert!(look_up(&[1, 2, 3, 4], 4).is_empty() && look_up(&[1], 4).is_empty() && look_up(&[], 4).is_empty());
    }

    proptest! {
        #[test]
        fn a_draft_stands_behind_ids_that_agree(tokens in proptest::collection::vec(0_u32..4, 0..40), most in 0_usize..6) {
            let draft = look_up(&tokens, most);
            prop_assert!(draft.len() <= most);
            if !draft.is_empty() {
                let end = &tokens[tokens.len() - 2..];
                let ahead: Vec<u32> = end.iter().chain(draft).copied().collect();
                prop_assert!(tokens.windows(ahead.len()).any(|window| window == ahead));
            }
        }
    }

    const SAYS: [u32; 5] = [1, 2, 3, 1, 2];

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Measured plain steps of 10 ms.
    fn measured() -> Drafting {
        let mut drafting = Drafting::new(true);
        assert!(drafting.draft(&SAYS, 9).is_empty(), "nothing is known yet");
        (0..ENOUGH).for_each(|_| drafting.note_plain(ms(10)));
        drafting
    }

    /// Chances until the next draft.
    fn chances(drafting: &mut Drafting) -> u32 {
        (0..1_000).find(|_| !drafting.draft(&SAYS, 9).is_empty()).unwrap()
    }

    #[test]
    fn drafts_that_pay_go_on_and_those_that_do_not_pause() {
        let mut drafting = measured();
        for _ in 0..50 {
            assert_eq!(chances(&mut drafting), 0);
            drafting.note_drafted(ms(15), 3);
        }
        // Other words come, where they are seldom right.
        let tried = (0..50).take_while(|_| {
            let drafted = !drafting.draft(&SAYS, 9).is_empty();
            drafted.then(|| drafting.note_drafted(ms(15), 1)).is_some()
        });
        let tried = tried.count();
        assert!((2..20).contains(&tried), "{tried}");
        assert_eq!(chances(&mut drafting), PAUSE - 2);
        // A trial again, that fails again.
        (1..ENOUGH).for_each(|_| {
            drafting.note_drafted(ms(15), 1);
            assert_eq!(chances(&mut drafting), 0);
        });
        drafting.note_drafted(ms(15), 1);
        assert_eq!(chances(&mut drafting), PAUSE - 1);
    }

    #[test]
    fn what_saves_too_little_is_not_gone_on_with_and_what_was_good_is_not_given_up_for_it() {
        // 2 ids in 19 ms against 2 times 10.
        let mut new = measured();
        (0..ENOUGH).for_each(|_| new.note_drafted(ms(19), 2));
        assert!(matches!(new.standing, Standing::Off(_)));
        let mut old = measured();
        (0..ENOUGH).for_each(|_| old.note_drafted(ms(12), 3));
        (0..100).for_each(|_| old.note_drafted(ms(19), 2));
        assert_eq!(old.standing, Standing::On);
    }

    #[test]
    fn none_is_made_without_the_owners_word_or_without_room() {
        let mut off = Drafting::new(false);
        (0..ENOUGH).for_each(|_| off.note_plain(ms(10)));
        assert!(off.draft(&SAYS, 9).is_empty());
        assert!(measured().draft(&SAYS, 0).is_empty());
    }
}
