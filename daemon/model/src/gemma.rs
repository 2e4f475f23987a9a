//! The model on this board: a folder of the published layout, run by ONNX Runtime.

use crate::budget::{Budget, Extent, Needs, Size};
use crate::chat::{ChatFormat, Gemma4, MediaMarkers, Vocabulary};
use crate::decoder::Decoder;
use crate::draft::Drafting;
use crate::encoder::Senses;
use crate::folder::{ModelFolder, OpenModelError, Variant};
use crate::front::{Front, Recalled};
use crate::generate::{Failure, Generation, Pause, Stage};
use crate::grammar::Grammars;
use crate::ids::IdSet;
use crate::interrupt::Interrupt;
use crate::kv::Slots;
use crate::language_model::{Glimpse, LanguageModel, Progress, Recall, Warmed};
use crate::memo::{Identity, Key, Memo, MemoSettings};
use crate::ort_decoder::OrtDecoder;
use crate::pace::Pace;
use crate::prefix::{PrefixSettings, Prefixes};
use crate::prepared::{Origin, PrepareError, PrepareSettings, Prepared};
use crate::rendered::Rendered;
use crate::sampler::{Sampler, Sampling};
use crate::soft::{Library, Look, MediaSettings};
use hob_events::{GenerateFailure, GenerateOrder, Generated, Message, Prompt, TurnId};
use hob_onnx::{Lookup, Runtime, SessionSettings, find_packed, usable_memory};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the owner settles about the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSettings {
    /// A folder of the published layout.
    pub folder: PathBuf,
    /// Which graphs of it; `None` for the first of [`Variant::PREFERENCE`] that is there.
    pub variant: Option<Variant>,
    /// Most tokens of prompt and answer together, in one slot. Never more than the model was trained for.
    pub context_tokens: usize,
    /// Prompt tokens run at once.
    pub chunk_tokens: usize,
    /// KV slots, at least one; two keep a conversation while commands come in.
    pub slots: usize,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Whether a grammar made of the offer masks what may not be written. Off only to measure what it is worth.
    pub constrained: bool,
    /// Whether a model that takes more memory than there is is refused before it is opened.
    pub check_memory: bool,
    /// Whether hob runs already, so that its own memory is not counted again.
    pub running: bool,
    /// From this temperature on the model rests between runs; `None` leaves heat to the kernel.
    pub hot_celsius: Option<i32>,
    /// Whether words that were said before are drafted, where that is measured to be faster.
    pub draft: bool,
    /// How the sessions are set up.
    pub session: SessionSettings,
    /// Where answers are kept that may be given again; `None` decodes everything.
    pub memo: Option<MemoSettings>,
    /// Where the beginnings of prompts are kept, with their keys and values; `None` keeps none.
    pub prefixes: Option<PrefixSettings>,
    /// Where pictures and sounds lie; `None` for a model that is shown none.
    pub media: Option<MediaSettings>,
    /// How the decoder is rewritten for speed and where that is kept; `None` runs it as published.
    pub prepare: Option<PrepareSettings>,
}

impl ModelSettings {
    /// The shipped defaults for a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            variant: None,
            context_tokens: 4096,
            chunk_tokens: 256,
            slots: 2,
            sampling: Sampling::default(),
            constrained: true,
            check_memory: true,
            running: false,
            hot_celsius: None,
            draft: true,
            session: SessionSettings::default(),
            memo: None,
            prefixes: None,
            media: None,
            prepare: None,
        }
    }

    /// How large a folder is run: never with more context than the model was trained for.
    #[must_use]
    pub fn extent(&self, folder: &ModelFolder) -> Extent {
        let context_tokens = self.context_tokens.min(folder.config.max_positions().unwrap_or(usize::MAX));
        Extent { context_tokens, slots: self.slots, chunk_tokens: self.chunk_tokens }
    }

    /// What a folder takes that was [prepared](Self::prepare) already.
    ///
    /// # Errors
    /// [`OpenModelError`] for a graph that cannot be read or has another layout.
    pub fn needs(&self, runtime: &Runtime, folder: &ModelFolder) -> Result<Needs, OpenModelError> {
        let needs = Needs::read(folder)?.with_kernels(self.session.wanted_kernels());
        // What looks like tables is left on disk only when ONNX Runtime gives the same rows.
        let on_disk = !needs.tables_on_disk() || Lookup::open(runtime, &folder.embed).is_ok();
        Ok(if on_disk { needs } else { needs.with_tables_loaded() })
    }

    /// What a prepared folder that is open gives back when it goes.
    ///
    /// # Errors
    /// As [`needs`](Self::needs).
    pub fn held(&self, runtime: &Runtime, folder: &ModelFolder) -> Result<Budget, OpenModelError> {
        let needs = self.needs(runtime, folder)?;
        let prepared = folder.prepared.as_ref().map(Prepared::graph);
        let origin = hob_onnx::Origin { path: &folder.decoder, prepared };
        let packed = self.session.packed.as_ref();
        let in_file = packed.and_then(|packed| find_packed(runtime, origin, &self.session, packed)).is_some();
        let needs = if in_file { needs.with_weights_in_file() } else { needs };
        Ok(needs.budget(self.extent(folder)))
    }

    /// Prepares the decoder of a folder as these settings want it. One that cannot be is run as published, with a warning.
    pub fn prepare(&self, runtime: &Runtime, folder: &mut ModelFolder) {
        let Some(settings) = &self.prepare else { return };
        if self.session.providers.beside_cpu().next().is_some() {
            tracing::info!("the decoder runs as published: rewritten graphs are for the processor alone");
            return;
        }
        let begun = Instant::now();
        let prepared = Prepared::check_library(runtime).and_then(|()| Prepared::open(folder, settings));
        let prepared = prepared.or_else(|error| match error {
            PrepareError::Unwritable { .. } => {
                tracing::warn!(%error, "the prepared graph is not kept, and is made at each start");
                Prepared::look(folder, settings).map(|prepared| (prepared, Origin::Made))
            }
            PrepareError::Draft(_) | PrepareError::Unreadable { .. } | PrepareError::Library(_) => Err(error),
        });
        match prepared {
            Ok((prepared, origin)) => {
                let (took, in_place) = (begun.elapsed(), prepared.in_place());
                tracing::info!(?origin, ?took, in_place, "the decoder is prepared");
                folder.prepared = Some(prepared);
            }
            Err(error) => tracing::warn!(%error, "the decoder is run as published"),
        }
    }
}

/// The parts of a model, for whoever puts one together otherwise than from a folder.
#[derive(Debug)]
pub struct Parts<D> {
    /// Runs tokens.
    pub decoder: D,
    /// Renders prompts and reads what was written.
    pub format: Box<dyn ChatFormat>,
    /// The tokenizer.
    pub vocabulary: Arc<Vocabulary>,
    /// Compiles offers; `None` leaves everything free.
    pub grammars: Option<Grammars>,
    /// Ids that are never chosen, besides those of the format.
    pub suppressed: Vec<u32>,
    /// Ids that end a turn, besides those of the format.
    pub stops: Vec<u32>,
    /// Prompt tokens run at once.
    pub chunk_tokens: usize,
    /// How the next token is chosen.
    pub sampling: Sampling,
}

/// A model that runs here. One generation at a time; parked ones wait in it.
pub struct Gemma {
    decoder: Box<dyn Decoder>,
    slots: Slots,
    prefixes: Option<Prefixes>,
    front: Arc<Front>,
    chunk: usize,
    pace: Pace,
    pub(crate) drafting: Drafting,
    parked: Vec<Begun>,
    /// Where the model has any, and is shown something.
    senses: Option<Senses>,
}

/// A generation under way, and by what the memo will know it.
struct Begun {
    generation: Generation,
    key: Option<Key>,
}

impl Gemma {
    /// Opens a model folder. With a large vocabulary and large graphs this takes seconds.
    ///
    /// # Errors
    /// [`OpenModelError`], each naming the file and what to do about it.
    pub fn open(runtime: &Runtime, settings: &ModelSettings) -> Result<Self, OpenModelError> {
        let mut folder = ModelFolder::open(&settings.folder, settings.variant)?;
        settings.prepare(runtime, &mut folder);
        let path = folder.path.clone();
        let unfit = |reason: String| OpenModelError::Format { folder: path.clone(), reason };
        let vocabulary = Vocabulary::open(&folder.tokenizer()).map_err(|error| unfit(error.to_string()))?;
        let vocabulary = Arc::new(vocabulary);
        let format = Gemma4::open(&folder.path, Arc::clone(&vocabulary)).map_err(|error| unfit(error.to_string()))?;
        let extent = settings.extent(&folder);
        let context = extent.context_tokens;
        if context == 0 || settings.chunk_tokens == 0 {
            return Err(OpenModelError::Settings("context_tokens and chunk_tokens have to be at least 1".to_owned()));
        }
        if settings.check_memory
            && let Some(free) = usable_memory()
        {
            let needs = settings.needs(runtime, &folder)?;
            let budget =
                if settings.running { needs.admit_running(extent, free)? } else { needs.admit(extent, free)? };
            tracing::info!(%budget, free = %Size(free), "the model fits");
        }
        let mut decoder = OrtDecoder::open(runtime, &folder, &settings.session, settings.slots, context)?;
        if !decoder.runs_prepared() {
            // What is kept of it is known by what was run.
            folder.prepared = None;
        }
        let folder = folder;
        let senses = settings
            .media
            .clone()
            .map(|media| Senses::new(runtime, &folder, &settings.session, media, settings.check_memory));
        if let Some(senses) = &senses {
            markers_agree(&vocabulary, &folder).map_err(unfit)?;
            decoder.see_with(senses);
        }
        let width = decoder.layout().vocabulary;
        if vocabulary.len() > width {
            return Err(unfit(format!("{} tokens, and the graph gives logits for {width}", vocabulary.len())));
        }
        // A stop that no token has would never come, and a placeholder would be a word.
        let mut named = folder.generation.stops().iter().copied().chain(folder.config.placeholders());
        if let Some(id) = named.find(|id| usize::try_from(*id).is_ok_and(|id| id >= width)) {
            return Err(unfit(format!(
                "its configuration speaks of token {id}, and the graph gives logits for {width}"
            )));
        }
        let grammars = match format.markers().filter(|_| settings.constrained) {
            Some(markers) => Some(
                Grammars::new(Arc::clone(&vocabulary), *markers, width).map_err(|error| unfit(error.to_string()))?,
            ),
            None => None,
        };
        let identity = Identity::of_model(&folder, settings, runtime, decoder.shares(), decoder.kernels());
        let memo = identity.as_ref().zip(settings.memo.clone()).and_then(|(identity, memo)| Memo::open(memo, identity));
        let prefixes = identity.as_ref().zip(settings.prefixes.clone());
        let parts = Parts {
            decoder,
            format: Box::new(format),
            vocabulary,
            grammars,
            suppressed: folder.config.placeholders().chain(folder.generation.suppressed()).collect(),
            stops: folder.generation.stops().to_vec(),
            chunk_tokens: settings.chunk_tokens,
            sampling: settings.sampling,
        };
        let prefixes = prefixes.map(|(identity, prefixes)| Prefixes::open(prefixes, identity.digest()));
        let pace = Pace::new(settings.hot_celsius, "/");
        let drafting = Drafting::new(settings.draft);
        let library = senses.as_ref().map_or_else(|| Arc::new(Library::none()), |senses| Arc::clone(senses.library()));
        Ok(Self { prefixes, pace, drafting, senses, ..Self::assemble(parts, memo, library) })
    }

    /// Puts a model together from its parts. It decodes everything: only a folder has what a memo is known by.
    #[must_use]
    pub fn new(parts: Parts<impl Decoder + 'static>) -> Self {
        Self::assemble(parts, None, Arc::new(Library::none()))
    }

    pub(crate) fn assemble(parts: Parts<impl Decoder + 'static>, memo: Option<Memo>, library: Arc<Library>) -> Self {
        let Parts { decoder, format, vocabulary, grammars, suppressed, stops, chunk_tokens, sampling } = parts;
        let known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary.len());
        let suppressed: IdSet = format.suppressed().iter().chain(&suppressed).copied().filter(known).collect();
        let never: Vec<u32> = suppressed.iter().collect();
        let memo = memo.map(|memo| memo.under(&stops, &never));
        Self {
            slots: Slots::new(decoder.slots()),
            prefixes: None,
            decoder: Box::new(decoder),
            front: Arc::new(Front {
                format,
                vocabulary,
                grammars,
                suppressed,
                stops,
                sampling,
                memo,
                rendered: Rendered::default(),
                library,
            }),
            chunk: chunk_tokens,
            pace: Pace::new(None, "/"),
            drafting: Drafting::new(false),
            parked: Vec::new(),
            senses: None,
        }
    }

    /// How long the decoder's graph has run so far: what a generation takes beyond that is hob's own.
    #[must_use]
    pub fn time_in_graph(&self) -> Duration {
        self.decoder.time_in_graph()
    }

    /// Whether its decoder is run as it was rewritten, and not as published.
    #[must_use]
    pub fn runs_prepared(&self) -> bool {
        self.decoder.runs_prepared()
    }

    /// Its eyes and ears, where it has any: for who takes something in before it is asked about.
    #[must_use]
    pub fn senses(&self) -> Option<&Senses> {
        self.senses.as_ref()
    }

    fn stage(&mut self) -> (&Front, Stage<'_>) {
        let front = &*self.front;
        let stage = Stage {
            decoder: &mut *self.decoder,
            slots: &mut self.slots,
            prefixes: self.prefixes.as_mut(),
            format: &*front.format,
            vocabulary: &front.vocabulary,
            suppressed: &front.suppressed,
            stops: &front.stops,
            chunk: self.chunk,
            pace: &mut self.pace,
            drafting: &mut self.drafting,
        };
        (front, stage)
    }

    /// The answer from the memo, the parked generation of the order's turn, or a new one.
    fn begin(&mut self, order: &GenerateOrder, interrupt: &Interrupt) -> Result<Beginning, GenerateFailure> {
        if let Some(place) = self.parked.iter().position(|begun| begun.generation.turn == order.turn) {
            return Ok(Beginning::Begun(Box::new(self.parked.swap_remove(place))));
        }
        let prompt = self.front.prompt_ids(order, Look::of(interrupt, self.decoder.context()))?;
        let key = self.front.key(order, &prompt);
        if let Some(recalled) = key.and_then(|key| self.front.recall(order, &key)) {
            return Ok(Beginning::Known(recalled));
        }
        let constraint = self.front.constraint(order)?;
        let max_tokens = usize::try_from(order.max_tokens).unwrap_or(usize::MAX);
        let sampler = Sampler::new(self.front.sampling);
        let (conversation, prompt) = (order.conversation.clone(), prompt.to_vec());
        let said_before =
            order.prompt.messages.iter().filter(|message| matches!(message, Message::User { .. })).count() > 1;
        let generation = Generation::new(order.turn, conversation, prompt, max_tokens, constraint, sampler);
        let generation = if said_before { generation.with_room() } else { generation };
        Ok(Beginning::Begun(Box::new(Begun { generation, key })))
    }
}

/// Whether the tokenizer and `config.json` mean the same tokens by pictures, sounds and films.
fn markers_agree(vocabulary: &Vocabulary, folder: &ModelFolder) -> Result<(), String> {
    let MediaMarkers { image, audio, video } = MediaMarkers::find(vocabulary);
    for ((name, found), told) in
        [("image", image), ("audio", audio), ("video", video)].into_iter().zip(folder.config.placeholder_ids())
    {
        if let (Some(found), Some(told)) = (found, told)
            && found != told
        {
            return Err(format!("config.json has {name}_token_id {told}, and the tokenizer has {found} for it"));
        }
    }
    Ok(())
}

enum Beginning {
    Known(Recalled),
    Begun(Box<Begun>),
}

impl LanguageModel for Gemma {
    fn generate(
        &mut self,
        order: &GenerateOrder,
        watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Progress, GenerateFailure> {
        let Begun { mut generation, key } = match self.begin(order, interrupt)? {
            Beginning::Begun(begun) => *begun,
            Beginning::Known(Recalled { generated, words }) => {
                if !words.is_empty() {
                    watch(Glimpse::Words(&words));
                }
                return Ok(Progress::Ended(generated));
            }
        };
        let (front, mut stage) = self.stage();
        match generation.run(&mut stage, watch, interrupt) {
            Ok(Pause::Ended(stop)) => {
                let (written, sureness) = (generation.written(), generation.sureness());
                if let Some(key) = key {
                    front.remember(&key, stop, written, sureness);
                }
                Ok(Progress::Ended(Generated {
                    writing: front.read(written, sureness, &order.prompt.offer),
                    tokens: written.to_vec(),
                    tokenizer: front.vocabulary.tokenizer_id(),
                    stop,
                    timings: generation.timings(),
                }))
            }
            Ok(Pause::Parked) => {
                self.parked.push(Begun { generation, key });
                Ok(Progress::Parked)
            }
            Err(failure) => Err(failure.told(order.deadline_ms)),
        }
    }

    fn warm(&mut self, prompt: &Prompt, interrupt: &Interrupt) -> Result<Warmed, GenerateFailure> {
        let tokens = self.front.shared_beginning(prompt)?;
        let failed = |failure| Failure::Forward(failure).told(0);
        if tokens.len() >= self.decoder.context() {
            return Err(Failure::TooLong { tokens: tokens.len(), context: self.decoder.context() }.told(0));
        }
        let (_, mut stage) = self.stage();
        let (slot, cached) = stage.prepare(&tokens, tokens.len(), None).map_err(failed)?;
        for chunk in tokens.get(cached..).unwrap_or_default().chunks(stage.chunk.max(1)) {
            if interrupt.parking() {
                return Ok(Warmed::Parked); // whoever comes goes on from what is there
            }
            let began = Instant::now();
            stage.decoder.forward(slot, chunk, crate::Keep::Nothing, interrupt).map_err(failed)?;
            stage.slots.append(slot, chunk);
            stage.rest(began, interrupt);
        }
        if interrupt.parking() {
            return Ok(Warmed::Parked);
        }
        if let Some(prefixes) = stage.prefixes {
            prefixes.keep(stage.decoder, slot, &tokens);
        }
        Ok(Warmed::Whole)
    }

    fn forget(&mut self, turn: TurnId) {
        let slots = &mut self.slots;
        self.parked.retain(|Begun { generation, .. }| {
            let stays = generation.turn != turn;
            if !stays && let Some(slot) = generation.parked_in {
                slots.park(slot, false);
            }
            stays
        });
    }

    fn rest(&mut self, now: Instant) -> Option<Instant> {
        self.senses.as_ref()?.rest(now)
    }

    fn senses(&self) -> Option<Senses> {
        self.senses.clone()
    }

    fn recall(&self) -> Option<Recall> {
        let front = Arc::clone(&self.front);
        front.memo.is_some().then(|| -> Recall { Box::new(move |order| front.recall_order(order)) })
    }
}

impl std::fmt::Debug for Gemma {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gemma").field("slots", &self.slots).field("front", &self.front).finish_non_exhaustive()
    }
}
