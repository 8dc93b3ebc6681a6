//! Strings for the kernel, laid one behind the other in one buffer.

use core::ffi::CStr;

use crate::error::Result;
use crate::json::Text;
use crate::{fail, limits};

/// Strings laid one behind the other, each as the kernel takes it. They live as
/// long as the buffer; none is ever given back.
pub struct Arena<'a> {
    free: &'a mut [u8],
}

impl<'a> Arena<'a> {
    /// Over a buffer of zeros or anything else.
    pub fn new(buffer: &'a mut [u8]) -> Arena<'a> {
        Arena { free: buffer }
    }

    /// The decoded string and its NUL.
    ///
    /// # Errors
    /// The arena is full: the limit and the place of the string.
    pub fn text(&mut self, text: Text<'_>) -> Result<&'a CStr> {
        let length = text.c_str(self.free)?.to_bytes_with_nul().len();
        self.split(length)
    }

    /// The parts, joined.
    ///
    /// # Errors
    /// The arena is full: names the limit.
    pub fn join(&mut self, parts: &[&[u8]]) -> Result<&'a CStr> {
        let mut length = 0;
        for byte in parts.iter().copied().flatten().chain(&[0]) {
            match self.free.get_mut(length) {
                Some(place) => *place = *byte,
                None => return Err(full()),
            }
            length += 1;
        }
        self.split(length)
    }

    fn split(&mut self, length: usize) -> Result<&'a CStr> {
        let free = core::mem::take(&mut self.free);
        let (string, rest) = free.split_at_mut_checked(length).ok_or_else(full)?;
        self.free = rest;
        let whole = CStr::from_bytes_until_nul(string).ok().filter(|text| text.count_bytes() + 1 == length);
        whole.ok_or_else(|| fail!("a string for the kernel holds a NUL character"))
    }
}

#[cold]
fn full() -> crate::error::Error {
    fail!("the strings of the configuration take more than the limit of {} bytes", limits::STRING_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_gives_out_what_it_has() {
        let mut buffer = [1; 10];
        let mut arena = Arena::new(&mut buffer);
        assert_eq!(arena.join(&[b"ab", b"", b"c"]).unwrap(), c"abc");
        assert_eq!(arena.join(&[b"12345"]).unwrap(), c"12345");
        assert!(arena.join(&[b""]).is_err());
        let mut buffer = [1; 10];
        assert!(Arena::new(&mut buffer).join(&[b"a\0b"]).is_err());
    }
}
