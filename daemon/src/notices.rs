//! What rules tell people: one message with what the model said of a picture, and the picture.

use crate::driver::Driver;
use crate::shelf::ShelfJob;
use hob_events::{CommandResult, Notice, Status};
use serde_json::json;

/// A notice without its picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeWords {
    /// Where it goes.
    pub topic: String,
    /// The rule.
    pub rule: String,
    /// What the model said, where it said something in time.
    pub text: Option<String>,
}

impl Driver {
    /// A rule's question has come to its end, or its time is over.
    pub(crate) fn notify_of(&self, rule: &str, notice: &Notice, result: &CommandResult) {
        let text = (result.status == Status::Succeeded).then(|| result.speech.clone());
        let words = NoticeWords { topic: notice.topic.clone(), rule: rule.to_owned(), text };
        let Some(picture) = notice.picture else { return self.notify(&words, None) };
        if self.stages.shelf.submit(ShelfJob::Show { picture, words: Box::new(words.clone()) }).is_err() {
            tracing::warn!(rule, "the disk does not keep up: a notice goes without its picture");
            self.notify(&words, None);
        }
    }

    /// Publishes it, with the picture in Base64.
    pub(crate) fn notify(&self, words: &NoticeWords, picture: Option<String>) {
        let NoticeWords { topic, rule, text } = words;
        let payload = json!({ "rule": rule, "text": text, "picture": picture });
        self.publish_for_rule(topic.clone(), payload.to_string(), false);
    }
}
