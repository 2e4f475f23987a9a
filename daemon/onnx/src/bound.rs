//! Runs whose caches stay where they are: one block of memory is what goes in and what comes out.

use crate::session::{RunError, Session, failed};
use crate::stop::Stop;
use crate::tensor::Tensor;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::IoBinding;
use std::fmt;
use std::time::Instant;

/// An input and an output of a graph that are the same memory.
#[derive(Debug)]
pub struct Place<'a> {
    /// The input.
    pub input: &'a str,
    /// The output.
    pub output: &'a str,
    /// The memory, made by [`Tensor::zeros`]. It may be read and written between runs.
    pub tensor: &'a mut Tensor,
}

/// Memory that runs of one session read and write in place.
pub struct Bound {
    binding: IoBinding,
}

impl Session {
    /// Ties inputs and outputs of the graph to memory that stays. The graph has to be one that grows its caches in place
    /// ([`grows_in_place`](crate::grows_in_place)): others would read what they have just overwritten.
    ///
    /// # Errors
    /// [`RunError::Failed`] for a place that the graph does not have.
    pub fn bind(&self, places: Vec<Place<'_>>) -> Result<Bound, RunError> {
        let mut binding = self.session.create_binding().map_err(|error| failed(&error))?;
        for Place { input, output, tensor } in places {
            binding.bind_input(input, &tensor.value).map_err(|error| failed(&error))?;
            binding.bind_output(output, &mut tensor.value).map_err(|error| failed(&error))?;
        }
        Ok(Bound { binding })
    }

    /// Runs the graph on bound memory, with `inputs` for the rest, and gives back one further output.
    ///
    /// # Errors
    /// [`RunError`]. The bound memory may then have been written to, where the run would have written.
    pub fn run_bound(
        &mut self,
        bound: &mut Bound,
        inputs: &[(&str, &Tensor)],
        output: &str,
        stop: &Stop,
    ) -> Result<Tensor, RunError> {
        let Bound { binding } = bound;
        for (name, tensor) in inputs {
            binding.bind_input(*name, &tensor.value).map_err(|error| failed(&error))?;
        }
        // Anew for each run: what comes out has another length, and the last one may still be in use.
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput);
        let memory = memory.map_err(|error| failed(&error))?;
        binding.bind_output_to_device(output, &memory).map_err(|error| failed(&error))?;
        let began = Instant::now();
        let outputs = self.session.run_binding_with_options(binding, &stop.options);
        self.running += began.elapsed();
        let mut outputs = outputs.map_err(|error| failed(&error))?;
        let value = outputs.remove(output).and_then(|value| value.downcast().ok());
        value.map(|value| Tensor { value }).ok_or_else(|| RunError::NoOutput(output.to_owned()))
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}
