//! One list, and what it is called.

use serde::{Deserialize, Serialize};

/// The list that is meant when none is named.
const DEFAULT_LIST: &str = "shopping";

/// Words around a list's name that do not belong to it.
const NOT_THE_NAME: [&str; 6] = ["the", "a", "my", "our", "list", "lists"];

/// The name by which a list is kept: lower case, without "the", "my" and "list".
pub(crate) fn list_name(said: Option<&str>) -> String {
    let said = said.unwrap_or_default().to_lowercase();
    let mut words: Vec<&str> = said.split_whitespace().collect();
    while words.first().is_some_and(|word| NOT_THE_NAME.contains(word)) {
        words.remove(0);
    }
    while words.last().is_some_and(|word| NOT_THE_NAME.contains(word)) {
        words.pop();
    }
    if words.is_empty() { DEFAULT_LIST.to_owned() } else { words.join(" ") }
}

/// Items in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct List {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    text: String,
    #[serde(default)]
    done: bool,
}

impl List {
    /// Puts an item at the end; one that stands there already stays, and is open again if it was done.
    pub(crate) fn add(&mut self, text: &str) -> String {
        if let Some(item) = self.find(text) {
            item.done = false;
            return item.text.clone();
        }
        let text = text.trim().to_owned();
        self.items.push(Item { text: text.clone(), done: false });
        text
    }

    /// Takes an item off; nothing when it does not stand there.
    pub(crate) fn remove(&mut self, text: &str) -> Option<String> {
        let at = self.items.iter().position(|item| item.is(text))?;
        Some(self.items.remove(at).text)
    }

    /// Marks an item as done; nothing when it does not stand there.
    pub(crate) fn complete(&mut self, text: &str) -> Option<String> {
        let item = self.find(text)?;
        item.done = true;
        Some(item.text.clone())
    }

    /// What is still to do.
    pub(crate) fn open_items(&self) -> Vec<&str> {
        self.items.iter().filter(|item| !item.done).map(|item| item.text.as_str()).collect()
    }

    fn find(&mut self, text: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.is(text))
    }
}

impl Item {
    fn is(&self, text: &str) -> bool {
        self.text.to_lowercase() == text.trim().to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_found_however_it_is_called() {
        for said in ["shopping list", "The Shopping List", "my shopping", "SHOPPING", "list", ""] {
            assert_eq!(list_name(Some(said)), "shopping", "{said:?}");
        }
        assert_eq!(list_name(None), "shopping");
        assert_eq!(list_name(Some("our to do list")), "to do");
    }

    #[test]
    fn an_item_is_found_whatever_its_case_and_keeps_the_words_it_came_with() {
        let mut list = List::default();
        assert_eq!(list.add("Oat Milk"), "Oat Milk");
        assert_eq!(list.add("oat milk "), "Oat Milk");
        assert_eq!(list.open_items(), ["Oat Milk"]);
        assert_eq!(list.complete("OAT MILK").as_deref(), Some("Oat Milk"));
        assert!(list.open_items().is_empty());
        list.add("oat milk");
        assert_eq!(list.open_items(), ["Oat Milk"]);
        assert_eq!(list.remove("oat milk").as_deref(), Some("Oat Milk"));
        assert_eq!(list.remove("oat milk"), None);
    }
}
