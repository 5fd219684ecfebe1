//! A table of a few hundred names at most, that costs one comparison to ask: a name is found by its
//! mark, and then compared.

use crate::protocol::json::Mark;

/// Names, and what is known about each.
pub(super) struct Table<T> {
    entries: Vec<Entry<T>>,
    /// Mixed mark -> 1 + place in `entries`; 0: none. Twice as long as the list at least.
    slots: Vec<u16>,
}

/// A name of a table.
pub(super) struct Entry<T> {
    pub mark: Mark,
    pub name: Box<str>,
    pub about: T,
}

impl<T> Table<T> {
    /// Of names that are told apart; of two alike only the first is found.
    pub fn new(all: impl IntoIterator<Item = (String, T)>) -> Result<Self, String> {
        let entry =
            |(name, about): (String, T)| Entry { mark: Mark::of(&name), name: name.into(), about };
        let entries: Vec<Entry<T>> = all.into_iter().map(entry).collect();
        let mut slots = vec![0; (entries.len() * 2 + 1).next_power_of_two()];
        for (place, entry) in entries.iter().enumerate() {
            let mut at = entry.mark.mixed() % slots.len();
            while slots[at] != 0 {
                at = (at + 1) % slots.len();
            }
            slots[at] = u16::try_from(place + 1).map_err(|_| "too many names")?;
        }
        Ok(Self { entries, slots })
    }

    /// What is known about a name with this mark.
    pub fn find(&self, mark: Mark, name: &str) -> Option<&T> {
        // There always is a free slot, so this ends.
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = mark.mixed() & mask;
        loop {
            let place = usize::from(*self.slots.get(at)?).checked_sub(1)?;
            let entry = self.entries.get(place)?;
            if entry.mark == mark && *entry.name == *name {
                return Some(&entry.about);
            }
            at = (at + 1) & mask;
        }
    }

    /// All, in their order.
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }
}
