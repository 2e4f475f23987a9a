//! The decoder over ONNX Runtime: two graphs, and caches that go from one run into the next without a copy through Rust.
//!
//! Names, number types, ranks and widths are read from the graphs. `embed_tokens` turns ids into rows, and whatever else
//! it gives (`per_layer_inputs`) is handed on to the decoder under its own name. `past_key_values.N` of a run is
//! `present.N` of the run before: in the very same memory where the graph was prepared for it.

use crate::decoder::{Decoder, ForwardFailure, Keep, Logits, Slot};
use crate::embed::Embed;
use crate::encoder::{EncodeError, Overlaid, Senses};
use crate::folder::{ModelFolder, OpenModelError};
use crate::front::told;
use crate::interrupt::{Interrupt, Interruption};
use crate::layout::{Cache, Inputs, Layout};
use crate::prepared::Prepared;
use crate::slot::Filled;
use hob_onnx::{Kernels, RunError, Runtime, Session, SessionSettings, Share, Stop, Tensor, TensorError};
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
    prepared: bool,
    /// Where rows that are no words come from.
    senses: Option<Senses>,
}

/// Opens the decoder as it was prepared, else as published; with what was prepared, where that is what is run.
fn open_decoder<'a>(
    runtime: &Runtime,
    folder: &'a ModelFolder,
    settings: &SessionSettings,
) -> Result<(Session, Option<&'a Prepared>), OpenModelError> {
    if let Some(prepared) = &folder.prepared {
        match Session::open_prepared(runtime, &folder.decoder, prepared.graph(), settings) {
            Ok(session) => return Ok((session, Some(prepared))),
            // What hob makes of a graph is a gain, and must never be what keeps a model from running.
            Err(error) => tracing::warn!(%error, "the prepared decoder cannot be opened, and is run as published"),
        }
    }
    Ok((Session::open(runtime, &folder.decoder, settings)?, None))
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
        let (decoder, prepared) = open_decoder(runtime, folder, settings)?;
        let layout = Layout::read(embed.signature(), decoder.signature())?;
        let empty = || match prepared.is_some_and(Prepared::in_place) {
            true => Filled::in_place(&decoder, &layout, context),
            false => Filled::grown(&layout.caches).map_err(RunError::from),
        };
        let slots = (0..slots.max(1)).map(|_| empty()).collect::<Result<_, _>>();
        let slots = slots.map_err(|error| OpenModelError::Settings(error.to_string()))?;
        Ok(Self { embed, decoder, layout, slots, context, prepared: prepared.is_some(), senses: None })
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

    /// Whose kernels multiply with the decoder's quantized matrices.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        self.decoder.kernels()
    }

    /// What the graphs say about themselves.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Runs both graphs. Returns the wanted rows of logits.
    fn run(&mut self, slot: Slot, tokens: &Overlaid<'_>, keep: Keep, stop: &Stop) -> Result<Logits, RunError> {
        let mut rows = self.embed.rows(&self.layout.ids, tokens.ids(), stop)?;
        if let Some(embeddings) = self.layout.embeddings().and_then(|place| rows.get_mut(place)) {
            tokens.overlay(embeddings)?;
        }
        let none = || RunError::Failed(format!("there is no slot {}", slot.0));
        let filled = self.slots.get_mut(slot.0).ok_or_else(none)?;
        let (before, new) = (filled.len(), tokens.ids().len());
        let inputs = Inputs::new(before, new, keep)?;
        let mut feeds: Vec<(&str, &Tensor)> = self.layout.handed_on(&rows);
        feeds.extend(self.layout.counted(&inputs));
        let logits = filled.run(&mut self.decoder, &self.layout, &feeds, new, stop)?;
        match logits.last_rows(keep.rows()) {
            Ok(rows) => Ok(Logits::new(rows, self.layout.vocabulary)),
            Err(error) => {
                filled.truncate(before)?;
                Err(error.into())
            }
        }
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

    fn runs_prepared(&self) -> bool {
        self.prepared
    }

    fn len(&self, slot: Slot) -> usize {
        self.slots.get(slot.0).map_or(0, Filled::len)
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
        interrupt.during(
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
        )
    }

    fn truncate(&mut self, slot: Slot, len: usize) -> Result<(), ForwardFailure> {
        let caches = &self.layout.caches;
        let Some(filled) = self.slots.get_mut(slot.0) else { return Ok(()) };
        filled.truncate(len).or_else(|error| emptied(filled, caches, error))
    }

    fn save(&self, slot: Slot, len: usize, to: &mut dyn Write) -> io::Result<()> {
        self.slots.get(slot.0).map_or(Ok(()), |filled| filled.save(len, to))
    }

    fn load(&mut self, slot: Slot, len: usize, from: &mut dyn Read) -> io::Result<()> {
        if len > self.context {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more tokens than a slot holds"));
        }
        let filled = self.slots.get_mut(slot.0).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        filled.load(&self.layout.caches, len, from)
    }

    fn fork(&mut self, from: Slot, to: Slot, len: usize) -> Result<(), ForwardFailure> {
        if from == to {
            return self.truncate(to, len);
        }
        let caches = &self.layout.caches;
        let none = || ForwardFailure::Failed(format!("there is no slot {}", to.0));
        if from.0 >= self.slots.len() {
            let filled = self.slots.get_mut(to.0).ok_or_else(none)?;
            return filled.clear(caches).map_err(|error| ForwardFailure::Failed(error.to_string()));
        }
        let [source, target] = self.slots.get_disjoint_mut([from.0, to.0]).map_err(|_| none())?;
        target.copy(source, len).or_else(|error| emptied(target, caches, error))
    }
}

/// A slot without what could not be kept.
fn emptied(slot: &mut Filled, caches: &[Cache], error: TensorError) -> Result<(), ForwardFailure> {
    let failed = |error: TensorError| ForwardFailure::Failed(error.to_string());
    slot.clear(caches).map_err(failed)?;
    Err(failed(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Variant;
    use std::path::Path;

    #[test]
    fn a_prepared_graph_that_cannot_be_opened_gives_way_to_the_published_one() {
        let runtime = Runtime::find(None).unwrap();
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/published"));
        let mut folder = ModelFolder::open(path, Some(Variant::Q4)).unwrap();
        let open =
            |folder: &ModelFolder| OrtDecoder::open(&runtime, folder, &SessionSettings::default(), 1, 16).unwrap();
        let last = |decoder: &mut OrtDecoder| {
            let logits = decoder.forward(Slot(0), &[5, 6, 7], Keep::Last(1), &Interrupt::default()).unwrap();
            logits.rows().next_back().unwrap().to_vec()
        };
        let mut published = open(&folder);
        assert!(!published.runs_prepared());
        folder.prepared = Some(Prepared::of(b"no graph".to_vec()));
        let mut fallen_back = open(&folder);
        assert!(!fallen_back.runs_prepared());
        assert_eq!(last(&mut fallen_back), last(&mut published));
    }
}
