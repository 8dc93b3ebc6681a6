//! Where the large objects and arrays of a document end, so that a walk over their
//! neighbours need not read them again.

use crate::limits;

/// Bytes from which on a container counts as large: the walk through a smaller one takes
/// no longer than finding it here would.
const LARGE: u32 = 32;

/// The beginnings and ends of large containers, in the order of the document. Those that
/// come when there is no more room are walked.
pub struct Extents {
    /// Offsets, in which a document's size fits; an end of 0 is still to come.
    places: [(u32, u32); limits::EXTENTS],
    used: usize,
    /// Containers that we are in for which there was no room: the innermost ones.
    missed: usize,
    /// Whether there is a backslash in any string.
    pub(super) has_escapes: bool,
}

impl Extents {
    /// None. All zeros: 1 KiB, which may lie in static memory.
    pub const fn new() -> Extents {
        Extents { places: [(0, 0); limits::EXTENTS], used: 0, missed: 0, has_escapes: false }
    }

    /// Forgets those of another document.
    pub(super) fn clear(&mut self) {
        (self.used, self.missed) = (0, 0);
    }

    /// A container begins at `start`.
    pub(super) fn open(&mut self, start: usize) {
        match self.places.get_mut(self.used) {
            Some(place) => {
                *place = (start as u32, 0);
                self.used += 1;
            }
            None => self.missed += 1,
        }
    }

    /// The innermost container ends before `end`.
    pub(super) fn close(&mut self, end: usize) {
        if self.missed > 0 {
            self.missed -= 1;
            return;
        }
        let end = end as u32;
        let open =
            self.places.get_mut(..self.used).and_then(|places| places.iter_mut().rposition(|(_, end)| *end == 0));
        let Some((index, place)) = open.and_then(|index| Some((index, self.places.get_mut(index)?))) else { return };
        // What is in a small one is small too, and has left already.
        if end.saturating_sub(place.0) < LARGE { self.used = index } else { place.1 = end }
    }

    /// Behind the end of the container that begins at `start`, where it is known.
    #[inline(never)]
    pub(super) fn end(&self, start: usize) -> Option<usize> {
        let places = self.places.get(..self.used)?;
        let index = places.binary_search_by_key(&(start as u32), |place| place.0).ok()?;
        places.get(index).map(|place| place.1 as usize)
    }
}

impl Default for Extents {
    fn default() -> Self {
        Extents::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use crate::limits;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    /// Whatever is remembered, the walk finds the same: documents with more large
    /// containers than there is room for, side by side and one in the other.
    #[test]
    fn the_same_walk_whether_there_is_room_or_not() {
        let blanks = " ".repeat(super::LARGE as usize);
        for count in [0, 1, limits::EXTENTS - 2, limits::EXTENTS - 1, limits::EXTENTS, 3 * limits::EXTENTS] {
            let elements: Vec<String> =
                (0..count).map(|number| format!("{{\"small\":[{number}],\"large\":[[{blanks}],{number}]}}")).collect();
            let text = format!("{{\"list\":[{}],\"behind\":{{\"it\":[{blanks}7]}}}}", elements.join(","));
            let document = Document::of("t", text.as_bytes()).unwrap();
            let root = document.root();
            let list = root.get("list").unwrap();
            assert_eq!(list.items().count(), count);
            for (number, item) in list.items().enumerate() {
                let last = |name| item.get(name).unwrap().items().last().unwrap().as_u64();
                assert_eq!((last("small"), last("large")), (Some(number as u64), Some(number as u64)));
            }
            let behind = root.get("behind").unwrap().get("it").unwrap();
            assert_eq!(behind.items().next().unwrap().as_u64(), Some(7), "{count}");
            assert_eq!(root.members().count(), 2);
        }
        // One in the other, with room for some, or for none.
        for (before, depth) in [(0, limits::NESTING - 1), (limits::EXTENTS - 9, 40), (limits::EXTENTS, 2)] {
            let large = format!("[{blanks}],").repeat(before);
            let text = format!("[{large}{}{blanks}1{},2]", "[".repeat(depth), "]".repeat(depth));
            let document = Document::of("t", text.as_bytes()).unwrap();
            assert_eq!(document.root().items().count(), before + 2);
            assert_eq!(document.root().items().last().unwrap().as_u64(), Some(2));
        }
    }
}
