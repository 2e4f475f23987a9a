//! What the broker is asked for, so that each message comes once.
//!
//! A broker may send a message once for each subscription that its topic falls under (MQTT 5, section 3.3.4), and Mosquitto does:
//! a rule about one sensor beside a rule about all would act twice. So filters of which one topic could fall under two stand in
//! different groups; each group is one subscription with a number of its own, and of several copies of a message that one
//! counts whose group stands first. A persistent session keeps subscriptions that nobody asks for any more: their numbers
//! are others, since they are made of the filters.

/// The filters in groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscriptions {
    groups: Vec<Group>,
}

/// Filters of which no topic falls under two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The subscription's number, from 1 to 268,435,455.
    pub(crate) id: usize,
    pub(crate) filters: Vec<String>,
}

impl Subscriptions {
    /// Groups of all those filters; the first ones stand in the first group, as far as they do not overlap.
    pub(crate) fn new(filters: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<Vec<String>> = Vec::new();
        for filter in filters {
            if groups.iter().flatten().any(|other| *other == filter) {
                continue;
            }
            match groups.iter_mut().find(|group| group.iter().all(|other| !overlap(other, &filter))) {
                Some(group) => group.push(filter),
                None => groups.push(vec![filter]),
            }
        }
        Self { groups: groups.into_iter().map(|filters| Group { id: number(&filters), filters }).collect() }
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether this copy of a message is the one that counts, by the numbers of the subscriptions that it came for. Without
    /// any the broker does not tell, and each counts.
    pub(crate) fn counts(&self, topic: &str, ids: &[usize]) -> bool {
        let first = self.groups.iter().find(|group| group.filters.iter().any(|filter| matches(filter, topic)));
        ids.is_empty() || first.is_some_and(|group| ids.contains(&group.id))
    }
}

/// A number made of the filters (FNV-1a, 28 bits of it), so that other filters have another.
fn number(filters: &[String]) -> usize {
    const MOST: u32 = 268_435_455;
    let bytes = filters.iter().flat_map(|filter| filter.bytes().chain([0]));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    usize::try_from(hash % MOST).unwrap_or(0) + 1
}

/// Whether a topic falls under a filter.
fn matches(filter: &str, topic: &str) -> bool {
    !(topic.starts_with('$') && filter.starts_with(['+', '#'])) && overlap(filter, topic)
}

/// Whether some topic falls under both.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == other || one == "+" || other == "+" => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_events::TopicFilter;
    use proptest::prelude::*;

    fn groups(filters: &[&str]) -> Vec<Vec<String>> {
        let subscriptions = Subscriptions::new(filters.iter().map(|filter| (*filter).to_owned()));
        subscriptions.groups.into_iter().map(|group| group.filters).collect()
    }

    #[test]
    fn what_overlaps_is_asked_for_apart() {
        assert_eq!(
            groups(&["hob/a/command", "z/one", "z/+", "z/+/set", "z/one", "#", "z/two"]),
            [vec!["hob/a/command", "z/one", "z/+/set", "z/two"], vec!["z/+"], vec!["#"]]
        );
        assert_eq!(groups(&["a/#", "a"]), [vec!["a/#"], vec!["a"]]);
        assert_ne!(number(&["a".to_owned()]), number(&["b".to_owned()]));
    }

    fn level() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "c", "+"]).prop_map(str::to_owned)
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..4), any::<bool>()).prop_map(|(mut levels, all)| {
            if all {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
    }

    proptest! {
        /// A broker that sends a copy for each filter, and one that sends one copy with all numbers: each message counts once.
        #[test]
        fn every_message_counts_once(
            filters in prop::collection::vec(filter(), 1..8),
            topic in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|levels| levels.join("/")),
        ) {
            let subscriptions = Subscriptions::new(filters.clone());
            let fits = |filter: &String| TopicFilter::new(filter.as_str()).unwrap().matches(&topic);
            let ids: Vec<usize> = subscriptions
                .groups()
                .iter()
                .flat_map(|group| group.filters.iter().filter(|filter| fits(filter)).map(|_| group.id))
                .collect();
            let counted = ids.iter().filter(|id| subscriptions.counts(&topic, &[**id])).count();
            prop_assert_eq!(counted, usize::from(filters.iter().any(fits)));
            prop_assert!(ids.is_empty() || subscriptions.counts(&topic, &ids));
            prop_assert!(!subscriptions.counts(&topic, &[usize::MAX]), "of a subscription from before");
        }
    }
}
