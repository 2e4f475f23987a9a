//! Sets of ids, looked at 64 ids at a time: a vocabulary has hundreds of thousands, and each step asks about all of them.

/// Ids that are looked at together.
pub(crate) const STRIDE: usize = 64;

/// A set of ids, a bit for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IdSet {
    strides: Vec<u64>,
}

impl IdSet {
    /// Whether an id is in it.
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.stride(place(id) / STRIDE) >> (place(id) % STRIDE) & 1 == 1
    }

    /// A bit for each of the ids from `64 × stride` on, the first in the lowest.
    pub(crate) fn stride(&self, stride: usize) -> u64 {
        self.strides.get(stride).copied().unwrap_or(0)
    }

    /// Its ids, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).take(self.strides.len() * STRIDE).filter(|id| self.contains(*id))
    }
}

impl FromIterator<u32> for IdSet {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            let (stride, bit) = (place(id) / STRIDE, place(id) % STRIDE);
            if set.strides.len() <= stride {
                set.strides.resize(stride + 1, 0);
            }
            set.strides[stride] |= 1 << bit;
        }
        set
    }
}

/// A bit for each of the ids from `64 × stride` on, set for one id alone.
pub(crate) fn alone(id: u32, stride: usize) -> u64 {
    if place(id) / STRIDE == stride { 1 << (place(id) % STRIDE) } else { 0 }
}

fn place(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_was_put_into_it(ids in proptest::collection::btree_set(0_u32..300, 0..20), other in 0_u32..400) {
            let set: IdSet = ids.iter().copied().collect();
            prop_assert_eq!(set.contains(other), ids.contains(&other));
            prop_assert!(set.iter().eq(ids));
        }
    }
}
