//! With 256 bits: half a panel at a time.

use crate::form::{Bits, Form, LINE, PANEL, Scales};
use crate::instructions::Work;
use crate::lanes::Lanes;
use crate::matrix::Panel;
use crate::rounded::RoundedRow;
use half::f16;
use std::arch::x86_64::*;

/// Lanes of 32 bits.
const LANES: usize = PANEL / 2;

/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn multiply<const ROWS: usize>(
    panel: &Panel<'_>,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    for half in 0..2 {
        match (panel.form.bits(), panel.form.scales()) {
            (Bits::Two, Scales::Half) => blocks::<2, true, ROWS>(panel, half, rows, out),
            (Bits::Two, Scales::Single) => blocks::<2, false, ROWS>(panel, half, rows, out),
            (Bits::Four, Scales::Half) => blocks::<4, true, ROWS>(panel, half, rows, out),
            (Bits::Four, Scales::Single) => blocks::<4, false, ROWS>(panel, half, rows, out),
            (Bits::Eight, Scales::Half) => blocks::<8, true, ROWS>(panel, half, rows, out),
            (Bits::Eight, Scales::Single) => blocks::<8, false, ROWS>(panel, half, rows, out),
        }
    }
}

/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn run<W: Work>(work: W) -> W::Out {
    work.run::<[__m256; 2]>()
}

#[target_feature(enable = "avx2,fma,f16c")]
fn blocks<const BITS: usize, const HALF: bool, const ROWS: usize>(
    panel: &Panel<'_>,
    half: usize,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    let (blocks, lines) = panel.shape::<BITS, ROWS>(rows);
    let mut sums = [_mm256_setzero_ps(); ROWS];
    let mut words: [*const i32; ROWS] = rows.map(|row| row.numbers.as_ptr().cast());
    let mut bytes = panel.bytes.as_ptr();
    for block in 0..blocks {
        let (worth, points) = (scales::<HALF>(bytes, half), points(panel.form, bytes, half));
        let mut whole = [_mm256_setzero_si256(); ROWS];
        // SAFETY: there are so many lines of 64 bytes behind them, and the next block behind those, or the end.
        let (first, next) = unsafe { (bytes.add(panel.form.lines_at()), bytes.add(panel.form.block_bytes())) };
        for line in 0..lines {
            // SAFETY: one of those lines, of two halves of 32 bytes.
            let packed = unsafe { _mm256_loadu_si256(first.add(line * LINE).cast::<__m256i>().add(half)) };
            for word in 0..8 / BITS {
                for row in 0..ROWS {
                    // SAFETY: each row has so many words of four bytes for each of those lines.
                    let number = unsafe { words[row].add(word).read_unaligned() };
                    whole[row] = add_products::<BITS>(whole[row], packed, word, _mm256_set1_epi32(number));
                }
            }
            // SAFETY: at most one beyond the last.
            words = words.map(|words| unsafe { words.add(8 / BITS) });
        }
        bytes = next;
        for row in 0..ROWS {
            let off = _mm256_mullo_epi32(points, _mm256_set1_epi32(rows[row].sums[block]));
            let whole = _mm256_cvtepi32_ps(_mm256_sub_epi32(whole[row], off));
            let scale = _mm256_mul_ps(worth, _mm256_set1_ps(rows[row].scales[block]));
            sums[row] = _mm256_fmadd_ps(whole, scale, sums[row]);
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        // SAFETY: there is room for 16 numbers, and this is one half of them.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(half * LANES), sum) };
    }
}

/// Takes as many halves to single precision as both have places for.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx2,f16c")]
pub(crate) unsafe fn widen(from: &[f16], to: &mut [f32]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
    for (from, to) in from.iter().zip(to) {
        // SAFETY: eight of each, of two bytes and of four.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast()))) };
    }
    last.iter().zip(rest).for_each(|(from, to)| *to = from.to_f32());
}

/// Rounds as many numbers to halves as both have places for.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx2,f16c")]
pub(crate) unsafe fn round(from: &[f32], to: &mut [f16]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
    for (from, to) in from.iter().zip(to) {
        // SAFETY: eight of each, of four bytes and of two.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from.as_ptr()));
            _mm_storeu_si128(to.as_mut_ptr().cast(), halves);
        }
    }
    last.iter().zip(rest).for_each(|(from, to)| *to = f16::from_f32(*from));
}

impl Lanes for [__m256; 2] {
    const MANY: bool = false;

    #[inline(always)]
    fn splat(number: f32) -> Self {
        // SAFETY: [`run`] alone works with these, in which they are inlined.
        [unsafe { _mm256_set1_ps(number) }; 2]
    }

    #[inline(always)]
    fn load(from: &[f32; PANEL]) -> Self {
        // SAFETY: as above; there are two times eight.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(LANES))] }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; PANEL]) {
        let [first, second] = self;
        // SAFETY: as above; there is room for two times eight.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), first);
            _mm256_storeu_ps(to.as_mut_ptr().add(LANES), second);
        }
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        std::array::from_fn(|half| unsafe { _mm256_mul_ps(self[half], other[half]) })
    }

    #[inline(always)]
    fn times_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: as above.
        std::array::from_fn(|half| unsafe { _mm256_fmadd_ps(self[half], other[half], sum[half]) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [first, second] = self;
        // SAFETY: as above.
        unsafe {
            let eight = _mm256_add_ps(first, second);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
}

/// Adds the products of four inputs for each row. Pairs of products are added in 16 bits, where two of four bits by eight
/// have room and two of eight by eight have not: those are made of their halves.
#[target_feature(enable = "avx2")]
#[inline]
fn add_products<const BITS: usize>(sum: __m256i, packed: __m256i, word: usize, numbers: __m256i) -> __m256i {
    let (two, four) = (_mm256_set1_epi8(3), _mm256_set1_epi8(15));
    let pairs = |weights| _mm256_madd_epi16(_mm256_maddubs_epi16(weights, numbers), _mm256_set1_epi16(1));
    let high = || _mm256_and_si256(_mm256_srli_epi16::<4>(packed), four);
    let products = match (BITS, word) {
        (8, _) => {
            let low = pairs(_mm256_and_si256(packed, four));
            _mm256_add_epi32(low, _mm256_slli_epi32::<4>(pairs(high())))
        }
        (4, 0) => pairs(_mm256_and_si256(packed, four)),
        (4, _) => pairs(high()),
        (_, 0) => pairs(_mm256_and_si256(packed, two)),
        (_, 1) => pairs(_mm256_and_si256(_mm256_srli_epi16::<2>(packed), two)),
        (_, 2) => pairs(_mm256_and_si256(_mm256_srli_epi16::<4>(packed), two)),
        (_, _) => pairs(_mm256_and_si256(_mm256_srli_epi16::<6>(packed), two)),
    };
    _mm256_add_epi32(sum, products)
}

/// Half of the scales at the beginning of a block.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn scales<const HALF: bool>(block: *const u8, half: usize) -> __m256 {
    // SAFETY: a block begins with 16 scales of two bytes or four, as the form says and `HALF` with it.
    unsafe {
        if HALF {
            _mm256_cvtph_ps(_mm_loadu_si128(block.cast::<__m128i>().add(half)))
        } else {
            _mm256_loadu_ps(block.cast::<f32>().add(half * LANES))
        }
    }
}

/// Half of the zero points behind them, or what all have.
#[target_feature(enable = "avx2")]
#[inline]
fn points(form: &Form, block: *const u8, half: usize) -> __m256i {
    if !form.points() {
        return _mm256_set1_epi32(form.bits().middle().into());
    }
    // SAFETY: there are 16 of a byte where the form says so.
    _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(block.add(form.points_at() + half * LANES).cast()) })
}
