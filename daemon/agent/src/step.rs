//! What the agent is told, and what it answers.

use hob_events::{
    CallId, CommandId, CommandResult, Event, GenerateFailure, GenerateOrder, Generated, Offer, Receipt, Record, Source,
    StatusUpdate, ToolCall, TurnId, UnixMs,
};
use std::sync::Arc;

/// One thing told to the agent, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The moment, by the driver's clock.
    pub at: UnixMs,
    /// What is told.
    pub input: Input,
}

/// The closed list of what can be told to the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Something happened outside. A command's inbox entry is durable already.
    Happened(Event),
    /// The model worker is done with a turn's generation.
    Generated {
        /// The turn.
        turn: TurnId,
        /// What came of it.
        result: Result<Generated, GenerateFailure>,
    },
    /// The plugin host is done with a call.
    Ended {
        /// Which call, how it ended, what left the board meanwhile.
        receipt: Receipt,
    },
    /// A person answered a question.
    Answered {
        /// What they said, and to which question.
        answer: Answer,
        /// Through which door.
        source: Source,
    },
    /// Someone takes a command back.
    Cancel {
        /// Which.
        command: CommandId,
    },
    /// Tools came or went, or the owner changed the inventory.
    OfferChanged(Arc<Offer>),
    /// The model can be asked from now on; see [`Agent::hold`](crate::Agent::hold).
    Ready,
    /// Another model is on its way: no turn begins until [`Input::Ready`].
    Hold,
    /// Another model answers from now on.
    ModelChanged(String),
    /// The moment of [`next_wake`](crate::Agent::next_wake) has come.
    Wake,
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The command that waits.
    pub command: CommandId,
    /// The number of its question, as the question told it. Without one it answers a command's only question so far: a
    /// yes that comes twice must not say yes to the next question too.
    pub number: Option<u32>,
    /// What they said.
    pub yes: bool,
}

/// What the agent wants done. The records are written first; the effects are let go when they are durable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decisions {
    /// To disk, all or nothing, in this order.
    pub records: Vec<Record>,
    /// Then these, in this order.
    pub effects: Vec<Effect>,
}

/// The closed list of what the agent can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hand this to the model worker.
    Generate(GenerateOrder),
    /// Stop the turn's generation; nobody waits for it any more.
    CancelGeneration(TurnId),
    /// Hand this to the plugin host.
    Call {
        /// The call, past the gate.
        call: ToolCall,
        /// The command it serves.
        command: CommandId,
    },
    /// Publish a message for a rule.
    Publish {
        /// Where.
        topic: String,
        /// What.
        payload: String,
        /// Whether the broker is to keep it.
        retain: bool,
    },
    /// Tell how a command is going.
    Tell {
        /// How.
        update: StatusUpdate,
        /// Whom.
        source: Source,
    },
    /// Tell how a command ended.
    Finish {
        /// How.
        result: CommandResult,
        /// Whom.
        source: Source,
    },
}

impl Decisions {
    pub(crate) fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// The calls among the effects, for tests and replays.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Call { call, .. } => Some(call.id),
            Effect::Generate(_)
            | Effect::CancelGeneration(_)
            | Effect::Publish { .. }
            | Effect::Tell { .. }
            | Effect::Finish { .. } => None,
        })
    }
}
