//! Times in images: seconds since 1970, told and never asked for.

/// Seconds since 1970, stamped on what would otherwise carry the time of the build.
///
/// Source: reproducible-builds.org, "SOURCE_DATE_EPOCH".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceDateEpoch(pub u64);

/// RFC 3339 in UTC, as image configs want it: `1970-01-01T00:00:00Z`.
#[must_use]
pub fn rfc3339(epoch: SourceDateEpoch) -> String {
    let seconds_of_day = epoch.0 % 86_400;
    let (year, month, day) = civil(epoch.0 / 86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        seconds_of_day / 3600,
        seconds_of_day / 60 % 60,
        seconds_of_day % 60
    )
}

/// The time of an RFC 3339 text, whole seconds; none for other texts and for times before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<SourceDateEpoch> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|it| it.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let is = |at: usize, expected: &[u8]| {
        text.as_bytes()
            .get(at)
            .is_some_and(|it| expected.contains(it))
    };
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1970..).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let zone = text
        .get(19..)?
        .trim_start_matches(|it: char| it == '.' || it.is_ascii_digit());
    let seconds = match zone.as_bytes() {
        [b'Z' | b'z'] => seconds,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes): (u64, u64) =
                (zone.get(1..3)?.parse().ok()?, zone.get(4..6)?.parse().ok()?);
            let offset = hours * 3600 + minutes * 60;
            if *sign == b'+' {
                seconds.checked_sub(offset)?
            } else {
                seconds + offset
            }
        }
        _ => return None,
    };
    Some(SourceDateEpoch(seconds))
}

/// The day counted from 1970-01-01: the inverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// The year is taken to begin in March, so that the leap day is its last: Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms".
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_written_as_date_says() {
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(SourceDateEpoch(epoch)), text);
            assert_eq!(parse_rfc3339(text), Some(SourceDateEpoch(epoch)), "{text}");
        }
    }

    #[test]
    fn times_of_other_programs_are_read() {
        for (text, epoch) in [
            ("2024-12-31T23:59:59.123456789Z", Some(1_735_689_599)),
            ("2025-01-01T01:59:59+02:00", Some(1_735_689_599)),
            ("2024-12-31T18:59:59-05:00", Some(1_735_689_599)),
            ("0001-01-01T00:00:00Z", None),
            ("2024-12-31", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-12-31T23:59:59", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text).map(|it| it.0), epoch, "{text}");
        }
    }
}
