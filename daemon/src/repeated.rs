//! Commands that come again: each is answered as it was the first time, and nothing is done twice.

use crate::clock::now;
use crate::driver::{Again, Driver};
use crate::entrance::content_of;
use crate::intake::RefuseCommandError;
use hob_doors::Reply;
use hob_events::{CommandDraft, CommandId, Source, Status, StatusUpdate, UnixMs};

/// How long after it was accepted a message may come again by itself: longer than hob takes to be back after a crash.
const REDELIVERED_WITHIN_MS: u64 = 10 * 60 * 1000;

/// What tells that two payloads are one command.
#[derive(Clone, Copy)]
pub(crate) struct Sameness<'a> {
    /// The content, in short.
    pub(crate) content: &'a str,
    /// Packet number and content, when the broker says that it may have sent it before.
    pub(crate) again: Option<&'a str>,
}

impl Driver {
    /// The command that this is a repetition of: by its id, else by where its answer goes, its correlation data and its
    /// content, else, when the broker says that it may have sent it before, by its packet number and content. It may be on
    /// its way into the inbox still.
    pub(crate) fn known(&self, draft: &CommandDraft, source: &Source, same: Option<Sameness<'_>>) -> Option<CommandId> {
        if draft.id.is_some() {
            return draft.id.clone().filter(|id| self.is_known(id));
        }
        let Sameness { content, again } = same?;
        let stored = || match source {
            // Without a response topic all senders share one, and many count from 1.
            Source::Mqtt { response_topic: Some(topic), correlation: Some(correlation) } => {
                self.stages.store.correlated(Some(topic), correlation).ok().flatten()
            }
            Source::Mqtt { .. } | Source::Socket { .. } | Source::Rule { .. } | Source::Microphone { .. } => None,
        };
        let stored = || stored().filter(|id| content_of(id) == Some(content));
        let by_fingerprint = || {
            if let Some(coming) = self.entrance.named(again?) {
                return Some(coming);
            }
            let known = self.stages.store.latest_named(again?).ok().flatten()?;
            let named_at = known.as_str().split('-').nth(3)?.parse().ok()?;
            // Packet numbers are given out again: only what was accepted a moment ago can be what comes again.
            (now().since(UnixMs(named_at)) < REDELIVERED_WITHIN_MS).then_some(known)
        };
        self.entrance.correlated(source, content).or_else(stored).or_else(by_fingerprint)
    }

    fn is_known(&self, id: &CommandId) -> bool {
        self.entrance.contains(id)
            || matches!(self.stages.store.unfinished_command(id), Ok(Some(_)))
            || matches!(self.stages.store.final_of(id), Ok(Some(_)))
    }

    /// A command came that is known. While it is decided whether it is accepted, who asks again waits too.
    pub(crate) fn repeated(&mut self, id: &CommandId, again: Again) {
        if self.entrance.contains(id) {
            if let Err(again) = self.entrance.ask_again(id, again) {
                let waiting = self.agent.unfinished() + self.entrance.len();
                // Not under its id, whose result is to come.
                self.refuse_again(None, again, &RefuseCommandError::Busy { waiting });
            }
            return;
        }
        match again {
            Again::Mqtt { ack, source } => {
                self.answer_again(id, &source);
                self.give(Some(*ack));
            }
            Again::Socket(replies) => match self.stages.store.final_of(id) {
                Ok(Some(stored)) => {
                    replies.try_send(Reply::Final { result: stored.result }).ok();
                }
                Ok(None) | Err(_) => self.followers.add(id.clone(), replies),
            },
        }
    }

    /// Answers a repetition: with the stored result, or with the word that it is being worked on.
    pub(crate) fn answer_again(&mut self, id: &CommandId, source: &Source) {
        match self.stages.store.final_of(id) {
            Ok(Some(stored)) => {
                let (topic, correlation) = match source {
                    Source::Mqtt { response_topic, correlation } => (response_topic.clone(), correlation.clone()),
                    Source::Socket { .. } | Source::Rule { .. } | Source::Microphone { .. } => (None, None),
                };
                let topic = topic.unwrap_or_else(|| self.stages.topics.result(id));
                let told = self.publish_result(id, topic, correlation, stored.payload);
                if let Err(error) = told {
                    tracing::warn!(%error, command = %id, "a repeated command could not be answered again");
                }
            }
            Ok(None) | Err(_) => {
                let update = StatusUpdate { id: id.clone(), status: Status::Accepted, question: None, number: None };
                self.tell_status(&update, source);
            }
        }
    }
}
