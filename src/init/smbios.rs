//! The strings that a machine's maker, here a virtual machine's monitor, hands
//! over in its SMBIOS tables (DMTF DSP0134, "OEM Strings"), and the credentials
//! among them (smbios-type-11(7)).

use crate::bytes;

/// The type of the structures that hold strings of the maker's.
const OEM_STRINGS: u8 = 11;

/// Bytes of a string that are kept: the name of a credential and a short value,
/// in base64.
const STRING: usize = 192;

/// The structures one behind the other, as /sys/firmware/dmi/tables/DMI has them,
/// taken byte by byte: a table may be of any size.
///
/// A structure is its formatted part, whose length its second byte says, and
/// strings, each ended by a NUL; another NUL ends them.
pub struct Structures {
    /// Bytes of the present one, so far.
    at: usize,
    kind: u8,
    length: u8,
    /// The byte before, where that is one of a string.
    last: u8,
    string: heapless::Vec<u8, STRING>,
}

impl Structures {
    pub const fn new() -> Structures {
        Structures { at: 0, kind: 0, length: 4, last: 1, string: heapless::Vec::new() }
    }

    /// Takes the next byte. Gives a string of type 11 when it has come to its end.
    pub fn take(&mut self, byte: u8) -> Option<&[u8]> {
        match self.at {
            0 => self.kind = byte,
            1 => self.length = byte.max(4),
            _ => {}
        }
        self.at = self.at.saturating_add(1);
        if self.at <= self.length.into() {
            return None;
        }
        if self.last == 0 {
            self.string.clear();
        }
        let last = core::mem::replace(&mut self.last, byte);
        if byte != 0 {
            // One that is too long ends in what no value has in it.
            if self.string.push(byte).is_err()
                && let Some(last) = self.string.last_mut()
            {
                *last = 0;
            }
            return None;
        }
        if last == 0 {
            *self = Structures::new();
            return None;
        }
        Some(&*self.string).filter(|_| self.kind == OEM_STRINGS)
    }
}

/// The value of the credential `name`, where `string` is one: as it is, or decoded
/// into `room`. One that cannot be decoded is a word that says so.
pub fn credential<'b>(string: &'b [u8], name: &str, room: &'b mut [u8]) -> Option<&'b [u8]> {
    let (encoding, rest) = bytes::cut(bytes::after(string, "io.systemd.credential")?, b':');
    let value = bytes::after(bytes::after(rest?, name)?, "=")?;
    match encoding {
        b"" => Some(value),
        b".binary" => Some(bytes::base64(value, room).unwrap_or(b"(not base64)")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn table() -> Vec<u8> {
        let mut table = Vec::new();
        // A structure without strings, one of another type with a string, and two of ours.
        table.extend([0, 5, 0, 0, 9, 0, 0]);
        table.extend(b"\x01\x04\x01\x00key=wrong\0\0");
        table.extend(b"\x0b\x05\x02\x00\x02other\0kex=1\0\0");
        table.extend(b"\x0b\x05\x03\x00\x01key=right\0\0");
        table.extend([127, 4, 4, 0, 0, 0]);
        table
    }

    fn strings(table: &[u8]) -> Vec<Vec<u8>> {
        let mut structures = Structures::new();
        table.iter().filter_map(|byte| structures.take(*byte).map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn finds_strings() {
        assert_eq!(strings(&table()), [&b"other"[..], b"kex=1", b"key=right"]);
        assert!(strings(b"").is_empty());
        // A table of more than any buffer, and a string of more than is kept.
        let mut long = Vec::new();
        for _ in 0..2000 {
            long.extend(b"\x01\x08\x01\x00\x01\x02\x03\x04Some maker\0Some machine\0\0");
        }
        long.extend(b"\x0b\x05\x02\x00\x02");
        long.extend([b'x'; 1000]);
        long.extend(b"\0behind\0\0");
        let found = strings(&long);
        assert_eq!(found[1..], [b"behind"]);
        assert_eq!((found[0].len(), found[0].last()), (STRING, Some(&0)));
    }

    #[test]
    fn a_cut_or_broken_table_is_no_trouble() {
        let table = table();
        for length in 0..table.len() {
            assert!(strings(&table[..length]).len() <= 3);
        }
        for at in 0..table.len() {
            for byte in [0, 1, 4, 11, 255] {
                let mut broken = table.clone();
                broken[at] = byte;
                let _ = strings(&broken);
            }
        }
    }

    #[test]
    fn credentials() {
        let mut room = [0; 16];
        for (string, value) in [
            ("io.systemd.credential:name=value", Some("value")),
            ("io.systemd.credential.binary:name=dmFsdWU=", Some("value")),
            ("io.systemd.credential.binary:name=value?", Some("(not base64)")),
            ("io.systemd.credential.binary:name=QUFBQUFBQUFBQUFBQUFBQUFBQUE=", Some("(not base64)")),
            ("io.systemd.credential:name", None),
            ("io.systemd.credential:names=value", None),
            ("io.systemd.credential.other:name=value", None),
            ("io.systemd.credentials:name=value", None),
            ("name=value", None),
        ] {
            assert_eq!(credential(string.as_bytes(), "name", &mut room), value.map(str::as_bytes), "{string}");
        }
    }
}
