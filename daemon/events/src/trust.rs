//! How far a source is believed, and how much harm an action can do. The gate weighs one against the other.

use serde::{Deserialize, Serialize};

/// How far the source of a text is believed. The trust of a turn is the lowest of everything in its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Anyone could have written it: text seen in a frame, a plate, a web page, a device's name.
    Untrusted,
    /// A device or a program of the owner's reported it.
    Device,
    /// A person whom the owner lets command the house.
    Person,
    /// The owner, at the board itself.
    Owner,
}

/// How much harm doing it by mistake can cause. Both tools and devices carry one; the higher counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Reads, or changes nothing outside hob.
    None,
    /// A light, a blind: a nuisance at worst.
    #[default]
    Low,
    /// Heat, water, money: wants a surer answer.
    Medium,
    /// The front door: always asks first.
    High,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_and_risk_are_ordered_from_low_to_high() {
        assert!(Trust::Untrusted < Trust::Device && Trust::Device < Trust::Person && Trust::Person < Trust::Owner);
        assert!(Risk::None < Risk::Low && Risk::Low < Risk::Medium && Risk::Medium < Risk::High);
    }
}
