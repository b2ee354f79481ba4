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
        }
    }
}
