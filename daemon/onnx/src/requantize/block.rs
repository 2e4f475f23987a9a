//! Four blocks of 32 weights become one of 128: which scale and which zero point lose least.
//!
//! `MatMulNBits` keeps a weight as a number n of 4 bits, and means (n - point) × scale. Without zero points of its own a
//! matrix has 8 for all. A scale may be negative: then the larger half of the numbers stands for the negative weights.

/// Weights that have one scale in the published file.
pub(super) const FEW: usize = 32;

/// Weights that have one scale in what is written here.
pub(super) const MANY: usize = 128;

/// Blocks that become one.
const MERGED: usize = MANY / FEW;

/// The zero point of a matrix that has none of its own.
const MIDDLE: u8 = 8;

/// The largest number of 4 bits.
const MOST: f32 = 15.0;

/// How many steps the weight that is furthest from zero is away from it, for each scale that is tried. Beyond 8 it is cut
/// off, so that all others lie closer.
const REACHES: [f32; 8] = [7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0, 10.5];

/// The same between the least and the greatest weight, where zero points are free. Beyond 15 both are cut off.
const SPANS: [f32; 7] = [14.5, 15.0, 15.5, 16.0, 17.0, 18.0, 19.0];

/// Rounds of choosing numbers for a scale and then the best scale for those numbers. More than two hardly change anything.
const ROUNDS: usize = 3;

/// A scale and its zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub(super) scale: f32,
    pub(super) point: u8,
}

/// How a file keeps grids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Scales in half precision, not single.
    pub(super) half: bool,
    /// A zero point for each block.
    pub(super) points: bool,
}

/// Squares, summed: of what was lost, and of all there was.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Loss {
    pub(super) lost: f64,
    pub(super) whole: f64,
}

impl Loss {
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.whole += other.whole;
    }

    /// Root of the mean square of what was lost, as a share of that of the weights.
    pub(super) fn relative(self) -> f64 {
        if self.whole > 0.0 { (self.lost / self.whole).sqrt() } else { 0.0 }
    }
}

/// Makes one block of four. `old` and `new` hold 64 bytes each, two numbers a byte, the low one first; they are the
/// same where all four blocks have one grid.
pub(super) fn merge(old: &[u8; MANY / 2], grids: [Grid; MERGED], form: Form, new: &mut [u8; MANY / 2]) -> (Grid, Loss) {
    let weights = weights(old, grids);
    let whole = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
    let [first, others @ ..] = grids;
    if others.iter().all(|grid| *grid == first) {
        *new = *old;
        return (first, Loss { lost: 0.0, whole });
    }
    let grid = best(&weights, grids, form);
    for (byte, [low, high]) in new.iter_mut().zip(weights.as_chunks::<2>().0) {
        *byte = grid.number(*low) | grid.number(*high) << 4;
    }
    (grid, Loss { lost: grid.lost(&weights), whole })
}

fn weights(numbers: &[u8; MANY / 2], grids: [Grid; MERGED]) -> [f32; MANY] {
    let mut weights = [0.0; MANY];
    let blocks = numbers.chunks(FEW / 2).zip(grids);
    for (into, (block, grid)) in weights.chunks_mut(FEW).zip(blocks) {
        for (pair, byte) in into.as_chunks_mut::<2>().0.iter_mut().zip(block) {
            *pair = [grid.weight(byte & 15), grid.weight(byte >> 4)];
        }
    }
    weights
}

/// The grid that loses least, of those that are tried.
fn best(weights: &[f32; MANY], grids: [Grid; MERGED], form: Form) -> Grid {
    let nothing = Grid { scale: 0.0, point: MIDDLE };
    let tried = candidates(weights, form).chain(grids).filter(Grid::is_usable);
    let gained = |grid: Grid| (grid, grid.fit(weights).gain());
    let chosen = tried.map(gained).reduce(|best, other| if other.1 > best.1 { other } else { best });
    let Some((mut grid, _)) = chosen else { return nothing };
    for _ in 0..ROUNDS {
        let fitted = Grid { scale: form.stored(grid.fit(weights).scale().unwrap_or(grid.scale)), ..grid };
        if fitted == grid || !fitted.is_usable() {
            break;
        }
        grid = fitted;
    }
    let stored = Grid { scale: form.stored(grid.scale), ..grid };
    if stored.is_usable() { stored } else { nothing }
}

/// Grids that reach as far as the weights do, and some that cut the furthest off.
fn candidates(weights: &[f32; MANY], form: Form) -> impl Iterator<Item = Grid> {
    let (low, high) =
        weights.iter().fold((0.0_f32, 0.0_f32), |(low, high), weight| (low.min(*weight), high.max(*weight)));
    let far = if high > -low { high } else { low };
    let fixed = REACHES.into_iter().flat_map(move |reach| [far / reach, -far / reach]);
    let fixed = fixed.map(|scale| Grid { scale, point: MIDDLE });
    let free = SPANS.into_iter().flat_map(move |span| {
        let scale = (high - low) / span;
        let point = MOST / 2.0 - (high + low) / 2.0 / scale;
        [point.floor(), point.ceil()].map(|point| Grid { scale, point: whole(point) })
    });
    fixed.filter(move |_| !form.points).chain(free.filter(move |_| form.points))
}

/// The nearest number of 4 bits. (Adding 2²³ leaves the whole part of a number in its lowest bits.)
fn whole(number: f32) -> u8 {
    const LEAVES_WHOLES: f32 = 8_388_608.0;
    let [lowest, ..] = (number.clamp(0.0, MOST) + LEAVES_WHOLES).to_bits().to_le_bytes();
    lowest & 15
}

/// How numbers and weights go together, for one choice of numbers.
struct Fit {
    /// Weights times numbers, summed.
    both: f32,
    /// Squares of the numbers, summed.
    numbers: f32,
}

impl Fit {
    /// The scale that loses least with these numbers.
    fn scale(&self) -> Option<f32> {
        (self.numbers > 0.0).then(|| self.both / self.numbers)
    }

    /// By how much that scale loses less than a block of zeros.
    fn gain(&self) -> f32 {
        if self.numbers > 0.0 { self.both * self.both / self.numbers } else { 0.0 }
    }
}

/// Sums of so many are made side by side: kernels of the compiler's own then do several at once.
const LANES: usize = 8;

impl Grid {
    fn is_usable(&self) -> bool {
        self.scale.is_normal() && self.scale.recip().is_finite()
    }

    fn weight(self, number: u8) -> f32 {
        (f32::from(number) - f32::from(self.point)) * self.scale
    }

    /// The number whose weight is nearest. Without a scale it is the one that stands for zero.
    fn number(self, weight: f32) -> u8 {
        if self.scale == 0.0 { self.point } else { whole(weight * self.scale.recip() + f32::from(self.point)) }
    }

    fn fit(self, weights: &[f32; MANY]) -> Fit {
        let (inverse, point) = (self.scale.recip(), f32::from(self.point));
        let (mut both, mut numbers) = ([0.0; LANES], [0.0; LANES]);
        for lanes in weights.as_chunks::<LANES>().0 {
            for ((weight, both), numbers) in lanes.iter().zip(&mut both).zip(&mut numbers) {
                let number = rounded(weight * inverse + point) - point;
                *both += weight * number;
                *numbers += number * number;
            }
        }
        Fit { both: both.iter().sum(), numbers: numbers.iter().sum() }
    }

    fn lost(self, weights: &[f32; MANY]) -> f64 {
        weights.iter().map(|weight| f64::from(weight - self.weight(self.number(*weight))).powi(2)).sum()
    }
}

/// As [`whole`], left in single precision.
fn rounded(number: f32) -> f32 {
    const LEAVES_WHOLES: f32 = 8_388_608.0;
    (number.clamp(0.0, MOST) + LEAVES_WHOLES) - LEAVES_WHOLES
}

impl Form {
    /// A scale as it will be read back.
    fn stored(self, scale: f32) -> f32 {
        if self.half { half::f16::from_f32(scale).to_f32() } else { scale }
    }
}

/// The number of 4 bits in a place, packed from the low end.
pub(super) fn nibble(bytes: &[u8], place: usize) -> u8 {
    bytes.get(place / 2).map_or(0, |byte| byte >> (place % 2 * 4) & 15)
}

/// Rows of one matrix: in the old form or the new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// Two numbers a byte.
    pub(super) numbers: &'a [u8],
    /// One for each block, as the file has them.
    pub(super) scales: &'a [u8],
    /// Two a byte, each row for itself; empty where there are none.
    pub(super) points: &'a [u8],
}

/// Rows as they are written.
#[derive(Debug, Default)]
pub(super) struct NewRows {
    pub(super) numbers: Vec<u8>,
    pub(super) scales: Vec<u8>,
    pub(super) points: Vec<u8>,
}

/// Requantizes rows of `depth` weights each, which [`MANY`] divides. None where a scale is no number.
pub(super) fn requantize(old: Rows<'_>, depth: usize, form: Form) -> Option<(NewRows, Loss)> {
    let (mut new, mut loss) = (NewRows::default(), Loss::default());
    let blocks = depth / FEW;
    let scales = scales(old.scales, form);
    for (row, (numbers, scales)) in old.numbers.chunks(depth / 2).zip(scales.chunks(blocks)).enumerate() {
        let points = old.points.chunks(blocks.div_ceil(2)).nth(row).unwrap_or(&[]);
        let point = |block| if form.points { nibble(points, block) } else { MIDDLE };
        let mut fresh = Vec::with_capacity(depth / MANY);
        for (place, (numbers, scales)) in
            numbers.as_chunks::<{ MANY / 2 }>().0.iter().zip(scales.as_chunks::<MERGED>().0).enumerate()
        {
            if !scales.iter().all(|scale| scale.is_finite()) {
                return None;
            }
            let grid = |block: usize| Grid { scale: scales[block], point: point(place * MERGED + block) };
            let mut merged = [0; MANY / 2];
            let (grid, lost) = merge(numbers, [0, 1, 2, 3].map(grid), form, &mut merged);
            new.numbers.extend(merged);
            match form.half {
                true => new.scales.extend(half::f16::from_f32(grid.scale).to_le_bytes()),
                false => new.scales.extend(grid.scale.to_le_bytes()),
            }
            fresh.push(grid.point);
            loss.add(lost);
        }
        if form.points {
            new.points.extend(fresh.chunks(2).map(|pair| pair.iter().rev().fold(0, |byte, point| byte << 4 | point)));
        }
    }
    Some((new, loss))
}

fn scales(bytes: &[u8], form: Form) -> Vec<f32> {
    match form.half {
        true => bytes.as_chunks().0.iter().map(|two| half::f16::from_le_bytes(*two).to_f32()).collect(),
        false => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
    }
}
