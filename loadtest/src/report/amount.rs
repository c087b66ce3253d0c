//! Figures as people read them.

use serde_json::Value;

/// Digits of a fraction that say something.
const SIGNIFICANT: i32 = 4;
/// The most that stand behind the point.
const DECIMALS_MAX: i32 = 6;

/// A figure of a report: whole numbers in full, others to four digits, both with commas at the thousands; words as they are.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Number(number) if number.is_f64() => {
            fraction(number.as_f64().expect("a number is an f64 where it says so"))
        }
        Value::Number(number) => thousands(&number.to_string()),
        other => other.to_string(),
    }
}

/// `number` to four digits: `1,235`, `12.50`, `0.001250`.
pub(crate) fn fraction(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let digits_before = number.abs().log10().floor() as i32 + 1;
    let decimals = (SIGNIFICANT - digits_before).clamp(0, DECIMALS_MAX) as usize;
    thousands(&format!("{number:.decimals$}"))
}

/// `number` as the label of an axis: `250 µs`, `1.5 ms`, `12k/s`, `9.9 MB`; a thousand of bytes is 1 KB.
pub(crate) fn short(number: f64, unit: &str) -> String {
    let ((divisor, name), scaled) = scaled(number, unit);
    let decimals = usize::from(divisor > 1.0 && scaled.abs() < 10.0);
    joined(&trimmed(scaled, decimals), name)
}

/// The same, so exact that figures `step` apart differ.
pub(crate) fn short_to(number: f64, step: f64, unit: &str) -> String {
    let ((divisor, name), scaled) = scaled(number, unit);
    let decimals = (-(step / divisor).log10()).ceil().clamp(0.0, 6.0) as usize;
    joined(&thousands(&format!("{scaled:.decimals$}")), name)
}

/// With at most so many decimals, and no zero at their end.
pub(crate) fn trimmed(number: f64, decimals: usize) -> String {
    let digits = format!("{number:.decimals$}");
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        digits
    }
}

/// The step of `unit` that suits `number`: how many units it is, and its name; and the number in it.
fn scaled(number: f64, unit: &str) -> ((f64, &str), f64) {
    let steps: [(f64, &str); 4] = match unit {
        "us" => [(1.0, "µs"), (1e3, "ms"), (1e6, "s"), (f64::INFINITY, "")],
        "bytes" => [(1.0, "B"), (1e3, "KB"), (1e6, "MB"), (1e9, "GB")],
        "1/s" => [(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s")],
        unit => [(1.0, unit), (f64::INFINITY, ""), (f64::INFINITY, ""), (f64::INFINITY, "")],
    };
    let suits = steps.into_iter().rev().find(|(divisor, _)| number.abs() >= *divisor);
    let step = suits.unwrap_or(steps[0]);
    (step, number / step.0)
}

fn joined(number: &str, unit: &str) -> String {
    let gap = if unit.is_empty() || unit.ends_with("/s") { "" } else { " " };
    format!("{number}{gap}{unit}")
}

/// How many times another a figure is: `1.05`, `438.8`, `4,774`.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio.abs() < 100.0 { format!("{ratio:.2}") } else { fraction(ratio) }
}

/// `number` to four digits, with its unit: `5.250 µs`, `190,000/s`.
pub(crate) fn whole(number: f64, unit: &str) -> String {
    joined(&fraction(number), if unit == "1/s" { "/s" } else { printed(unit) })
}

/// A unit as it is printed, where letters outside ASCII are at home.
pub(crate) fn printed(unit: &str) -> &str {
    if unit == "us" { "µs" } else { unit }
}

/// `digits`, which may have a sign and a fraction, with commas.
fn thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let (whole, fraction) = match digits.find('.') {
        Some(point) => digits.split_at(point),
        None => (digits, ""),
    };
    let mut said = sign.to_owned();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_in_full_and_fractions_to_four_digits() {
        for (number, said) in [
            (Value::from(0), "0"),
            (Value::from(999), "999"),
            (Value::from(1_000), "1,000"),
            (Value::from(-1_234_567), "-1,234,567"),
            (Value::from(0.0), "0"),
            (Value::from(1_234_567.8), "1,234,568"),
            (Value::from(-1_500.0), "-1,500"),
            (Value::from(666.666_6), "666.7"),
            (Value::from(12.5), "12.50"),
            (Value::from(1.0), "1.000"),
            (Value::from(0.375), "0.3750"),
            (Value::from(0.000_000_1), "0.000000"),
            (Value::from("memory"), "memory"),
            (Value::from(true), "true"),
        ] {
            assert_eq!(value(&number), said, "{number}");
        }
    }

    #[test]
    fn a_label_is_short() {
        for (number, unit, said) in [
            (0.0, "us", "0 µs"),
            (250.0, "us", "250 µs"),
            (1_500.0, "us", "1.5 ms"),
            (15_400.0, "us", "15 ms"),
            (2e6, "us", "2 s"),
            (9_876_543.0, "bytes", "9.9 MB"),
            (12_000.0, "1/s", "12k/s"),
            (12.0, "", "12"),
        ] {
            assert_eq!(short(number, unit), said);
        }
    }

    #[test]
    fn labels_a_step_apart_differ() {
        assert_eq!(short_to(9_000_002.0, 2.0, "bytes"), "9.000002 MB");
        assert_eq!(short_to(100_200_000.0, 200_000.0, "bytes"), "100.2 MB");
        assert_eq!(short_to(20_000.0, 5_000.0, "1/s"), "20k/s");
        assert_eq!(short_to(0.25, 0.05, ""), "0.25");
    }

    #[test]
    fn zeros_at_the_end_are_left_out() {
        assert_eq!(trimmed(10.0, 1), "10");
        assert_eq!(trimmed(2.5, 1), "2.5");
        assert_eq!(trimmed(100.0, 0), "100");
    }
}
