//! A line of /etc/passwd (passwd(5)), read for one thing only.

/// The home folder in `line`, if it is the line of `uid` and names an absolute
/// one. Names are not looked at (R8): ids are numbers here.
pub fn home_in(line: &[u8], uid: u32) -> Option<&[u8]> {
    let mut fields = line.split(|byte| *byte == b':');
    let number = core::str::from_utf8(fields.nth(2)?).ok()?;
    // Digits only: `from_str` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) || number.parse() != Ok(uid) {
        return None;
    }
    fields.nth(2).filter(|home| home.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_number() {
        for (line, uid, expected) in [
            ("root:x:0:0:root:/root:/bin/sh", 0, Some("/root")),
            ("a:x:1000:5::/home/a:", 1000, Some("/home/a")),
            ("a:x:1000:5::/home/a", 1000, Some("/home/a")),
            ("a:x:1000:5::/home/a:", 5, None),
            ("a:x:1000:5:::", 1000, None),
            ("a:x:1000:5::relative:", 1000, None),
            ("1000:x:0:0::/x:", 1000, None),
            ("a:x:+10:5::/x:", 10, None),
            ("a:x:4294967296:5::/x:", 0, None),
            ("a:x:-1:5::/x:", u32::MAX, None),
            ("a:x::5::/x:", 0, None),
            ("", 0, None),
            ("a:x:0", 0, None),
        ] {
            assert_eq!(home_in(line.as_bytes(), uid), expected.map(str::as_bytes), "{line}");
        }
    }
}
