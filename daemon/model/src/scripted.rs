//! A model that says what it is told to. For tests of the daemon: no weights, no library, no time.

use crate::interrupt::Interrupt;
use crate::language_model::{Glimpse, LanguageModel, Progress, Warmed};
use hob_events::{GenerateFailure, GenerateOrder, Generated, Prompt, TurnId, Writing};

/// Answers each order by asking a function, and streams the words of the answer.
pub struct ScriptedModel {
    script: Box<dyn FnMut(&GenerateOrder) -> Scripted + Send>,
}

/// One scripted answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Scripted {
    /// This, or this failure.
    Says(Result<Generated, GenerateFailure>),
    /// Nothing until someone ends it.
    Hangs,
    /// The thread breaks, as a fault in a native library could make it.
    Panics,
}

impl ScriptedModel {
    /// A model that answers by `script`.
    pub fn new(script: impl FnMut(&GenerateOrder) -> Scripted + Send + 'static) -> Self {
        Self { script: Box::new(script) }
    }

    /// A model that gives these answers one after another, and fails when they are used up.
    #[must_use]
    pub fn answers(answers: Vec<Generated>) -> Self {
        let mut answers = answers.into_iter();
        let used_up = || GenerateFailure::Model { message: "the script is at its end".to_owned() };
        Self::new(move |_| Scripted::Says(answers.next().ok_or_else(used_up)))
    }
}

impl std::fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedModel").finish_non_exhaustive()
    }
}

impl LanguageModel for ScriptedModel {
    fn generate(
        &mut self,
        order: &GenerateOrder,
        watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Progress, GenerateFailure> {
        if let Some(why) = interrupt.ended() {
            return Err(why.told(order.deadline_ms));
        }
        if interrupt.parking() {
            return Ok(Progress::Parked);
        }
        match (self.script)(order) {
            Scripted::Says(answer) => {
                let answer = answer?;
                for writing in &answer.writing {
                    if let Writing::Text { text } = writing {
                        watch(Glimpse::Words(text));
                    }
                }
                Ok(Progress::Ended(answer))
            }
            Scripted::Hangs => Err(interrupt.wait().told(order.deadline_ms)),
            #[expect(clippy::panic, reason = "this is what the script asks for")]
            Scripted::Panics => panic!("the script says so"),
        }
    }

    fn warm(&mut self, _prompt: &Prompt, _interrupt: &Interrupt) -> Result<Warmed, GenerateFailure> {
        Ok(Warmed::Whole)
    }

    fn forget(&mut self, _turn: TurnId) {}
}
