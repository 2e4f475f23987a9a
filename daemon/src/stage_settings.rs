//! The settings, as each stage wants them.

use crate::devices::Devices;
use crate::settings::{Draft, Settings};
use crate::start::{StartError, own_uid};
use hob_agent::{CAMERA_TOPIC, Rule};
use hob_doors::DoorSettings;
use hob_model::media::image::ImageBudget;
use hob_model::{
    MediaSettings, MemoSettings, ModelSettings, PrefixSettings, PrepareSettings, Sampling, Spoken, WorkerSettings,
};
use hob_mqtt::{MqttSettings, Topics};
use hob_onnx::{PackedSettings, Providers, SessionSettings};
use hob_plugin_host::{Caps, HostSettings};
use hob_state::{Bound, ShelfBounds, StateLimits};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// Connections to the control socket at a time.
const DOOR_CONNECTIONS: usize = 32;

/// A connection that is silent for so long is closed. Longer than any turn and its question take.
const DOOR_IDLE: Duration = Duration::from_secs(600);

pub(crate) fn state_limits(settings: &Settings) -> StateLimits {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let usual = StateLimits::default();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let kept =
        Bound { count: count(settings.state.finals), age_ms: Some(u64::from(settings.state.finals_days) * DAY_MS) };
    StateLimits {
        finals: kept,
        receipts: kept,
        conversations: Bound { count: count(settings.agent.conversations), ..usual.conversations },
        audit: Bound { count: count(settings.state.audit_lines), ..usual.audit },
        ..usual
    }
}

/// Where media lie.
pub(crate) fn shelf_folder(settings: &Settings) -> PathBuf {
    settings.state.folder.join("media")
}

pub(crate) fn shelf_bounds(settings: &Settings) -> ShelfBounds {
    ShelfBounds { bytes: settings.media.shelf_bytes, medium_bytes: settings.media.medium_bytes }
}

pub(crate) fn mqtt_settings(settings: &Settings, devices: &Devices) -> MqttSettings {
    let mqtt = &settings.mqtt;
    let mut listen_to = devices.state_topics();
    // What begins so is hob's own: no broker passes it on.
    listen_to.extend(settings.rule.iter().flat_map(Rule::listens_on).filter(|topic| !topic.starts_with(CAMERA_TOPIC)));
    listen_to.extend(settings.camera.iter().filter_map(|camera| camera.topic().map(str::to_owned)));
    if !settings.microphone.is_empty() {
        listen_to.extend(Topics::new(settings.node.name.clone()).for_microphones());
    }
    listen_to.sort();
    listen_to.dedup();
    MqttSettings {
        node: settings.node.name.clone(),
        host: mqtt.host.clone(),
        port: mqtt.port,
        client_id: if mqtt.client_id.is_empty() {
            format!("hob-{}", settings.node.name)
        } else {
            mqtt.client_id.clone()
        },
        username: mqtt.username.clone(),
        password_file: mqtt.password_file.clone(),
        keep_alive_s: mqtt.keep_alive_s,
        session_expiry_s: mqtt.session_expiry_s,
        max_packet_bytes: mqtt.max_packet_bytes,
        queue: mqtt.queue,
        listen_to,
    }
}

/// The plugin host's settings.
pub(crate) fn host_settings(settings: &Settings) -> HostSettings {
    let plugins = &settings.plugins;
    HostSettings {
        plugins: plugins.folder.clone(),
        grants: plugins.grants.clone(),
        cache: plugins.cache.clone(),
        caps: Caps { total_concurrency: plugins.calls_at_once, ..Caps::default() },
    }
}

/// What the settings say of the model.
///
/// # Errors
/// [`StartError`] for a variant, or a number of soft tokens, that there is not.
pub(crate) fn model_settings(settings: &Settings) -> Result<ModelSettings, StartError> {
    let model = &settings.model;
    let variant = if model.variant.is_empty() { None } else { Some(model.variant.parse()?) };
    let memo = MemoSettings {
        folder: model.cache.join("memo"),
        entries: model.memo_entries,
        bytes: MemoSettings::USUAL_BYTES,
    };
    let prefixes = PrefixSettings {
        folder: model.cache.join("prefixes"),
        files: model.prefix_files,
        bytes: PrefixSettings::USUAL_BYTES,
    };
    // The model that is run, and the one that was run before it.
    let packed =
        PackedSettings { folder: model.cache.join("packed"), most: 2, least_bytes: PackedSettings::USUAL_LEAST_BYTES };
    let session = SessionSettings {
        packed: model.pack_weights.then_some(packed),
        kernels: model.kernels,
        ..session_settings(settings)
    };
    Ok(ModelSettings {
        variant,
        context_tokens: model.context_tokens,
        chunk_tokens: model.chunk_tokens,
        slots: model.slots,
        sampling: Sampling {
            temperature: model.sampling.temperature,
            top_k: model.sampling.top_k,
            top_p: model.sampling.top_p,
            min_p: model.sampling.min_p,
            seed: model.sampling.seed,
        },
        check_memory: model.check_memory,
        draft: model.draft == Draft::Auto,
        hot_celsius: (model.hot_celsius > 0).then_some(model.hot_celsius),
        session,
        memo: (model.memo_entries > 0).then_some(memo),
        prefixes: (model.prefix_files > 0).then_some(prefixes),
        media: Some(MediaSettings {
            folder: shelf_folder(settings),
            image_tokens: ImageBudget::try_from(settings.media.image_tokens)?,
            encoder_idle: Duration::from_secs(settings.media.encoder_idle_s),
            spoken: Spoken::default(),
        }),
        prepare: model.prepare.then(|| prepare_settings(settings)),
        ..ModelSettings::new(model.folder.clone())
    })
}

pub(crate) fn worker_settings(settings: &Settings) -> WorkerSettings {
    let minutes = u64::from(settings.model.unload_after_minutes);
    let unload_after = (minutes > 0).then(|| Duration::from_secs(60 * minutes));
    WorkerSettings { queue: settings.model.queue, unload_after }
}

/// How a decoder is rewritten, and where that is kept.
pub(crate) fn prepare_settings(settings: &Settings) -> PrepareSettings {
    let model = &settings.model;
    PrepareSettings { folder: model.cache.join("graphs"), activations: model.activations }
}

/// How the model's graphs are run.
pub(crate) fn session_settings(settings: &Settings) -> SessionSettings {
    let providers = Providers {
        order: settings.model.providers.clone(),
        fallback: settings.model.fallback,
        plugins: settings.onnx.plugins.clone(),
    };
    SessionSettings {
        providers,
        threads: NonZero::new(settings.model.threads),
        all_cores: settings.model.all_cores,
        spinning: settings.model.spinning,
        ..SessionSettings::default()
    }
}

pub(crate) fn door_settings(settings: &Settings) -> DoorSettings {
    let own = own_uid();
    let allowed = [0].into_iter().chain(own).chain(settings.doors.allow_uids.iter().copied());
    DoorSettings {
        path: settings.doors.socket.clone(),
        allowed_uids: allowed.collect(),
        connections: DOOR_CONNECTIONS,
        idle: DOOR_IDLE,
    }
}
