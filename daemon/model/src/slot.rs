//! What one KV slot holds, in the two ways in which graphs keep it: grown anew by each run, or in one block of memory that
//! has room for the whole context.

use crate::layout::{Cache, Layout};
use crate::ort_decoder::TOKEN_AXIS;
use hob_onnx::{Bound, Place, RunError, Session, Stop, Tensor, TensorError};
use std::io::{self, Read, Write};

/// Keys and values of `len` tokens. Caches stand in the order of [`Layout::caches`].
#[derive(Debug)]
pub(crate) struct Filled {
    kept: Kept,
    len: usize,
}

#[derive(Debug)]
enum Kept {
    /// As long as there are tokens. A run gives longer ones.
    Grown(Vec<Tensor>),
    /// As long as the context. A run writes behind the tokens that there are; what stands there otherwise is never read.
    InPlace { caches: Vec<Tensor>, bound: Box<Bound> },
}

impl Filled {
    /// An empty slot of a graph that gives grown caches.
    pub(crate) fn grown(caches: &[Cache]) -> Result<Self, TensorError> {
        let empty = |cache: &Cache| Tensor::zeros(cache.element, &[1, cache.heads, 0, cache.width]);
        Ok(Self { kept: Kept::Grown(caches.iter().map(empty).collect::<Result<_, _>>()?), len: 0 })
    }

    /// An empty slot of a graph that grows its caches in place, with room for `context` tokens. All of it is
    /// memory from the start: a new tensor is filled with zeros.
    pub(crate) fn in_place(decoder: &Session, layout: &Layout, context: usize) -> Result<Self, RunError> {
        let room = |cache: &Cache| Tensor::zeros(cache.element, &[1, cache.heads, context, cache.width]);
        let mut caches: Vec<Tensor> = layout.caches.iter().map(room).collect::<Result<_, _>>()?;
        let outputs = &decoder.signature().outputs;
        let place = |(cache, tensor)| {
            let cache: &Cache = cache;
            let output = outputs.get(cache.present).ok_or_else(|| RunError::NoOutput(cache.past.clone()))?;
            Ok(Place { input: &cache.past, output: &output.name, tensor })
        };
        let places: Result<Vec<Place<'_>>, RunError> = layout.caches.iter().zip(&mut caches).map(place).collect();
        let bound = Box::new(decoder.bind(places?)?);
        Ok(Self { kept: Kept::InPlace { caches, bound }, len: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn caches(&self) -> &[Tensor] {
        match &self.kept {
            Kept::Grown(caches) | Kept::InPlace { caches, .. } => caches,
        }
    }

    /// Runs the decoder on `new` more tokens and keeps their keys and values. Returns the logits. After an error the slot
    /// holds what it held before.
    pub(crate) fn run(
        &mut self,
        decoder: &mut Session,
        layout: &Layout,
        feeds: &[(&str, &Tensor)],
        new: usize,
        stop: &Stop,
    ) -> Result<Tensor, RunError> {
        let logits = match &mut self.kept {
            Kept::Grown(caches) => {
                let mut feeds = feeds.to_vec();
                feeds.extend(layout.caches.iter().map(|cache| cache.past.as_str()).zip(&*caches));
                let mut outputs: Vec<Option<Tensor>> = decoder.run(&feeds, stop)?.into_iter().map(Some).collect();
                let mut taken = |place: usize| outputs.get_mut(place).and_then(Option::take);
                let logits = taken(layout.logits).ok_or_else(|| RunError::NoOutput("logits".to_owned()))?;
                let grown = |cache: &Cache| taken(cache.present).ok_or_else(|| RunError::NoOutput(cache.past.clone()));
                *caches = layout.caches.iter().map(grown).collect::<Result<_, _>>()?;
                logits
            }
            Kept::InPlace { bound, .. } => {
                let name = decoder.signature().outputs.get(layout.logits).map(|output| output.name.clone());
                decoder.run_bound(bound, feeds, &name.unwrap_or_default(), stop)?
            }
        };
        self.len += new;
        Ok(logits)
    }

    /// Cuts it back to its first `len` tokens.
    ///
    /// # Errors
    /// [`TensorError`] when there is no memory; it is as it was then.
    pub(crate) fn truncate(&mut self, len: usize) -> Result<(), TensorError> {
        if len >= self.len {
            return Ok(());
        }
        if let Kept::Grown(caches) = &mut self.kept {
            let front = |cache: &Tensor| cache.front(TOKEN_AXIS, len);
            *caches = caches.iter().map(front).collect::<Result<_, _>>()?;
        }
        self.len = len;
        Ok(())
    }

    /// Empties it.
    pub(crate) fn clear(&mut self, caches: &[Cache]) -> Result<(), TensorError> {
        match &mut self.kept {
            Kept::Grown(_) => *self = Self::grown(caches)?,
            Kept::InPlace { .. } => self.len = 0,
        }
        Ok(())
    }

    /// Takes over the first `len` tokens of another slot of the same decoder.
    ///
    /// # Errors
    /// [`TensorError`] when there is no memory; what it holds then is of no use.
    pub(crate) fn copy(&mut self, from: &Self, len: usize) -> Result<(), TensorError> {
        let len = len.min(from.len);
        match &mut self.kept {
            Kept::Grown(caches) => {
                let front = |cache: &Tensor| cache.front(TOKEN_AXIS, len);
                *caches = from.caches().iter().map(front).collect::<Result<_, _>>()?;
            }
            Kept::InPlace { caches, .. } => {
                let pairs = caches.iter_mut().zip(from.caches());
                pairs.into_iter().try_for_each(|(to, from)| to.copy_front(from, TOKEN_AXIS, len))?;
            }
        }
        self.len = len;
        Ok(())
    }

    pub(crate) fn save(&self, len: usize, to: &mut dyn Write) -> io::Result<()> {
        self.caches().iter().try_for_each(|cache| cache.write_front(TOKEN_AXIS, len, to))
    }

    /// Takes what [`Filled::save`] wrote. After an error it holds what it held before, or nothing.
    pub(crate) fn load(&mut self, caches: &[Cache], len: usize, from: &mut dyn Read) -> io::Result<()> {
        match &mut self.kept {
            Kept::Grown(held) => {
                let mut read =
                    |cache: &Cache| Tensor::read_from(cache.element, &[1, cache.heads, len, cache.width], from);
                *held = caches.iter().map(&mut read).collect::<io::Result<_>>()?;
            }
            Kept::InPlace { caches, .. } => {
                self.len = 0;
                caches.iter_mut().try_for_each(|cache| cache.read_front(TOKEN_AXIS, len, from))?;
            }
        }
        self.len = len;
        Ok(())
    }
}
