//! What the driver holds: telling, sending, acknowledging. None of it ever waits.

use crate::connection::{Ack, Connection, MqttEvent};
use crate::outbox::{Class, Outbox, Outgoing, Parcel, Waits};
use crate::settings::{MqttSettings, StartMqttError};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::{AsyncClient, ClientError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Whether a single message arrived at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The broker has it.
    Acknowledged,
    /// The broker does not want it: nobody has it.
    Refused,
    /// The connection broke before it left.
    NotSent,
    /// The connection broke before the broker said anything: it may have it.
    Unknown,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TellError {
    /// Too much waits already.
    #[error("{limit} messages wait for the broker already")]
    QueueFull {
        /// How many may.
        limit: usize,
    },
    /// It would not fit into a packet.
    #[error("a message of {bytes} bytes is larger than mqtt.max_packet_bytes = {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// Nobody can publish to it.
    #[error("'{topic}' is no topic to publish to: it must not be empty or hold '+', '#' or a zero byte")]
    Topic {
        /// The topic.
        topic: String,
    },
    /// There is no connection, and this message must not be sent later.
    #[error("the broker is away")]
    Away,
}

/// The driver's side of the connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MqttClient {
    pub(crate) shared: Arc<Shared>,
}

/// What the driver's side and the connection's loop both touch. The lock is held for moments only, never across an
/// await.
#[derive(Debug)]
pub(crate) struct Shared {
    client: AsyncClient,
    outbox: Mutex<Outbox>,
    max_packet_bytes: usize,
}

impl MqttClient {
    /// Prepares the connection. Nothing is sent before the returned [`Connection`] runs.
    ///
    /// # Errors
    /// [`StartMqttError`] when the settings cannot be used. A broker that is away is waited for.
    pub fn open(settings: MqttSettings, events: mpsc::Sender<MqttEvent>) -> Result<(Self, Connection), StartMqttError> {
        let max_packet_bytes = usize::try_from(settings.max_packet_bytes).unwrap_or(usize::MAX);
        let queue = settings.queue;
        let (client, eventloop) = crate::connection::open(&settings)?;
        let shared = Arc::new(Shared { client, outbox: Mutex::new(Outbox::new(queue)), max_packet_bytes });
        let connection = Connection::new(settings, eventloop, shared.clone(), events);
        Ok((Self { shared }, connection))
    }

    /// Queues a message of a class; it leaves when the broker is there.
    ///
    /// # Errors
    /// [`TellError::QueueFull`] or [`TellError::TooLarge`]; then it will not be sent.
    pub fn tell(&self, message: Outgoing, class: Class) -> Result<(), TellError> {
        self.shared.put(Parcel { message, waits: Waits::Class(class) })
    }

    /// Sends a message that must leave once at most: now or never. The receiver tells whether the broker has it.
    ///
    /// # Errors
    /// [`TellError`], when it has certainly not left.
    pub fn send_once(&self, message: Outgoing) -> Result<oneshot::Receiver<Delivered>, TellError> {
        if !self.is_connected() {
            return Err(TellError::Away);
        }
        let (sender, receiver) = oneshot::channel();
        self.shared.put(Parcel { message, waits: Waits::Delivery(sender) })?;
        Ok(receiver)
    }

    /// Acknowledges a command, so that the broker forgets it. Does nothing when the connection it came on is gone:
    /// the broker will send it again.
    pub fn ack(&self, ack: Ack) {
        // Under the lock a connection cannot break in between, and the acknowledgement not slip onto the next one.
        let outbox = self.shared.outbox();
        if outbox.connected {
            ack.give(&self.shared.client);
        }
    }

    /// Whether the broker is there.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.outbox().connected
    }

    /// Whether a command's result is on its way already.
    #[must_use]
    pub fn holds(&self, command: &hob_events::CommandId) -> bool {
        self.shared.outbox().holds(command)
    }

    /// Statuses that were dropped for lack of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.outbox().dropped
    }
}

impl Shared {
    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // No code that holds the lock panics halfway through a change.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn client(&self) -> &AsyncClient {
        &self.client
    }

    pub(crate) fn put(&self, parcel: Parcel) -> Result<(), TellError> {
        let bytes = parcel.message.packet_bytes();
        if bytes > self.max_packet_bytes {
            return Err(TellError::TooLarge { bytes, limit: self.max_packet_bytes });
        }
        // rumqttc would refuse it at the head of the queue, for ever.
        let topic = &parcel.message.topic;
        if topic.is_empty() || topic.contains(['+', '#', '\0']) || topic.len() > usize::from(u16::MAX) {
            return Err(TellError::Topic { topic: topic.clone() });
        }
        let mut outbox = self.outbox();
        outbox.push(parcel)?;
        self.hand_over(&mut outbox);
        Ok(())
    }

    /// Hands as much to rumqttc as may be in flight.
    pub(crate) fn hand_over(&self, outbox: &mut Outbox) {
        while let Some(parcel) = outbox.next() {
            let message = parcel.message.clone();
            let properties = PublishProperties {
                correlation_data: message.correlation,
                content_type: message.content_type.map(str::to_owned),
                ..PublishProperties::default()
            };
            let handed = self.client.try_publish_with_properties(
                message.topic,
                QoS::AtLeastOnce,
                message.retain,
                message.payload,
                properties,
            );
            match handed {
                Ok(()) => outbox.handed(parcel),
                Err(ClientError::Request(_) | ClientError::TryRequest(_)) => return outbox.put_back(parcel),
            }
        }
    }
}
