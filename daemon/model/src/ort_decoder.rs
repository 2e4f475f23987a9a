//! The decoder over ONNX Runtime: two graphs, and caches that go from one run into the next without a copy through Rust.
//!
//! Names, number types, ranks and widths are read from the graphs. `embed_tokens` turns ids into rows, and whatever else
//! it gives (`per_layer_inputs`) is handed on to the decoder under its own name. `past_key_values.N` of a run is
//! `present.N` of the run before.

use crate::decoder::{Decoder, ForwardFailure, Keep, Logits, Slot};
use crate::embed::Embed;
use crate::encoder::{EncodeError, Overlaid, Senses};
use crate::folder::{ModelFolder, OpenModelError};
use crate::front::told;
use crate::interrupt::{Interrupt, Interruption};
use crate::layout::{Cache, Inputs, Layout};
use hob_onnx::{RunError, Runtime, Session, SessionSettings, Share, Stop, Tensor, TensorError};
use std::io::{self, Read, Write};
use std::time::Duration;

/// The axis of a cache along which tokens stand: `[batch, heads, tokens, width]`.
pub(crate) const TOKEN_AXIS: usize = 2;

/// The decoder of one model folder.
#[derive(Debug)]
pub struct OrtDecoder {
    embed: Embed,
    decoder: Session,
    layout: Layout,
    slots: Vec<Filled>,
    context: usize,
    /// Where rows that are no words come from.
    senses: Option<Senses>,
}

/// What one slot holds. The caches stand in the order of [`Layout::caches`].
#[derive(Debug)]
struct Filled {
    caches: Vec<Tensor>,
    len: usize,
}

impl Filled {
    fn empty(caches: &[Cache]) -> Result<Self, TensorError> {
        let empty = |cache: &Cache| Tensor::zeros(cache.element, &[1, cache.heads, 0, cache.width]);
        Ok(Self { caches: caches.iter().map(empty).collect::<Result<_, _>>()?, len: 0 })
    }

    fn front(&self, len: usize) -> Result<Self, TensorError> {
        let front = |cache: &Tensor| cache.front(TOKEN_AXIS, len);
        Ok(Self { caches: self.caches.iter().map(front).collect::<Result<_, _>>()?, len })
    }
}

impl OrtDecoder {
    /// Opens both graphs of a folder, with `slots` empty caches of at most `context` tokens each.
    ///
    /// # Errors
    /// [`OpenModelError`] for a graph that cannot be opened or has another layout.
    pub fn open(
        runtime: &Runtime,
        folder: &ModelFolder,
        settings: &SessionSettings,
        slots: usize,
        context: usize,
    ) -> Result<Self, OpenModelError> {
        let embed = Embed::open(runtime, &folder.embed, settings)?;
        let decoder = Session::open(runtime, &folder.decoder, settings)?;
        let layout = Layout::read(embed.signature(), decoder.signature())?;
        let slots = (0..slots.max(1)).map(|_| Filled::empty(&layout.caches)).collect::<Result<_, _>>();
        let slots = slots.map_err(|error| OpenModelError::Settings(error.to_string()))?;
        Ok(Self { embed, decoder, layout, slots, context, senses: None })
    }

    /// Takes the rows of media from here, from now on.
    pub fn see_with(&mut self, senses: &Senses) {
        self.senses = Some(senses.clone());
    }

    /// Who took which operators of the decoder; empty when nothing beside the processor was asked for.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        self.decoder.shares()
    }

    /// What the graphs say about themselves.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn slot_mut(&mut self, slot: Slot) -> Result<&mut Filled, ForwardFailure> {
        self.slots.get_mut(slot.0).ok_or_else(|| ForwardFailure::Failed(format!("there is no slot {}", slot.0)))
    }

    /// Runs both graphs. Returns the rows of logits and the grown caches.
    fn run(
        &mut self,
        slot: Slot,
        tokens: &Overlaid<'_>,
        keep: Keep,
        stop: &Stop,
    ) -> Result<(Logits, Vec<Tensor>), RunError> {
        let none = Filled { caches: Vec::new(), len: 0 };
        let filled = self.slots.get(slot.0).unwrap_or(&none);
        let mut rows = self.embed.rows(&self.layout.ids, tokens.ids(), stop)?;
        if let Some(embeddings) = self.layout.embeddings().and_then(|place| rows.get_mut(place)) {
            tokens.overlay(embeddings)?;
        }
        let inputs = Inputs::new(filled.len, tokens.ids().len(), keep)?;

        let mut feeds: Vec<(&str, &Tensor)> = self.layout.handed_on(&rows);
        feeds.extend(self.layout.counted(&inputs));
        feeds.extend(self.layout.caches.iter().map(|cache| cache.past.as_str()).zip(&filled.caches));
        let outputs = self.decoder.run(&feeds, stop)?;

        let mut outputs: Vec<Option<Tensor>> = outputs.into_iter().map(Some).collect();
        let mut taken = |place: usize| outputs.get_mut(place).and_then(Option::take);
        let logits = taken(self.layout.logits).ok_or_else(|| RunError::NoOutput("logits".to_owned()))?;
        let grown = |cache: &Cache| taken(cache.present).ok_or_else(|| RunError::NoOutput(cache.past.clone()));
        let caches = self.layout.caches.iter().map(grown).collect::<Result<_, _>>()?;
        Ok((Logits::new(logits.last_rows(keep.rows())?, self.layout.vocabulary), caches))
    }
}

impl Decoder for OrtDecoder {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn context(&self) -> usize {
        self.context
    }

    fn time_in_graph(&self) -> Duration {
        self.decoder.time_in_runs()
    }

    fn len(&self, slot: Slot) -> usize {
        self.slots.get(slot.0).map_or(0, |filled| filled.len)
    }

    fn forward(
        &mut self,
        slot: Slot,
        tokens: &[u32],
        keep: Keep,
        interrupt: &Interrupt,
    ) -> Result<Logits, ForwardFailure> {
        if self.len(slot) + tokens.len() > self.context {
            return Err(ForwardFailure::Full { context: self.context });
        }
        if tokens.is_empty() {
            return Ok(Logits::default());
        }
        let failed = |error: RunError| match error {
            RunError::Stopped => ForwardFailure::Interrupted(interrupt.ended().unwrap_or(Interruption::Cancelled)),
            RunError::Tensor(_) | RunError::NoOutput(_) | RunError::Failed(_) => {
                ForwardFailure::Failed(error.to_string())
            }
        };
        let stop = self.decoder.stop_handle().map_err(failed)?;
        let from_elsewhere = stop.clone();
        let senses = self.senses.clone();
        let (logits, caches) = interrupt.during(
            move || from_elsewhere.stop(),
            || {
                let overlaid = Overlaid::new(tokens, senses.as_ref(), &stop).map_err(|error| {
                    if matches!(error, EncodeError::Stopped) {
                        failed(RunError::Stopped)
                    } else {
                        ForwardFailure::Medium(told(&error))
                    }
                })?;
                self.run(slot, &overlaid, keep, &stop).map_err(failed)
            },
        )?;
        let filled = self.slot_mut(slot)?;
        filled.caches = caches;
        filled.len += tokens.len();
        Ok(logits)
    }

    fn truncate(&mut self, slot: Slot, len: usize) -> Result<(), ForwardFailure> {
        if len < self.len(slot) { self.fork(slot, slot, len) } else { Ok(()) }
    }

    fn save(&self, slot: Slot, len: usize, to: &mut dyn Write) -> io::Result<()> {
        let caches = self.slots.get(slot.0).map_or(&[][..], |filled| &filled.caches);
        caches.iter().try_for_each(|cache| cache.write_front(TOKEN_AXIS, len, to))
    }

    fn load(&mut self, slot: Slot, len: usize, from: &mut dyn Read) -> io::Result<()> {
        if len > self.context {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more tokens than a slot holds"));
        }
        let mut read = |cache: &Cache| Tensor::read_from(cache.element, &[1, cache.heads, len, cache.width], from);
        let caches = self.layout.caches.iter().map(&mut read).collect::<io::Result<_>>()?;
        let place = self.slots.get_mut(slot.0).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        *place = Filled { caches, len };
        Ok(())
    }

    fn fork(&mut self, from: Slot, to: Slot, len: usize) -> Result<(), ForwardFailure> {
        let failed = |error: TensorError| ForwardFailure::Failed(error.to_string());
        let empty = Filled::empty(&self.layout.caches).map_err(failed)?;
        let copy = self.slots.get(from.0).map_or(Ok(empty), |filled| filled.front(len.min(filled.len)));
        match copy {
            Ok(copy) => *self.slot_mut(to)? = copy,
            Err(error) => {
                *self.slot_mut(to)? = Filled::empty(&self.layout.caches).map_err(failed)?;
                return Err(failed(error));
            }
        }
        Ok(())
    }
}
