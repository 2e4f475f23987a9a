//! A decoder without a model: it wants to write what a test tells it, and remembers what it was asked.

use crate::decoder::{Decoder, ForwardFailure, Keep, Logits, Slot};
use crate::interrupt::Interrupt;
use std::io::{self, Read, Write};

/// What the decoder wants to write after some tokens.
type Wish = Box<dyn Fn(&[u32]) -> u32 + Send>;
/// Called before each run with how many there were.
type Before = Box<dyn FnMut(usize, &Interrupt) + Send>;

/// The wish of a broken model: logits that are no numbers.
pub(crate) const NO_NUMBERS: u32 = u32::MAX;

/// Wishes have this probability; the rest of the vocabulary shares what is left.
pub(crate) const SURE: f32 = 0.75;

pub(crate) struct ToyDecoder {
    slots: Vec<Vec<u32>>,
    width: usize,
    wish: Wish,
    before: Before,
    runs: usize,
    /// The most tokens of one run so far.
    pub(crate) longest_run: usize,
    context: usize,
}

impl ToyDecoder {
    pub(crate) fn new(slots: usize, width: usize) -> Self {
        Self {
            slots: vec![Vec::new(); slots],
            width,
            wish: Box::new(|_| 0),
            before: Box::new(|_, _| ()),
            runs: 0,
            longest_run: 0,
            context: 4096,
        }
    }

    pub(crate) fn wishing(self, wish: impl Fn(&[u32]) -> u32 + Send + 'static) -> Self {
        Self { wish: Box::new(wish), ..self }
    }

    pub(crate) fn before(self, before: impl FnMut(usize, &Interrupt) + Send + 'static) -> Self {
        Self { before: Box::new(before), ..self }
    }

    pub(crate) fn context_of(self, context: usize) -> Self {
        Self { context, ..self }
    }

    pub(crate) fn slots_of(self, slots: usize) -> Self {
        Self { slots: vec![Vec::new(); slots], ..self }
    }

    pub(crate) fn held(&self, slot: Slot) -> &[u32] {
        &self.slots[slot.0]
    }

    pub(crate) fn take(&mut self, slot: Slot, tokens: &[u32]) {
        self.slots[slot.0].extend(tokens);
    }

    fn row(&self, tokens: &[u32]) -> Vec<f32> {
        let wish = (self.wish)(tokens);
        if wish == NO_NUMBERS {
            return vec![f32::NAN; self.width];
        }
        let wish = usize::try_from(wish).unwrap();
        let others = f32::from(u16::try_from(self.width - 1).unwrap());
        let mut row = vec![((1.0 - SURE) / others).ln(); self.width];
        row[wish] = SURE.ln();
        row
    }
}

impl Decoder for ToyDecoder {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn context(&self) -> usize {
        self.context
    }

    fn len(&self, slot: Slot) -> usize {
        self.slots[slot.0].len()
    }

    fn forward(
        &mut self,
        slot: Slot,
        tokens: &[u32],
        keep: Keep,
        interrupt: &Interrupt,
    ) -> Result<Logits, ForwardFailure> {
        (self.before)(self.runs, interrupt);
        self.runs += 1;
        self.longest_run = self.longest_run.max(tokens.len());
        if let Some(why) = interrupt.ended() {
            return Err(ForwardFailure::Interrupted(why));
        }
        if self.len(slot) + tokens.len() > self.context {
            return Err(ForwardFailure::Full { context: self.context });
        }
        self.take(slot, tokens);
        let held = self.held(slot);
        let rows = (held.len() + 1 - keep.rows()..=held.len()).flat_map(|to| self.row(&held[..to]));
        Ok(Logits::new(rows.collect(), self.width))
    }

    fn truncate(&mut self, slot: Slot, len: usize) -> Result<(), ForwardFailure> {
        self.slots[slot.0].truncate(len);
        Ok(())
    }

    fn save(&self, slot: Slot, len: usize, to: &mut dyn Write) -> io::Result<()> {
        self.slots[slot.0][..len].iter().try_for_each(|token| to.write_all(&token.to_le_bytes()))
    }

    fn load(&mut self, slot: Slot, len: usize, from: &mut dyn Read) -> io::Result<()> {
        let mut bytes = vec![0; len * 4];
        from.read_exact(&mut bytes)?;
        self.slots[slot.0] = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        Ok(())
    }

    fn fork(&mut self, from: Slot, to: Slot, len: usize) -> Result<(), ForwardFailure> {
        self.slots[to.0] = self.slots[from.0][..len].to_vec();
        Ok(())
    }
}
