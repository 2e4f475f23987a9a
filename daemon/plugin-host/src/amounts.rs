//! Bytes and times as people write them in manifests and grants: `"32MiB"`, `"500ms"`, or a plain number.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A span of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// Largest first, so that printing finds the unit that fits.
const BYTE_UNITS: [(&str, u64); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];
const TIME_UNITS: [(&str, u64); 3] = [("min", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an amount: write a whole number and one of {units}")]
pub struct MalformedAmount {
    text: String,
    units: &'static str,
}

impl Bytes {
    /// As a count of bytes in memory; more than the machine can address counts as all it can.
    #[must_use]
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads `"32MiB"`, `"64KiB"`, `"512B"`.
    ///
    /// # Errors
    /// [`MalformedAmount`] when the number or the unit is missing or unknown.
    pub fn parse(text: &str) -> Result<Self, MalformedAmount> {
        amount(text, &BYTE_UNITS).map(Self).ok_or_else(|| MalformedAmount { text: text.into(), units: "B, KiB, MiB" })
    }
}

impl Millis {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Reads `"500ms"`, `"4s"`, `"1min"`.
    ///
    /// # Errors
    /// [`MalformedAmount`] when the number or the unit is missing or unknown.
    pub fn parse(text: &str) -> Result<Self, MalformedAmount> {
        amount(text, &TIME_UNITS).map(Self).ok_or_else(|| MalformedAmount { text: text.into(), units: "ms, s, min" })
    }
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits_end)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

fn write_amount(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, size): &&(&str, u64)| *size == 1 || (value >= *size && value.is_multiple_of(*size));
    match units.iter().find(fits) {
        Some((name, size)) => write!(f, "{}{name}", value / size),
        None => write!(f, "{value}"),
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_amount(f, self.0, &BYTE_UNITS)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_amount(f, self.0, &TIME_UNITS)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => Self::parse(&text).map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(ms) => Ok(Self(ms)),
            Written::Text(text) => Self::parse(&text).map_err(de::Error::custom),
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_with_their_unit() {
        assert_eq!(Bytes::parse("32MiB"), Ok(Bytes(32 << 20)));
        assert_eq!(Millis::parse("4s"), Ok(Millis(4_000)));
        for bad in ["", "MiB", "32", "32MB", "-1s", "99999999999999999999ms", "18446744073709551615MiB"] {
            assert!(Bytes::parse(bad).is_err() && Millis::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_as_it_was_written(value in any::<u64>()) {
            prop_assert_eq!(Bytes::parse(&Bytes(value).to_string()), Ok(Bytes(value)));
            prop_assert_eq!(Millis::parse(&Millis(value).to_string()), Ok(Millis(value)));
        }
    }
}
