//! One token that asks all that is cached, as in decoding: eight heads that share one of keys, in half precision, against
//! reading that many bytes. `cargo bench -p hob-kernels --bench attention`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use hob_kernels::{Asking, Attention, Instructions};
use std::hint::black_box;

/// Heads of E2B that share keys and values.
const HEADS: usize = 8;

fn attention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    for (width, tokens) in [(256, 192), (512, 192), (512, 1536)] {
        let numbers = |seed: usize| -> Vec<f16> {
            (0..tokens * width).map(|place| f16::from_f32((place * seed % 97) as f32 / 97.0 - 0.5)).collect()
        };
        let (keys, values, queries) = (numbers(31), numbers(57), numbers(13));
        let bytes = (2 * tokens * width * size_of::<f16>()) as u64;
        group.throughput(Throughput::Bytes(bytes));
        let name = |what: &str| format!("{tokens} tokens of {width}, {what}");
        group.bench_function(name("read"), |bencher| {
            let sum = |all: &[f16]| all.iter().fold(0_u16, |sum, one| sum.wrapping_add(one.to_bits()));
            bencher.iter(|| sum(black_box(&keys)).wrapping_add(sum(black_box(&values))));
        });
        for instructions in Instructions::here().take(2) {
            group.bench_function(name(&instructions.to_string()), |bencher| {
                let attention =
                    Attention { keys: &keys, values: &values, width, scale: 1.0 / 16.0, window: usize::MAX };
                let mut out = vec![f16::ZERO; HEADS * width];
                bencher.iter(|| {
                    let pairs = queries.chunks_exact(width).zip(out.chunks_exact_mut(width));
                    let row = |(query, out)| Asking { token: tokens - 1, query, out };
                    let mut rows: Vec<Asking<'_, f16>> = pairs.map(row).collect();
                    attention.ask(black_box(&mut rows), instructions);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, attention);
criterion_main!(benches);
