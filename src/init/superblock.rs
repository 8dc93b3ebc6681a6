//! What a file system calls itself: label and UUID, where its first blocks have
//! them; and the names that partitions have.

use crate::bytes::{decimal, hexadecimal};

/// What a block device is looked for by, and its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag<'a> {
    Label(&'a [u8]),
    Uuid(&'a [u8]),
    /// Of the partition that it is, whatever there is in it.
    PartLabel(&'a [u8]),
    PartUuid(&'a [u8]),
}

/// Reads the bytes at an offset, all that are asked for; `false`: there are not
/// as many.
pub type Read<'a> = dyn FnMut(u64, &mut [u8]) -> bool + 'a;

/// How a file system writes down what UUID= names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As many bytes, in the order of their digits.
    Bytes(usize),
    /// As many bytes, the last first.
    Reversed(usize),
    /// As many digits.
    Digits(usize),
}

/// A file system, by its bytes on the disk.
struct Kind {
    magic: (u32, &'static [u8]),
    uuid: (u32, Form),
    /// Offset and length. What is shorter has NULs or blanks behind it.
    label: (u32, usize),
}

/// The offsets stand in the kernel's headers of each (and ECMA-119, 8.4, the
/// last: its date of modification, which others take for a UUID).
static KINDS: &[Kind] = &[
    // ext2, ext3, ext4
    Kind { magic: (1080, &[0x53, 0xef]), uuid: (1128, Form::Bytes(16)), label: (1144, 16) },
    // erofs
    Kind { magic: (1024, &[0xe2, 0xe1, 0xf5, 0xe0]), uuid: (1072, Form::Bytes(16)), label: (1088, 16) },
    // xfs
    Kind { magic: (0, b"XFSB"), uuid: (32, Form::Bytes(16)), label: (108, 12) },
    // btrfs
    Kind { magic: (65_600, b"_BHRfS_M"), uuid: (65_568, Form::Bytes(16)), label: (65_835, LONGEST) },
    // vfat: 32 bits, then 12 and 16
    Kind { magic: (82, b"FAT32"), uuid: (67, Form::Reversed(4)), label: (71, 11) },
    Kind { magic: (54, b"FAT1"), uuid: (39, Form::Reversed(4)), label: (43, 11) },
    // iso9660
    Kind { magic: (32_769, b"CD001"), uuid: (33_598, Form::Digits(16)), label: (32_808, 32) },
];

/// Bytes of the longest label: btrfs's, its NUL included.
const LONGEST: usize = 256;

/// Whether what is read is a file system of that label or UUID.
pub fn is_called(tag: Tag<'_>, read: &mut Read<'_>) -> bool {
    KINDS.iter().any(|kind| {
        let mut buffer = [0; LONGEST];
        let (offset, magic) = kind.magic;
        if at(read, offset, magic.len(), &mut buffer) != Some(magic) {
            return false;
        }
        match tag {
            Tag::Label(label) => {
                let (offset, length) = kind.label;
                at(read, offset, length, &mut buffer).is_some_and(|bytes| trim(bytes) == trim(label))
            }
            Tag::Uuid(uuid) => {
                let (offset, form) = kind.uuid;
                let (Form::Bytes(length) | Form::Reversed(length) | Form::Digits(length)) = form;
                at(read, offset, length, &mut buffer).is_some_and(|bytes| same_uuid(uuid, bytes, form))
            }
            _ => false,
        }
    })
}

/// So many bytes from an offset on.
fn at<'b>(read: &mut Read<'_>, offset: u32, length: usize, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    let bytes = buffer.get_mut(..length)?;
    read(offset.into(), bytes).then_some(&*bytes)
}

/// A label without what fills it up.
fn trim(label: &[u8]) -> &[u8] {
    label.split(|byte| *byte == 0).next().unwrap_or(label).trim_ascii_end()
}

/// Whether `text`, whose hyphens do not count, stands for `bytes`.
fn same_uuid(text: &[u8], bytes: &[u8], form: Form) -> bool {
    let mut digits = text.iter().copied().filter(|byte| *byte != b'-');
    let mut same = |byte: u8| match form {
        Form::Digits(_) => digits.next() == Some(byte),
        _ => {
            let pair = [digits.next().unwrap_or(0), digits.next().unwrap_or(0)];
            hexadecimal(&pair) == Some(byte.into())
        }
    };
    let all = match form {
        Form::Reversed(_) => bytes.iter().rev().all(|byte| same(*byte)),
        _ => bytes.iter().all(|byte| same(*byte)),
    };
    all && digits.next().is_none()
}

/// Whether the partition `number` of the disk that is read has the UUID `uuid`:
/// in a GPT its unique GUID (UEFI, 5.3.3), in an MBR the disk's signature, a
/// hyphen, and the number in two digits.
pub fn is_partition(uuid: &[u8], number: &[u8], block: u64, read: &mut Read<'_>) -> bool {
    partition(uuid, number, block, read).unwrap_or(false)
}

fn partition(uuid: &[u8], number: &[u8], block: u64, read: &mut Read<'_>) -> Option<bool> {
    let number = decimal(number)?;
    let mut header = [0; 92];
    if read(block, &mut header) && header.starts_with(b"EFI PART") {
        let first = u64::from_le_bytes(*header.get(72..)?.first_chunk()?);
        let size = u32::from_le_bytes(*header.get(84..)?.first_chunk()?);
        let entry = number.checked_sub(1)?.checked_mul(size.into())?;
        let mut guid = [0; 16];
        if !read(first.checked_mul(block)?.checked_add(entry)?.checked_add(16)?, &mut guid) {
            return None;
        }
        // Three numbers with their lowest byte first, then eight bytes.
        for part in [0..4, 4..6, 6..8] {
            guid.get_mut(part)?.reverse();
        }
        return Some(same_uuid(uuid, &guid, Form::Bytes(16)));
    }
    let mut signature = [0; 5];
    if !read(440, signature.first_chunk_mut::<4>()?) {
        return None;
    }
    // The number's byte is the first once they are reversed: put it last.
    signature.first_chunk_mut::<4>()?.reverse();
    *signature.last_mut()? = u8::try_from(number).ok()?;
    Some(same_uuid(uuid, &signature, Form::Bytes(5)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const UUID: [u8; 16] = [0x0a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff];
    const WRITTEN: &[u8] = b"0A010203-0405-0607-0809-0a0b0c0d0eff";

    fn disk(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut disk = vec![0; 70_000];
        for (at, bytes) in parts {
            disk[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        disk
    }

    fn reader(disk: &[u8]) -> impl FnMut(u64, &mut [u8]) -> bool {
        |offset, bytes| match usize::try_from(offset).ok().and_then(|at| disk.get(at..at.checked_add(bytes.len())?)) {
            Some(part) => {
                bytes.copy_from_slice(part);
                true
            }
            None => false,
        }
    }

    fn called(tag: Tag<'_>, disk: &[u8]) -> bool {
        is_called(tag, &mut reader(disk))
    }

    #[test]
    fn file_systems() {
        let date = b"2026112409300000";
        for (name, disk, uuid) in [
            ("ext4", disk(&[(1080, &[0x53, 0xef]), (1128, &UUID), (1144, b"data")]), WRITTEN),
            ("erofs", disk(&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0]), (1072, &UUID), (1088, b"data")]), WRITTEN),
            ("xfs", disk(&[(0, b"XFSB"), (32, &UUID), (108, b"data")]), WRITTEN),
            ("btrfs", disk(&[(65_600, b"_BHRfS_M"), (65_568, &UUID), (65_835, b"data")]), WRITTEN),
            ("fat32", disk(&[(82, b"FAT32   "), (67, &[0xef, 0xbe, 0xad, 0xde]), (71, b"data       ")]), b"DEAD-BEEF"),
            ("fat16", disk(&[(54, b"FAT16   "), (39, &[0xef, 0xbe, 0xad, 0xde]), (43, b"data       ")]), b"dead-beef"),
            ("iso", disk(&[(32_769, b"CD001"), (33_598, date), (32_808, b"data   ")]), b"2026-11-24-09-30-00-00"),
        ] {
            assert!(called(Tag::Label(b"data"), &disk), "{name}");
            assert!(called(Tag::Uuid(uuid), &disk), "{name}");
            for wrong in [&b"dat"[..], b"data2", b""] {
                assert!(!called(Tag::Label(wrong), &disk), "{name}");
            }
            let longer = [uuid, b"0"].concat();
            for wrong in [b"", &uuid[..uuid.len() - 1], &uuid[1..], &longer, b"xyz"] {
                assert!(!called(Tag::Uuid(wrong), &disk), "{name}");
            }
            assert!(!called(Tag::PartUuid(uuid), &disk), "{name}");
        }
    }

    #[test]
    fn a_short_device_is_none() {
        let whole = disk(&[(1080, &[0x53, 0xef]), (1128, &UUID), (1144, b"data")]);
        for end in [0, 1, 54, 1081, 1082, 1143, 1144, 1159] {
            assert!(!called(Tag::Label(b"data"), &whole[..end]), "{end}");
        }
        assert!(called(Tag::Label(b"data"), &whole[..1160]));
    }

    #[test]
    fn partitions() {
        let guid = [3, 2, 1, 0x0a, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 0xff];
        for block in [512usize, 4096] {
            let gpt = disk(&[
                (block, b"EFI PART"),
                (block + 72, &[2]),
                (block + 84, &[128]),
                (2 * block + 128 + 16, &guid),
                (440, &[0x78, 0x56, 0x34, 0x12]),
            ]);
            let is = |uuid: &[u8], number: &str| is_partition(uuid, number.as_bytes(), block as u64, &mut reader(&gpt));
            assert!(is(WRITTEN, "2"));
            assert!(!is(WRITTEN, "1") && !is(WRITTEN, "0") && !is(WRITTEN, "") && !is(WRITTEN, "18446744073709551615"));
            assert!(!is(b"12345678-02", "2"));
        }
        let mbr = disk(&[(440, &[0x78, 0x56, 0x34, 0x12])]);
        let is = |uuid: &[u8], number: &str| is_partition(uuid, number.as_bytes(), 512, &mut reader(&mbr));
        assert!(is(b"12345678-02", "2") && !is(b"12345678-02", "3") && !is(b"12345678", "2"));
        let hostile = disk(&[(512, b"EFI PART"), (584, &[0xff; 20])]);
        assert!(!is_partition(WRITTEN, b"3", 512, &mut reader(&hostile)));
    }
}
