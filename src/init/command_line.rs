//! What the kernel's command line and /ocinit/cmdline ask for.
//!
//! Both texts are kept as they are, and walked again for what may be given any
//! number of times. Words that do not begin with `ocinit.` are somebody else's; one
//! of ours that is unknown or has no such value is a mistake: what was meant is not
//! known, and it may have been a limit.

use core::ffi::CStr;

use crate::bytes;
use crate::error::{Error, Lossy, Result};
use crate::lifecycle::Arena;
use crate::word_list;
use crate::word_list::WordList;
use crate::{fail, words};

/// A word of a line, cut as the kernel cuts it (parse_args in kernel/params.c):
/// at blanks outside of double quotes; quotes around the whole or around the
/// value are taken off.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
    /// Bytes from the start of the line to the value, or to the name where there
    /// is none.
    at: usize,
}

/// The words of a line.
#[derive(Clone)]
pub struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    pub fn of(line: &'a [u8]) -> Words<'a> {
        Words { line, at: 0 }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Word<'a>> {
        let line = self.line;
        let byte = |at: usize| line.get(at).copied();
        let mut start = self.at;
        while byte(start).is_some_and(|byte| byte.is_ascii_whitespace()) {
            start += 1;
        }
        byte(start)?;
        let quoted = byte(start) == Some(b'"');
        start += usize::from(quoted);
        let (mut at, mut in_quotes, mut equals) = (start, quoted, None);
        while let Some(byte) = byte(at).filter(|byte| in_quotes || !byte.is_ascii_whitespace()) {
            in_quotes ^= byte == b'"';
            if byte == b'=' && equals.is_none() && at > start {
                equals = Some(at);
            }
            at += 1;
        }
        self.at = at;
        let mut end = at;
        if quoted && end > start && byte(end - 1) == Some(b'"') {
            end -= 1;
        }
        let Some(equals) = equals else {
            return Some(Word { name: line.get(start..end)?, value: None, at: start });
        };
        let mut from = equals + 1;
        if byte(from) == Some(b'"') && from < end {
            from += 1;
            if end > from && byte(end - 1) == Some(b'"') {
                end -= 1;
            }
        }
        Some(Word { name: line.get(start..equals)?, value: line.get(from..end), at: from })
    }
}

/// The two texts, the one that wins last.
#[derive(Clone, Copy)]
pub struct CommandLine {
    file: &'static [u8],
    kernel: &'static [u8],
    /// One bit for each name that is on it, as far as that is known.
    given: u32,
}

const _: () = assert!(ALL.len() <= u32::BITS as usize);

const SOURCES: [&str; 2] = ["/ocinit/cmdline", "kernel command line"];

/// The options' names. Each is a [`Name`] by its place here.
const NAMES: WordList = word_list!(
    "bundle units mount mount-timeout modules address gateway dns dhcp hostname env cwd user timeout \
                     on-exit status stdin stdout stderr terminal console-size artifacts log trace"
);

macro_rules! names {
    ($($name:ident)*) => {
        /// An option, in the order of [`NAMES`].
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Name { $($name),* }
        const ALL: &[Name] = &[$(Name::$name),*];
    };
}

names! {
    Bundle Units Mount MountTimeout Modules Address Gateway Dns Dhcp Hostname Env Cwd User Timeout
    OnExit Status Stdin Stdout Stderr Terminal ConsoleSize Artifacts Log Trace
}

/// Where something is written to or read from.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Target<'a> {
    #[default]
    Console,
    Null,
    /// The virtio-serial port of that name.
    Virtio(&'a [u8]),
    /// Of a unit only.
    File(&'a [u8]),
    /// Of our own messages only: the kernel's log.
    Kmsg,
}

/// `console`, `null`, `virtio:NAME`.
pub fn target(text: &[u8]) -> Option<Target<'_>> {
    match text {
        b"console" => Some(Target::Console),
        b"null" => Some(Target::Null),
        _ => bytes::after(text, "virtio:").filter(|name| !name.is_empty()).map(Target::Virtio),
    }
}

/// A way to tell the outside how it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Channel<'a> {
    Virtio(&'a [u8]),
    Vsock {
        cid: u32,
        port: u32,
    },
    /// QEMU's isa-debug-exit, at that I/O port.
    DebugExit(u16),
}

/// `virtio:NAME`, `vsock:CID:PORT`, `isa-debug-exit[:IOPORT]`.
pub fn channel(text: &[u8]) -> Option<Channel<'_>> {
    if let Some(Target::Virtio(name)) = target(text) {
        return Some(Channel::Virtio(name));
    }
    if let Some(address) = bytes::after(text, "vsock:") {
        return vsock(address).map(|(cid, port)| Channel::Vsock { cid, port });
    }
    match bytes::cut(text, b':') {
        (b"isa-debug-exit", None) => Some(Channel::DebugExit(0xf4)),
        (b"isa-debug-exit", Some(port)) => {
            let port = bytes::after(port, "0x").map_or_else(|| bytes::decimal(port), bytes::hexadecimal)?;
            // ioperm(2) goes to 0x3ff; the rest is not for such a device either.
            u16::try_from(port).ok().filter(|port| *port < 0x400).map(Channel::DebugExit)
        }
        _ => None,
    }
}

/// `CID:PORT` of vsock(7).
pub fn vsock(text: &[u8]) -> Option<(u32, u32)> {
    let (cid, port) = bytes::cut(text, b':');
    let number = |text| bytes::decimal(text).and_then(|number| u32::try_from(number).ok());
    Some((number(cid)?, number(port?)?))
}

/// What happens to the machine at the end.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExit {
    #[default]
    PowerOff,
    Reboot,
    Halt,
}

/// What is given once; where it is given again the last counts.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub bundle: Option<&'static CStr>,
    pub units: Option<&'static CStr>,
    pub modules: Option<&'static CStr>,
    pub cwd: Option<&'static CStr>,
    pub user: Option<(u32, Option<u32>)>,
    pub hostname: Option<&'static [u8]>,
    pub dhcp: Option<&'static [u8]>,
    /// Milliseconds.
    pub mount_timeout: Option<u64>,
    pub timeout: Option<u64>,
    pub on_exit: OnExit,
    pub stdin: Target<'static>,
    pub stdout: Target<'static>,
    pub stderr: Target<'static>,
    pub log: Target<'static>,
    pub artifacts: Option<&'static [u8]>,
    pub terminal: bool,
    pub console_size: Option<(u16, u16)>,
    pub trace: bool,
}

impl CommandLine {
    pub fn new(file: &'static [u8], kernel: &'static [u8]) -> CommandLine {
        CommandLine { file, kernel, given: u32::MAX }
    }

    /// The values that `name` is given, in order.
    #[inline(never)]
    pub fn values(&self, name: Name) -> Values {
        match self.given & 1 << name as u32 {
            0 => Values { name, words: OwnWords(Words::of(b"")), next: None },
            _ => Values { name, words: OwnWords(Words::of(self.file)), next: Some(self.kernel) },
        }
    }

    /// What stands behind ` -- `: the words, of the line that has them last.
    pub fn arguments(&self) -> Option<Words<'static>> {
        [self.kernel, self.file].into_iter().find_map(|line| {
            let mut words = Words::of(line);
            words.find(is_end).map(|_| words)
        })
    }

    /// Reads all that is given once, and looks at the rest. `paths` is where paths
    /// go. Every mistake goes to `mistake`, with its place; what is right counts
    /// all the same.
    pub fn read(&mut self, paths: &mut Arena<'static>, mistake: &mut dyn FnMut(Error)) -> Options {
        let mut options = Options::default();
        self.given = 0;
        for (source, line) in SOURCES.into_iter().zip([self.file, self.kernel]) {
            for (word, name) in OwnWords(Words::of(line)) {
                self.given |= name.map_or(0, |name| 1 << name as u32);
                if let Err(error) = options.take(word, name, paths) {
                    let (column, shown) = (word.at + 1, Lossy(word.name));
                    mistake(fail!("{source}:{column}: {shown}: {error}"));
                }
            }
        }
        options
    }
}

fn is_end(word: &Word<'_>) -> bool {
    word.name == b"--" && word.value.is_none()
}

/// Our words of a line, each with which it is, if it is known.
struct OwnWords(Words<'static>);

impl Iterator for OwnWords {
    type Item = (Word<'static>, Option<Name>);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let word = self.0.next().filter(|word| !is_end(word));
            let Some(word) = word else {
                self.0 = Words::of(b""); // what follows is not ours
                return None;
            };
            if let Some(name) = bytes::after(word.name, "ocinit.") {
                return Some((word, NAMES.find(name).and_then(|index| ALL.get(index).copied())));
            }
        }
    }
}

/// The values of one option.
pub struct Values {
    name: Name,
    words: OwnWords,
    /// The line that comes after this one.
    next: Option<&'static [u8]>,
}

impl Iterator for Values {
    type Item = &'static [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'static [u8]> {
        loop {
            match self.words.next() {
                Some((word, name)) if name == Some(self.name) => return Some(word.value.unwrap_or(b"")),
                Some(_) => {}
                None => self.words = OwnWords(Words::of(self.next.take()?)),
            }
        }
    }
}

impl Options {
    #[inline(never)]
    fn take(&mut self, word: Word<'static>, name: Option<Name>, paths: &mut Arena<'static>) -> Result<()> {
        let name = name.ok_or_else(|| fail!("there is no such option"))?;
        let value = match (name, word.value) {
            (Name::Terminal | Name::Trace, value) => value.unwrap_or(b"1"),
            (_, Some(value)) if !value.is_empty() => value,
            _ => return Err(fail!("needs a value")),
        };
        let not = |what: &str| fail!("\"{}\" is not {what}", Lossy(value));
        let path = |paths: &mut Arena<'static>| match value.first() {
            Some(b'/') => paths.join(&[value]).map(Some),
            _ => Err(not("an absolute path")),
        };
        let stream = || target(value).ok_or_else(|| not("one of console, null, virtio:NAME"));
        let time = || words::seconds(value).map(Some).ok_or_else(|| not("a duration, such as 30s, 500ms or 2m"));
        let switch = || words::boolean(value).ok_or_else(|| not("1 or 0"));
        match name {
            Name::Bundle => self.bundle = path(paths)?,
            Name::Units => self.units = path(paths)?,
            Name::Modules => self.modules = path(paths)?,
            Name::Cwd => self.cwd = path(paths)?,
            Name::User => self.user = Some(words::user(value).ok_or_else(|| not("UID or UID:GID, in numbers"))?),
            Name::Hostname => self.hostname = Some(value),
            Name::Dhcp => self.dhcp = Some(value),
            Name::MountTimeout => self.mount_timeout = time()?,
            Name::Timeout => self.timeout = time()?,
            Name::OnExit => {
                self.on_exit = match word_list!("poweroff reboot halt").find(value) {
                    Some(0) => OnExit::PowerOff,
                    Some(1) => OnExit::Reboot,
                    Some(_) => OnExit::Halt,
                    None => return Err(not("one of poweroff, reboot, halt")),
                }
            }
            Name::Stdin => self.stdin = stream()?,
            Name::Stdout => self.stdout = stream()?,
            Name::Stderr => self.stderr = stream()?,
            Name::Log if value == b"kmsg" => self.log = Target::Kmsg,
            Name::Log => {
                let known = target(value).filter(|target| *target != Target::Null);
                self.log = known.ok_or_else(|| not("one of console, kmsg, virtio:NAME"))?;
            }
            Name::Artifacts => match target(value) {
                Some(Target::Virtio(name)) => self.artifacts = Some(name),
                _ => return Err(not("virtio:NAME")),
            },
            Name::Terminal => self.terminal = switch()?,
            Name::Trace => self.trace = switch()?,
            Name::ConsoleSize => self.console_size = Some(size(value).ok_or_else(|| not("ROWSxCOLUMNS"))?),
            Name::Status if channel(value).is_none() => {
                return Err(not("one of virtio:NAME, vsock:CID:PORT, isa-debug-exit[:IOPORT]"));
            }
            Name::Env if bytes::cut(value, b'=').0.is_empty() || !value.contains(&b'=') => {
                return Err(not("NAME=VALUE"));
            }
            // These are looked at by whoever carries them out.
            Name::Status | Name::Env | Name::Mount | Name::Address | Name::Gateway | Name::Dns => {}
        }
        Ok(())
    }
}

fn size(text: &[u8]) -> Option<(u16, u16)> {
    let (rows, columns) = bytes::cut(text, b'x');
    let number = |text| bytes::decimal(text).and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    Some((number(rows)?, number(columns?)?))
}

#[cfg(test)]
mod tests;
