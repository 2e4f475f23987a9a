//! Commands on their way into the inbox: their media come onto the shelf, their entry onto the disk. What comes again
//! meanwhile is known here, for the store does not know it yet, and waits for the same decision.

use hob_events::{Command, CommandId, Source};

/// Who may wait for the decision about one command besides its first sender. It is made within moments: more than these
/// are no repetitions that a broker or a person makes.
const ASKERS: usize = 16;

/// The commands that are neither accepted nor refused yet. `Asker` is who else waits for one.
#[derive(Debug)]
pub(crate) struct Entrance<Asker> {
    coming: Vec<Coming<Asker>>,
}

#[derive(Debug)]
struct Coming<Asker> {
    id: CommandId,
    source: Source,
    again: Vec<Asker>,
}

impl<Asker> Default for Entrance<Asker> {
    fn default() -> Self {
        Self { coming: Vec::new() }
    }
}

impl<Asker> Entrance<Asker> {
    /// A command begins to come in.
    pub(crate) fn enter(&mut self, command: &Command) {
        let Command { id, source, .. } = command;
        self.coming.push(Coming { id: id.clone(), source: source.clone(), again: Vec::new() });
    }

    /// How many come in.
    pub(crate) fn len(&self) -> usize {
        self.coming.len()
    }

    /// Whether this one comes in.
    pub(crate) fn contains(&self, id: &CommandId) -> bool {
        self.coming.iter().any(|coming| coming.id == *id)
    }

    /// The command that hob named, of this content, whose answer goes to the same place with the same correlation data.
    /// Without a response topic all senders share one, and many count from 1.
    pub(crate) fn correlated(&self, source: &Source, content: &str) -> Option<CommandId> {
        let Source::Mqtt { response_topic: Some(_), correlation: Some(_) } = source else { return None };
        let same = |coming: &&Coming<Asker>| coming.source == *source && content_of(&coming.id) == Some(content);
        self.coming.iter().find(same).map(|coming| coming.id.clone())
    }

    /// The newest command that hob named so: by the packet number and the content that it came with.
    pub(crate) fn named(&self, fingerprint: &str) -> Option<CommandId> {
        let named = |id: &CommandId| id.as_str().strip_prefix(fingerprint).is_some_and(|rest| rest.starts_with('-'));
        self.coming.iter().rev().find(|coming| named(&coming.id)).map(|coming| coming.id.clone())
    }

    /// Someone asks for it again and waits.
    ///
    /// # Errors
    /// Whoever asked, when too many wait or it does not come in any more.
    pub(crate) fn ask_again(&mut self, id: &CommandId, asker: Asker) -> Result<(), Asker> {
        match self.coming.iter_mut().find(|coming| coming.id == *id) {
            Some(coming) if coming.again.len() < ASKERS => {
                coming.again.push(asker);
                Ok(())
            }
            Some(_) | None => Err(asker),
        }
    }

    /// It was decided about. Gives back who waits for that besides its first sender.
    pub(crate) fn leave(&mut self, id: &CommandId) -> Vec<Asker> {
        let place = self.coming.iter().position(|coming| coming.id == *id);
        place.map(|place| self.coming.remove(place).again).unwrap_or_default()
    }
}

/// The content, in short, in the name of a command that hob named for the broker: `mqtt-<packet>-<content>-…`.
pub(crate) fn content_of(id: &CommandId) -> Option<&str> {
    id.as_str().strip_prefix("mqtt-")?.split('-').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_events::{Ask, Trust, UnixMs};

    fn source(topic: Option<&str>, correlation: Option<&[u8]>) -> Source {
        Source::Mqtt { response_topic: topic.map(str::to_owned), correlation: correlation.map(<[u8]>::to_vec) }
    }

    fn coming(commands: &[(&str, Source)]) -> Entrance<u8> {
        let mut entrance = Entrance::default();
        for (id, source) in commands {
            entrance.enter(&Command {
                id: CommandId::lossy(id),
                ask: Ask::Text("what is this?".to_owned()),
                media: Vec::new(),
                conversation: None,
                area: None,
                dry_run: false,
                think: None,
                source: source.clone(),
                trust: Trust::Person,
                received: UnixMs(0),
                expires: None,
            });
        }
        entrance
    }

    #[test]
    fn what_hob_named_is_known_by_where_its_answer_goes_its_correlation_data_and_its_content() {
        let phone = source(Some("phone/answers"), Some(b"1"));
        let entrance = coming(&[("mqtt-7-abcd1234-99-1", phone.clone()), ("own-7-abcd1234", source(None, Some(b"1")))]);
        let known = entrance.correlated(&phone, "abcd1234");
        assert_eq!(known, Some(CommandId::lossy("mqtt-7-abcd1234-99-1")));
        for (other, content) in [
            (phone, "00000000"),
            (source(Some("panel/answers"), Some(b"1")), "abcd1234"),
            (source(Some("phone/answers"), Some(b"2")), "abcd1234"),
            (source(None, Some(b"1")), "abcd1234"),
            (Source::Socket { uid: 0 }, "abcd1234"),
        ] {
            assert_eq!(entrance.correlated(&other, content), None, "{other:?} {content}");
        }
    }

    #[test]
    fn what_the_broker_sends_again_is_known_by_its_packet_number_and_content() {
        let nowhere = source(None, None);
        let entrance = coming(&[("mqtt-7-abcd1234-99-1", nowhere.clone()), ("mqtt-7-abcd1234-99-2", nowhere)]);
        assert_eq!(entrance.named("mqtt-7-abcd1234"), Some(CommandId::lossy("mqtt-7-abcd1234-99-2")));
        assert_eq!(entrance.named("mqtt-7-abcd"), None);
        assert_eq!(entrance.named("mqtt-70-abcd1234"), None);
    }

    #[test]
    fn who_asks_again_waits_for_the_decision_and_only_so_many_do() {
        let mut entrance = coming(&[("a", source(None, None)), ("b", source(None, None))]);
        let id = CommandId::lossy("a");
        assert_eq!(entrance.ask_again(&id, 1), Ok(()));
        assert_eq!(entrance.ask_again(&id, 2), Ok(()));
        assert_eq!(entrance.leave(&id), [1, 2]);
        assert!(!entrance.contains(&id) && entrance.contains(&CommandId::lossy("b")) && entrance.len() == 1);
        assert_eq!(entrance.ask_again(&id, 3), Err(3));
        let other = CommandId::lossy("b");
        for asker in 0..16 {
            assert_eq!(entrance.ask_again(&other, asker), Ok(()));
        }
        assert_eq!(entrance.ask_again(&other, 16), Err(16));
    }
}
