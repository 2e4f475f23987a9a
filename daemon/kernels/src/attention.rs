//! Attention over cached keys and values, some tokens of them at a time, so that scores never take more room than those
//! (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135).

use crate::exp::exp;
use crate::instructions::{Instructions, Work};
use crate::lanes::{LANES, Lanes};
use crate::number::Number;

/// Tokens whose keys and values are looked at together. They begin at multiples of it, whatever is asked, so that a row of
/// numbers is added up in the same order alone and among others.
const SOME: usize = 32;

/// One head of a cache, and how it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a, N> {
    /// `[tokens, width]`.
    pub keys: &'a [N],
    /// `[tokens, width]`.
    pub values: &'a [N],
    /// Numbers of a key, of a value and of a query.
    pub width: usize,
    /// What the products of queries with keys are multiplied with.
    pub scale: f32,
    /// How many tokens are seen at most: the one that asks, and those right before it. At least one.
    pub window: usize,
}

/// A query, and where what it finds goes.
#[derive(Debug)]
pub struct Asking<'a, N> {
    /// The place of the token that asks: it sees itself and what stands before it.
    pub token: usize,
    /// As wide as a key.
    pub query: &'a [N],
    /// As wide as a value.
    pub out: &'a mut [N],
}

impl<N: Number> Attention<'_, N> {
    /// Asks for some rows: of one token or several, of all heads that share these keys. A value that is no number, or without
    /// end, may be seen in all rows that ask together, whether they see its token or not: it weighs nothing for them, and
    /// nothing times that is none.
    ///
    /// # Panics
    /// Where a row is not as wide as it should be, or its token is not in the cache.
    pub fn ask(&self, rows: &mut [Asking<'_, N>], instructions: Instructions) {
        let width = self.width;
        assert!(width > 0, "heads of nothing");
        let Some(last) = rows.iter().map(|row| row.token).max() else { return };
        let cached = self.keys.len().min(self.values.len()) / width;
        assert!(last < cached, "token {last} asks a cache of {cached}");
        let first = rows.iter().map(|row| self.first_seen(row.token)).min().unwrap_or(0);
        let mut found = Found::new(rows, width, instructions);
        let filled = width.next_multiple_of(LANES);
        let mut wide = vec![0.0; 2 * SOME * filled];
        let (keys, values) = wide.split_at_mut(SOME * filled);
        for begin in (first / SOME * SOME..=last).step_by(SOME) {
            let count = SOME.min(last + 1 - begin);
            let from = begin * width..(begin + count) * width;
            widen(&self.keys[from.clone()], width, keys, instructions);
            widen(&self.values[from], width, values, instructions);
            // What the last ones had there before counts for nothing, unless it is no number.
            keys[count * filled..].fill(0.0);
            values[count * filled..].fill(0.0);
            let one = Look { keys, values, begin, scale: self.scale, window: self.window };
            look(&one, &mut found, instructions);
        }
        for ((row, out), Row { sum, .. }) in rows.iter_mut().zip(found.outs.chunks_exact_mut(filled)).zip(&found.rows) {
            let out = &mut out[..width];
            out.iter_mut().for_each(|number| *number /= sum);
            N::round(out, row.out, instructions);
        }
    }

    fn first_seen(&self, token: usize) -> usize {
        (token + 1).saturating_sub(self.window)
    }
}

/// Takes rows to single precision, each filled up to whole vectors with what is there.
fn widen<N: Number>(from: &[N], width: usize, to: &mut [f32], instructions: Instructions) {
    let filled = width.next_multiple_of(LANES);
    if filled == width {
        return N::widen(from, &mut to[..from.len()], instructions);
    }
    for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(filled)) {
        N::widen(from, &mut to[..width], instructions);
    }
}

/// What some rows have found so far. Rows that fill them up ask for nothing and find nothing.
struct Found {
    /// Vectors of a row, the last filled up with zeros.
    vectors: usize,
    rows: Vec<Row>,
    /// `[rows, vectors, LANES]`
    queries: Vec<f32>,
    /// `[rows, vectors, LANES]`, still to be divided by the sums.
    outs: Vec<f32>,
    /// Scores, and then what they weigh.
    scores: Vec<[f32; SOME]>,
}

#[derive(Clone, Copy)]
struct Row {
    token: usize,
    /// The highest score.
    best: f32,
    /// Of what all scores weigh beside the best.
    sum: f32,
    /// What all that was found before weighs beside what is found now.
    fading: f32,
}

impl Found {
    fn new<N: Number>(rows: &[Asking<'_, N>], width: usize, instructions: Instructions) -> Self {
        let (count, vectors) = (rows.len().next_multiple_of(instructions.rows_that_ask()), width.div_ceil(LANES));
        let mut queries = vec![0.0; count * vectors * LANES];
        for (row, query) in rows.iter().zip(queries.chunks_exact_mut(vectors * LANES)) {
            assert!(row.query.len() == width && row.out.len() == width, "rows of another width than {width}");
            N::widen(row.query, &mut query[..width], instructions);
        }
        let row = |row: &Asking<'_, N>| Row { token: row.token, best: f32::NEG_INFINITY, sum: 0.0, fading: 0.0 };
        let rows = rows.iter().map(row).collect();
        Self { vectors, rows, outs: vec![0.0; queries.len()], queries, scores: vec![[0.0; SOME]; count] }
    }
}

/// One look at [`SOME`] tokens.
struct Look<'a> {
    /// `[SOME, vectors, LANES]`
    keys: &'a [f32],
    /// `[SOME, vectors, LANES]`
    values: &'a [f32],
    /// The first of them.
    begin: usize,
    scale: f32,
    window: usize,
}

fn look(look: &Look<'_>, found: &mut Found, instructions: Instructions) {
    instructions.run(Looking { look, found });
}

/// Rows that are asked for side by side, with many registers and with few.
const MANY: usize = 4;
const FEW: usize = 2;

impl Instructions {
    /// Rows are filled up to a multiple of this.
    #[must_use]
    pub fn rows_that_ask(self) -> usize {
        struct Rows;
        impl Work for Rows {
            type Out = usize;

            #[inline(always)]
            fn run<L: Lanes>(self) -> usize {
                if L::MANY { MANY } else { FEW }
            }
        }
        self.run(Rows)
    }
}

struct Looking<'a> {
    look: &'a Look<'a>,
    found: &'a mut Found,
}

impl Work for Looking<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        if L::MANY { self.tiled::<L, MANY, 4>() } else { self.tiled::<L, FEW, 2>() }
    }
}

impl Looking<'_> {
    /// `R` rows by `V` vectors at a time, as registers have room for. What comes out does not hang on it.
    #[inline(always)]
    fn tiled<L: Lanes, const R: usize, const V: usize>(self) {
        let Self { look, found: Found { vectors, rows, queries, outs, scores } } = self;
        let vectors = *vectors;
        let (queries, outs) = (queries.as_chunks().0, outs.as_chunks_mut().0);
        let (keys, values) = (look.keys.as_chunks().0, look.values.as_chunks().0);
        for (queries, scores) in queries.chunks_exact(R * vectors).zip(scores.chunks_exact_mut(R)) {
            for (place, keys) in keys.chunks_exact(V * vectors).enumerate() {
                let products = products::<L, R, V>(queries, keys, vectors);
                for (scores, products) in scores.iter_mut().zip(products) {
                    scores[place * V..][..V].copy_from_slice(&products);
                }
            }
        }
        for (row, scores) in rows.iter_mut().zip(&mut *scores) {
            row.weigh(scores, look);
        }
        let fading: Vec<f32> = rows.iter().map(|row| row.fading).chain([0.0; R]).collect();
        let tiles = outs.chunks_exact_mut(R * vectors).zip(scores.chunks_exact(R)).zip(fading.chunks_exact(R));
        for ((outs, scores), fading) in tiles {
            let whole = vectors / V * V;
            for first in (0..whole).step_by(V) {
                gather::<L, R, V>(outs, scores, fading, values, vectors, first);
            }
            for first in whole..vectors {
                gather::<L, R, 1>(outs, scores, fading, values, vectors, first);
            }
        }
    }
}

/// Products of `R` queries with `V` keys.
#[inline(always)]
fn products<L: Lanes, const R: usize, const V: usize>(
    queries: &[Vector],
    keys: &[Vector],
    vectors: usize,
) -> [[f32; V]; R] {
    let queries: [&[Vector]; R] = std::array::from_fn(|row| &queries[row * vectors..][..vectors]);
    let keys: [&[Vector]; V] = std::array::from_fn(|key| &keys[key * vectors..][..vectors]);
    let mut sums = [[L::splat(0.0); V]; R];
    for place in 0..vectors {
        let keys: [L; V] = std::array::from_fn(|key| L::load(&keys[key][place]));
        for row in 0..R {
            let query = L::load(&queries[row][place]);
            for key in 0..V {
                sums[row][key] = query.times_add(keys[key], sums[row][key]);
            }
        }
    }
    sums.map(|sums| sums.map(L::sum))
}

/// Adds to `R` rows what `V` vectors of all values weigh for them, from the vector `first` on.
#[inline(always)]
fn gather<L: Lanes, const R: usize, const V: usize>(
    outs: &mut [Vector],
    scores: &[[f32; SOME]],
    fading: &[f32],
    values: &[Vector],
    vectors: usize,
    first: usize,
) {
    let (scores, fading) = (&scores[..R], &fading[..R]);
    let mut sums = [[L::splat(0.0); V]; R];
    for row in 0..R {
        for place in 0..V {
            sums[row][place] = L::load(&outs[row * vectors + first + place]).times(L::splat(fading[row]));
        }
    }
    for (key, values) in values.chunks_exact(vectors).enumerate().take(SOME) {
        let values = &values[first..][..V];
        let values: [L; V] = std::array::from_fn(|place| L::load(&values[place]));
        for row in 0..R {
            let score = L::splat(scores[row][key]);
            for place in 0..V {
                sums[row][place] = score.times_add(values[place], sums[row][place]);
            }
        }
    }
    for row in 0..R {
        for place in 0..V {
            sums[row][place].store(&mut outs[row * vectors + first + place]);
        }
    }
}

impl Row {
    /// Puts in the place of each score what it weighs beside the best so far.
    #[inline(always)]
    fn weigh(&mut self, scores: &mut [f32; SOME], look: &Look<'_>) {
        let end = self.token + 1;
        let seen = end.saturating_sub(look.window).saturating_sub(look.begin)..end.saturating_sub(look.begin);
        for (place, score) in scores.iter_mut().enumerate() {
            *score = if seen.contains(&place) { *score * look.scale } else { f32::NEG_INFINITY };
        }
        let best = scores.iter().fold(self.best, |best, score| best.max(*score));
        // Where nothing was seen yet, nothing weighs anything.
        let beside = if best == f32::NEG_INFINITY { 0.0 } else { best };
        for score in scores.iter_mut() {
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { exp(*score - beside) };
        }
        self.fading = exp(self.best - beside);
        let mut sums = [0.0; LANES];
        for scores in scores.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        self.sum = self.sum.mul_add(self.fading, sums.sum());
        self.best = best;
    }
}

type Vector = [f32; LANES];

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use proptest::prelude::*;

    /// A cache, and queries of the last tokens of it.
    #[derive(Debug, Clone)]
    struct Case {
        width: usize,
        window: usize,
        keys: Vec<f16>,
        values: Vec<f16>,
        asking: Vec<(usize, Vec<f16>)>,
    }

    prop_compose! {
        fn case()(
            width in prop::sample::select(vec![1_usize, 8, 16, 21, 48, 80]),
            tokens in 1_usize..120,
            window in prop::sample::select(vec![1_usize, 2, 31, 32, 33, 70, usize::MAX]),
            rows in 1_usize..12,
        )(
            width in Just(width),
            window in Just(window),
            keys in prop::collection::vec(half(), tokens * width),
            values in prop::collection::vec(half(), tokens * width),
            asking in prop::collection::vec((0..tokens, prop::collection::vec(half(), width)), rows),
        ) -> Case {
            Case { width, window, keys, values, asking }
        }
    }

    fn half() -> impl Strategy<Value = f16> {
        (-3.0_f32..3.0).prop_map(f16::from_f32)
    }

    impl Case {
        fn found(&self, instructions: Instructions) -> Vec<Vec<f16>> {
            let Self { width, window, .. } = *self;
            let mut outs = vec![vec![f16::NAN; width]; self.asking.len()];
            let attention = Attention { keys: &self.keys, values: &self.values, width, scale: 0.7, window };
            let pairs = self.asking.iter().zip(&mut outs);
            let mut rows: Vec<_> = pairs.map(|((token, query), out)| Asking { token: *token, query, out }).collect();
            attention.ask(&mut rows, instructions);
            outs
        }

        /// As it is written down, in double precision.
        fn expected(&self) -> Vec<Vec<f64>> {
            let width = self.width;
            let row = |of: &[f16], token: usize| of[token * width..][..width].iter().map(|one| one.to_f64()).collect();
            self.asking
                .iter()
                .map(|(token, query)| {
                    let seen = (token + 1).saturating_sub(self.window)..=*token;
                    let weigh = |token| {
                        let key: Vec<f64> = row(&self.keys, token);
                        let product: f64 = key.iter().zip(query).map(|(key, query)| key * query.to_f64()).sum();
                        (product * f64::from(0.7_f32)).exp()
                    };
                    let weights: Vec<(usize, f64)> = seen.map(|token| (token, weigh(token))).collect();
                    let whole: f64 = weights.iter().map(|(_, weight)| weight).sum();
                    let mut out = vec![0.0; width];
                    for (token, weight) in weights {
                        let value: Vec<f64> = row(&self.values, token);
                        out.iter_mut().zip(value).for_each(|(out, value)| *out += weight / whole * value);
                    }
                    out
                })
                .collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 100 } else { 1000 }))]

        #[test]
        fn it_is_that_of_the_formula(case in case()) {
            for (found, expected) in case.found(Instructions::best()).iter().zip(case.expected()) {
                for (found, expected) in found.iter().zip(expected) {
                    prop_assert!((found.to_f64() - expected).abs() < 2e-3, "{found} for {expected}");
                }
            }
        }

        #[test]
        fn all_instructions_give_the_same_bits(case in case()) {
            let mut all = Instructions::here().map(|one| case.found(one));
            let first = all.next().unwrap();
            for other in all {
                prop_assert_eq!(&other, &first);
            }
        }

        #[test]
        fn a_row_is_the_same_alone_and_among_others(case in case()) {
            let together = case.found(Instructions::best());
            for (asking, expected) in case.asking.iter().zip(together) {
                let alone = Case { asking: vec![asking.clone()], ..case.clone() };
                prop_assert_eq!(&alone.found(Instructions::best())[0], &expected);
            }
        }
    }

    #[test]
    fn what_is_no_number_is_seen_in_what_comes_out() {
        let (keys, mut values) = ([1.0_f32; 64], [2.0_f32; 64]);
        let asked = |values: &[f32], query: [f32; 16], tokens: [usize; 2]| {
            let mut outs = [[0.0; 16]; 2];
            let attention = Attention { keys: &keys, values, width: 16, scale: 1.0, window: 9 };
            let [first, second] = &mut outs;
            let [one, other] = tokens;
            let mut rows = [
                Asking { token: one, query: &query, out: first },
                Asking { token: other, query: &[1.0; 16], out: second },
            ];
            attention.ask(&mut rows, Instructions::best());
            outs
        };
        for broken in [f32::NAN, f32::INFINITY] {
            let [first, second] = asked(&values, [broken; 16], [3, 2]);
            assert!(first.iter().all(|number| number.is_nan()), "{first:?}");
            assert_eq!(second, [2.0; 16]);
        }
        values[3 * 16..].fill(f32::INFINITY);
        let [seeing, _] = asked(&values, [1.0; 16], [3, 2]);
        assert!(seeing.iter().all(|number| !number.is_finite()));
        let [before, also] = asked(&values, [1.0; 16], [2, 1]);
        assert_eq!([before, also], [[2.0; 16]; 2]);
    }
}
