//! Weights that are multiplied in a second: one row of activations with a matrix that no cache holds, as in decoding, and 64
//! rows, as in prefill. `cargo bench -p hob-kernels`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hob_kernels::{Bits, Columns, Form, Instructions, Matrix, RoundedRow, Scales};
use std::hint::black_box;
use std::thread;

/// Inputs of most of E2B's matrices.
const DEPTH: usize = 1536;

/// A hundred million weights: 50 MB in four bits.
const ROWS: usize = 1 << 16;

/// Panels that a thread takes at a time.
const AT_ONCE: usize = 16;

/// Multiplies with as many threads as there are cores, sharing panels as they come.
fn multiply(matrix: &Matrix<'_>, rows: &[RoundedRow], out: &mut [f32], instructions: Instructions) {
    let columns = Columns::new(matrix.form(), out, AT_ONCE);
    let work = || {
        while let Some(mut part) = columns.take() {
            matrix.multiply(rows, &mut part, instructions);
        }
    };
    let others = thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
    thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
}

fn product(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("product");
    group.sample_size(20);
    let forms = [(Bits::Four, 32), (Bits::Four, 128), (Bits::Two, 128), (Bits::Eight, 32)];
    for (bits, block) in forms {
        let form = Form::new(ROWS, DEPTH, block, bits, Scales::Half, false).expect("a form with kernels");
        // As a mapped file begins: with a page.
        let pages: Vec<[u64; 512]> = (0..form.bytes().div_ceil(4096) + 1).map(|page| [page as u64 * 61; 512]).collect();
        let bytes = pages.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let start = bytes.as_ptr().align_offset(4096);
        let matrix = Matrix::new(form, &bytes[start..][..form.bytes()]).expect("its own size");
        for rows in [1, 64] {
            let numbers: Vec<f32> = (0..DEPTH).map(|place| (place % 17) as f32 - 8.0).collect();
            for instructions in Instructions::here().take(2) {
                let rounded = vec![RoundedRow::new(&numbers, block, instructions); rows];
                let mut out = vec![0.0; rows * ROWS];
                group.throughput(Throughput::Elements((rows * DEPTH * ROWS) as u64));
                let name = format!("{} bits in blocks of {block}, {rows} rows, {instructions}", bits.count());
                group.bench_function(name, |bencher| {
                    bencher.iter(|| multiply(&matrix, black_box(&rounded), &mut out, instructions));
                });
            }
        }
    }
    group.finish();
}

fn rounding(criterion: &mut Criterion) {
    let numbers: Vec<f32> = (0..DEPTH).map(|place| (place % 17) as f32 - 8.0).collect();
    criterion.bench_function("rounding of 1536 activations in blocks of 32", |bencher| {
        bencher.iter(|| RoundedRow::new(black_box(&numbers), 32, Instructions::best()));
    });
}

criterion_group!(benches, product, rounding);
criterion_main!(benches);
