//! The strings that a machine's maker, here a virtual machine's monitor, hands
//! over in its SMBIOS tables (DMTF DSP0134, "OEM Strings").

use crate::bytes;

/// The type of the structures that hold strings of the maker's.
const OEM_STRINGS: u8 = 11;

/// What follows `prefix` in the first string of type 11 that begins so. `table`:
/// the structures one behind the other, as /sys/firmware/dmi/tables/DMI has them.
///
/// A structure is its formatted part, whose length its second byte says, and
/// strings, each ended by a NUL; another NUL ends them.
pub fn oem_string<'a>(table: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let mut rest = table;
    loop {
        let (kind, length) = (*rest.first()?, *rest.get(1)?);
        let strings = rest.get(usize::from(length.max(4))..)?;
        let end = strings.windows(2).position(|pair| pair == [0, 0])?;
        if kind == OEM_STRINGS
            && let Some(found) = bytes::split(strings.get(..end)?, 0).find_map(|string| bytes::after(string, prefix))
        {
            return Some(found);
        }
        rest = strings.get(end + 2..)?;
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

    #[test]
    fn finds_a_string() {
        assert_eq!(oem_string(&table(), "key="), Some(&b"right"[..]));
        assert_eq!(oem_string(&table(), "kex="), Some(&b"1"[..]));
        assert_eq!(oem_string(&table(), "kez="), None);
        assert_eq!(oem_string(b"", "x"), None);
    }

    #[test]
    fn a_cut_table_is_no_trouble() {
        let table = table();
        for length in 0..table.len() {
            let found = oem_string(&table[..length], "key=");
            assert!(found.is_none_or(|found| found == b"right"), "{length}");
        }
        for at in 0..table.len() {
            for byte in [0, 1, 4, 11, 255] {
                let mut broken = table.clone();
                broken[at] = byte;
                let _ = oem_string(&broken, "key=");
            }
        }
    }
}
