use super::*;
use half::f16;
use proptest::prelude::*;

/// A matrix as it is published, and rows of activations.
#[derive(Debug, Clone)]
struct Case {
    form: Form,
    numbers: Vec<u8>,
    scales: Vec<f32>,
    points: Vec<u8>,
    activations: Vec<Vec<f32>>,
}

prop_compose! {
    fn case()(
        rows in 1_usize..40,
        depth in 1_usize..200,
        block in prop::sample::select(vec![16_usize, 32, 64, 128]),
        bits in prop::sample::select(vec![Bits::Two, Bits::Four, Bits::Eight]),
        scales in prop::sample::select(vec![Scales::Half, Scales::Single]),
        points in any::<bool>(),
        some in 1_usize..20,
    )(
        form in Just(Form::new(rows, depth, block, bits, scales, points).unwrap()),
        numbers in prop::collection::vec(0..=u8::MAX >> (8 - bits.count()), rows * depth.div_ceil(block) * block),
        scales in prop::collection::vec(-2.0_f32..2.0, rows * depth.div_ceil(block)),
        points in prop::collection::vec(0..=u8::MAX >> (8 - bits.count()), if points { rows * depth.div_ceil(block) } else { 0 }),
        activations in prop::collection::vec(prop::collection::vec(-8.0_f32..8.0, depth), some),
    ) -> Case {
        Case { form, numbers, scales, points, activations }
    }
}

/// Small numbers side by side in bytes, the first in the low bits; each row begins a byte.
fn packed(numbers: &[u8], row: usize, bits: usize) -> Vec<u8> {
    let byte = |few: &[u8]| {
        few.iter().rev().fold(0, |byte: u8, number| byte.unbounded_shl(u32::try_from(bits).unwrap()) | number)
    };
    numbers.chunks(row).flat_map(|row| row.chunks(8 / bits).map(byte)).collect()
}

impl Case {
    fn in_panels(&self) -> Vec<u8> {
        let Form { .. } = self.form;
        let bits = self.form.bits().count();
        let (blocks, block) = (self.form.blocks(), self.form.block());
        let scales: Vec<u8> = match self.form.scales() {
            Scales::Half => self.scales.iter().flat_map(|scale| f16::from_f32(*scale).to_le_bytes()).collect(),
            Scales::Single => self.scales.iter().flat_map(|scale| scale.to_le_bytes()).collect(),
        };
        let numbers = packed(&self.numbers, blocks * block, bits);
        let points = packed(&self.points, blocks, bits);
        let mut panels = vec![0; self.form.bytes()];
        pack(&self.form, Published { numbers: &numbers, scales: &scales, points: &points }, &mut panels).unwrap();
        panels
    }

    fn multiplied(&self, panels: &[u8], instructions: Instructions, at_once: usize) -> Vec<f32> {
        let rows: Vec<RoundedRow> =
            self.activations.iter().map(|row| RoundedRow::new(row, self.form.block(), instructions)).collect();
        let mut out = vec![f32::NAN; self.activations.len() * self.form.rows()];
        let columns = Columns::new(&self.form, &mut out, at_once);
        let matrix = Matrix::new(self.form, panels).unwrap();
        while let Some(mut part) = columns.take() {
            matrix.multiply(&rows, &mut part, instructions);
        }
        out
    }

    /// Reckoned from what is published, in double precision, with activations rounded as they are.
    fn expected(&self) -> Vec<f64> {
        let (blocks, block) = (self.form.blocks(), self.form.block());
        let mut out = Vec::new();
        for activations in &self.activations {
            let rounded = RoundedRow::new(activations, block, Instructions::best());
            for row in 0..self.form.rows() {
                out.push(
                    (0..blocks)
                        .map(|place| {
                            let scale = self.scales[row * blocks + place];
                            let scale =
                                if self.form.scales() == Scales::Half { f16::from_f32(scale).to_f32() } else { scale };
                            let point =
                                self.points.get(row * blocks + place).copied().unwrap_or(self.form.bits().middle());
                            let weights = &self.numbers[(row * blocks + place) * block..][..block];
                            let numbers = &rounded.numbers[place * block..][..block];
                            let products = weights.iter().zip(numbers);
                            let sum: i32 = products
                                .map(|(weight, number)| (i32::from(*weight) - i32::from(point)) * i32::from(*number))
                                .sum();
                            f64::from(sum) * f64::from(scale) * f64::from(rounded.scales[place])
                        })
                        .sum(),
                );
            }
        }
        out
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 2000 }))]

    #[test]
    fn products_are_those_of_the_published_numbers(case in case()) {
        let panels = case.in_panels();
        let products = case.multiplied(&panels, Instructions::best(), 1);
        for (product, expected) in products.iter().zip(case.expected()) {
            prop_assert!((f64::from(*product) - expected).abs() < 1e-2 + expected.abs() * 1e-5, "{product} for {expected}");
        }
    }

    #[test]
    fn all_instructions_give_the_same_bits(case in case(), at_once in 1_usize..4) {
        let panels = case.in_panels();
        let [first, others @ ..] = &Instructions::here().collect::<Vec<_>>()[..] else { panic!() };
        let bits = |products: Vec<f32>| products.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let expected = bits(case.multiplied(&panels, *first, 1));
        for other in others {
            prop_assert_eq!(&bits(case.multiplied(&panels, *other, at_once)), &expected, "{}", other);
        }
    }

    #[test]
    fn a_row_is_the_same_alone_and_among_others(case in case()) {
        let panels = case.in_panels();
        let together = case.multiplied(&panels, Instructions::best(), 2);
        for (row, expected) in case.activations.iter().zip(together.chunks(case.form.rows())) {
            let alone = Case { activations: vec![row.clone()], ..case.clone() };
            prop_assert_eq!(&alone.multiplied(&panels, Instructions::best(), 1), expected);
        }
    }

    #[test]
    fn rounding_is_the_same_in_all_instructions(row in prop::collection::vec(prop::num::f32::ANY, 1..100)) {
        let rounded: Vec<RoundedRow> = Instructions::here().map(|one| RoundedRow::new(&row, 32, one)).collect();
        for (blocks, from) in rounded[0].scales.iter().zip(row.chunks(32)) {
            prop_assert_eq!(blocks.is_nan(), from.iter().any(|number| !number.is_finite()));
        }
        for other in &rounded[1..] {
            prop_assert_eq!(&other.numbers, &rounded[0].numbers);
            prop_assert_eq!(&other.sums, &rounded[0].sums);
        }
    }
}
