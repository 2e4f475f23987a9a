//! With 512 bits and sums of four products at a time.

use crate::form::{Bits, LINE, PANEL, Scales};
use crate::instructions::Work;
use crate::matrix::Panel;
use crate::rounded::RoundedRow;
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
/// As for [`multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn run<W: Work>(work: W) -> W::Out {
    work.run()
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
