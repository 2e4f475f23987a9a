//! Attention over keys and values that are grown where they lie.

use super::tensors::{Input, Lying, input, lying, optional, output};
use super::{Activations, Own, each};
use hob_kernels::{Asking, Attention, Instructions};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType;
use std::marker::PhantomData;

/// Products of numbers that one thread is done with sooner than it wakes another.
const ALONE: usize = 1 << 19;

/// Most rows that are asked for together: what they have found lies in a cache of the processor.
const TOGETHER: usize = 64;

/// Inputs: queries `[1, S, H·D]`, new keys and values `[1, S, KVH·D]` (or none where others grow the cache), the caches of
/// both `[1, KVH, T, D]` with room for T tokens, and how many tokens there are now. Outputs: what the queries find, and the
/// caches, for whoever grows them. Attributes: `num_heads`, `kv_num_heads`, `scale`, and `window` with 0 for all tokens.
pub(super) struct CachedAttention<N> {
    threads: usize,
    numbers: PhantomData<fn() -> N>,
}

impl<N> CachedAttention<N> {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, numbers: PhantomData }
    }
}

impl<N: Activations> Operator for CachedAttention<N> {
    type Kernel<'a> = Asker<N>;

    fn name(&self) -> &str {
        Own::CachedAttention.name(N::SCALES)
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let (required, optional) = (|| OperatorInput::required(N::ELEMENT), || OperatorInput::optional(N::ELEMENT));
        let count = OperatorInput::required(TensorElementType::Int32);
        [required(), optional(), optional(), required(), required(), count]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        let optional = || OperatorOutput::optional(N::ELEMENT);
        [OperatorOutput::required(N::ELEMENT), optional(), optional()]
    }

    fn create_kernel<'a>(&self, about: &KernelContext<'a>) -> ort::Result<Self::Kernel<'a>> {
        let number = |name: &str| about.get::<i64>(name).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let (heads, kv_heads) = (number("num_heads"), number("kv_num_heads"));
        if heads == 0 || kv_heads == 0 || heads % kv_heads != 0 {
            return Err(ort::Error::new(format!("{heads} heads share {kv_heads}")));
        }
        let window = Some(number("window")).filter(|window| *window > 0).unwrap_or(usize::MAX);
        let scale = about.get::<f32>("scale").ok_or_else(|| ort::Error::new("no scale"))?;
        let (threads, instructions) = (self.threads, Instructions::best());
        Ok(Asker { heads, kv_heads, scale, window, threads, instructions, numbers: PhantomData })
    }
}

pub(super) struct Asker<N> {
    heads: usize,
    kv_heads: usize,
    scale: f32,
    window: usize,
    threads: usize,
    instructions: Instructions,
    numbers: PhantomData<fn() -> N>,
}

impl<N: Activations> Kernel for Asker<N> {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        let queries = input::<N>(run, 0)?;
        let count = input::<i32>(run, 5)?.numbers.first().and_then(|count| usize::try_from(*count).ok());
        let count = count.ok_or_else(|| ort::Error::new("how many tokens there are is not told"))?;
        let [keys, values] = [3, 4].map(|place| lying::<N>(run, place));
        let [keys, values] = [keys?, values?].map(|cache| cache.ok_or_else(|| ort::Error::new("a cache is missing")));
        let (keys, values) = (Cache::of(keys?, self.kv_heads)?, Cache::of(values?, self.kv_heads)?);
        let (width, room) = (keys.width, keys.room);
        let row = self.heads.checked_mul(width).filter(|row| *row == queries.width().unwrap_or(0));
        let tokens = queries.numbers.len() / row.unwrap_or(1);
        if row.is_none() || (values.width, values.room) != (width, room) || count > room || tokens > count {
            let (keys, values) = (keys.lying.shape, values.lying.shape);
            let queries = queries.shape;
            return Err(ort::Error::new(format!("{queries:?} ask {keys:?} and {values:?} for {count} tokens")));
        }
        let new = (optional::<N>(run, 1)?, optional::<N>(run, 2)?);
        let (keys, values) = match new {
            (Some(new_keys), Some(new_values)) => {
                (keys.grown(run, 1, &new_keys, count)?, values.grown(run, 2, &new_values, count)?)
            }
            _ => (keys.numbers(run)?, values.numbers(run)?),
        };
        let out = output::<N>(run, 0, &queries.shape)?;
        let mut asking: Vec<Vec<Asking<'_, N>>> = (0..self.kv_heads).map(|_| Vec::new()).collect();
        let pairs = queries.numbers.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for (place, (query, out)) in pairs.enumerate() {
            let (token, head) = (count - tokens + place / self.heads, place % self.heads);
            asking[head / (self.heads / self.kv_heads)].push(Asking { token, query, out });
        }
        let seen = count.min(self.window.saturating_add(tokens));
        let alone = queries.numbers.len().saturating_mul(seen) < ALONE;
        let threads = if alone { 1 } else { self.threads };
        let step = self.instructions.rows_that_ask();
        let together = |rows: usize| rows.div_ceil(threads).next_multiple_of(step).clamp(step, TOGETHER);
        let parts = asking.iter_mut().enumerate().flat_map(|(head, rows)| {
            let together = together(rows.len());
            rows.chunks_mut(together).map(move |rows| (head, rows))
        });
        each(run, threads, parts.collect(), |_, (head, rows)| {
            let of_head = *head * room * width..(*head + 1) * room * width;
            let (keys, values) = (&keys[of_head.clone()], &values[of_head]);
            let attention = Attention { keys, values, width, scale: self.scale, window: self.window };
            attention.ask(rows, self.instructions);
        })
    }
}

/// Keys or values of all tokens so far, with room for more.
struct Cache<N> {
    lying: Lying<N>,
    heads: usize,
    /// Tokens that there is room for.
    room: usize,
    width: usize,
}

impl<N: Activations> Cache<N> {
    fn of(lying: Lying<N>, heads: usize) -> ort::Result<Self> {
        let dims: Option<Vec<usize>> = lying.shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        match dims.as_deref() {
            Some([1, kv_heads, room, width]) if *kv_heads == heads && *width > 0 => {
                Ok(Self { heads, room: *room, width: *width, lying })
            }
            _ => Err(ort::Error::new(format!("a cache of {:?} for {heads} heads", lying.shape))),
        }
    }

    /// What others have grown.
    #[expect(unsafe_code, reason = "it is read as what it is only where nobody writes to it")]
    fn numbers(self, _: &ComputeContext) -> ort::Result<&[N]> {
        if self.lying.count == 0 {
            return Ok(&[]);
        }
        // SAFETY: it is an input of a run that goes on, of so many numbers, and this operator gives no cache out.
        Ok(unsafe { std::slice::from_raw_parts(self.lying.aligned()?, self.lying.count) })
    }

    /// The cache with new rows behind those that it has, as the output at a place: in the same memory, or copied.
    #[expect(unsafe_code, reason = "past and present may be one memory")]
    fn grown<'a>(
        self,
        run: &'a ComputeContext,
        place: usize,
        new: &Input<'_, N>,
        count: usize,
    ) -> ort::Result<&'a [N]> {
        let Self { heads, room, width, .. } = self;
        let row = heads.checked_mul(width).ok_or_else(|| ort::Error::new("heads larger than any memory"))?;
        let tokens = new.numbers.len() / row;
        if new.width()? != row || tokens > count {
            return Err(ort::Error::new(format!("{:?} grow a cache of {:?} to {count}", new.shape, self.lying.shape)));
        }
        let present = output::<N>(run, place, &self.lying.shape)?;
        if !std::ptr::eq(present.as_ptr(), self.lying.numbers) {
            // SAFETY: past and present are each one block of so many numbers, and begin at different places: two values of a
            // run, which are the same memory or have none in common.
            present.copy_from_slice(unsafe { std::slice::from_raw_parts(self.lying.aligned()?, self.lying.count) });
        }
        for (token, new) in new.numbers.chunks_exact(row).enumerate() {
            for (head, new) in new.chunks_exact(width).enumerate() {
                let at = (head * room + count - tokens + token) * width;
                present[at..][..width].copy_from_slice(new);
            }
        }
        Ok(present)
    }
}
