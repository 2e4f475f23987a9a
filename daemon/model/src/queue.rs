//! Orders that wait for the model: who is next, and who has waited too long. Pure; the worker brings the clock.

use crate::interrupt::Interrupt;
use hob_events::{GenerateFailure, GenerateOrder, TurnId};
use std::time::{Duration, Instant};

/// An order on its way to an answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) order: GenerateOrder,
    pub(crate) interrupt: Interrupt,
    /// When it has to be done.
    pub(crate) deadline: Instant,
    /// How long it waited before it was last worked on.
    pub(crate) waited: Duration,
    /// It has begun and made room; the model remembers how far it got.
    pub(crate) parked: bool,
    /// The memo was asked for it.
    asked: bool,
    since: Instant,
    number: u64,
}

impl Waiting {
    fn waited_until(mut self, now: Instant) -> Self {
        self.waited += now.saturating_duration_since(self.since);
        self
    }
}

/// A bounded queue: persons before cameras before sensors, first come first served among equals.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Vec<Waiting>,
    /// Most orders that wait for their first turn. Parked ones come back whether or not there is room.
    capacity: usize,
    numbers: u64,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { waiting: Vec::new(), capacity, numbers: 0 }
    }

    /// Takes an order.
    ///
    /// # Errors
    /// [`GenerateFailure::Busy`] when the queue is full.
    pub(crate) fn submit(&mut self, order: GenerateOrder, now: Instant) -> Result<(), GenerateFailure> {
        let waiting = self.len();
        if waiting >= self.capacity {
            return Err(GenerateFailure::Busy { waiting });
        }
        self.numbers += 1;
        self.waiting.push(Waiting {
            // A deadline beyond the end of the clock is none for a day.
            deadline: now.checked_add(Duration::from_millis(order.deadline_ms)).unwrap_or(now + DAY),
            order,
            interrupt: Interrupt::default(),
            waited: Duration::ZERO,
            parked: false,
            asked: false,
            since: now,
            number: self.numbers,
        });
        Ok(())
    }

    /// Takes back what made room. It keeps its place among its equals.
    pub(crate) fn put_back(&mut self, mut parked: Waiting, now: Instant) {
        parked.parked = true;
        parked.since = now;
        self.waiting.push(parked);
    }

    /// The next to be worked on.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Waiting> {
        self.next_of(now, |_| true)
    }

    /// The next of those that have begun and made room.
    pub(crate) fn next_begun(&mut self, now: Instant) -> Option<Waiting> {
        self.next_of(now, |waiting| waiting.parked)
    }

    fn next_of(&mut self, now: Instant, counts: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let first = |(_, waiting): &(usize, &Waiting)| (waiting.order.priority, waiting.number);
        let (place, _) = self.waiting.iter().enumerate().filter(|(_, waiting)| counts(waiting)).min_by_key(first)?;
        let next = self.waiting.swap_remove(place).waited_until(now);
        next.interrupt.park(false);
        Some(next)
    }

    /// The next order to ask the memo about: each once, and none that has begun.
    pub(crate) fn next_unasked(&mut self) -> Option<GenerateOrder> {
        let unasked = self.waiting.iter_mut().filter(|waiting| !waiting.asked && !waiting.parked);
        let next = unasked.min_by_key(|waiting| (waiting.order.priority, waiting.number))?;
        next.asked = true;
        Some(next.order.clone())
    }

    /// Has the memo asked about every order again: it is another model's now.
    pub(crate) fn ask_again(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.asked = false);
    }

    /// Takes out the order of a turn, unless it has begun.
    pub(crate) fn remove_unbegun(&mut self, turn: TurnId, now: Instant) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.order.turn == turn && !waiting.parked)?;
        Some(self.waiting.swap_remove(place).waited_until(now))
    }

    /// Takes out the order of a turn.
    pub(crate) fn remove(&mut self, turn: TurnId) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.order.turn == turn)?;
        Some(self.waiting.swap_remove(place))
    }

    /// Takes out those whose time is up.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Waiting> {
        self.waiting.extract_if(.., |waiting| waiting.deadline <= now).collect()
    }

    /// Takes out everything.
    pub(crate) fn drain(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// The next deadline among those that wait.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }

    /// How many wait for their first turn.
    pub(crate) fn len(&self) -> usize {
        self.waiting.iter().filter(|waiting| !waiting.parked).count()
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::tests::order;
    use hob_events::Priority;
    use proptest::prelude::*;

    #[test]
    fn persons_go_first_and_equals_in_the_order_they_came() {
        let (mut queue, now) = (Queue::new(8), Instant::now());
        let came = [(1, Priority::Sensor), (2, Priority::Person), (3, Priority::Camera), (4, Priority::Person)];
        for (turn, priority) in came {
            queue.submit(order(turn, priority), now).unwrap();
        }
        let parked = queue.next(now).unwrap();
        assert_eq!(parked.order.turn, TurnId(2));
        queue.put_back(parked, now);
        let served: Vec<u64> = std::iter::from_fn(|| queue.next(now)).map(|waiting| waiting.order.turn.0).collect();
        assert_eq!(served, [2, 4, 3, 1], "what was parked keeps its place");
    }

    #[test]
    fn waiting_is_counted_over_every_wait() {
        let (mut queue, start) = (Queue::new(1), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        queue.submit(order(1, Priority::Sensor), at(0)).unwrap();
        let first = queue.next(at(10)).unwrap();
        queue.put_back(first, at(50));
        assert_eq!(queue.next(at(55)).unwrap().waited, Duration::from_millis(15));
    }

    proptest! {
        #[test]
        fn the_queue_never_holds_more_than_it_may_and_loses_nothing(turns in proptest::collection::vec(0_u8..3, 0..20)) {
            let (mut queue, now) = (Queue::new(4), Instant::now());
            let mut taken = 0;
            for (turn, priority) in (0..).zip(&turns) {
                let priority = [Priority::Person, Priority::Camera, Priority::Sensor][usize::from(*priority)];
                match queue.submit(order(turn, priority), now) {
                    Ok(()) => taken += 1,
                    Err(failure) => prop_assert_eq!(failure, GenerateFailure::Busy { waiting: 4 }),
                }
            }
            prop_assert_eq!(taken, turns.len().min(4));
            let served: Vec<Priority> = std::iter::from_fn(|| queue.next(now)).map(|next| next.order.priority).collect();
            prop_assert_eq!(served.len(), taken);
            prop_assert!(served.is_sorted());
        }
    }
}
