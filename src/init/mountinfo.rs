//! The lines of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as the end of
//! a system needs them.

use crate::bytes;
use crate::word_list;
use crate::word_list::WordList;

/// File systems that hold nothing which would be lost, and are left alone.
const OF_THE_KERNEL: WordList = word_list!(
    "proc sysfs devtmpfs devpts tmpfs ramfs rootfs cgroup2 bpf securityfs mqueue nsfs configfs debugfs tracefs"
);

/// The place of a mount that has to be unmounted, escapes decoded, in `buffer`, its
/// NUL included; `None` for the root and what is the kernel's own.
pub fn to_unmount<'b>(line: &[u8], buffer: &'b mut [u8]) -> Option<&'b core::ffi::CStr> {
    let mut fields = bytes::split(line, b' ');
    let place = fields.nth(4)?;
    fields.find(|field| *field == b"-")?;
    if place == b"/" || OF_THE_KERNEL.find(fields.next()?).is_some() {
        return None;
    }
    let mut length = 0;
    let mut rest = place;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            // Blanks, newlines and backslashes are three octal digits.
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), behind)
            }
            _ => (*first, behind),
        };
        *buffer.get_mut(length)? = byte;
        length += 1;
        rest = behind;
    }
    *buffer.get_mut(length)? = 0;
    core::ffi::CStr::from_bytes_until_nul(buffer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_unmount() {
        for (line, expected) in [
            ("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw", Some(c"/mnt2")),
            ("36 35 98:0 / /a\\040b\\134\\012 rw - ext4 /dev/vda rw", Some(c"/a b\\\n")),
            ("36 35 98:0 / /a\\04 rw - ext4 /dev/vda rw", Some(c"/a\\04")),
            ("36 35 98:0 / / rw - ext4 /dev/vda rw", None),
            ("36 35 98:0 / /x rw - tmpfs tmpfs rw", None),
            ("36 35 98:0 / /x rw - overlay o rw", Some(c"/x")),
            ("36 35 98:0 / /x rw shared:1", None),
            ("", None),
            ("36 35 98:0 / /x rw -", None),
        ] {
            assert_eq!(to_unmount(line.as_bytes(), &mut [0; 64]), expected, "{line}");
        }
        assert!(to_unmount(b"1 2 3:4 / /long rw - ext4 x rw", &mut [0; 5]).is_none());
    }
}
