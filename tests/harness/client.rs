//! A client of hob as anyone could write one: sends commands over the broker, keeps everything that comes back.

use crate::link::{Heard, Link};
use crate::wait::DEADLINE;
use anyhow::Context;
use hob_events::{CommandResult, Status, StatusUpdate};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// A message that came.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it came in.
    pub topic: String,
    /// What it says, byte for byte.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it from before.
    pub retained: bool,
    /// MQTT 5 correlation data.
    pub correlation: Option<Vec<u8>>,
    /// When it came.
    pub at: Instant,
}

impl Message {
    /// Its payload as JSON, when it is some.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.payload).ok()
    }
}

/// A place in the order of messages: what came before it does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

impl Mark {
    /// Before everything.
    pub const START: Self = Self(0);
}

/// One command, before it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    id: Option<String>,
    payload: Vec<u8>,
    answer_to_me: bool,
    retained: bool,
}

impl Request {
    /// Plain words under a name of the sender's.
    #[must_use]
    pub fn text(id: &str, words: &str) -> Self {
        Self::json(id, json!({"id": id, "text": words}))
    }

    /// A tool call written out; `args` is an object.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers build the value in place")]
    pub fn call(id: &str, tool: &str, args: Value) -> Self {
        Self::json(id, json!({"id": id, "tool": tool, "args": args}))
    }

    /// Any JSON; `id` must be the one in it.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers build the value in place")]
    pub fn json(id: &str, fields: Value) -> Self {
        Self { id: Some(id.to_owned()), payload: fields.to_string().into_bytes(), answer_to_me: false, retained: false }
    }

    /// Any bytes without a name: the answer is found by its correlation data.
    #[must_use]
    pub fn bytes(payload: impl Into<Vec<u8>>) -> Self {
        Self { id: None, payload: payload.into(), answer_to_me: true, retained: false }
    }

    /// Asks for the answer on a topic of the client's own, with correlation data, as MQTT 5 has it.
    #[must_use]
    pub fn answered_to_me(self) -> Self {
        Self { answer_to_me: true, ..self }
    }

    /// Leaves the command with the broker, which nobody should.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retained: true, ..self }
    }
}

/// A command on its way.
#[derive(Debug, Clone)]
pub struct Sent {
    id: Option<String>,
    correlation: Option<Vec<u8>>,
    from: Mark,
}

/// Sends commands and waits for what comes back.
#[derive(Debug)]
pub struct Client {
    node: String,
    answers: String,
    link: Link,
    seen: Arc<Mutex<Vec<Message>>>,
    count: watch::Receiver<usize>,
    next: AtomicU64,
}

impl Client {
    /// Connects as `name` and listens to everything that the node says.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn connect(port: u16, node: &str, name: &str) -> anyhow::Result<Self> {
        let answers = format!("answers/{name}");
        let filters = vec![format!("hob/{node}/#"), answers.clone()];
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let kept = Arc::clone(&seen);
        let keep = move |_: &_, heard| {
            let Heard::Message(message) = heard else { return };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(Message {
                topic: String::from_utf8_lossy(&message.topic).into_owned(),
                payload: message.payload.to_vec(),
                retained: message.retain,
                correlation: message.properties.and_then(|properties| properties.correlation_data).map(Vec::from),
                at: Instant::now(),
            });
            counted.send_replace(kept.len());
        };
        let link = Link::open(port, name, filters, keep).await?;
        Ok(Self { node: node.to_owned(), answers, link, seen, count, next: AtomicU64::new(0) })
    }

    /// The node it talks to.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Now, in the order of messages.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.messages().len())
    }

    /// Sends a command.
    ///
    /// # Errors
    /// When the client's own queue is closed.
    pub async fn send(&self, request: &Request) -> anyhow::Result<Sent> {
        let from = self.mark();
        let mut properties = PublishProperties::default();
        if request.answer_to_me {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            properties.response_topic = Some(self.answers.clone());
            properties.correlation_data = Some(format!("{}-{number}", self.answers).into_bytes().into());
        }
        let sent =
            Sent { id: request.id.clone(), correlation: properties.correlation_data.clone().map(Vec::from), from };
        let topic = format!("hob/{}/command", self.node);
        let payload = request.payload.clone();
        self.link
            .client()
            .publish_with_properties(topic, QoS::AtLeastOnce, request.retained, payload, properties)
            .await?;
        Ok(sent)
    }

    /// Publishes anything anywhere.
    ///
    /// # Errors
    /// When the client's own queue is closed.
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>, retained: bool) -> anyhow::Result<()> {
        Ok(self.link.client().publish(topic, QoS::AtLeastOnce, retained, payload.into()).await?)
    }

    /// Answers a question that hob asks about a command.
    ///
    /// # Errors
    /// When the client's own queue is closed.
    pub async fn answer(&self, id: &str, yes: bool) -> anyhow::Result<()> {
        let topic = format!("hob/{}/confirm/{id}/set", self.node);
        self.publish(&topic, if yes { "yes" } else { "no" }, false).await
    }

    /// Waits for the final result of a command, as bytes and as what they say.
    ///
    /// # Errors
    /// When none comes in time, or when it is no result.
    pub async fn result(&self, sent: &Sent) -> anyhow::Result<(Vec<u8>, CommandResult)> {
        let what = format!("the result of {}", sent.id.as_deref().unwrap_or("a command without a name"));
        let payload =
            self.find(sent.from, &what, |message| self.is_result(sent, message).then(|| message.payload.clone()));
        let payload = payload.await?;
        let result = serde_json::from_slice(&payload)
            .with_context(|| format!("not a result: {}", String::from_utf8_lossy(&payload)))?;
        Ok((payload, result))
    }

    /// Sends a command and waits for its final result.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`result`](Self::result).
    pub async fn ask(&self, request: &Request) -> anyhow::Result<CommandResult> {
        let sent = self.send(request).await?;
        Ok(self.result(&sent).await?.1)
    }

    fn is_result(&self, sent: &Sent, message: &Message) -> bool {
        match (&sent.correlation, &sent.id) {
            (Some(correlation), _) => {
                message.topic == self.answers && message.correlation.as_ref() == Some(correlation)
            }
            (None, Some(id)) => message.topic == format!("hob/{}/command/{id}/result", self.node),
            (None, None) => false,
        }
    }

    /// Waits until a command has reached a status on its way.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn reaches(&self, id: &str, status: Status, from: Mark) -> anyhow::Result<()> {
        let what = format!("{id} to be {status:?}");
        self.find(from, &what, |message| self.status_in(id, message).filter(|now| *now == status)).await?;
        Ok(())
    }

    /// The statuses of a command so far, in the order in which they came.
    #[must_use]
    pub fn statuses(&self, id: &str) -> Vec<Status> {
        self.messages().iter().filter_map(|message| self.status_in(id, message)).collect()
    }

    fn status_in(&self, id: &str, message: &Message) -> Option<Status> {
        let about_it = message.topic == format!("hob/{}/command/{id}/status", self.node);
        let update = about_it.then(|| serde_json::from_slice::<StatusUpdate>(&message.payload).ok())?;
        update.map(|update| update.status)
    }

    /// The final results that came for a command so far, byte for byte.
    #[must_use]
    pub fn results(&self, id: &str) -> Vec<Vec<u8>> {
        let topic = format!("hob/{}/command/{id}/result", self.node);
        self.messages().iter().filter(|message| message.topic == topic).map(|message| message.payload.clone()).collect()
    }

    /// Waits for the question that hob asks about a command, and gives it.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn question(&self, sent: &Sent) -> anyhow::Result<Value> {
        let topic = format!("hob/{}/confirm", self.node);
        let about_it = |question: &Value| sent.id.as_deref().is_none_or(|id| question["id"] == id);
        let pick = |message: &Message| (message.topic == topic).then(|| message.json())?.filter(about_it);
        self.find(sent.from, "a question about the command", pick).await
    }

    /// Waits until the node says of itself that it is `word`, newly and not from before.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn availability(&self, word: &str, from: Mark) -> anyhow::Result<()> {
        let topic = format!("hob/{}/availability", self.node);
        let pick = |message: &Message| {
            (message.topic == topic && !message.retained && message.payload == word.as_bytes()).then_some(())
        };
        self.find(from, &format!("the node to be {word}"), pick).await
    }

    /// Waits for the first message from `from` on that `pick` takes something from.
    ///
    /// # Errors
    /// When none comes by [`DEADLINE`]: says what was waited for, and the last messages.
    pub async fn find<T>(
        &self,
        from: Mark,
        what: &str,
        mut pick: impl FnMut(&Message) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut looked = from.0;
        let mut count = self.count.clone();
        let search = async {
            loop {
                {
                    let messages = self.messages();
                    if let Some(found) = messages.iter().skip(looked).find_map(&mut pick) {
                        return Ok(found);
                    }
                    looked = messages.len();
                }
                count.wait_for(|count| *count > looked).await?;
            }
        };
        timeout(DEADLINE, search).await.with_context(|| self.in_vain(what))?
    }

    /// How many messages so far are like that.
    pub fn count(&self, mut like: impl FnMut(&Message) -> bool) -> usize {
        self.messages().iter().filter(|message| like(message)).count()
    }

    fn in_vain(&self, what: &str) -> String {
        let messages = self.messages();
        let last = messages.iter().rev().take(8).rev();
        let shown = last.map(|message| format!("\n  {} {}", message.topic, String::from_utf8_lossy(&message.payload)));
        format!(
            "waited {} s in vain for {what}; the last messages were:{}",
            DEADLINE.as_secs(),
            shown.collect::<String>()
        )
    }

    fn messages(&self) -> MutexGuard<'_, Vec<Message>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
