//! Conditions under which a run that went well fails after all: `--fail-if 'echo_p99>5ms'`.

use std::cmp::Ordering;
use std::str::FromStr;

use anyhow::{Context, bail};

use crate::report::{PERCENTILES, Report, Row, amount, key};

/// `FIGURE OPERATOR NUMBER[UNIT]`: a figure by its JSON key, whose unit may be left out; `faults`; or a percentile alone, where
/// the run has one latency.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    /// As it was given.
    text: String,
    /// A key.
    figure: String,
    operator: Operator,
    number: f64,
    /// Without one, the number is in the unit of the figure.
    unit: Option<Unit>,
}

/// How a figure is held against a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Over,
    AtLeast,
    Under,
    AtMost,
    Equal,
}

/// What a unit is a unit of, and how many of the first of its kind it is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit(Kind, f64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Time,
    Size,
    Share,
    Rate,
}

/// Longer ones first where one begins with another.
const OPERATORS: [(&str, Operator); 5] = [
    (">=", Operator::AtLeast),
    (">", Operator::Over),
    ("<=", Operator::AtMost),
    ("<", Operator::Under),
    ("==", Operator::Equal),
];

/// Those of conditions and those of figures.
const UNITS: [(&str, Unit); 10] = [
    ("us", Unit(Kind::Time, 1.0)),
    ("ms", Unit(Kind::Time, 1e3)),
    ("s", Unit(Kind::Time, 1e6)),
    ("B", Unit(Kind::Size, 1.0)),
    ("bytes", Unit(Kind::Size, 1.0)),
    ("KB", Unit(Kind::Size, 1e3)),
    ("KiB", Unit(Kind::Size, 1024.0)),
    ("MB", Unit(Kind::Size, 1e6)),
    ("%", Unit(Kind::Share, 1.0)),
    ("1/s", Unit(Kind::Rate, 1.0)),
];

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=']).ok_or("no operator: one of > >= < <= ==")?;
        let (figure, rest) = text.split_at(at);
        let figure = key(figure);
        if figure.is_empty() {
            return Err("no figure before the operator".to_owned());
        }
        let operator = OPERATORS
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)));
        let (operator, rest) = operator.ok_or("the operators are > >= < <= ==")?;
        let rest = rest.trim();
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(rest.len());
        let (number, unit) = rest.split_at(end);
        let number =
            number.parse().map_err(|_| format!("{rest:?} does not begin with a number"))?;
        let unit = match unit.trim() {
            "" => None,
            name => Some(Unit::named(name).ok_or_else(|| {
                format!("{name:?} is no unit: us ms s, B KB MB, %, 1/s (after a space)")
            })?),
        };
        Ok(Self { text: text.to_owned(), figure, operator, number, unit })
    }
}

impl Condition {
    /// Says so where it holds for `report`. An error where the report has no such figure, or the figure is in another unit.
    pub(crate) fn held(&self, report: &Report) -> anyhow::Result<Option<String>> {
        let row = self.find(report).with_context(|| format!("--fail-if {:?}", self.text))?;
        let key = row.key();
        let Some(figure) = row.value.as_f64() else {
            bail!("--fail-if {:?}: {key} is {}, which is not a number", self.text, row.value)
        };
        let limit = match self.unit {
            None => self.number,
            Some(Unit(kind, scale)) => match Unit::named(&row.unit) {
                Some(Unit(own, own_scale)) if own == kind => self.number * scale / own_scale,
                _ => bail!("--fail-if {:?}: {key} is in {}", self.text, said(&row.unit)),
            },
        };
        let holds = figure.partial_cmp(&limit).is_some_and(|order| self.operator.takes(order));
        let value = amount::value(&row.value);
        Ok(holds.then(|| format!("{}: {key} is {value} {}", self.text, row.unit).trim_end().into()))
    }

    fn find(&self, report: &Report) -> anyhow::Result<Row> {
        if self.figure == "faults" {
            let value = report.faults.count().into();
            return Ok(Row { name: "faults".to_owned(), value, unit: "".into() });
        }
        let rows: Vec<Row> = report.all_rows().collect();
        let is_whole = |row: &&Row| row.key() == self.figure;
        let is_named = |row: &&Row| key(&row.name) == self.figure;
        if let Some(row) = rows.iter().find(is_whole).or_else(|| rows.iter().find(is_named)) {
            return Ok(row.clone());
        }
        let keys = |rows: &[&Row]| rows.iter().map(|row| row.key()).collect::<Vec<_>>().join(", ");
        if is_percentile(&self.figure) {
            let end = format!("_{}_us", self.figure);
            let of: Vec<_> = rows.iter().filter(|row| row.key().ends_with(&end)).collect();
            match of[..] {
                [row] => return Ok(row.clone()),
                [] => {}
                _ => bail!("which of {}?", keys(&of)),
            }
        }
        let all: Vec<_> = rows.iter().collect();
        bail!("there is no {}; there are faults, {}", self.figure, keys(&all))
    }
}

impl Operator {
    /// True exactly when it accepts a figure that is so beside the number.
    fn takes(self, order: Ordering) -> bool {
        match self {
            Self::Over => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Under => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
        }
    }
}

impl Unit {
    fn named(name: &str) -> Option<Self> {
        UNITS.into_iter().find_map(|(own, unit)| (own == name).then_some(unit))
    }
}

fn is_percentile(figure: &str) -> bool {
    figure == "max" || PERCENTILES.iter().any(|(label, _)| key(label) == figure)
}

fn said(unit: &str) -> &str {
    if unit.is_empty() { "no unit" } else { unit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    /// What `text` says of a report with one latency, `echo`, whose p99 is 9,903 us.
    fn held(text: &str) -> Result<bool, String> {
        let condition: Condition = text.parse()?;
        condition.held(&report()).map(|held| held.is_some()).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn a_figure_is_held_against_a_number_in_its_unit_or_another_of_its_kind() {
        for (text, holds) in [
            ("echo_p99_us>9902", true),
            ("echo_p99_us>9903", false),
            ("echo_p99_us>=9903", true),
            ("echo_p99_us==9903", true),
            ("echo_p99_us<=9903", true),
            ("echo_p99_us<9903", false),
            ("echo_p99>9.9ms", true),
            ("echo_p99 > 10 ms", false),
            ("echo p99.9 < 0.01s", true),
            ("p99>50ms", false),
            ("p99.9>5ms", true),
            ("max>=10ms", true),
            ("resident>9MB", true),
            ("resident_bytes>9876KB", true),
            ("resident<9876543B", false),
            ("commits<12.5 1/s", false),
            ("commits_per_s>=12.5", true),
            ("messages==12345", true),
            ("faults>0", false),
            ("messages>-1", true),
        ] {
            assert_eq!(held(text), Ok(holds), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, error) in [
            ("p99", "no operator: one of > >= < <= =="),
            (">5", "no figure before the operator"),
            ("p99=5", "the operators are > >= < <= =="),
            ("p99>", "\"\" does not begin with a number"),
            ("p99>ms", "\"ms\" does not begin with a number"),
            ("p99>1.2.3", "\"1.2.3\" does not begin with a number"),
            ("p99>5h", "\"h\" is no unit: us ms s, B KB MB, %, 1/s (after a space)"),
        ] {
            assert_eq!(text.parse::<Condition>(), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_unknown_figure_is_an_error_that_lists_what_there_is() {
        let error = held("ecko_p99>5ms").expect_err("there is no such figure");
        assert!(error.contains("there is no ecko_p99; there are faults, messages, "), "{error}");
        assert!(error.contains("commits_per_s, resident_bytes, echo_p50_us, "), "{error}");
    }

    #[test]
    fn a_percentile_alone_needs_one_latency() {
        let mut report = report();
        report.latency("delivery", &crate::run::latencies());
        let condition: Condition = "p99>5ms".parse().expect("it is well formed");
        let error = condition.held(&report).expect_err("there are two");
        let expected = "--fail-if \"p99>5ms\": which of echo_p99_us, delivery_p99_us?";
        assert_eq!(format!("{error:#}"), expected);
        let error = condition.held(&Report::new("none")).expect_err("there is none");
        assert!(format!("{error:#}").contains("there is no p99"), "{error:#}");
    }

    #[test]
    fn a_unit_of_another_kind_is_an_error() {
        for (text, error) in [
            ("p99>5MB", "--fail-if \"p99>5MB\": echo_p99_us is in us"),
            ("messages>5s", "--fail-if \"messages>5s\": messages is in no unit"),
            ("faults>5%", "--fail-if \"faults>5%\": faults is in no unit"),
        ] {
            assert_eq!(held(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_word_is_not_a_number() {
        let mut report = report();
        report.row("layer", "memory", "");
        let condition: Condition = "layer==1".parse().expect("it is well formed");
        let error = condition.held(&report).expect_err("it is a word").to_string();
        assert!(error.ends_with("layer is \"memory\", which is not a number"), "{error}");
    }

    #[test]
    fn what_held_is_said_with_the_figure_and_fails_the_report() {
        let mut report = report();
        let conditions = ["p99>5ms", "faults>0"].map(|text| text.parse().expect("well formed"));
        report.fail_if(&conditions).expect("there are such figures");
        assert!(!report.is_ok());
        let told =
            "FAILED IF  p99>5ms: echo_p99_us is 9,903 us\nchat: FAILED, 0 faults, 1 condition\n";
        assert!(report.table().ends_with(told), "{}", report.table());
        assert_eq!(report.figures().failed_if, ["p99>5ms: echo_p99_us is 9,903 us"]);
    }
}
