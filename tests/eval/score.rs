//! Counting.

/// How one case went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score {
    /// Nothing may be done.
    pub(crate) refusal_wanted: bool,
    /// Right with the grammar.
    pub(crate) constrained: bool,
    /// Right without.
    pub(crate) free: bool,
    /// With the grammar, nothing was called.
    pub(crate) refused: bool,
    /// With the grammar, every call's confidence reached the threshold.
    pub(crate) sure: bool,
}

/// How the cases of a set went.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    pub(crate) constrained: usize,
    pub(crate) free: usize,
    pub(crate) refused: usize,
    pub(crate) refused_or_asked: usize,
    calls_right: usize,
    acted: usize,
    acted_right: usize,
    refusals_wanted: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, score: &Score) {
        let one = usize::from;
        self.cases += 1;
        self.refusals_wanted += one(score.refusal_wanted);
        self.constrained += one(score.constrained);
        self.free += one(score.free);
        self.refused += one(score.refused);
        self.refused_or_asked += one(score.refused || !score.sure);
        self.acted += one(!score.refused && score.sure);
        let right = score.constrained && !score.refused;
        self.calls_right += one(right);
        self.acted_right += one(right && score.sure);
    }

    pub(crate) fn wants_refusal(&self) -> bool {
        self.refusals_wanted > self.cases / 2
    }

    pub(crate) fn percent(&self, count: usize) -> String {
        share(count, self.cases)
    }

    /// Of the commands that hob acted on, those it got right.
    pub(crate) fn right_among_acted(&self) -> String {
        share(self.acted_right, self.acted)
    }

    /// Of the right calls, those it was sure enough to act on.
    pub(crate) fn right_kept(&self) -> String {
        share(self.acted_right, self.calls_right)
    }
}

/// A share in percent with one decimal, in whole numbers so that the same counts print the same.
fn share(count: usize, of: usize) -> String {
    if of == 0 {
        return "-".to_owned();
    }
    let tenths = (count * 1000 + of / 2) / of;
    format!("{}.{}", tenths / 10, tenths % 10)
}
