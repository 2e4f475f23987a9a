//! Telling people and programs how their commands go: statuses, questions, final results.

use crate::driver::{Driver, DriverError, Then};
use bytes::Bytes;
use hob_events::{CommandId, CommandResult, Record, Source, Status, StatusUpdate};
use hob_mqtt::{Class, Outgoing, TellError};
use hob_state::StoredFinal;

impl Driver {
    /// Tells a step on the way. Statuses are not kept: the next one says more.
    pub(crate) fn tell_status(&mut self, update: &StatusUpdate, source: &Source) {
        self.followers.status(update);
        let Ok(payload) = serde_json::to_vec(update) else { return };
        if let (Some(question), Source::Microphone { name }) = (&update.question, source) {
            // It is not answered by voice, so nobody is listened to for it.
            self.ask_aloud(question, name);
        }
        // A question goes out whichever door the command came through: the answer may come through another.
        if update.status == Status::AwaitingConfirmation {
            note(self.publish(Outgoing::json(self.stages.topics.questions(), payload.clone()), Class::Status));
        }
        match source {
            Source::Mqtt { .. } | Source::Rule { .. } | Source::Microphone { .. } => {
                note(self.publish(Outgoing::json(self.stages.topics.status(&update.id), payload), Class::Status));
            }
            Source::Socket { .. } => {}
        }
    }

    /// Tells a final result, which is durable by now.
    pub(crate) fn tell_final(&mut self, result: &CommandResult, source: &Source) -> Result<(), DriverError> {
        self.stages.serving.ends(&result.id);
        tracing::info!(command = %result.id, status = ?result.status, speech = result.speech, "finished");
        if let Source::Microphone { name } = source {
            self.answer_aloud(&result.speech, name);
        }
        if let Source::Rule { rule, notice: Some(notice) } = source {
            self.notify_of(rule, notice, result);
        }
        let heard = self.followers.last(result);
        match source {
            Source::Mqtt { .. } | Source::Rule { .. } | Source::Microphone { .. } => {
                if let Ok(Some(stored)) = self.stages.store.final_of(&result.id) {
                    note(self.publish_final(&stored));
                }
                Ok(())
            }
            // Who asked over the socket and left can ask for the result again; there is no one to send it to.
            Source::Socket { .. } => {
                if !heard {
                    tracing::debug!(command = %result.id, "nobody waited for the result");
                }
                self.commit(vec![Record::Told { command: result.id.clone() }], Then::Release(Vec::new()))
            }
        }
    }

    /// Publishes a stored final result, byte for byte as it is stored.
    pub(crate) fn publish_final(&self, stored: &StoredFinal) -> Result<(), TellError> {
        let (topic, correlation) = match &stored.source {
            Source::Mqtt { response_topic, correlation } => (response_topic.clone(), correlation.clone()),
            Source::Socket { .. } | Source::Rule { .. } | Source::Microphone { .. } => (None, None),
        };
        let topic = topic.unwrap_or_else(|| self.stages.topics.result(&stored.result.id));
        match self.publish_result(&stored.result.id, topic.clone(), correlation.clone(), stored.payload.clone()) {
            Err(TellError::TooLarge { .. }) => {
                self.publish_result(&stored.result.id, topic, correlation, without_results(&stored.result))
            }
            told => told,
        }
    }

    /// Publishes the bytes of a result until the broker has them.
    pub(crate) fn publish_result(
        &self,
        id: &CommandId,
        topic: String,
        correlation: Option<Vec<u8>>,
        payload: Vec<u8>,
    ) -> Result<(), TellError> {
        let message = Outgoing { correlation: correlation.map(Bytes::from), ..Outgoing::json(topic, payload) };
        self.publish(message, Class::Result(id.clone()))
    }

    /// Publishes every final result that the broker has not said it has.
    pub(crate) fn tell_untold(&mut self) {
        let on_its_way =
            |stored: &&StoredFinal| self.stages.mqtt.as_ref().is_some_and(|mqtt| mqtt.holds(&stored.result.id));
        match self.stages.store.untold() {
            Ok(untold) => {
                let mut rest = untold.iter().filter(|stored| !on_its_way(stored));
                let full = |told: Result<(), TellError>| matches!(told, Err(TellError::QueueFull { .. }));
                let left_over = rest.any(|stored| full(self.publish_final(stored)));
                self.more_untold = left_over;
            }
            Err(error) => tracing::error!(%error, "results that were not told cannot be read"),
        }
    }

    /// Publishes an answer that is not stored: to a payload that was not accepted.
    pub(crate) fn publish_refusal(&self, topic: String, correlation: Option<Vec<u8>>, payload: Vec<u8>) {
        let message = Outgoing { correlation: correlation.map(Bytes::from), ..Outgoing::json(topic, payload) };
        note(self.publish(message, Class::Status));
    }

    fn publish(&self, message: Outgoing, class: Class) -> Result<(), TellError> {
        self.stages.mqtt.as_ref().map_or(Ok(()), |mqtt| mqtt.tell(message, class))
    }
}

/// What was not taken is told later, when it is stored, or not at all, when it was only a status.
fn note(told: Result<(), TellError>) {
    if let Err(error) = told {
        tracing::debug!(%error, "not told now");
    }
}

/// A result that fits into any packet: what the tools returned is left out, what was done is not.
fn without_results(result: &CommandResult) -> Vec<u8> {
    let mut short = result.clone();
    for action in &mut short.actions {
        action.result = serde_json::Value::String("left out: the result is larger than a packet".to_owned());
    }
    serde_json::to_vec(&short).unwrap_or_default()
}
