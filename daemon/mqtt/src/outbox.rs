//! What is to leave, what has been handed to rumqttc, and what the broker has not acknowledged yet.

use crate::client::{Delivered, TellError};
use bytes::Bytes;
use hob_events::CommandId;
use std::collections::{HashMap, VecDeque};
use tokio::sync::oneshot;

/// Messages that may be unacknowledged at a time: enough to keep a slow link busy, few enough that little is unknown
/// when it breaks.
pub(crate) const WINDOW: usize = 32;

/// What happens to a message when there is no room, or when the connection breaks while it is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Dropped, the oldest first, and counted: a newer one follows.
    Status,
    /// Kept and sent again until the broker acknowledges it; then the driver is told.
    Result(CommandId),
}

/// A message that is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to, without wildcards.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// The sender's correlation data, sent back.
    pub correlation: Option<Bytes>,
    /// `application/json` or `text/plain`.
    pub content_type: Option<&'static str>,
}

impl Outgoing {
    /// A JSON message that nobody keeps.
    #[must_use]
    pub fn json(topic: String, payload: Vec<u8>) -> Self {
        Self {
            topic,
            payload: payload.into(),
            retain: false,
            correlation: None,
            content_type: Some("application/json"),
        }
    }

    /// An upper bound of the packet's size in bytes: the fixed header, properties and lengths have less than 64.
    pub(crate) fn packet_bytes(&self) -> usize {
        let correlation = self.correlation.as_ref().map_or(0, Bytes::len);
        self.topic.len() + self.payload.len() + correlation + 64
    }
}

/// A message with what its sender waits for.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) message: Outgoing,
    pub(crate) waits: Waits,
}

/// What becomes of a parcel's sender.
#[derive(Debug)]
pub(crate) enum Waits {
    Class(Class),
    /// Someone waits for exactly this delivery, and it must not be repeated.
    Delivery(oneshot::Sender<Delivered>),
}

/// The queue and the flight list.
#[derive(Debug)]
pub(crate) struct Outbox {
    limit: usize,
    pub(crate) connected: bool,
    waiting: VecDeque<Parcel>,
    /// Handed to rumqttc and not numbered by it yet, in the order handed over.
    handed: VecDeque<Parcel>,
    /// Numbered, on their way.
    flying: HashMap<u16, Parcel>,
    /// Statuses dropped for lack of room.
    pub(crate) dropped: u64,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            connected: false,
            waiting: VecDeque::new(),
            handed: VecDeque::new(),
            flying: HashMap::new(),
            dropped: 0,
        }
    }

    /// Puts a message at the end of the queue. The oldest status makes room.
    pub(crate) fn push(&mut self, parcel: Parcel) -> Result<(), TellError> {
        if self.waiting.len() >= self.limit {
            let status = |parcel: &Parcel| matches!(parcel.waits, Waits::Class(Class::Status));
            let Some(oldest) = self.waiting.iter().position(status) else {
                return Err(TellError::QueueFull { limit: self.limit });
            };
            self.waiting.remove(oldest);
            self.dropped += 1;
        }
        self.waiting.push_back(parcel);
        Ok(())
    }

    /// The next message to hand over, while there is room in flight. One that nobody waits for any more is let go:
    /// whoever gave up has said that it did not leave, or that it is unknown.
    pub(crate) fn next(&mut self) -> Option<Parcel> {
        while self.connected && self.handed.len() + self.flying.len() < WINDOW {
            let parcel = self.waiting.pop_front()?;
            let given_up = matches!(&parcel.waits, Waits::Delivery(sender) if sender.is_closed());
            if !given_up {
                return Some(parcel);
            }
        }
        None
    }

    /// It could not be handed over after all.
    pub(crate) fn put_back(&mut self, parcel: Parcel) {
        self.waiting.push_front(parcel);
    }

    /// It was handed over.
    pub(crate) fn handed(&mut self, parcel: Parcel) {
        self.handed.push_back(parcel);
    }

    /// rumqttc numbered the message it was handed first.
    pub(crate) fn numbered(&mut self, packet: u16) {
        if let Some(parcel) = self.handed.pop_front() {
            self.flying.insert(packet, parcel);
        }
    }

    /// The broker has it, or refuses it for a reason. Names the command whose result it was: a result that the broker
    /// does not want is done with all the same, since it would not want it later.
    pub(crate) fn acknowledged(&mut self, packet: u16, refused: Option<&str>) -> Option<CommandId> {
        let Parcel { message, waits } = self.flying.remove(&packet)?;
        if let Some(reason) = refused {
            tracing::warn!(topic = message.topic, reason, "the broker refused a message: see its access list");
        }
        match waits {
            Waits::Class(Class::Status) => None,
            Waits::Class(Class::Result(id)) => Some(id),
            Waits::Delivery(sender) => {
                let delivered = refused.map_or(Delivered::Acknowledged, |_| Delivered::Refused);
                // Whoever waited may have given up; the delivery is a fact all the same.
                sender.send(delivered).ok();
                None
            }
        }
    }

    /// The connection broke: what was in flight may or may not have arrived. Results go back to the front of the queue,
    /// statuses are let go, and whoever waits for a single delivery learns what is known of it. None of those is sent on
    /// the next connection.
    pub(crate) fn lost_connection(&mut self) {
        self.connected = false;
        let waiting = std::mem::take(&mut self.waiting);
        for parcel in waiting {
            match parcel.waits {
                Waits::Class(_) => self.waiting.push_back(parcel),
                Waits::Delivery(sender) => {
                    sender.send(Delivered::NotSent).ok();
                }
            }
        }
        let mut flying: Vec<(u16, Parcel)> = self.flying.drain().collect();
        flying.sort_by_key(|(packet, _)| *packet);
        let lost: Vec<Parcel> = flying.into_iter().map(|(_, parcel)| parcel).chain(self.handed.drain(..)).collect();
        for parcel in lost.into_iter().rev() {
            match parcel.waits {
                Waits::Class(Class::Result(_)) => self.waiting.push_front(parcel),
                Waits::Class(Class::Status) => {}
                Waits::Delivery(sender) => {
                    sender.send(Delivered::Unknown).ok();
                }
            }
        }
    }

    /// Whether a command's result waits or flies.
    pub(crate) fn holds(&self, command: &CommandId) -> bool {
        let mut parcels = self.waiting.iter().chain(&self.handed).chain(self.flying.values());
        parcels.any(|parcel| matches!(&parcel.waits, Waits::Class(Class::Result(id)) if id == command))
    }

    /// Nothing waits and nothing flies.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.handed.is_empty() && self.flying.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parcel(name: &str, class: Class) -> Parcel {
        Parcel { message: Outgoing::json(name.into(), Vec::new()), waits: Waits::Class(class) }
    }

    fn result(id: &str) -> Parcel {
        parcel(id, Class::Result(CommandId::lossy(id)))
    }

    #[test]
    fn the_oldest_status_makes_room_and_results_are_never_dropped() {
        let mut outbox = Outbox::new(2);
        outbox.push(parcel("s1", Class::Status)).expect("room");
        outbox.push(result("r1")).expect("room");
        outbox.push(result("r2")).expect("the status made room");
        assert_eq!(outbox.dropped, 1);
        assert!(matches!(outbox.push(result("r3")), Err(TellError::QueueFull { limit: 2 })));
    }

    #[test]
    fn what_was_in_flight_is_unknown_and_is_not_sent_again() {
        let mut outbox = Outbox::new(4);
        outbox.connected = true;
        let (sender, mut delivered) = oneshot::channel();
        outbox
            .push(Parcel { message: Outgoing::json("d".into(), Vec::new()), waits: Waits::Delivery(sender) })
            .expect("room");
        let next = outbox.next().expect("connected");
        outbox.handed(next);
        outbox.numbered(1);
        outbox.lost_connection();
        assert_eq!(delivered.try_recv(), Ok(Delivered::Unknown));
        outbox.connected = true;
        assert!(outbox.next().is_none());
    }

    #[test]
    fn what_still_waited_when_the_connection_broke_was_not_sent_and_will_not_be() {
        let mut outbox = Outbox::new(4);
        outbox.connected = true;
        let (sender, mut delivered) = oneshot::channel();
        let message = Outgoing::json("d".into(), Vec::new());
        outbox.push(Parcel { message: message.clone(), waits: Waits::Delivery(sender) }).expect("room");
        outbox.lost_connection();
        assert_eq!(delivered.try_recv(), Ok(Delivered::NotSent));
        outbox.connected = true;
        let (sender, given_up) = oneshot::channel();
        outbox.push(Parcel { message, waits: Waits::Delivery(sender) }).expect("room");
        drop(given_up);
        assert!(outbox.next().is_none());
    }

    proptest! {
        #[test]
        fn every_result_is_acknowledged_exactly_once_however_often_the_connection_breaks(breaks in proptest::collection::vec(any::<bool>(), 0..40)) {
            let mut outbox = Outbox::new(64);
            for id in 0..10 {
                outbox.push(result(&format!("r{id}"))).expect("room");
            }
            let mut told = Vec::new();
            let mut packet = 0;
            for broken in breaks.into_iter().chain([false; 40]) {
                outbox.connected = true;
                if let Some(next) = outbox.next() {
                    outbox.handed(next);
                    packet += 1;
                    outbox.numbered(packet);
                }
                if broken {
                    outbox.lost_connection();
                } else {
                    told.extend((1..=packet).filter_map(|packet| outbox.acknowledged(packet, None)));
                }
            }
            prop_assert!(outbox.is_empty());
            prop_assert_eq!(told, (0..10).map(|id| CommandId::lossy(&format!("r{id}"))).collect::<Vec<_>>());
        }
    }
}
