//! The ids of the last few prompts: making them out of a long prompt takes ten times what finding their answer takes.

use hob_events::Prompt;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Prompts whose ids are kept, some 10 KB each: the commands of a day in one house.
const MAX_KEPT: usize = 32;

/// Prompts and their ids, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    kept: Mutex<VecDeque<(Prompt, Arc<[u32]>)>>,
}

impl Rendered {
    /// The ids of a prompt: those it had the last time, or what `render` makes of it.
    pub(crate) fn ids<E>(
        &self,
        prompt: &Prompt,
        render: impl FnOnce(&Prompt) -> Result<Vec<u32>, E>,
    ) -> Result<Arc<[u32]>, E> {
        let known = {
            let mut kept = self.lock();
            let place = kept.iter().position(|(known, _)| is_same(known, prompt));
            place.and_then(|place| kept.remove(place))
        };
        // Rendered without the lock: someone else may be in a hurry.
        let (prompt, ids) = match known {
            Some(known) => known,
            None => (prompt.clone(), render(prompt)?.into()),
        };
        let mut kept = self.lock();
        if kept.len() == MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back((prompt, Arc::clone(&ids)));
        Ok(ids)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Prompt, Arc<[u32]>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two prompts are equal, what differs most first and what is mostly the very same value by its place.
fn is_same(one: &Prompt, other: &Prompt) -> bool {
    one.messages == other.messages
        && one.thinking == other.thinking
        && one.system == other.system
        && (Arc::ptr_eq(&one.offer, &other.offer) || one.offer == other.offer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_events::{Inventory, Message, Offer, Thinking};
    use std::convert::Infallible;

    fn prompt(said: &str) -> Prompt {
        let messages = vec![Message::words(said)];
        Prompt { system: "house".into(), offer: Arc::default(), messages, thinking: Thinking::OFF }
    }

    /// Whether the prompt had to be rendered.
    fn renders(rendered: &Rendered, prompt: &Prompt) -> bool {
        let mut ran = false;
        let ids = rendered.ids(prompt, |prompt| {
            ran = true;
            Ok::<_, Infallible>(vec![u32::try_from(format!("{prompt:?}").len()).unwrap()])
        });
        let length = u32::try_from(format!("{prompt:?}").len()).unwrap();
        assert_eq!(*ids.unwrap(), [length], "these are its own ids");
        ran
    }

    #[test]
    fn a_prompt_is_rendered_once_and_any_other_by_itself() {
        let rendered = Rendered::default();
        assert!(renders(&rendered, &prompt("on")));
        assert!(!renders(&rendered, &prompt("on")));
        let areas = vec![hob_events::Area { name: "hall".to_owned(), floor: None }];
        let offer = Arc::new(Offer { inventory: Inventory { areas, ..Inventory::default() }, ..Offer::default() });
        for other in [prompt("off"), Prompt { system: "home".into(), ..prompt("on") }, Prompt { offer, ..prompt("on") }]
        {
            assert!(renders(&rendered, &other) && !renders(&rendered, &other));
        }
    }

    #[test]
    fn only_the_latest_are_kept() {
        let rendered = Rendered::default();
        let said = |number: usize| prompt(&format!("lamp {number}"));
        for number in 0..=MAX_KEPT {
            assert!(renders(&rendered, &said(number)));
        }
        assert!(renders(&rendered, &said(0)) && !renders(&rendered, &said(MAX_KEPT)));
        assert_eq!(rendered.lock().len(), MAX_KEPT);
    }

    #[test]
    fn a_failure_is_told_and_tried_again() {
        let rendered = Rendered::default();
        assert_eq!(rendered.ids(&prompt("on"), |_| Err("broken")).unwrap_err(), "broken");
        assert!(renders(&rendered, &prompt("on")));
    }
}
