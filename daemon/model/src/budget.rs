//! What a model takes in memory, reckoned before it is opened, and held against what there is.

use crate::folder::{ModelFolder, OpenModelError};
use crate::layout::Layout;
use crate::prepared::Prepared;
use hob_onnx::{Graph, Kernels, Lookup, Products};
use serde::Serialize;
use std::fmt;

/// What the rest of the process takes: the library's code, tokenizer, grammar, plugins, state.
const REST_OF_HOB: u64 = 128 << 20;

/// An unfused layer holds the scores of a chunk against the whole context, and with them a mask and their softmax; an
/// attention operator holds the scores alone.
const SCORES_AT_ONCE: [u64; 2] = [3, 1];

/// Heads of Gemma 4 E2B and E4B, for a `config.json` that does not tell.
const USUAL_HEADS: usize = 8;

/// How large a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Most tokens in a slot.
    pub context_tokens: usize,
    /// KV slots.
    pub slots: usize,
    /// Prompt tokens run at once.
    pub chunk_tokens: usize,
}

/// Bytes of memory, by what they are for. An estimate: what ONNX Runtime makes of the weights was measured, not
/// promised, and a run holds more or less than what is reckoned here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// The decoder's weights, and the embedding tables where they cannot be left on disk.
    pub weights: u64,
    /// The KV cache when every slot is full, and once more the slot that grows where it is not grown in place.
    pub kv: u64,
    /// What a run of one chunk holds at a full context.
    pub work: u64,
    /// The rest of hob.
    pub rest: u64,
}

impl Budget {
    /// The same for a hob that runs already: what the rest of it takes is taken.
    #[must_use]
    pub fn of_running(self) -> Self {
        Self { rest: 0, ..self }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.work).saturating_add(self.rest)
    }
}

/// Where there is room for another model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Beside the one that is open, which may go on until the other is.
    Beside,
    /// In the place of the one that is open, which has to go first.
    InPlace,
}

/// `2.9 GiB: weights 1.7 GiB, KV cache 864 MiB, a run 216 MiB, the rest of hob 128 MiB`
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weights, kv, work, rest } = *self;
        let [total, weights, kv, work, rest] = [self.total(), weights, kv, work, rest].map(Size);
        write!(f, "{total}: weights {weights}, KV cache {kv}, a run {work}, the rest of hob {rest}")
    }
}

/// Bytes for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GIB: u64 = 1 << 30;
        match self.0 {
            bytes if bytes >= GIB => write!(f, "{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
            bytes => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
        }
    }
}

/// What of a folder the budget is reckoned from. Reading it takes milliseconds.
#[derive(Debug, Clone)]
pub struct Needs {
    layout: Layout,
    weights: u64,
    /// The same when ONNX Runtime's kernels multiply.
    by_library: u64,
    /// Bytes of the embedding tables, should they be loaded.
    tables: u64,
    heads: usize,
    tables_on_disk: bool,
    in_place: bool,
    products: Products,
}

impl Needs {
    /// Reads the graphs of a folder, without loading them.
    ///
    /// # Errors
    /// [`OpenModelError`] for a graph that cannot be read or has another layout.
    pub fn read(folder: &ModelFolder) -> Result<Self, OpenModelError> {
        let (embed, decoder) = (Graph::read(&folder.embed)?, folder.decoder_graph()?);
        let layout = Layout::read(&embed.signature(), &decoder.signature())?;
        let tables_on_disk = Lookup::recognise(&folder.embed).is_ok();
        embed.check_weights()?;
        decoder.check_weights()?;
        let [weights, by_library] =
            [Kernels::Hob, Kernels::OnnxRuntime].map(|kernels| decoder.bytes_in_memory(kernels));
        let tables = embed.bytes_in_memory(Kernels::OnnxRuntime);
        let heads = folder.config.heads().unwrap_or(USUAL_HEADS);
        let in_place = folder.prepared.as_ref().is_some_and(Prepared::in_place);
        let products = decoder.products();
        Ok(Self { layout, weights, by_library, tables, heads, tables_on_disk, in_place, products })
    }

    /// Which products of the decoder hob's own kernels would carry out.
    #[must_use]
    pub fn products(&self) -> Products {
        self.products
    }

    /// What the graphs say about themselves.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether embedding rows are read from disk.
    #[must_use]
    pub fn tables_on_disk(&self) -> bool {
        self.tables_on_disk
    }

    /// The same, when those kernels multiply.
    #[must_use]
    pub fn with_kernels(self, kernels: Kernels) -> Self {
        let weights = if kernels == Kernels::Hob { self.weights } else { self.by_library };
        Self { weights, ..self }
    }

    /// The same, with the tables loaded: what looked like tables may turn out to be something else.
    #[must_use]
    pub fn with_tables_loaded(self) -> Self {
        Self { tables_on_disk: false, ..self }
    }

    /// The same, for weights that were packed into a file: their pages count as free memory all along, so they are none that
    /// is given back.
    #[must_use]
    pub fn with_weights_in_file(self) -> Self {
        Self { weights: 0, ..self }
    }

    /// What running it so large takes.
    #[must_use]
    pub fn budget(&self, extent: Extent) -> Budget {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (context, chunk) = (count(extent.context_tokens), count(extent.chunk_tokens.min(extent.context_tokens)));
        let slot = context.saturating_mul(count(self.layout.bytes_per_token()));
        let [unfused, fused] = SCORES_AT_ONCE;
        let at_once = if self.in_place { fused } else { unfused };
        let scores = chunk.saturating_mul(context).saturating_mul(count(self.heads).saturating_mul(4 * at_once));
        Budget {
            weights: self.weights.saturating_add(if self.tables_on_disk { 0 } else { self.tables }),
            kv: slot.saturating_mul(count(extent.slots.max(1)).saturating_add(u64::from(!self.in_place))),
            work: scores,
            rest: REST_OF_HOB,
        }
    }

    /// Holds what is asked for against what is free.
    ///
    /// # Errors
    /// [`OpenModelError::Memory`], with the numbers and the largest extent that would fit.
    pub fn admit(&self, extent: Extent, free: u64) -> Result<Budget, OpenModelError> {
        let budget = self.budget(extent);
        if budget.total() <= free {
            return Ok(budget);
        }
        let advice = match self.fitting(extent, free) {
            Some(Extent { context_tokens, slots, chunk_tokens }) => format!(
                "`[model] context_tokens = {context_tokens}`, `slots = {slots}` and `chunk_tokens = {chunk_tokens}` would fit"
            ),
            None => "no context would fit: take a smaller model or variant, or give hob more memory".to_owned(),
        };
        Err(OpenModelError::Memory { budget, free: Size(free), advice })
    }

    /// Finds room in a running hob for another model beside `present`, which is open and gives back at most that much when it
    /// goes.
    ///
    /// # Errors
    /// [`OpenModelError::Memory`] as [`admit`](Self::admit), when it does not fit in the place of the present one either.
    pub fn find_room(&self, extent: Extent, free: u64, present: Budget) -> Result<Room, OpenModelError> {
        if self.admit_running(extent, free).is_ok() {
            return Ok(Room::Beside);
        }
        self.admit_running(extent, free.saturating_add(present.of_running().total())).map(|_| Room::InPlace)
    }

    /// As [`admit`](Self::admit), for a hob that runs already.
    ///
    /// # Errors
    /// [`OpenModelError::Memory`] as there.
    pub fn admit_running(&self, extent: Extent, free: u64) -> Result<Budget, OpenModelError> {
        self.admit(extent, free.saturating_add(REST_OF_HOB))
    }

    /// The largest context that fits, halved from what was asked for; with fewer slots and smaller chunks if it must be.
    fn fitting(&self, asked: Extent, free: u64) -> Option<Extent> {
        const SMALLEST_CONTEXT: usize = 512;
        const SMALL_CHUNK: usize = 64;
        let halved = std::iter::successors(Some(asked.context_tokens), |tokens| Some(tokens / 2));
        let contexts = halved.take_while(|tokens| *tokens >= SMALLEST_CONTEXT.min(asked.context_tokens));
        let smaller = |context_tokens| {
            [
                Extent { context_tokens, ..asked },
                Extent { context_tokens, chunk_tokens: asked.chunk_tokens.min(SMALL_CHUNK), ..asked },
                Extent { context_tokens, chunk_tokens: asked.chunk_tokens.min(SMALL_CHUNK), slots: 1 },
            ]
        };
        contexts.flat_map(smaller).find(|extent| self.budget(*extent).total() <= free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Variant;
    use std::path::Path;

    fn needs() -> Needs {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/pocket");
        Needs::read(&ModelFolder::open(&folder, Some(Variant::Quantized)).unwrap()).unwrap()
    }

    const ASKED: Extent = Extent { context_tokens: 4096, slots: 2, chunk_tokens: 256 };

    #[test]
    fn a_context_costs_its_slots_and_the_one_that_grows() {
        let needs = needs();
        assert!(needs.tables_on_disk());
        let budget = needs.budget(ASKED);
        // Three pairs of caches, two of 32 and one of 64 numbers a head, in single precision.
        assert_eq!(budget.kv, 3 * 4096 * (32 + 32 + 64) * 2 * 4);
        assert_eq!(needs.budget(Extent { context_tokens: 8192, ..ASKED }).kv, 2 * budget.kv);
        insta::assert_snapshot!(budget, @"216 MiB: weights 4 MiB, KV cache 12 MiB, a run 72 MiB, the rest of hob 128 MiB");
    }

    #[test]
    fn another_model_goes_beside_the_present_one_or_in_its_place() {
        let needs = needs();
        let own = needs.budget(ASKED).of_running().total();
        let small = Extent { context_tokens: 512, ..ASKED };
        let present = needs.budget(small);
        let room = |free| needs.find_room(ASKED, free, present).ok();
        assert_eq!(room(own), Some(Room::Beside));
        assert_eq!(room(own - 1), Some(Room::InPlace));
        assert_eq!(room(own - present.of_running().total()), Some(Room::InPlace));
        assert_eq!(room(own - present.of_running().total() - 1), None);
    }

    #[test]
    fn weights_in_a_file_are_given_back_by_nobody() {
        let needs = needs();
        let (packed, present) = (needs.clone().with_weights_in_file().budget(ASKED), needs.budget(ASKED));
        assert_eq!((packed.weights, packed.kv, packed.work), (0, present.kv, present.work));
        let own = present.of_running().total();
        // What is free already counts the pages of the present one's weights: they must not be counted twice.
        let room = |free, present| needs.find_room(ASKED, free, present).ok();
        assert_eq!(room(present.weights, packed), Some(Room::InPlace));
        assert_eq!(room(present.weights - 1, packed), None);
        assert_eq!(room(present.weights - 1, present), Some(Room::InPlace));
        assert_eq!(room(own, packed), Some(Room::Beside));
        assert_eq!(needs.clone().with_tables_loaded().with_weights_in_file().budget(ASKED).weights, needs.tables);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let needs = needs();
        assert_eq!(needs.admit(ASKED, 1 << 40).unwrap(), needs.budget(ASKED));
        let said = |free| needs.admit(ASKED, free).unwrap_err().to_string();
        insta::assert_snapshot!(said(200 << 20), @"this model takes 216 MiB: weights 4 MiB, KV cache 12 MiB, a run 72 MiB, the rest of hob 128 MiB; 200 MiB are free. `[model] context_tokens = 4096`, `slots = 2` and `chunk_tokens = 64` would fit");
        insta::assert_snapshot!(said(140 << 20), @"this model takes 216 MiB: weights 4 MiB, KV cache 12 MiB, a run 72 MiB, the rest of hob 128 MiB; 140 MiB are free. `[model] context_tokens = 1024`, `slots = 2` and `chunk_tokens = 64` would fit");
        insta::assert_snapshot!(said(100 << 20), @"this model takes 216 MiB: weights 4 MiB, KV cache 12 MiB, a run 72 MiB, the rest of hob 128 MiB; 100 MiB are free. no context would fit: take a smaller model or variant, or give hob more memory");
    }
}
