//! The connection against a real broker: mosquitto, as a child of each test.

#[cfg(test)]
mod mosquitto;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod promises;
