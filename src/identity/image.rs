//! What another file the kernel opens to execute a file: a script's
//! interpreter (execve(2), "Interpreter scripts") or a program's (elf(5)).

use crate::bytes;

/// Bytes of a file that are looked at: the kernel's own BINPRM_BUF_SIZE and, of a
/// program, room for as many headers as any linker was seen to write.
pub const HEAD: usize = 1024;
/// As many of them can name a script's interpreter.
const SCRIPT_HEAD: usize = 256;

/// Where a program's interpreter is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProgramHeaders {
    /// Bytes from the start of the file to the first header.
    pub offset: u64,
    /// Bytes of one header.
    pub size: u64,
    pub count: u64,
    wide: bool,
}

/// The path behind `#!`, as the kernel takes it from the first bytes.
pub fn script_interpreter(head: &[u8]) -> Option<&[u8]> {
    let (line, _) = bytes::cut(bytes::after(head.get(..SCRIPT_HEAD).unwrap_or(head), "#!")?, b'\n');
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let path = line.get(line.iter().position(|byte| !blank(byte))?..)?;
    let end = path.iter().position(|byte| blank(byte) || *byte == 0).unwrap_or(path.len());
    path.get(..end).filter(|path| !path.is_empty())
}

/// The program headers of an ELF file with the lowest byte first.
pub fn program_headers(head: &[u8]) -> Option<ProgramHeaders> {
    let wide = match head.get(..5)? {
        [0x7f, b'E', b'L', b'F', 1] => false,
        [0x7f, b'E', b'L', b'F', 2] => true,
        _ => return None,
    };
    let (offset, size, count) = if wide { (32, 54, 56) } else { (28, 42, 44) };
    Some(ProgramHeaders {
        offset: number_at(head, offset, if wide { 8 } else { 4 }),
        size: number_at(head, size, 2),
        count: number_at(head, count, 2),
        wide,
    })
}

impl ProgramHeaders {
    /// Where in the file the interpreter's path stands and how long it is, if
    /// `header` is the one that says so (PT_INTERP).
    pub fn interpreter(&self, header: &[u8]) -> Option<(u64, u64)> {
        const PT_INTERP: u64 = 3;
        if number_at(header, 0, 4) != PT_INTERP {
            return None;
        }
        let (place, length, size) = if self.wide { (8, 32, 8) } else { (4, 16, 4) };
        Some((number_at(header, place, size), number_at(header, length, size)))
    }
}

/// The number of `size` bytes, the lowest first, at the place `at`; 0 if there
/// are less: no headers, or a path without a byte.
#[inline(never)]
fn number_at(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|rest| rest.get(..size)).unwrap_or(&[]);
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(not(target_endian = "little"))]
compile_error!("a program's numbers are read as on little-endian machines");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_behind_the_hash_and_bang() {
        for (head, expected) in [
            ("#!/bin/sh\necho", Some("/bin/sh")),
            ("#! \t/bin/sh -e\n", Some("/bin/sh")),
            ("#!/proc/self/exe", Some("/proc/self/exe")),
            ("#!relative\n", Some("relative")),
            ("#!/bin/sh\0x\n", Some("/bin/sh")),
            ("#!\n/bin/sh", None),
            ("#!   \n", None),
            ("#!", None),
            ("# !/bin/sh\n", None),
            ("", None),
        ] {
            assert_eq!(script_interpreter(head.as_bytes()), expected.map(str::as_bytes), "{head:?}");
        }
    }

    #[test]
    fn the_interpreter_of_a_program() {
        // The test program itself is linked dynamically.
        let file = std::fs::read("/proc/self/exe").unwrap();
        let headers = program_headers(&file[..HEAD]).unwrap();
        let found = (0..headers.count).find_map(|index| {
            let at = headers.offset as usize + (index * headers.size) as usize;
            headers.interpreter(&file[at..at + headers.size as usize])
        });
        let (at, length) = found.unwrap();
        let path = &file[at as usize..(at + length) as usize];
        assert!(path.starts_with(b"/") && path.ends_with(b"\0"));
    }

    #[test]
    fn what_is_too_short_is_nothing() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        for length in 0..64 {
            let _ = program_headers(&file[..length]);
        }
        assert!(program_headers(&file[..32]).is_none_or(|headers| headers.count == 0));
        assert!(program_headers(b"\x7fELF\x03 and so on").is_none());
        let headers = ProgramHeaders { offset: 0, size: 56, count: 1, wide: true };
        assert_eq!(headers.interpreter(&[3, 0, 0, 0, 1, 2]), Some((0, 0)), "a path without a byte");
        let narrow = ProgramHeaders { offset: 0, size: 32, count: 1, wide: false };
        let header = [3u32, 100, 0, 0, 20].map(u32::to_ne_bytes).concat();
        assert_eq!(narrow.interpreter(&header), Some((100, 20)));
    }
}
