//! A microphone, by the stable name of its device. Its samples come through a queue that nobody waits at: what finds no room
//! is dropped, and counted.

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, Device, FromSample, HostId, SampleFormat, SizedSample, StreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// Frames that a device gives at a time. Left to itself PulseAudio gives two seconds at once.
const BUFFER: u32 = 320;

/// Seconds that find room while nobody listens.
const ROOM_S: usize = 2;

/// How long a device may take to open.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whatever stands first of what the board has.
pub const DEFAULT: &str = "default";

/// A device that can be listened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its stable name, for the settings.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it gives when nobody asks for more; none when it would not say.
    pub gives: Option<String>,
}

/// Why a microphone cannot be opened. Sound servers do not say reliably what is wrong: all of these may pass.
#[derive(Debug, thiserror::Error)]
pub enum OpenMicrophoneError {
    /// No host has such a device now.
    #[error("there is no microphone '{0}' now: `hob senses list` prints those that there are")]
    Missing(String),
    /// It would not.
    #[error("the microphone '{device}' cannot be opened: {reason}")]
    Refused {
        /// Which.
        device: String,
        /// What the sound system says.
        reason: String,
    },
}

/// All devices of all hosts that answer.
#[must_use]
pub fn devices() -> Vec<Found> {
    let hosts = cpal::available_hosts().into_iter().filter_map(|host| cpal::host_from_id(host).ok());
    let devices = hosts.filter_map(|host| host.input_devices().ok()).flatten();
    let found = |device: Device| {
        let gives = device.default_input_config().ok().map(|config| {
            format!("{} Hz, {} channels, {}", config.sample_rate(), config.channels(), config.sample_format())
        });
        let name = device.description().map(|description| description.to_string()).unwrap_or_default();
        Some(Found { id: device.id().ok()?.to_string(), name, gives })
    };
    devices.filter_map(found).collect()
}

/// An open microphone. It is closed when it is dropped: no sample comes any more.
pub struct Microphone {
    _stream: cpal::Stream,
    samples: Consumer<f32>,
    rate: u32,
    channels: u16,
    signs: Arc<Signs>,
}

/// What the stream's own thread tells.
#[derive(Debug, Default)]
struct Signs {
    dropped: AtomicU64,
    broken: AtomicBool,
    reason: Mutex<String>,
    /// Who is to be woken when samples come.
    listener: OnceLock<Thread>,
}

impl Signs {
    fn wake(&self) {
        if let Some(listener) = self.listener.get() {
            listener.unpark();
        }
    }
}

impl Microphone {
    /// Opens a device by its stable name, or the [`DEFAULT`] one: at 16 kHz with one channel where it has that, else as it is.
    ///
    /// # Errors
    /// [`OpenMicrophoneError`]; each may pass.
    pub fn open(name: &str) -> Result<Self, OpenMicrophoneError> {
        let device = find(name).ok_or_else(|| OpenMicrophoneError::Missing(name.to_owned()))?;
        let refused =
            |error: cpal::Error| OpenMicrophoneError::Refused { device: name.to_owned(), reason: error.to_string() };
        let usual = device.default_input_config().map_err(refused)?;
        let wanted = [(1, crate::RATE), (usual.channels(), usual.sample_rate())];
        let mut outcome = Err(OpenMicrophoneError::Missing(name.to_owned()));
        for (channels, rate) in wanted {
            outcome = Self::open_at(&device, usual.sample_format(), channels, rate).map_err(refused);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn open_at(device: &Device, format: SampleFormat, channels: u16, rate: u32) -> Result<Self, cpal::Error> {
        let room = usize::try_from(rate).unwrap_or(0) * usize::from(channels) * ROOM_S;
        let (producer, samples) = RingBuffer::new(room.max(1));
        let signs = Arc::new(Signs::default());
        let config = StreamConfig { channels, sample_rate: rate, buffer_size: BufferSize::Fixed(BUFFER) };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the list of formats grows; all that can convert give this one"
        )]
        let build = match format {
            SampleFormat::I8 => build::<i8>,
            SampleFormat::I16 => build::<i16>,
            SampleFormat::I32 => build::<i32>,
            SampleFormat::U8 => build::<u8>,
            SampleFormat::U16 => build::<u16>,
            SampleFormat::U32 => build::<u32>,
            SampleFormat::F64 => build::<f64>,
            // The server of sounds converts to it; a bare device that has none of these is rare.
            _ => build::<f32>,
        };
        let stream = build(device, config, producer, Arc::clone(&signs))?;
        stream.play()?;
        Ok(Self { _stream: stream, samples, rate, channels, signs })
    }

    /// Samples of each channel in a second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Channels side by side.
    #[must_use]
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// Waits until samples have come, but not longer than that. The thread that waits first is the one that is woken.
    pub fn wait(&self, at_most: Duration) {
        self.signs.listener.get_or_init(thread::current);
        if self.samples.is_empty() {
            thread::park_timeout(at_most);
        }
    }

    /// Takes what has come since, whole frames of all channels.
    pub fn take(&mut self, into: &mut Vec<f32>) {
        let whole = self.samples.slots() / usize::from(self.channels) * usize::from(self.channels);
        if let Ok(chunk) = self.samples.read_chunk(whole) {
            into.extend(chunk);
        }
    }

    /// Samples that found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.signs.dropped.load(Ordering::Relaxed)
    }

    /// Why no more will come, where that is known. A dead server of sounds often says nothing: who listens has to watch the
    /// time as well.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        let reason = || self.signs.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.signs.broken.load(Ordering::Acquire).then(reason)
    }
}

impl std::fmt::Debug for Microphone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, channels, signs, .. } = self;
        let mut shown = f.debug_struct("Microphone");
        shown.field("rate", rate).field("channels", channels).field("signs", signs).finish_non_exhaustive()
    }
}

fn find(name: &str) -> Option<Device> {
    let host = |id: HostId| cpal::host_from_id(id).ok();
    if name == DEFAULT {
        return cpal::available_hosts().into_iter().filter_map(host).find_map(|host| host.default_input_device());
    }
    let id: cpal::DeviceId = name.parse().ok()?;
    host(id.host())?.device_by_id(&id)
}

fn build<T: SizedSample>(
    device: &Device,
    config: StreamConfig,
    mut samples: Producer<f32>,
    signs: Arc<Signs>,
) -> Result<cpal::Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let told = Arc::clone(&signs);
    let heard = move |data: &[T], _: &cpal::InputCallbackInfo| {
        let room = samples.slots().min(data.len());
        if let Ok(chunk) = samples.write_chunk_uninit(room) {
            chunk.fill_from_iter(data.iter().map(|sample| f32::from_sample_(*sample)));
        }
        signs.dropped.fetch_add((data.len() - room) as u64, Ordering::Relaxed);
        signs.wake();
    };
    let failed = move |error: cpal::Error| {
        // It goes on by itself after these.
        if matches!(error.kind(), cpal::ErrorKind::DeviceChanged | cpal::ErrorKind::Xrun) {
            return;
        }
        *told.reason.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        told.broken.store(true, Ordering::Release);
        told.wake();
    };
    device.build_input_stream(config, heard, failed, Some(PATIENCE))
}
