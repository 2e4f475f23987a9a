//! Sixteen numbers side by side, in as many registers as they take. What is done to them comes out the same in each form.

/// How many.
pub(crate) const LANES: usize = 16;

/// Sixteen numbers. Its functions are to be inlined where the instructions that they need are there.
pub(crate) trait Lanes: Copy {
    /// Whether there are registers for sixteen of them and more.
    const MANY: bool;

    fn splat(number: f32) -> Self;

    fn load(from: &[f32; LANES]) -> Self;

    fn store(self, to: &mut [f32; LANES]);

    fn times(self, other: Self) -> Self;

    /// `self × other + sum`, rounded once.
    fn times_add(self, other: Self, sum: Self) -> Self;

    /// All together: in halves, again and again.
    fn sum(self) -> f32;
}

impl Lanes for [f32; LANES] {
    const MANY: bool = false;

    #[inline(always)]
    fn splat(number: f32) -> Self {
        [number; LANES]
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        *from
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self;
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * other[lane])
    }

    #[inline(always)]
    fn times_add(self, other: Self, sum: Self) -> Self {
        std::array::from_fn(|lane| self[lane].mul_add(other[lane], sum[lane]))
    }

    #[inline(always)]
    fn sum(mut self) -> f32 {
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                self[lane] += self[lane + half];
            }
        }
        self[0]
    }
}
