//! Points in time as the documents write them: RFC 3339, in UTC.
//!
//! Where a time comes from is not known here.

use crate::bytes::Printed;

/// Writes the time `seconds` and `nanoseconds` after 1970 began, as
/// `2026-01-02T03:04:05.000000006Z`. The fraction has no zeros at its end and
/// is left out when it is zero. Times outside the years 1970 to 9999 become the
/// nearest that is inside.
pub fn rfc3339(seconds: i64, nanoseconds: u32) -> Printed<64> {
    /// The last second of the year 9999: RFC 3339 has four digits.
    const LAST: i64 = 253_402_300_799;
    let seconds = seconds.clamp(0, LAST).unsigned_abs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // At most 30 bytes: there is room for 40.
    let mut out = Printed::of(format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"));
    let nanoseconds = nanoseconds.min(999_999_999);
    if nanoseconds != 0 {
        out.add(format_args!(".{nanoseconds:09}"));
        while let Some(rest) = out.as_bytes().strip_suffix(b"0") {
            let length = rest.len();
            out.truncate(length);
        }
    }
    out.push("Z");
    out
}

/// Year, month and day of the Gregorian calendar, `days` after 1 January 1970.
///
/// Counted in years that begin with March, so that the leap day is the last of
/// its year, and in eras of 400 years, which all have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    /// From 1 March of the year 0 to 1 January 1970.
    const BEFORE_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days.saturating_add(BEFORE_1970);
    let (era, day_of_era) = (days / ERA, days % ERA);
    // Without the leap days before it: one each 4 years, not each 100, but each 400.
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // The months from March on have 31 30 31 30 31 days, twice and a bit: 153 in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 0, "2000-02-28T23:59:59Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (951_868_800, 0, "2000-03-01T00:00:00Z"),
            (1_709_164_800, 0, "2024-02-29T00:00:00Z"),
            (1_735_689_599, 999_999_999, "2024-12-31T23:59:59.999999999Z"),
            (1_735_689_600, 120_000_000, "2025-01-01T00:00:00.12Z"),
            (1_795_501_158, 1, "2026-11-24T06:19:18.000000001Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (i64::MAX, u32::MAX, "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(rfc3339(seconds, nanoseconds).as_str(), expected);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > last[month as usize - 1] {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
