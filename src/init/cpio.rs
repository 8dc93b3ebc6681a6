//! A cpio archive of the form "newc" (cpio(5), the kernel's
//! initramfs buffer format), as far as it is written.

use crate::bytes::Printed;

/// What stands in front of a file.
pub struct Header {
    pub number: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    pub size: u32,
    /// Bytes of the name, without its NUL.
    pub name: usize,
}

/// Bytes of a header.
pub const HEADER: usize = 110;

/// The name of the archive's last entry.
pub const TRAILER: &[u8] = b"TRAILER!!!";

impl Header {
    /// Its text.
    pub fn text(&self) -> Printed<{ HEADER + 1 }> {
        let Header { number, mode, uid, gid, mtime, size, name } = self;
        let mut text = Printed::of(format_args!("070701"));
        for value in [*number, *mode, *uid, *gid, 1, *mtime, *size, 0, 0, 0, 0, *name as u32 + 1, 0] {
            text.add(format_args!("{value:08X}")); // it fits: 13 of eight digits
        }
        text
    }
}

/// Zeros behind so many bytes, up to the next multiple of four.
pub fn padding(length: usize) -> &'static [u8] {
    match length % 4 {
        0 => &[],
        1 => &[0; 3],
        2 => &[0; 2],
        _ => &[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header() {
        let header = Header { number: 1, mode: 0o100_644, uid: 0, gid: 10, mtime: 0x5f, size: 255, name: 3 };
        let text = header.text();
        assert_eq!(text.as_bytes().len(), HEADER);
        assert_eq!(
            text.as_str(),
            "07070100000001000081A4000000000000000A000000010000005F000000FF00000000000000000000000000000000\
             0000000400000000"
        );
    }

    #[test]
    fn padding_makes_multiples_of_four() {
        for length in 0..16 {
            assert_eq!((length + padding(length).len()) % 4, 0);
            assert!(padding(length).len() < 4);
        }
    }
}
