//! A gate: some numbers, smoothly let through or not, times others.

use crate::exp::exp;
use crate::instructions::{Instructions, Work};
use crate::lanes::Lanes;
use crate::number::Number;

/// Numbers that are widened at a time.
const SOME: usize = 256;

/// `out = gelu(gate) × up`, with the GELU by tanh (Hendrycks and Gimpel 2016, arXiv:1606.08415), which Gemma's layers use.
/// All three are equally long, else what the shortest has no place for is left out.
pub fn gated_gelu<N: Number>(gate: &[N], up: &[N], out: &mut [N], instructions: Instructions) {
    let mut wide = [[0.0; SOME]; 2];
    for ((gate, up), out) in gate.chunks(SOME).zip(up.chunks(SOME)).zip(out.chunks_mut(SOME)) {
        let count = gate.len().min(up.len()).min(out.len());
        let [wide_gate, wide_up] = &mut wide;
        let (wide_gate, wide_up) = (&mut wide_gate[..count], &mut wide_up[..count]);
        N::widen(&gate[..count], wide_gate, instructions);
        N::widen(&up[..count], wide_up, instructions);
        let_through(wide_gate, wide_up, instructions);
        N::round(wide_gate, &mut out[..count], instructions);
    }
}

/// Leaves what comes out in the place of the gate.
fn let_through(gate: &mut [f32], up: &[f32], instructions: Instructions) {
    instructions.run(Gate { gate, up });
}

struct Gate<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Work for Gate<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = gelu(*gate) * up;
        }
    }
}

/// `x/2 × (1 + tanh(√(2/π) (x + 0.044715 x³)))`, of which the half with its tanh is a logistic function of twice as much.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const TWICE_ROOT: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    let inner = x * x.mul_add(x * 0.044_715, 1.0) * TWICE_ROOT;
    // Far below zero nothing is let through, where e to that power ends.
    if inner < -80.0 { 0.0 } else { x / (1.0 + exp(-inner)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn it_is_that_of_the_paper() {
        let gate: Vec<f32> = (-4000_i16..4000).map(|step| f32::from(step) / 200.0).collect();
        let up: Vec<f32> = gate.iter().map(|gate| 2.0 - gate / 7.0).collect();
        let mut expected: Option<Vec<f32>> = None;
        for instructions in Instructions::here() {
            let mut out = vec![0.0; gate.len()];
            gated_gelu(&gate, &up, &mut out, instructions);
            for ((out, gate), up) in out.iter().zip(&gate).zip(&up) {
                let [x, up] = [*gate, *up].map(f64::from);
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                let exact = x / 2.0 * (1.0 + inner.tanh()) * up;
                assert!((f64::from(*out) - exact).abs() < 1e-6 + exact.abs() * 1e-6, "{out} for {exact}");
            }
            assert_eq!(expected.get_or_insert(out.clone()), &out, "{instructions}");
        }
    }

    #[test]
    fn half_precision_is_rounded_once_and_what_is_no_number_stays_none() {
        let gate = [f16::from_f32(1.5), f16::NAN, f16::INFINITY, f16::ZERO, f16::NEG_INFINITY];
        let mut out = [f16::ONE; 5];
        gated_gelu(&gate, &[f16::from_f32(3.0); 5], &mut out, Instructions::best());
        assert_eq!(out[0], f16::from_f32(1.399_571_6 * 3.0));
        assert!(out[1].is_nan() && out[2].is_infinite());
        assert_eq!(out[3..], [f16::ZERO; 2]);
    }
}
