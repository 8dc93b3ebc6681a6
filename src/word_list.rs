//! Lists of words, such as the names that a document may use.
//!
//! A list is one byte string, each word behind its length: a table of `&str` would
//! cost sixteen bytes a word before the word itself, and a string would have to be
//! read to get past its words.

/// Some words, in their order: see [`word_list!`](crate::word_list!).
#[derive(Clone, Copy)]
pub struct WordList(&'static [u8]);

/// The list of the words in a string literal, with one blank between each other. Two
/// blanks, or one at an end, make an empty word.
///
/// With `@` before it, of any constant string that has a blank before each word.
#[macro_export]
macro_rules! word_list {
    ($text:literal) => { $crate::word_list!(@concat!(" ", $text)) };
    (@$text:expr) => {{
        const TEXT: &str = $text;
        const PACKED: [u8; TEXT.len()] = $crate::word_list::pack(TEXT);
        $crate::word_list::WordList::of(&PACKED)
    }};
}

/// Puts the length of each word in the place of the blank before it. At compile time.
pub const fn pack<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    assert!(text.len() == N && N > 0 && text[0] == b' ');
    let mut packed = [0; N];
    let (mut start, mut at) = (0, 1);
    while at < N {
        if text[at] == b' ' {
            start = at;
        } else {
            packed[at] = text[at];
            assert!(packed[start] < u8::MAX);
            packed[start] += 1;
        }
        at += 1;
    }
    packed
}

impl WordList {
    /// For [`word_list!`](crate::word_list!).
    pub const fn of(packed: &'static [u8]) -> WordList {
        WordList(packed)
    }

    /// The words.
    pub const fn iter(self) -> Words {
        Words(self.0)
    }

    /// The word number `index`.
    pub fn get(self, index: usize) -> Option<&'static str> {
        self.iter().nth(index)
    }

    /// The index of `word`.
    #[inline(never)]
    pub fn find(self, word: &[u8]) -> Option<usize> {
        self.finder().find(word)
    }

    /// For looking up several words.
    pub const fn finder(self) -> Finder {
        Finder { list: self, rest: self.0, index: 0 }
    }

    /// The index of a word that is there, at compile time.
    pub const fn index_of(self, word: &str) -> usize {
        let (mut rest, mut index) = (self.0, 0);
        while let Some((this, behind)) = next(rest) {
            if same(this, word.as_bytes()) {
                return index;
            }
            (rest, index) = (behind, index + 1);
        }
        panic!("no such word")
    }
}

/// The words of a list, one after the other.
#[derive(Clone)]
pub struct Words(&'static [u8]);

impl Iterator for Words {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let (word, behind) = next(self.0)?;
        self.0 = behind;
        core::str::from_utf8(word).ok()
    }
}

/// Finds words, one after the other: documents have their members in the order of our
/// tables more often than not, so that each is looked for behind the last one first.
pub struct Finder {
    list: WordList,
    /// Behind the word that was found last.
    rest: &'static [u8],
    index: usize,
}

impl Finder {
    /// The index of `word`.
    pub fn find(&mut self, word: &[u8]) -> Option<usize> {
        self.find_before(word, None)
    }

    /// The index of the word that `text` begins with if `end` comes next, or nothing.
    #[inline(never)]
    pub fn find_before(&mut self, text: &[u8], end: Option<u8>) -> Option<usize> {
        loop {
            let (mut rest, mut index) = (self.rest, self.index);
            while let Some((this, behind)) = next(rest) {
                rest = behind;
                if text.get(this.len()).copied() == end && text.starts_with(this) {
                    (self.rest, self.index) = (rest, index + 1);
                    return Some(index);
                }
                index += 1;
            }
            if self.index == 0 {
                return None;
            }
            (self.rest, self.index) = (self.list.0, 0);
        }
    }
}

/// The first word, and what follows it.
const fn next(packed: &'static [u8]) -> Option<(&'static [u8], &'static [u8])> {
    match packed.split_first() {
        Some((length, rest)) => rest.split_at_checked(*length as usize),
        None => None,
    }
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn words_and_their_places() {
        const LIST: WordList = word_list!("one two ");
        assert_eq!(LIST.find(b"two"), Some(1));
        assert_eq!(LIST.find(b""), Some(2));
        assert_eq!(word_list!("one two").find(b""), None);
        assert_eq!(LIST.find(b"tw"), None);
        assert_eq!(LIST.find(b"twos"), None);
        assert_eq!(word_list!("on one").find(b"one"), Some(1));
        assert_eq!(word_list!("one on").find(b"on"), Some(1));
        assert_eq!((LIST.get(1), LIST.get(2), LIST.get(3)), (Some("two"), Some(""), None));
        assert_eq!(LIST.index_of("two"), 1);
        assert_eq!(word_list!(" a  b").iter().collect::<Vec<_>>(), ["", "a", "", "b"]);
        assert_eq!(word_list!(@" a b").iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn one_after_the_other() {
        let mut finder = word_list!("one two three ").finder();
        for (word, index) in [
            ("two", Some(1)),
            ("three", Some(2)),
            ("one", Some(0)),
            ("four", None),
            ("", Some(3)),
            ("two", Some(1)),
            ("two", Some(1)),
        ] {
            assert_eq!(finder.find(word.as_bytes()), index, "{word}");
        }
    }
}
