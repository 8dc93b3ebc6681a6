//! What no single file's tests can say: the grammar as a table, hostile
//! documents, and the agreement with an independent reader.

mod grammar;
mod hostile;
mod oracle;

/// xorshift64*: the same documents on every machine, from a seed.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }
}
