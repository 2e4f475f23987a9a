//! The loop that keeps the connection up and tells the driver what comes.

use crate::backoff::Backoff;
use crate::client::Shared;
use crate::outbox::{Class, Outgoing, Parcel, WINDOW, Waits};
use crate::settings::{MqttSettings, StartMqttError};
use crate::subscriptions::Subscriptions;
use crate::topics::{Incoming, Topics};
use bytes::Bytes;
use hob_events::CommandId;
use rumqttc::Outgoing as Handed;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, LastWill, Packet, PubAck, PubAckReason, Publish, SubscribeProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, MqttState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests that rumqttc holds before it takes them up: the messages in flight, acknowledgements and subscriptions.
const REQUESTS: usize = 512;

/// Commands that the broker may have on their way to us unacknowledged.
const RECEIVE_MAXIMUM: u16 = 64;

/// What rumqttc may have in flight. The outbox keeps within its window, so that rumqttc never has to hold anything back.
const IN_FLIGHT: u16 = 32;
const _: () = assert!(IN_FLIGHT as usize == WINDOW);

/// How long a clean stop waits for the last messages to be acknowledged.
const FAREWELL: Duration = Duration::from_secs(2);

/// What comes from the broker.
#[derive(Debug)]
pub enum MqttEvent {
    /// The connection is up, and everything that is listened to is subscribed.
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
    /// Something for a microphone.
    Microphone {
        /// Its name, as the topic has it.
        name: String,
        /// What.
        order: MicrophoneOrder,
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

/// What people and satellites want of a microphone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MicrophoneOrder {
    /// Mute it, or no longer.
    Mute(bool),
    /// Its button was pressed, or let go.
    Listen(bool),
    /// Sound: 16 kHz, one channel, 16 bits, the lower byte first.
    Sound(Bytes),
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
    /// Its packet number, which means something only together with the MQTT session.
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
    // Small messages must not wait for the acknowledgement of the one before, which comes up to 40 ms late.
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options.set_keep_alive(Duration::from_secs(settings.keep_alive_s.max(5).into()));
    options.set_clean_start(false);
    options.set_manual_acks(true);
    options.set_session_expiry_interval(Some(settings.session_expiry_s));
    options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    // By default rumqttc makes room for 65,535 messages in flight at once: some 20 MB.
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
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
    backoff: Backoff,
    /// When the present connection came about, and whether the broker knew the session.
    up: Option<(Instant, bool)>,
    /// That the broker cannot be reached was said.
    complained: bool,
    /// Filters that the broker has not answered yet, in the order in which they were asked for.
    asked_for: VecDeque<Vec<String>>,
    subscriptions: Subscriptions,
    /// Whether the broker tells for which subscription a message came.
    tells_which: bool,
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
        let ours = [topics.command(), topics.answers()];
        let subscriptions = Subscriptions::new(ours.into_iter().chain(settings.listen_to.iter().cloned()));
        Self {
            settings,
            topics,
            eventloop,
            shared,
            events,
            number,
            backoff: Backoff::default(),
            up: None,
            complained: false,
            asked_for: VecDeque::new(),
            subscriptions,
            tells_which: true,
        }
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
            if let Err(Gone) = told {
                // The driver has stopped. What is under way still leaves and is acknowledged, until `stop`; what comes
                // is left unacknowledged, so that the broker sends it again.
                tracing::debug!("nobody listens to the broker any more");
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
            Packet::ConnAck(ack) => {
                let available = ack.properties.and_then(|properties| properties.subscription_identifiers_available);
                self.tells_which = available != Some(0);
                self.connected(ack.session_present).await
            }
            Packet::SubAck(ack) => self.subscribed(&ack.return_codes).await,
            Packet::PubAck(ack) => self.acknowledged(&ack).await,
            Packet::Publish(publish) => self.arrived(publish).await,
            _ => Ok(()),
        }
    }

    async fn connected(&mut self, session_present: bool) -> Result<(), Gone> {
        let first = self.number.fetch_add(1, Ordering::AcqRel) == 0;
        self.eventloop.options.set_clean_start(false);
        self.up = Some((Instant::now(), session_present));
        self.complained = false;
        // A new process may listen to other topics than the one before, and wants the retained states.
        // A subscription whose answer never came may not have arrived, although the session did.
        let ask = first || !session_present || !self.asked_for.is_empty();
        if ask {
            self.subscribe();
        }
        {
            let mut outbox = self.shared.outbox();
            outbox.connected = true;
            self.shared.hand_over(&mut outbox);
        }
        self.say_availability("online");
        if ask { Ok(()) } else { self.tell(MqttEvent::Connected { session_present }).await }
    }

    fn subscribe(&mut self) {
        let filter = |topic: &String| {
            let moment = self.topics.is_of_the_moment(topic);
            let qos = if moment { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let mut filter = Filter::new(topic.clone(), qos);
            // What hob says itself must not come back to it: a rule could answer its own message for ever.
            filter.nolocal = true;
            filter
        };
        self.asked_for.clear();
        for group in self.subscriptions.groups() {
            let id = self.tells_which.then_some(group.id);
            let properties = SubscribeProperties { id, user_properties: Vec::new() };
            let filters: Vec<Filter> = group.filters.iter().map(filter).collect();
            self.asked_for.push_back(group.filters.clone());
            if let Err(error) = self.shared.client().try_subscribe_many_with_properties(filters, properties) {
                tracing::error!(%error, "the broker could not be asked for messages");
            }
        }
    }

    /// When everything is subscribed, or refused, nothing is missed any more. The broker answers in the order in which it was
    /// asked.
    async fn subscribed(&mut self, answers: &[SubscribeReasonCode]) -> Result<(), Gone> {
        for (filter, answer) in self.asked_for.pop_front().unwrap_or_default().iter().zip(answers) {
            if !matches!(answer, SubscribeReasonCode::Success(_)) {
                tracing::error!(filter, ?answer, "the broker refused to send messages: see its access list");
            }
        }
        if !self.asked_for.is_empty() {
            return Ok(());
        }
        let session_present = self.up.is_some_and(|(_, session_present)| session_present);
        self.tell(MqttEvent::Connected { session_present }).await
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

    async fn acknowledged(&mut self, ack: &PubAck) -> Result<(), Gone> {
        let told = self.note_acknowledged(ack);
        match told {
            Some(command) => self.tell(MqttEvent::Told { command }).await,
            None => Ok(()),
        }
    }

    fn note_acknowledged(&self, ack: &PubAck) -> Option<CommandId> {
        let refused = match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
            reason @ (PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded
            | PubAckReason::PayloadFormatInvalid) => Some(format!("{reason:?}")),
        };
        let mut outbox = self.shared.outbox();
        let told = outbox.acknowledged(ack.pkid, refused.as_deref());
        self.shared.hand_over(&mut outbox);
        told
    }

    async fn arrived(&mut self, publish: Publish) -> Result<(), Gone> {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let ours = self.topics.read(&topic);
        let ack =
            Ack { publish: publish.clone(), came_on: self.number.load(Ordering::Acquire), now_on: self.number.clone() };
        let ids = publish.properties.as_ref().map(|properties| properties.subscription_identifiers.as_slice());
        if !self.subscriptions.counts(&topic, ids.unwrap_or_default()) {
            ack.give(self.shared.client());
            return Ok(());
        }
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
                    Incoming::Mute(_) | Incoming::Listen(_) | Incoming::Sound(_) => {
                        let Arrived { payload, retained, repeated, ack, .. } = arrived;
                        ack.give(self.shared.client());
                        match for_microphone(kind, payload, retained, repeated) {
                            Some(event) => event,
                            None => return Ok(()),
                        }
                    }
                }
            }
        };
        self.tell(event).await
    }

    /// The connection broke, or could not be made: nothing in flight is sent again, and the next attempt waits.
    async fn failed(&mut self, error: &ConnectionError, stop: &CancellationToken) -> Result<(), Gone> {
        let was_connected = self.forget_connection();
        let reason = error.to_string();
        let lasted = self.up.take().map(|(since, _)| since.elapsed());
        let next = self.backoff.broke(lasted, &reason);
        if next.clean {
            tracing::error!(%reason, "the session itself seems to break the connection; it is given up once");
            self.eventloop.options.set_clean_start(true);
        }
        if was_connected {
            tracing::warn!(%reason, "lost the broker");
            self.tell(MqttEvent::Disconnected { reason }).await?;
        } else if self.complained {
            tracing::debug!(%reason, "the broker is away");
        } else {
            self.complained = true;
            let MqttSettings { host, port, .. } = &self.settings;
            tracing::warn!(%reason, "cannot reach the broker at {host}:{port}; it is tried again and again");
        }
        tokio::select! {
            () = tokio::time::sleep(next.wait) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    }

    /// Lets go of everything that belonged to the connection. Returns whether there was one.
    fn forget_connection(&mut self) -> bool {
        let mut outbox = self.shared.outbox();
        let was_connected = outbox.connected;
        outbox.lost_connection();
        self.number.fetch_add(u64::from(was_connected), Ordering::AcqRel);
        // rumqttc moves what it had in flight, and what was put into its channel since, to a list that it would send
        // again by itself; and it keeps a message whose packet number was taken in yet another place. With the lock held
        // nothing new gets in meanwhile, and with a fresh state nothing old is left.
        self.eventloop.clean();
        self.eventloop.pending.clear();
        self.eventloop.state = MqttState::new(IN_FLIGHT, true);
        was_connected
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
                        self.note_acknowledged(&ack);
                    }
                    Ok(Event::Incoming(_) | Event::Outgoing(_)) => {}
                    Err(error) => {
                        tracing::warn!(%error, "lost the broker before hob could say that it stopped");
                        return;
                    }
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

/// What a message wants of a microphone. A kept one wants nothing: a button that is pressed at every start is none, and
/// hob itself remembers what is muted. One that comes again opens nothing: somebody may have muted since.
fn for_microphone(kind: Incoming, payload: Bytes, retained: bool, repeated: bool) -> Option<MqttEvent> {
    let switched = |payload: &[u8]| match payload.trim_ascii().to_ascii_lowercase().as_slice() {
        b"on" | b"true" | b"1" => Some(true),
        b"off" | b"false" | b"0" => Some(false),
        _ => {
            tracing::warn!("for a microphone came neither on nor off: it is left alone");
            None
        }
    };
    if retained {
        return None;
    }
    let (name, order) = match kind {
        Incoming::Mute(name) => (name, MicrophoneOrder::Mute(switched(&payload)?)),
        Incoming::Listen(name) => (name, MicrophoneOrder::Listen(switched(&payload)?)),
        Incoming::Sound(name) => (name, MicrophoneOrder::Sound(payload)),
        Incoming::Command | Incoming::Answer(_) => return None,
    };
    let opens = matches!(order, MicrophoneOrder::Mute(false) | MicrophoneOrder::Listen(true));
    (!(repeated && opens)).then_some(MqttEvent::Microphone { name, order })
}
