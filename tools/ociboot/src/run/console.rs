//! What the guest's console tells besides its text: whether the kernel speaks,
//! why it panicked, and the outcome, where nothing else brought it. Pure.

use super::outcome::Event;

/// Bytes of the console's end that are kept for the reason of a failure.
const KEPT: usize = 64 << 10;

/// A line longer than this is not looked at as a whole: noise, not the kernel.
const LINE: usize = 8 << 10;

/// The console, as far as it has come.
#[derive(Default)]
pub struct Console {
    tail: Vec<u8>,
    line: Vec<u8>,
    /// Bytes in all.
    pub seen: u64,
    pub panic: Option<String>,
    /// Why the kernel has not unpacked all of the initramfs.
    pub not_unpacked: Option<String>,
    pub outcome: Option<Event>,
    last: String,
}

impl Console {
    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * KEPT {
            self.tail.drain(..self.tail.len() - KEPT);
        }
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        if let Some(text) = panic_text(&line) {
            // The first one is the cause.
            self.panic.get_or_insert(text);
        }
        if let Some(text) = not_unpacked(&line) {
            self.not_unpacked.get_or_insert(text);
        }
        if let Some(event) = Event::on_console(&line) {
            self.outcome = Some(event);
        }
        if !line.is_empty() {
            self.last = line;
        }
    }

    /// The last line that has something in it.
    pub fn last_line(&self) -> &str {
        &self.last
    }

    /// The last bytes, for reports.
    pub fn tail(&self) -> String {
        let from = self.tail.len().saturating_sub(KEPT);
        String::from_utf8_lossy(&self.tail[from..]).into_owned()
    }
}

/// What the kernel said as it panicked.
fn panic_text(line: &str) -> Option<String> {
    let at = line.find("Kernel panic - not syncing: ")?;
    let text = &line[at + "Kernel panic - not syncing: ".len()..];
    // "---[ end Kernel panic - not syncing: … ]---" repeats it.
    (!line.contains("---[ end")).then(|| text.trim().to_owned())
}

/// The reason of what fails for want of memory before there is an init.
pub const TOO_SMALL: &str = "the guest's memory is too small for the image: --memory";

/// What the kernel said as it gave up unpacking the initramfs (init/initramfs.c), as a
/// sentence. It goes on with what it has.
fn not_unpacked(line: &str) -> Option<String> {
    let after = |words: &str| line.split_once(words).map(|(_, rest)| rest.trim());
    let why = match after("Initramfs unpacking failed: ") {
        Some(why) => why,
        // A kernel with RAM disks takes the rest for the image of one.
        None => after("rootfs image is not initramfs (")?.split(')').next()?,
    };
    let memory = matches!(why.to_ascii_lowercase().as_str(), "write error" | "out of memory");
    Some(if memory { TOO_SMALL.into() } else { format!("the kernel cannot unpack the initramfs: {why}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut console = Console::default();
        console.take(b"[    0.1] hel");
        assert_eq!(console.last_line(), "");
        console.take(b"lo\r\n\r\n");
        assert_eq!(console.last_line(), "[    0.1] hello");
        console.take(b"[    1.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n");
        console.take(b"[    1.6] ---[ end Kernel panic - not syncing: another ]---\n");
        assert_eq!(console.panic.as_deref(), Some("Attempted to kill init! exitcode=0x00000100"));
        console.take(br#"ocinit-outcome: {"event":"outcome","result":"exit","status":3,"us":1}"#);
        assert!(console.outcome.is_none(), "the line has not ended");
        console.take(b"\n");
        assert!(console.outcome.is_some());
    }

    #[test]
    fn what_was_not_unpacked() {
        for (line, expected) in [
            ("[    1.0] Initramfs unpacking failed: write error", Some("the guest's memory is too small")),
            (
                "[    1.0] Initramfs unpacking failed: invalid magic at start of compressed archive",
                Some("invalid magic"),
            ),
            ("rootfs image is not initramfs (write error); looks like an initrd", Some("the guest's memory")),
            (
                "rootfs image is not initramfs (no cpio magic); looks like an initrd",
                Some("unpack the initramfs: no cpio magic"),
            ),
            ("Unpacking initramfs...", None),
        ] {
            let mut console = Console::default();
            console.take(format!("{line}\r\n").as_bytes());
            let found = console.not_unpacked.as_deref();
            assert_eq!(found.is_some(), expected.is_some(), "{line}");
            assert!(found.unwrap_or("").contains(expected.unwrap_or("")), "{line}: {found:?}");
        }
    }

    #[test]
    fn noise_takes_bounded_room() {
        let mut console = Console::default();
        for _ in 0..1000 {
            console.take(&[0xff; 1000]);
        }
        assert_eq!(console.seen, 1_000_000);
        assert!(console.tail.len() <= 2 * KEPT + 1000);
        assert!(console.line.len() <= LINE);
        assert!(console.tail().chars().count() <= KEPT);
    }
}
