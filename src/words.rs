//! The forms of single words that a person writes: ids, signals, users, numbers,
//! durations.
//!
//! Knows nothing of which flag, option or annotation a word belongs to.

use crate::bytes;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::word_list;
use crate::word_list::WordList;

/// A decimal number of 0 … 2³¹-1.
pub fn number(text: &[u8]) -> Option<u32> {
    decimal(text).filter(|number| *number <= i32::MAX as u32)
}

/// A numeric user or group id.
///
/// 2³²-1 is none: to setresuid(2) it means "leave it as it is", which here would
/// be root.
pub fn user_id(text: &[u8]) -> Option<u32> {
    decimal(text).filter(|id| *id != u32::MAX)
}

/// `UID` or `UID:GID`, in numbers: no name is ever looked up.
pub fn user(text: &[u8]) -> Option<(u32, Option<u32>)> {
    let (user, group) = bytes::cut(text, b':');
    let group = match group {
        Some(group) => Some(user_id(group)?),
        None => None,
    };
    Some((user_id(user)?, group))
}

/// Digits only: no sign, no blanks, nothing beyond 32 bits.
fn decimal(text: &[u8]) -> Option<u32> {
    bytes::decimal(text).and_then(|number| u32::try_from(number).ok())
}

/// A decimal number that may be below zero, of 64 bits: the sign, and the rest.
pub fn integer(text: &[u8]) -> Option<(bool, u64)> {
    let digits = bytes::after(text, "-");
    let magnitude = bytes::decimal(digits.unwrap_or(text))?;
    (digits.is_none() || magnitude <= i64::MIN.unsigned_abs()).then_some((digits.is_some(), magnitude))
}

/// A number of bytes: `64M`, `1.5g`, `1 KiB`, in powers of 1024 whatever the unit
/// is called; -1 as it is.
pub fn size(text: &[u8]) -> Option<i64> {
    if text == b"-1" {
        return Some(-1);
    }
    let (whole, thousandths, unit) = scaled(text)?;
    let mut letters = unit.trim_ascii_start().iter().map(u8::to_ascii_lowercase);
    let power = match letters.next() {
        None | Some(b'b') => 0,
        Some(letter) => 1 + b"kmgtp".iter().position(|known| *known == letter)? as u32,
    };
    if power == 0 && unit.len() > 1
        || !matches!(
            (letters.next(), letters.next(), letters.next()),
            (None, ..) | (Some(b'b'), None, _) | (Some(b'i'), Some(b'b'), None)
        )
    {
        return None;
    }
    let unit = 1u64 << (10 * power);
    let size = whole.checked_mul(unit)?.checked_add(unit * thousandths / 1000)?;
    i64::try_from(size).ok()
}

/// A time in milliseconds, above zero, as Go writes it: `5s`, `1m30s`, `0.5h`.
pub fn duration(text: &[u8]) -> Option<u64> {
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let (whole, thousandths, behind) = scaled(rest)?;
        let end = behind.iter().position(|byte| matches!(byte, b'0'..=b'9' | b'.')).unwrap_or(behind.len());
        let (unit, next) = behind.split_at_checked(end)?;
        let milliseconds = match unit {
            b"ms" => 1,
            b"s" => 1000,
            b"m" => 60_000,
            b"h" => 3_600_000,
            _ => return None,
        };
        let part = thousandths * milliseconds / 1000;
        total = whole.checked_mul(milliseconds)?.checked_add(part)?.checked_add(total)?;
        rest = next;
    }
    (total > 0).then_some(total)
}

/// As [`duration`], but a whole number alone counts seconds, and may be 0. Not more
/// than an i32 of seconds: whatever is added to it still fits.
pub fn seconds(text: &[u8]) -> Option<u64> {
    let time = bytes::decimal(text).map_or_else(|| duration(text), |seconds| seconds.checked_mul(1000))?;
    (time <= 1000 * i32::MAX as u64).then_some(time)
}

/// A number with or without decimals, of which three count: the whole ones, the
/// thousandths, and what stands behind.
fn scaled(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let digits = |text: &[u8]| text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let Some(fraction) = bytes::after(rest, ".") else { return Some((bytes::decimal(whole)?, 0, rest)) };
    let (fraction, rest) = fraction.split_at_checked(digits(fraction))?;
    let thousandths = (0..3).fold(0, |sum, index| sum * 10 + u64::from(fraction.get(index).unwrap_or(&b'0') - b'0'));
    Some((bytes::decimal(whole)?, thousandths, rest))
}

/// A switch's value, in the spellings that Go's flag package takes.
pub fn boolean(text: &[u8]) -> Option<bool> {
    const TRUE: usize = 6;
    word_list!("true True TRUE t T 1 false False FALSE f F 0").find(text).map(|index| index < TRUE)
}

/// Checks a container's id: it becomes a folder's name. The alphabet is runc's.
///
/// # Errors
/// With runc's words, "invalid container ID format", and what is allowed.
pub fn check_id(id: &[u8]) -> Result<()> {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(byte);
    if id.is_empty() {
        return Err(fail!("invalid container ID format: it is empty"));
    }
    if id.len() > limits::ID {
        return Err(fail!(
            "invalid container ID format: it has {} bytes, more than the limit of {}",
            id.len(),
            limits::ID
        ));
    }
    if id == b"." || id == b".." || !id.iter().all(known) {
        return Err(fail!(
            "invalid container ID format: \"{}\": letters, digits, _, +, - and . are allowed, but not . or .. alone",
            Lossy(id)
        ));
    }
    Ok(())
}

/// The signals with names of their own: those from 1 on, in order (signal(7)).
/// They have these numbers on all architectures that we build for.
const SIGNALS: WordList = word_list!(
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP \
                       TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
);

/// Further names of some of them, and which.
const SYNONYMS: WordList = word_list!("IOT CLD POLL UNUSED");
const SYNONYMS_OF: [u32; 4] = [6, 17, 29, 31];

/// The first real-time signal as C libraries count them: the kernel's own first
/// two, 32 and 33, they keep for themselves.
const RTMIN: u32 = 34;
/// The last signal there is.
const RTMAX: u32 = 64;

/// A signal's number: from a number (0 … 64), or a name with or without `SIG`
/// in any case, `RTMIN`, `RTMIN+n`, `RTMAX` and `RTMAX-n` included.
pub fn signal_number(text: &[u8]) -> Option<u32> {
    if let Some(number) = decimal(text) {
        return (number <= RTMAX).then_some(number);
    }
    // No name is longer than this.
    let mut upper = [0; 16];
    let name = upper.get_mut(..text.len())?;
    for (place, byte) in name.iter_mut().zip(text) {
        *place = byte.to_ascii_uppercase();
    }
    let name = bytes::after(name, "SIG").unwrap_or(name);
    if let Some(index) = SIGNALS.find(name) {
        return u32::try_from(index.checked_add(1)?).ok();
    }
    if let Some(index) = SYNONYMS.find(name) {
        return SYNONYMS_OF.get(index).copied();
    }
    let number = if let Some(rest) = bytes::after(name, "RTMIN") {
        if rest.is_empty() { RTMIN } else { RTMIN.checked_add(decimal(bytes::after(rest, "+")?)?)? }
    } else {
        let rest = bytes::after(name, "RTMAX")?;
        if rest.is_empty() { RTMAX } else { RTMAX.checked_sub(decimal(bytes::after(rest, "-")?)?)? }
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn signals() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("sigterm", Some(15)),
            ("term", Some(15)),
            ("KILL", Some(9)),
            ("SIGSYS", Some(31)),
            ("HUP", Some(1)),
            ("USR1", Some(10)),
            ("CHLD", Some(17)),
            ("CLD", Some(17)),
            ("WINCH", Some(28)),
            ("9", Some(9)),
            ("09", Some(9)),
            ("0", Some(0)),
            ("64", Some(64)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("rtmin+30", Some(64)),
            ("RTMAX", Some(64)),
            ("RTMAX-30", Some(34)),
            ("65", None),
            ("RTMIN+31", None),
            ("RTMIN+", None),
            ("RTMIN-1", None),
            ("RTMAX+1", None),
            ("RTMAX-31", None),
            ("RTMIN+4294967295", None),
            ("-9", None),
            ("", None),
            ("SIG", None),
            ("SIGSIGTERM", None),
            ("TERM ", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(signal_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn seconds_alone_or_a_duration() {
        for (text, milliseconds) in [
            ("5", Some(5000)),
            ("0", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("2147483647", Some(2_147_483_647_000)),
            ("2147483648", None),
            ("596524h", None),
            ("5x", None),
            ("", None),
            ("s", None),
            ("1.5s", Some(1500)),
            ("-1s", None),
            ("1 s", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), milliseconds, "{text}");
        }
    }

    #[test]
    fn users_are_numbers() {
        for (text, user_given) in [
            ("0", Some((0, None))),
            ("1000:5", Some((1000, Some(5)))),
            ("4294967294:4294967294", Some((4_294_967_294, Some(4_294_967_294)))),
            ("4294967295", None),
            ("0:4294967295", None),
            ("4294967296", None),
            ("root", None),
            ("", None),
            (":", None),
            ("1:", None),
            (":1", None),
            ("1:2:3", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
        ] {
            assert_eq!(user(text.as_bytes()), user_given, "{text}");
        }
    }

    #[test]
    fn ids() {
        for id in ["a", "A-b_c+d.9", "...", ".a", "-x"] {
            assert!(check_id(id.as_bytes()).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "../x", "a b", "é", "a\n", "a:b"] {
            let said = check_id(id.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.starts_with("invalid container ID format: "), "{id}: {said}");
        }
        assert!(check_id(&[b'a'; limits::ID]).is_ok());
        assert!(check_id(&[b'a'; limits::ID + 1]).is_err());
    }

    #[test]
    fn integers() {
        for (text, number) in [
            ("0", Some((false, 0))),
            ("-1", Some((true, 1))),
            ("18446744073709551615", Some((false, u64::MAX))),
            ("-9223372036854775808", Some((true, 1 << 63))),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("1.0", None),
        ] {
            assert_eq!(integer(text.as_bytes()), number, "{text}");
        }
    }

    // As docker/go-units reads them, which runc does; of its decimals three here.
    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("1048576", Some(1_048_576)),
            ("32b", Some(32)),
            ("32k", Some(32 << 10)),
            ("32KB", Some(32 << 10)),
            ("32KiB", Some(32 << 10)),
            ("64M", Some(64 << 20)),
            ("1.5m", Some(1_572_864)),
            ("0.5 g", Some(1 << 29)),
            ("1 TB", Some(1 << 40)),
            ("2p", Some(2 << 50)),
            ("8192p", None),
            ("9223372036854775808", None),
            ("abc", None),
            ("-2", None),
            ("-5m", None),
            ("", None),
            ("m", None),
            ("1x", None),
            ("1kx", None),
            ("1kbb", None),
            ("1bb", None),
            (".5m", None),
            ("1m ", None),
        ] {
            assert_eq!(size(text.as_bytes()), bytes, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("5s", Some(5000)),
            ("1m30s", Some(90_000)),
            ("0.5h", Some(1_800_000)),
            ("1.25s", Some(1250)),
            ("100ms", Some(100)),
            ("0s", None),
            ("0", None),
            ("5", None),
            ("-1s", None),
            ("s", None),
            ("", None),
            ("1s2", None),
            ("1d", None),
            ("99999999999999999999h", None),
            ("9999999999999999h", None),
        ] {
            assert_eq!(duration(text.as_bytes()), milliseconds, "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"2147483647"), Some(i32::MAX as u32));
        for text in ["2147483648", "0x1", "1 ", ""] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
