//! The loop that keeps the connection up and tells the driver what comes.

use crate::client::Shared;
use crate::outbox::{Class, Outgoing, Parcel, Waits};
use crate::settings::{MqttSettings, StartMqttError};
use crate::topics::{Incoming, Topics};
use bytes::Bytes;
use hob_events::CommandId;
use rumqttc::Outgoing as Handed;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, LastWill, Packet, Publish};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests that rumqttc holds before it takes them up: the messages in flight, acknowledgements and subscriptions.
const REQUESTS: usize = 512;

/// Commands that the broker may have on their way to us unacknowledged.
const RECEIVE_MAXIMUM: u16 = 64;

/// The first wait after a lost connection; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait between two attempts.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// After so many equal failures in a row without a message in between, something in the session itself must be the
/// cause, a packet that cannot be read: the session is given up once.
const POISON_LIMIT: u32 = 5;

/// How long a clean stop waits for the last messages to be acknowledged.
const FAREWELL: Duration = Duration::from_secs(2);

/// What comes from the broker.
#[derive(Debug)]
pub enum MqttEvent {
    /// The connection is up.
    Connected {
        /// The broker still knew the session, with what it had kept.
        session_present: bool,
    },
    /// The connection is down; it is tried again.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A command.
    Command(Arrived),
    /// The answer to a command's question.
    Answer {
        /// The command.
        command: CommandId,
        /// `yes`, `no` and the like.
        arrived: Arrived,
    },
    /// A message on another topic that is listened to.
    Message {
        /// The topic.
        topic: String,
        /// The payload.
        payload: Bytes,
        /// Whether the broker had kept it from before.
        retained: bool,
    },
    /// The broker has a command's result.
    Told {
        /// Which command.
        command: CommandId,
    },
}

/// A message on one of hob's own topics, unacknowledged.
#[derive(Debug)]
pub struct Arrived {
    /// The payload.
    pub payload: Bytes,
    /// Where the sender wants the answer.
    pub response_topic: Option<String>,
    /// To be sent back with the answer.
    pub correlation: Option<Bytes>,
    /// Whether the broker had kept it from before.
    pub retained: bool,
    /// Whether the broker says that it may have sent it before.
    pub repeated: bool,
    /// Its number in this session.
    pub packet: u16,
    /// Seconds for which it is worth acting on, what it waited at the broker taken off.
    pub expires_in_s: Option<u32>,
    /// To acknowledge it with.
    pub ack: Ack,
}

/// The right to acknowledge one message, on the connection it came on.
#[derive(Debug)]
pub struct Ack {
    publish: Publish,
    came_on: u64,
    now_on: Arc<AtomicU64>,
}

impl Ack {
    pub(crate) fn give(self, client: &AsyncClient) {
        // On a new connection the packet number may mean another message.
        if self.now_on.load(Ordering::Acquire) == self.came_on
            && let Err(error) = client.try_ack(&self.publish)
        {
            tracing::warn!(%error, "a message could not be acknowledged; the broker will send it again");
        }
    }
}

pub(crate) fn open(settings: &MqttSettings) -> Result<(AsyncClient, EventLoop), StartMqttError> {
    let topics = Topics::new(settings.node.clone());
    let mut options = MqttOptions::new(settings.client_id.clone(), settings.host.clone(), settings.port);
    options.set_keep_alive(Duration::from_secs(settings.keep_alive_s.max(5).into()));
    options.set_clean_start(false);
    options.set_manual_acks(true);
    options.set_session_expiry_interval(Some(settings.session_expiry_s));
    options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    options.set_max_packet_size(Some(settings.max_packet_bytes));
    options.set_last_will(LastWill::new(topics.availability(), "offline", QoS::AtLeastOnce, true, None));
    if let Some((user, password)) = settings.credentials()? {
        options.set_credentials(user, password);
    }
    Ok(AsyncClient::new(options, REQUESTS))
}

/// The connection, to be run by a task of its own.
#[expect(missing_debug_implementations, reason = "rumqttc does not let its event loop be printed")]
pub struct Connection {
    settings: MqttSettings,
    topics: Topics,
    eventloop: EventLoop,
    shared: Arc<Shared>,
    events: mpsc::Sender<MqttEvent>,
    /// Counts connections, so that an old acknowledgement is not given on a new one.
    number: Arc<AtomicU64>,
    failures: Failures,
}

/// Failures in a row.
#[derive(Debug, Default)]
struct Failures {
    last: String,
    equal: u32,
    in_a_row: u32,
}

impl Connection {
    pub(crate) fn new(
        settings: MqttSettings,
        eventloop: EventLoop,
        shared: Arc<Shared>,
        events: mpsc::Sender<MqttEvent>,
    ) -> Self {
        let topics = Topics::new(settings.node.clone());
        let number = Arc::new(AtomicU64::new(0));
        Self { settings, topics, eventloop, shared, events, number, failures: Failures::default() }
    }

    /// Runs until `stop`, then says `stopped` and leaves.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // rumqttc's poll must not be dropped halfway: only a stop does that, when nothing follows any more.
            let polled = tokio::select! {
                polled = self.eventloop.poll() => polled,
                () = stop.cancelled() => break,
            };
            let told = match polled {
                Ok(event) => self.handle(event).await,
                Err(error) => self.failed(&error, &stop).await,
            };
            if told.is_err() {
                return;
            }
        }
        self.farewell().await;
    }

    async fn handle(&mut self, event: Event) -> Result<(), Gone> {
        let incoming = match event {
            Event::Outgoing(Handed::Publish(packet)) => {
                self.shared.outbox().numbered(packet);
                return Ok(());
            }
            Event::Outgoing(_) => return Ok(()),
            Event::Incoming(packet) => packet,
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the packets of the protocol that a client need not act on")]
        match incoming {
            Packet::ConnAck(ack) => self.connected(ack.session_present).await,
            Packet::PubAck(ack) => self.acknowledged(ack.pkid).await,
            Packet::Publish(publish) => self.arrived(publish).await,
            Packet::Disconnect(_) => Ok(()),
            _ => Ok(()),
        }
    }

    async fn connected(&mut self, session_present: bool) -> Result<(), Gone> {
        let first = self.number.fetch_add(1, Ordering::AcqRel) == 0;
        self.eventloop.options.set_clean_start(false);
        // A new process may listen to other topics than the one before, and wants the retained states.
        if first || !session_present {
            self.subscribe();
        }
        {
            let mut outbox = self.shared.outbox();
            outbox.connected = true;
            self.shared.hand_over(&mut outbox);
        }
        self.say_availability("online");
        self.tell(MqttEvent::Connected { session_present }).await
    }

    fn subscribe(&self) {
        let ours = [self.topics.command(), self.topics.answers()];
        let filters = ours.into_iter().chain(self.settings.listen_to.iter().cloned());
        let filters: Vec<Filter> = filters.map(|topic| Filter::new(topic, QoS::AtLeastOnce)).collect();
        if let Err(error) = self.shared.client().try_subscribe_many(filters) {
            tracing::error!(%error, "the broker could not be asked for messages");
        }
    }

    fn say_availability(&self, word: &'static str) {
        let message = Outgoing {
            topic: self.topics.availability(),
            payload: Bytes::from_static(word.as_bytes()),
            retain: true,
            correlation: None,
            content_type: None,
        };
        if let Err(error) = self.shared.put(Parcel { message, waits: Waits::Class(Class::Status) }) {
            tracing::warn!(%error, "availability could not be told");
        }
    }

    async fn acknowledged(&mut self, packet: u16) -> Result<(), Gone> {
        let told = {
            let mut outbox = self.shared.outbox();
            let told = outbox.acknowledged(packet);
            self.shared.hand_over(&mut outbox);
            told
        };
        match told {
            Some(command) => self.tell(MqttEvent::Told { command }).await,
            None => Ok(()),
        }
    }

    async fn arrived(&mut self, publish: Publish) -> Result<(), Gone> {
        self.failures = Failures::default();
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let ours = self.topics.read(&topic);
        let ack =
            Ack { publish: publish.clone(), came_on: self.number.load(Ordering::Acquire), now_on: self.number.clone() };
        let event = match ours {
            None => {
                ack.give(self.shared.client());
                MqttEvent::Message { topic, payload: publish.payload, retained: publish.retain }
            }
            Some(kind) => {
                let properties = publish.properties.unwrap_or_default();
                let arrived = Arrived {
                    payload: publish.payload,
                    response_topic: properties.response_topic,
                    correlation: properties.correlation_data,
                    retained: publish.retain,
                    repeated: publish.dup,
                    packet: publish.pkid,
                    expires_in_s: properties.message_expiry_interval,
                    ack,
                };
                match kind {
                    Incoming::Command => MqttEvent::Command(arrived),
                    Incoming::Answer(command) => MqttEvent::Answer { command, arrived },
                }
            }
        };
        self.tell(event).await
    }

    /// The connection broke, or could not be made: nothing in flight is sent again, and the next attempt waits.
    async fn failed(&mut self, error: &ConnectionError, stop: &CancellationToken) -> Result<(), Gone> {
        let was_connected = {
            let mut outbox = self.shared.outbox();
            let was = outbox.connected;
            outbox.lost_connection();
            was
        };
        // rumqttc moved what it had to its pending list, to send it again by itself.
        self.eventloop.pending.clear();
        self.number.fetch_add(u64::from(was_connected), Ordering::AcqRel);
        let reason = error.to_string();
        self.failures.note(&reason);
        if self.failures.equal == POISON_LIMIT && was_connected {
            tracing::error!(%reason, "the session itself seems to break the connection; it is given up once");
            self.eventloop.options.set_clean_start(true);
        }
        if was_connected {
            tracing::warn!(%reason, "lost the broker");
            self.tell(MqttEvent::Disconnected { reason }).await?;
        } else {
            tracing::debug!(%reason, "the broker is away");
        }
        tokio::select! {
            () = tokio::time::sleep(self.failures.wait()) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }

    async fn tell(&mut self, event: MqttEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }

    /// Says `stopped`, lets what waits leave, and disconnects, so that the last will stays unspoken.
    async fn farewell(mut self) {
        if !self.shared.outbox().connected {
            return;
        }
        self.say_availability("stopped");
        let last_words = async {
            while !self.shared.outbox().is_empty() {
                match self.eventloop.poll().await {
                    Ok(Event::Outgoing(Handed::Publish(packet))) => self.shared.outbox().numbered(packet),
                    Ok(Event::Incoming(Packet::PubAck(ack))) => {
                        let mut outbox = self.shared.outbox();
                        outbox.acknowledged(ack.pkid);
                        self.shared.hand_over(&mut outbox);
                    }
                    Ok(Event::Incoming(_) | Event::Outgoing(_)) => {}
                    Err(_) => return,
                }
            }
            if self.shared.client().try_disconnect().is_ok() {
                // Until the broker closes the connection.
                while self.eventloop.poll().await.is_ok() {}
            }
        };
        tokio::time::timeout(FAREWELL, last_words).await.ok();
    }
}

/// The driver is gone: there is nobody to tell.
struct Gone;

impl Failures {
    fn note(&mut self, reason: &str) {
        self.in_a_row += 1;
        if self.last == reason {
            self.equal += 1;
        } else {
            self.equal = 1;
            reason.clone_into(&mut self.last);
        }
    }

    /// The wait before the next attempt: doubling, with up to a quarter more so that a house full of boards does not
    /// come back in step. The clock's nanoseconds are random enough for that.
    fn wait(&self) -> Duration {
        let doubled = FIRST_WAIT * 2_u32.saturating_pow(self.in_a_row.saturating_sub(1).min(10));
        let wait = doubled.min(LAST_WAIT);
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        wait + wait / 4 * (nanos % 1_000) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_below_their_limit() {
        let mut failures = Failures::default();
        for _ in 0..20 {
            failures.note("refused");
            assert!(failures.wait() >= FIRST_WAIT && failures.wait() <= LAST_WAIT + LAST_WAIT / 4);
        }
        assert_eq!(failures.equal, 20);
        failures.note("other");
        assert_eq!(failures.equal, 1);
    }
}
