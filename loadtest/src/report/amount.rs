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
}
