//! The connection table: a slab in chunks, whose keys carry a generation.
//!
//! It grows by whole chunks and never moves a slot, so that the hundred-thousandth accept costs what the first did. Keys of
//! connections that have ended find nothing.

use crate::ids::ConnKey;

const CHUNK: usize = 256;

/// Slots of `T`, found by [`ConnKey`].
#[derive(Debug)]
pub struct Table<T> {
    chunks: Vec<Box<[Entry<T>]>>,
    /// Head of the list of vacant entries.
    vacant: Option<u32>,
    len: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Vacant { next: Option<u32> },
    Taken(T),
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), vacant: None, len: 0 }
    }
}

impl<T> Table<T> {
    /// Slots taken.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True exactly when no slot is taken.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One past the highest index ever taken.
    pub fn extent(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Takes a slot for what `make` returns of its key. Costs one allocation each 256 slots beyond the peak.
    pub fn insert_with(&mut self, make: impl FnOnce(ConnKey) -> T) -> ConnKey {
        let index = match self.vacant {
            Some(index) => index,
            None => self.grow(),
        };
        let entry = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
        let Content::Vacant { next } = entry.content else {
            unreachable!("the vacant list holds vacant entries");
        };
        self.vacant = next;
        self.len += 1;
        let key = ConnKey { index, generation: entry.generation };
        entry.content = Content::Taken(make(key));
        key
    }

    /// The slot of `key`; `None` once it was removed.
    pub fn get_mut(&mut self, key: ConnKey) -> Option<&mut T> {
        let entry = self.entry_mut(key.index)?;
        match &mut entry.content {
            Content::Taken(slot) if entry.generation == key.generation => Some(slot),
            _ => None,
        }
    }

    /// The slot at `index` and its key, whoever has it now.
    pub fn at_mut(&mut self, index: u32) -> Option<(ConnKey, &mut T)> {
        let entry = self.entry_mut(index)?;
        let key = ConnKey { index, generation: entry.generation };
        match &mut entry.content {
            Content::Taken(slot) => Some((key, slot)),
            Content::Vacant { .. } => None,
        }
    }

    /// Every taken slot, by index.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnKey, &mut T)> {
        self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut()).zip(0..).filter_map(
            |(entry, index)| {
                let key = ConnKey { index, generation: entry.generation };
                match &mut entry.content {
                    Content::Taken(slot) => Some((key, slot)),
                    Content::Vacant { .. } => None,
                }
            },
        )
    }

    /// Empties the slot of `key`.
    pub fn remove(&mut self, key: ConnKey) -> Option<T> {
        self.get_mut(key)?;
        let vacant = Content::Vacant { next: self.vacant };
        let entry = self.entry_mut(key.index)?;
        entry.generation = entry.generation.wrapping_add(1);
        let Content::Taken(slot) = std::mem::replace(&mut entry.content, vacant) else {
            return None;
        };
        self.vacant = Some(key.index);
        self.len -= 1;
        Some(slot)
    }

    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<T>> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    fn grow(&mut self) -> u32 {
        let first = self.extent();
        let last = first + CHUNK as u32 - 1;
        self.chunks.push(
            (first..=last)
                .map(|index| Entry {
                    generation: 0,
                    content: Content::Vacant { next: (index < last).then_some(index + 1) },
                })
                .collect(),
        );
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_kept_past_its_end_finds_nothing() {
        let mut table = Table::default();
        let old = table.insert_with(|_| 'a');
        assert_eq!(table.remove(old), Some('a'));
        let new = table.insert_with(|_| 'b');
        assert_eq!(new.index, old.index);
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get_mut(new), Some(&mut 'b'));
    }

    proptest! {
        #[test]
        fn the_table_is_a_map(ops in proptest::collection::vec((any::<bool>(), any::<u16>()), 1..2_000)) {
            let mut table = Table::default();
            let mut model: Vec<(ConnKey, u16)> = Vec::new();
            for (insert, value) in ops {
                if insert || model.is_empty() {
                    model.push((table.insert_with(|_| value), value));
                } else {
                    let (key, expect) = model.swap_remove(value as usize % model.len());
                    prop_assert_eq!(table.remove(key), Some(expect));
                    prop_assert_eq!(table.get_mut(key), None);
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for (key, value) in model {
                prop_assert!(key.index < table.extent());
                prop_assert_eq!(table.at_mut(key.index), Some((key, &mut value.clone())));
                prop_assert_eq!(table.get_mut(key).copied(), Some(value));
            }
        }
    }
}
