//! What is said becomes commands, and what people want of microphones.

use crate::clock::now;
use crate::driver::{Accepting, Driver, DriverError, Then};
use crate::microphones::{Condition, Heard, Said};
use hob_doors::Reply;
use hob_events::{Ask, Command, Medium, Record, SenseName, Source};
use hob_mqtt::{Class, MicrophoneOrder, Outgoing};
use serde_json::{Value, json};

/// Letters of a microphone's name in the ids of its commands, which have to have room for what makes them new.
const NAME_IN_ID: usize = 32;

/// Before the name of a microphone, under which is remembered that it is muted. No rule may be called so.
pub(crate) const REMEMBERED: &str = "microphone/";

impl Driver {
    /// A microphone tells something.
    pub(crate) fn heard(&mut self, heard: Heard) -> Result<(), DriverError> {
        match heard {
            Heard::Is(name, condition) => {
                self.tell_condition(&name, &condition);
                Ok(())
            }
            // Whoever calls wants to be heard, not to hear.
            Heard::Called(name) => {
                tracing::debug!(microphone = %name, "called");
                if let Some(voice) = &self.stages.voice {
                    voice.hush();
                }
                Ok(())
            }
            Heard::Said(said) => self.said(said),
        }
    }

    fn said(&mut self, said: Said) -> Result<(), DriverError> {
        let Said { microphone, id, speech_ms, at } = said;
        let Ok(settings) = self.stages.microphones.settings(&microphone) else { return Ok(()) };
        // It was muted while its last words were on their way.
        if self.stages.microphones.is_muted(&microphone) {
            return Ok(());
        }
        let (area, trust) = (settings.area.clone(), settings.trust);
        if let Err(error) = self.check_room() {
            tracing::warn!(%microphone, %error, "what was said is dropped");
            self.ask_aloud("I am busy.", &microphone);
            return Ok(());
        }
        tracing::info!(%microphone, speech_ms, "heard");
        let command = Command {
            id: self
                .name_for(&format!("said-{}", microphone.as_str().get(..NAME_IN_ID).unwrap_or(microphone.as_str()))),
            ask: Ask::Speech,
            media: vec![Medium::Speech { id }],
            conversation: None,
            area,
            dry_run: false,
            think: None,
            source: Source::Microphone { name: microphone },
            trust,
            received: at,
            expires: None,
        };
        self.take_in(Accepting { command, ack: None, follower: None }, Vec::new())
    }

    /// Says an answer aloud where there is a voice. Whoever asked at a microphone may go on speaking afterwards.
    pub(crate) fn answer_aloud(&self, words: &str, microphone: &SenseName) {
        match &self.stages.voice {
            Some(voice) => voice.say(words, Some(microphone.clone())),
            None => self.stages.microphones.answered(microphone.as_str()),
        }
    }

    /// Says something aloud at a microphone that is not to be answered there.
    pub(crate) fn ask_aloud(&self, words: &str, microphone: &SenseName) {
        tracing::debug!(%microphone, "said aloud");
        if let Some(voice) = &self.stages.voice {
            voice.say(words, None);
        }
    }

    // ---- what people want of microphones ----------------------------------------------------------------------

    /// Something for a microphone came over the broker.
    pub(crate) fn order_microphone(&mut self, name: &str, order: MicrophoneOrder) -> Result<(), DriverError> {
        let done = match order {
            MicrophoneOrder::Mute(muted) => return self.mute(name, muted).map(|reply| note(&reply)),
            MicrophoneOrder::Listen(pressed) => self.stages.microphones.push(name, pressed),
            MicrophoneOrder::Sound(sound) => self.stages.microphones.feed(name, &sound),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "for no microphone");
        }
        Ok(())
    }

    /// Mutes a microphone, or no longer. It stays so over a restart.
    pub(crate) fn mute(&mut self, name: &str, muted: bool) -> Result<Reply, DriverError> {
        if let Err(error) = self.stages.microphones.mute(name, muted) {
            return Ok(Reply::error("unknown", error));
        }
        tracing::info!(microphone = name, muted, "muted or not");
        let memory = muted.then(|| json!({ "muted": true }));
        let record = Record::Remembered { piece: format!("{REMEMBERED}{name}"), memory };
        self.commit(vec![record], Then::Nothing)?;
        // What is broken does not change by it, and says nothing itself.
        for (settings, condition) in self.stages.microphones.all() {
            if matches!(condition, Condition::Broken { .. }) {
                self.tell_condition(&settings.name, &condition);
            }
        }
        Ok(Reply::Done)
    }

    /// The button of a microphone.
    pub(crate) fn push(&self, name: &str, pressed: bool) -> Reply {
        if let Err(error) = self.stages.microphones.push(name, pressed) {
            return Reply::error("unknown", error);
        }
        let deaf = self.stages.microphones.all().find(|(settings, _)| settings.name.as_str() == name);
        match deaf.map(|(_, condition)| condition) {
            Some(Condition::Muted) => Reply::error("muted", format!("{name} is muted: hob senses unmute {name}")),
            Some(Condition::Lost { reason } | Condition::Broken { reason }) => {
                Reply::error("lost", format!("{name} hears nothing now: {reason}"))
            }
            Some(Condition::Waiting | Condition::Listening) | None => Reply::Done,
        }
    }

    /// How every microphone is.
    pub(crate) fn microphones(&self) -> Reply {
        let shown = self.stages.microphones.all().map(|(settings, condition)| {
            let mut value = of(&condition);
            value["name"] = settings.name.as_str().into();
            value["device"] = settings.device.as_str().into();
            value["area"] = settings.area.clone().into();
            value
        });
        Reply::Data { value: shown.collect() }
    }

    /// Tells how all of them are: the broker was away, and may have forgotten.
    pub(crate) fn tell_conditions(&self) {
        for (settings, condition) in self.stages.microphones.all() {
            self.tell_condition(&settings.name, &condition);
        }
    }

    fn tell_condition(&self, name: &SenseName, condition: &Condition) {
        let Some(mqtt) = &self.stages.mqtt else { return };
        let topics = &self.stages.topics;
        // "on" is said once the stream is closed. One that is broken has none to close.
        let broken = matches!(condition, Condition::Broken { .. });
        let muted = *condition == Condition::Muted || broken && self.stages.microphones.is_muted(name);
        let state = Outgoing {
            topic: topics.microphone_state(name),
            payload: of(condition).to_string().into(),
            retain: true,
            correlation: None,
            content_type: Some("application/json"),
        };
        let mute = Outgoing {
            topic: topics.microphone_mute(name),
            payload: if muted { "on" } else { "off" }.into(),
            retain: true,
            correlation: None,
            content_type: None,
        };
        for message in [state, mute] {
            if let Err(error) = mqtt.tell(message, Class::Status) {
                tracing::debug!(%error, at = ?now(), "not told now");
            }
        }
    }
}

fn of(condition: &Condition) -> Value {
    serde_json::to_value(condition).unwrap_or_default()
}

fn note(reply: &Reply) {
    if let Reply::Error { message, .. } = reply {
        tracing::warn!(message, "for no microphone");
    }
}
