//! Calendar dates from Unix seconds, in UTC: labels carry them as text.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// A moment in UTC.
pub(crate) struct BuildTime {
    days: i64,
    second_of_day: i64,
}

impl BuildTime {
    pub(crate) fn from_unix(seconds: i64) -> Self {
        Self {
            days: seconds.div_euclid(86_400),
            second_of_day: seconds.rem_euclid(86_400),
        }
    }

    /// Year, month from 1, day from 1, in the Gregorian calendar extended backwards.
    fn date(&self) -> (i64, i64, i64) {
        // Years begin in March here, so that the leap day comes last; an era is 400 years.
        let days = self.days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }

    fn clock(&self) -> (i64, i64, i64) {
        (
            self.second_of_day / 3600,
            self.second_of_day / 60 % 60,
            self.second_of_day % 60,
        )
    }

    /// `Wednesday_25_November_2026_20:29:40_UTC`, without padding.
    pub(crate) fn label(&self) -> String {
        let (year, month, day) = self.date();
        let (hour, minute, second) = self.clock();
        let name = |names: &[&'static str], index: i64| {
            usize::try_from(index)
                .ok()
                .and_then(|index| names.get(index).copied())
                .unwrap_or_default()
        };
        let weekday = name(&WEEKDAYS, self.days.rem_euclid(7));
        let month = name(&MONTHS, month - 1);
        format!("{weekday}_{day}_{month}_{year}_{hour}:{minute}:{second}_UTC")
    }

    /// `2026-11-25T20:29:40Z`.
    pub(crate) fn rfc3339(&self) -> String {
        let (year, month, day) = self.date();
        let (hour, minute, second) = self.clock();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, label, rfc3339) in [
            (
                0,
                "Thursday_1_January_1970_0:0:0_UTC",
                "1970-01-01T00:00:00Z",
            ),
            (
                951_782_400,
                "Tuesday_29_February_2000_0:0:0_UTC",
                "2000-02-29T00:00:00Z",
            ),
            (
                1_795_638_580,
                "Wednesday_25_November_2026_20:29:40_UTC",
                "2026-11-25T20:29:40Z",
            ),
            (
                -1,
                "Wednesday_31_December_1969_23:59:59_UTC",
                "1969-12-31T23:59:59Z",
            ),
        ] {
            let time = BuildTime::from_unix(seconds);
            assert_eq!(
                (time.label().as_str(), time.rfc3339().as_str()),
                (label, rfc3339)
            );
        }
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!BuildTime::from_unix(extreme).label().is_empty());
        }
    }
}
