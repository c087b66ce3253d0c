//! Time as a value. Nothing here reads a clock: a shard's `Io` does, and passes [`Now`] down.

use std::fmt;
use std::ops::RangeInclusive;

/// Milliseconds on a monotonic clock since the process began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The instant `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; 0 where `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Microseconds since 1970-01-01T00:00:00Z: the resolution of Postgres' `timestamptz`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since the epoch, rounded down, as JWT's NumericDate counts them (RFC 7519 §2).
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The instant `seconds` after the epoch.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The instant `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}

/// Both clocks, read together once a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub mono: Mono,
    /// For people.
    pub wall: Timestamp,
}

impl Timestamp {
    /// The text of [`fmt::Display`], and its year; the text has the last four digits of that.
    fn write(self, buffer: &mut [u8; RFC_3339_BYTES]) -> (&str, i64) {
        let seconds = self.unix_seconds();
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let micros = self.0.rem_euclid(1_000_000);
        *buffer = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut buffer[..4], year.rem_euclid(10_000));
        digits(&mut buffer[5..7], month);
        digits(&mut buffer[8..10], day);
        digits(&mut buffer[11..13], of_day / 3_600);
        digits(&mut buffer[14..16], of_day / 60 % 60);
        digits(&mut buffer[17..19], of_day % 60);
        digits(&mut buffer[20..26], micros);
        let mut len = buffer.len();
        if micros == 0 {
            buffer[19] = b'Z';
            len = 20;
        }
        (std::str::from_utf8(&buffer[..len]).expect("digits are ASCII"), year)
    }
}

/// Years of four digits.
const YEARS: RangeInclusive<i64> = 0..=9_999;

/// `2024-01-01T00:00:00.000000Z`.
const RFC_3339_BYTES: usize = 27;

/// Decimal, filled with zeros from the left.
fn digits(place: &mut [u8], mut value: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// RFC 3339 in UTC with `Z`; six digits of fraction, or none where the fraction is zero, as Django writes it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; RFC_3339_BYTES];
        match self.write(&mut buffer) {
            (text, year) if YEARS.contains(&year) => f.write_str(text),
            (text, year) => write!(f, "{year:04}{}", &text[4..]),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; RFC_3339_BYTES];
        match self.write(&mut buffer) {
            (text, year) if YEARS.contains(&year) => serializer.serialize_str(text),
            _ => serializer.collect_str(self),
        }
    }
}

/// The proleptic Gregorian date of a day counted from the epoch (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_704_067_200_000_000, "2024-01-01T00:00:00Z"),
            (1_709_164_800_123_456, "2024-02-29T00:00:00.123456Z"),
            (951_782_399_000_001, "2000-02-28T23:59:59.000001Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (253_402_300_799_000_000, "9999-12-31T23:59:59Z"),
            (253_402_300_800_000_000, "10000-01-01T00:00:00Z"),
            (i64::MAX, "294247-01-10T04:00:54.775807Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
            assert_eq!(serde_json::to_value(Timestamp(micros)).unwrap(), text);
        }
    }
}
