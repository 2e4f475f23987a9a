//! The store as the driver uses it.

#[cfg(test)]
mod folder;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod model;
#[cfg(test)]
mod records;
#[cfg(test)]
mod samples;
