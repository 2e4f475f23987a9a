//! With 512 bits and sums of four products at a time.

use crate::form::{Bits, LINE, PANEL, Scales};
use crate::instructions::Work;
use crate::lanes::{LANES, Lanes};
use crate::matrix::Panel;
use crate::rounded::RoundedRow;
use half::f16;
use std::arch::x86_64::*;

/// # Safety
/// The processor has AVX-512 F, BW and VNNI, and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
pub(crate) unsafe fn multiply<const ROWS: usize>(
    panel: &Panel<'_>,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    match (panel.form.bits(), panel.form.scales()) {
        (Bits::Two, Scales::Half) => blocks::<2, true, ROWS>(panel, rows, out),
        (Bits::Two, Scales::Single) => blocks::<2, false, ROWS>(panel, rows, out),
        (Bits::Four, Scales::Half) => blocks::<4, true, ROWS>(panel, rows, out),
        (Bits::Four, Scales::Single) => blocks::<4, false, ROWS>(panel, rows, out),
        (Bits::Eight, Scales::Half) => blocks::<8, true, ROWS>(panel, rows, out),
        (Bits::Eight, Scales::Single) => blocks::<8, false, ROWS>(panel, rows, out),
    }
}

/// # Safety
/// As for [`multiply`], and AVX2 and FMA.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn run<W: Work>(work: W) -> W::Out {
    work.run::<__m512>()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
fn blocks<const BITS: usize, const HALF: bool, const ROWS: usize>(
    panel: &Panel<'_>,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    let (blocks, lines) = panel.shape::<BITS, ROWS>(rows);
    let mask = _mm512_set1_epi8(i8::MAX >> (7 - BITS % 8));
    let mut sums = [_mm512_setzero_ps(); ROWS];
    let mut words: [*const i32; ROWS] = rows.map(|row| row.numbers.as_ptr().cast());
    let mut bytes = panel.bytes.as_ptr();
    for block in 0..blocks {
        // SAFETY: a block begins with 16 scales of two bytes or four, as the form says and `HALF` with it.
        let worth = unsafe {
            if HALF { _mm512_cvtph_ps(_mm256_loadu_si256(bytes.cast())) } else { _mm512_loadu_ps(bytes.cast()) }
        };
        let points = if panel.form.points() {
            // SAFETY: behind them are 16 zero points of a byte, as the form says.
            _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(bytes.add(panel.form.points_at()).cast()) })
        } else {
            _mm512_set1_epi32(panel.middle())
        };
        // What zero points take off; they and the sums of a block have 16 bits (see `Form::LONGEST_BLOCK`).
        let off = rows.map(|row| {
            // SAFETY: each row has a sum for each of the blocks.
            let off = -unsafe { row.sums.get_unchecked(block) } & 0xffff;
            _mm512_dpwssd_epi32(_mm512_setzero_si512(), points, _mm512_set1_epi32(off))
        });
        // Two sums for each row: one product does not wait for the one before it.
        let mut even = [_mm512_setzero_si512(); ROWS];
        let mut odd = [_mm512_setzero_si512(); ROWS];
        // SAFETY: there are so many lines of 64 bytes behind them, and the next block behind those, or the end.
        let (first, next) = unsafe { (bytes.add(panel.form.lines_at()), bytes.add(panel.form.block_bytes())) };
        for line in 0..lines {
            // SAFETY: one of those lines.
            let packed = unsafe { _mm512_loadu_si512(first.add(line * LINE).cast()) };
            for word in 0..8 / BITS {
                let weights = part::<BITS>(packed, word, mask);
                for row in 0..ROWS {
                    // SAFETY: each row has so many words of four bytes for each of those lines.
                    let number = unsafe { words[row].add(word).read_unaligned() };
                    let sum = if word % 2 == 0 { &mut even[row] } else { &mut odd[row] };
                    *sum = _mm512_dpbusd_epi32(*sum, weights, _mm512_set1_epi32(number));
                }
            }
            // SAFETY: at most one beyond the last.
            words = words.map(|words| unsafe { words.add(8 / BITS) });
        }
        bytes = next;
        for row in 0..ROWS {
            let whole = _mm512_add_epi32(_mm512_add_epi32(even[row], odd[row]), off[row]);
            // SAFETY: each row has a scale for each of the blocks.
            let scale = _mm512_set1_ps(unsafe { *rows[row].scales.get_unchecked(block) });
            sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_mul_ps(worth, scale), sums[row]);
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        // SAFETY: there is room for 16 numbers.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    }
}

/// Takes as many halves to single precision as both have places for.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx512f,f16c")]
pub(crate) unsafe fn widen(from: &[f16], to: &mut [f32]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<PANEL>(), to.as_chunks_mut::<PANEL>());
    for (from, to) in from.iter().zip(to) {
        // SAFETY: sixteen of each, of two bytes and of four.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast()))) };
    }
    last.iter().zip(rest).for_each(|(from, to)| *to = from.to_f32());
}

/// Rounds as many numbers to halves as both have places for.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx512f,f16c")]
pub(crate) unsafe fn round(from: &[f32], to: &mut [f16]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<PANEL>(), to.as_chunks_mut::<PANEL>());
    for (from, to) in from.iter().zip(to) {
        // SAFETY: sixteen of each, of four bytes and of two.
        unsafe {
            let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm512_loadu_ps(from.as_ptr()));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), halves);
        }
    }
    last.iter().zip(rest).for_each(|(from, to)| *to = f16::from_f32(*from));
}

impl Lanes for __m512 {
    const MANY: bool = true;

    #[inline(always)]
    fn splat(number: f32) -> Self {
        // SAFETY: [`run`] alone works with these, in which they are inlined.
        unsafe { _mm512_set1_ps(number) }
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: as above; there are sixteen.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: as above; there is room for sixteen.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self) };
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(self, other) }
    }

    #[inline(always)]
    fn times_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(self, other, sum) }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: as above; these have AVX2 too.
        unsafe {
            let doubles = _mm512_castps_pd(self);
            let halves = [_mm512_castpd512_pd256(doubles), _mm512_extractf64x4_pd::<1>(doubles)];
            halves.map(|half| _mm256_castpd_ps(half)).sum()
        }
    }
}

/// The weights of four inputs for each row.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn part<const BITS: usize>(line: __m512i, word: usize, mask: __m512i) -> __m512i {
    // Bits of a neighbour that are shifted in are masked out again.
    match (BITS, word) {
        (8, _) => line,
        (_, 0) => _mm512_and_si512(line, mask),
        (2, 1) => _mm512_and_si512(_mm512_srli_epi16::<2>(line), mask),
        (2, 3) => _mm512_and_si512(_mm512_srli_epi16::<6>(line), mask),
        (_, _) => _mm512_and_si512(_mm512_srli_epi16::<4>(line), mask),
    }
}

const _: () = assert!(LINE == 64 && PANEL == 16);
