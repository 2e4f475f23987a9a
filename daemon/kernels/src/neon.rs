//! With 128 bits: a quarter of a panel at a time.

use crate::form::{Bits, Form, LINE, PANEL, Scales};
use crate::lanes::Lanes;
use crate::matrix::Panel;
use crate::rounded::RoundedRow;
use half::f16;
use std::arch::aarch64::*;
use std::arch::asm;

/// Lanes of 32 bits.
const LANES: usize = 4;

/// # Safety
/// The processor has NEON with dot products (Armv8.2 and later: Cortex-A55, A76 and their successors).
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn multiply_dot<const ROWS: usize>(
    panel: &Panel<'_>,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    for quarter in 0..PANEL / LANES {
        match panel.form.bits() {
            Bits::Two => blocks::<2, true, ROWS>(panel, quarter, rows, out),
            Bits::Four => blocks::<4, true, ROWS>(panel, quarter, rows, out),
            Bits::Eight => blocks::<8, true, ROWS>(panel, quarter, rows, out),
        }
    }
}

/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn multiply<const ROWS: usize>(
    panel: &Panel<'_>,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    for quarter in 0..PANEL / LANES {
        match panel.form.bits() {
            Bits::Two => blocks::<2, false, ROWS>(panel, quarter, rows, out),
            Bits::Four => blocks::<4, false, ROWS>(panel, quarter, rows, out),
            Bits::Eight => blocks::<8, false, ROWS>(panel, quarter, rows, out),
        }
    }
}

#[inline(always)]
fn blocks<const BITS: usize, const DOT: bool, const ROWS: usize>(
    panel: &Panel<'_>,
    quarter: usize,
    rows: [&RoundedRow; ROWS],
    out: &mut [[f32; PANEL]; ROWS],
) {
    let (_, lines) = panel.shape::<BITS, ROWS>(rows);
    // Weights are signed here: 128 is taken off those of eight bits, and off their zero points.
    let shift = if BITS == 8 { 128 } else { 0 };
    let mut words: [*const i32; ROWS] = rows.map(|row| row.numbers.as_ptr().cast());
    // SAFETY: all of it needs NEON, and dot products where `DOT` says so, which is what the callers ask for; addresses are
    // told below.
    unsafe {
        let mut sums = [vdupq_n_f32(0.0); ROWS];
        for (block, bytes) in panel.bytes.chunks_exact(panel.form.block_bytes()).enumerate() {
            let mut whole = [[vdupq_n_s32(0); 2]; ROWS];
            // Each block has `lines` lines of four quarters of 16 bytes.
            let first = bytes.as_ptr().add(panel.form.lines_at() + quarter * LINE / 4);
            for line in 0..lines {
                let packed = vld1q_u8(first.add(line * LINE));
                for word in 0..8 / BITS {
                    let weights = part::<BITS>(packed, word);
                    for row in 0..ROWS {
                        // Each row has so many words of four bytes for each of those lines.
                        let number = words[row].add(word).read_unaligned();
                        let numbers = vreinterpretq_s8_s32(vdupq_n_s32(number));
                        whole[row] = add_products::<DOT>(whole[row], weights, numbers);
                    }
                }
                // At most one beyond the last.
                words = words.map(|words| words.add(8 / BITS));
            }
            let worth = scales(panel.form, bytes, quarter);
            let points = points(panel.form, bytes, quarter, shift);
            for row in 0..ROWS {
                let [first, second] = whole[row];
                let all = if DOT { first } else { vpaddq_s32(first, second) };
                let off = vmulq_s32(points, vdupq_n_s32(rows[row].sums[block]));
                let all = vcvtq_f32_s32(vsubq_s32(all, off));
                let scale = vmulq_f32(worth, vdupq_n_f32(rows[row].scales[block]));
                sums[row] = vfmaq_f32(sums[row], all, scale);
            }
        }
        for (sum, out) in sums.into_iter().zip(out) {
            // There is room for 16 numbers, and this is a quarter of them.
            vst1q_f32(out.as_mut_ptr().add(quarter * LANES), sum);
        }
    }
}

/// The weights of four inputs for each row.
///
/// # Safety
/// The processor has NEON.
#[inline(always)]
unsafe fn part<const BITS: usize>(packed: uint8x16_t, word: usize) -> int8x16_t {
    // SAFETY: asked of the caller.
    let weights = unsafe {
        match (BITS, word) {
            (8, _) => veorq_u8(packed, vdupq_n_u8(128)),
            (4, 0) => vandq_u8(packed, vdupq_n_u8(15)),
            (4, _) => vshrq_n_u8::<4>(packed),
            (_, 0) => vandq_u8(packed, vdupq_n_u8(3)),
            (_, 1) => vandq_u8(vshrq_n_u8::<2>(packed), vdupq_n_u8(3)),
            (_, 2) => vandq_u8(vshrq_n_u8::<4>(packed), vdupq_n_u8(3)),
            (_, _) => vshrq_n_u8::<6>(packed),
        }
    };
    // SAFETY: as above.
    unsafe { vreinterpretq_s8_u8(weights) }
}

/// Adds the products of four inputs for each row; without dot products as two sums for each, whose pairs are added at
/// the end.
///
/// # Safety
/// The processor has NEON, and dot products where `DOT` says so.
#[inline(always)]
unsafe fn add_products<const DOT: bool>(
    [mut first, second]: [int32x4_t; 2],
    weights: int8x16_t,
    numbers: int8x16_t,
) -> [int32x4_t; 2] {
    // SAFETY: asked of the caller; the instruction reads and writes the registers that it names.
    unsafe {
        if DOT {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {weights:v}.16b, {numbers:v}.16b",
                sum = inout(vreg) first,
                weights = in(vreg) weights,
                numbers = in(vreg) numbers,
                options(pure, nomem, nostack, preserves_flags),
            );
            return [first, second];
        }
        let low = vmull_s8(vget_low_s8(weights), vget_low_s8(numbers));
        let high = vmull_high_s8(weights, numbers);
        [vpadalq_s16(first, low), vpadalq_s16(second, high)]
    }
}

/// A quarter of the scales at the beginning of a block.
///
/// # Safety
/// The processor has NEON.
#[inline(always)]
unsafe fn scales(form: &Form, block: &[u8], quarter: usize) -> float32x4_t {
    let first = quarter * LANES;
    let worth: [f32; LANES] = match form.scales() {
        Scales::Half => {
            let some = &block.as_chunks::<2>().0[first..][..LANES];
            std::array::from_fn(|lane| f16::from_le_bytes(some[lane]).to_f32())
        }
        Scales::Single => {
            let some = &block.as_chunks::<4>().0[first..][..LANES];
            std::array::from_fn(|lane| f32::from_le_bytes(some[lane]))
        }
    };
    // SAFETY: there are four numbers; the rest is asked of the caller.
    unsafe { vld1q_f32(worth.as_ptr()) }
}

/// A quarter of the zero points behind them, or what all have.
///
/// # Safety
/// The processor has NEON.
#[inline(always)]
unsafe fn points(form: &Form, block: &[u8], quarter: usize, shift: i32) -> int32x4_t {
    let points: [i32; LANES] = if form.points() {
        std::array::from_fn(|lane| i32::from(block[form.points_at() + quarter * LANES + lane]) - shift)
    } else {
        [i32::from(form.bits().middle()) - shift; LANES]
    };
    // SAFETY: there are four numbers; the rest is asked of the caller.
    unsafe { vld1q_s32(points.as_ptr()) }
}

/// Takes as many halves to single precision as both have places for.
///
/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn widen(from: &[f16], to: &mut [f32]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (from, to) in from.iter().zip(to) {
        let (low, high): (float32x4_t, float32x4_t);
        // SAFETY: eight of each, of two bytes and of four; the instructions are NEON's own, of every 64-bit Arm, which Rust has
        // no stable words for.
        unsafe {
            let halves = vld1q_u16(from.as_ptr().cast());
            asm!(
                "fcvtl {low:v}.4s, {halves:v}.4h",
                "fcvtl2 {high:v}.4s, {halves:v}.8h",
                low = out(vreg) low,
                high = lateout(vreg) high,
                halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
            vst1q_f32(to.as_mut_ptr(), low);
            vst1q_f32(to.as_mut_ptr().add(LANES), high);
        }
    }
    last.iter().zip(rest).for_each(|(from, to)| *to = from.to_f32());
}

/// Rounds as many numbers to halves as both have places for.
///
/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn round(from: &[f32], to: &mut [f16]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (from, to) in from.iter().zip(to) {
        let halves: uint16x8_t;
        // SAFETY: as above.
        unsafe {
            let (low, high) = (vld1q_f32(from.as_ptr()), vld1q_f32(from.as_ptr().add(LANES)));
            asm!(
                "fcvtn {halves:v}.4h, {low:v}.4s",
                "fcvtn2 {halves:v}.8h, {high:v}.4s",
                halves = out(vreg) halves,
                low = in(vreg) low,
                high = in(vreg) high,
                options(pure, nomem, nostack, preserves_flags),
            );
            vst1q_u16(to.as_mut_ptr().cast(), halves);
        }
    }
    last.iter().zip(rest).for_each(|(from, to)| *to = f16::from_f32(*from));
}

/// NEON is part of every 64-bit Arm that Rust compiles for.
impl Lanes for [float32x4_t; 4] {
    const MANY: bool = false;

    #[inline(always)]
    fn splat(number: f32) -> Self {
        // SAFETY: NEON is always there.
        [unsafe { vdupq_n_f32(number) }; 4]
    }

    #[inline(always)]
    fn load(from: &[f32; PANEL]) -> Self {
        // SAFETY: as above; there are four times four.
        std::array::from_fn(|quarter| unsafe { vld1q_f32(from.as_ptr().add(quarter * LANES)) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; PANEL]) {
        for (quarter, lanes) in self.into_iter().enumerate() {
            // SAFETY: as above; there is room for four times four.
            unsafe { vst1q_f32(to.as_mut_ptr().add(quarter * LANES), lanes) };
        }
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        std::array::from_fn(|quarter| unsafe { vmulq_f32(self[quarter], other[quarter]) })
    }

    #[inline(always)]
    fn times_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: as above.
        std::array::from_fn(|quarter| unsafe { vfmaq_f32(sum[quarter], self[quarter], other[quarter]) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [first, second, third, fourth] = self;
        // SAFETY: as above.
        unsafe {
            let four = vaddq_f32(vaddq_f32(first, third), vaddq_f32(second, fourth));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }
}
