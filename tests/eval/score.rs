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
    constrained: usize,
    free: usize,
    refused: usize,
    refused_or_asked: usize,
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

    /// A share in tenths of a percent; none where there is nothing to share.
    pub(crate) fn share(&self, measure: Measure) -> Option<usize> {
        let (count, of) = match measure {
            Measure::Constrained => (self.constrained, self.cases),
            Measure::Free => (self.free, self.cases),
            Measure::RightAmongActed => (self.acted_right, self.acted),
            Measure::RightKept => (self.acted_right, self.calls_right),
            Measure::Refused => (self.refused, self.cases),
            Measure::RefusedOrAsked => (self.refused_or_asked, self.cases),
        };
        (count * 1000 + of / 2).checked_div(of)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Right with the grammar.
    Constrained,
    /// Right without.
    Free,
    /// Of the commands that hob acted on, those it got right.
    RightAmongActed,
    /// Of the right calls, those it was sure enough to act on.
    RightKept,
    /// Nothing was called.
    Refused,
    /// Nothing was called, or hob would have asked first.
    RefusedOrAsked,
}

impl Measure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Constrained => "constrained",
            Self::Free => "free",
            Self::RightAmongActed => "acted: right",
            Self::RightKept => "right kept",
            Self::Refused => "in words",
            Self::RefusedOrAsked => "in words or asked",
        }
    }
}

/// Tenths of a percent, for people.
pub(crate) fn percent(tenths: usize) -> String {
    format!("{}.{} %", tenths / 10, tenths % 10)
}
