//! The date, for templates that tell the model what day it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// The variable that carries the time into a rendering.
pub(super) const VARIABLE: &str = "__now";

const SECONDS_PER_DAY: i64 = 86_400;
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
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Seconds since 1970, UTC.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

/// The time in the given format, English as Python's `strftime` in the C locale. Unknown directives stay.
pub(super) fn strftime(seconds: i64, format: &str) -> String {
    let time = Time::new(seconds);
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('-') => out += &rest.next().map(|name| unpadded(&time.field(name))).unwrap_or_default(),
            Some(name) => out += &time.field(name),
            None => out.push('%'),
        }
    }
    out
}

/// `07` as `7`.
fn unpadded(text: &str) -> String {
    let short = text.trim_start_matches(['0', ' ']);
    if short.is_empty() { "0".into() } else { short.into() }
}

/// A moment of the Gregorian calendar.
struct Time {
    year: i64,
    month: i64,
    day: i64,
    /// From 1 on.
    day_of_year: i64,
    /// Sunday is 0.
    weekday: i64,
    second_of_day: i64,
}

impl Time {
    /// Howard Hinnant, "chrono-compatible low-level date algorithms": years that begin in March, in eras of 400.
    fn new(seconds: i64) -> Self {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let since_era_zero = days + 719_468;
        let era = since_era_zero.div_euclid(146_097);
        let day_of_era = since_era_zero.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let january_to_march = 59 + i64::from(is_leap(year));
        let before_march = month <= 2;
        Self {
            year,
            month,
            day: day_from_march - (153 * month_from_march + 2) / 5 + 1,
            day_of_year: day_from_march + 1 + if before_march { -306 } else { january_to_march },
            weekday: (days + 4).rem_euclid(7),
            second_of_day: seconds.rem_euclid(SECONDS_PER_DAY),
        }
    }

    fn field(&self, name: char) -> String {
        let (hour, minute) = (self.second_of_day / 3_600, self.second_of_day / 60 % 60);
        let two = |number: i64| format!("{number:02}");
        match name {
            'Y' => self.year.to_string(),
            'y' => two(self.year.rem_euclid(100)),
            'm' => two(self.month),
            'B' => name_of(&MONTHS, self.month - 1).into(),
            'b' | 'h' => name_of(&MONTHS, self.month - 1)[..3].into(),
            'd' => two(self.day),
            'e' => format!("{:2}", self.day),
            'j' => format!("{:03}", self.day_of_year),
            'A' => name_of(&DAYS, self.weekday).into(),
            'a' => name_of(&DAYS, self.weekday)[..3].into(),
            'w' => self.weekday.to_string(),
            'H' => two(hour),
            'I' => two((hour + 11) % 12 + 1),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'M' => two(minute),
            'S' => two(self.second_of_day % 60),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{hour:02}:{minute:02}:{:02}", self.second_of_day % 60),
            'Z' | 'z' => String::new(),
            '%' => "%".into(),
            other => format!("%{other}"),
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn name_of(names: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("???")
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "Thursday 01 January 1970 001 12:00:00 AM"),
            (951_782_400, "Tuesday 29 February 2000 060 12:00:00 AM"),
            (1_709_251_199, "Thursday 29 February 2024 060 11:59:59 PM"),
            (1_735_646_400, "Tuesday 31 December 2024 366 12:00:00 PM"),
            (-1, "Wednesday 31 December 1969 365 11:59:59 PM"),
        ];
        for (seconds, want) in cases {
            assert_eq!(strftime(seconds, "%A %d %B %Y %j %I:%M:%S %p"), want);
        }
        assert_eq!(strftime(1_720_000_000, "%-d %b %y %q %%"), "3 Jul 24 %q %");
        assert_eq!(strftime(i64::MAX, "%H"), "15");
    }
}
