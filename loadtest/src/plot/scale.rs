//! Axes: from where to where, and where they are labelled.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// An axis, by figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) from: f64,
    /// More than `from`.
    pub(super) to: f64,
    pub(super) labels: Vec<f64>,
    /// True exactly when equal ratios have equal room; `from` is above zero then.
    pub(super) is_log: bool,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, figure: &f64, (first, last): (i32, i32)) -> i32 {
        let place = |figure: f64| if self.is_log { figure.log10() } else { figure };
        let (from, to) = (place(self.from), place(self.to));
        let share = (place(*figure) - from) / (to - from);
        first + (share.clamp(0.0, 1.0) * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labels.clone()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

/// Steps between labels, in powers of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// About how many labels.
const LABELS: f64 = 5.0;

impl Axis {
    /// In equal steps, and so that both ends are labelled. `from` is not more than `to`.
    pub(super) fn linear(from: f64, to: f64) -> Self {
        let to = if to > from { to } else { from + from.abs().max(1.0) };
        let step = step((to - from) / LABELS);
        let (first, last) = ((from / step).floor(), (to / step).ceil());
        let labels = (0..=(last - first) as u32).map(|n| (first + f64::from(n)) * step);
        Self { from: first * step, to: last * step, labels: labels.collect(), is_log: false }
    }

    /// From and to a power of ten, or twice or five times one. Both are above zero, and `from` is not more than `to`.
    pub(super) fn log(from: f64, to: f64) -> Self {
        let from = round(from, |mark, figure| mark <= figure).last().unwrap_or(from);
        let to = round(to, |mark, figure| mark >= figure).next().unwrap_or(to).max(from * 2.0);
        let marks: Vec<f64> = marks(from).take_while(|mark| *mark <= to * 1.001).collect();
        let tens = |mark: &f64| (mark.log10() - mark.log10().round()).abs() < 1e-9;
        let is_long = marks.len() > 7;
        let labels = marks.into_iter().filter(|mark| !is_long || tens(mark)).collect();
        Self { from, to, labels, is_log: true }
    }
}

/// The least step that is not less than `least`.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = STEPS.into_iter().chain([10.0]).map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * 0.999_999).unwrap_or(10.0 * power)
}

/// The marks around `figure` for which `is_wanted`, rising.
fn round(figure: f64, is_wanted: impl Fn(f64, f64) -> bool) -> impl Iterator<Item = f64> {
    let near = marks(figure / 10.0).take_while(move |mark| *mark <= figure * 20.0);
    near.filter(move |mark| is_wanted(*mark, figure))
}

/// 1, 2, 5, 10 and so on, from the power of ten that is not over `from`, or from `from` itself where that is such a mark.
fn marks(from: f64) -> impl Iterator<Item = f64> {
    let exponent = (from.log10() + 1e-9).floor() as i32;
    let all = (exponent..).flat_map(|power| STEPS.map(|step| step * 10_f64.powi(power)));
    all.skip_while(move |mark| *mark < from * 0.999_999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_is_labelled_in_round_steps_at_both_ends() {
        let axis = Axis::linear(0.0, 87.0);
        assert_eq!((axis.from, axis.to), (0.0, 100.0));
        assert_eq!(axis.labels, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let axis = Axis::linear(9_000_000.0, 9_000_006.0);
        assert_eq!((axis.labels[0], axis.labels.len()), (9_000_000.0, 4));
    }

    #[test]
    fn an_axis_of_one_figure_has_a_length() {
        for figure in [0.0, 7.0, -3.0] {
            let axis = Axis::linear(figure, figure);
            assert!(axis.to > axis.from && axis.labels.len() > 1, "{axis:?}");
        }
        let axis = Axis::log(5.0, 5.0);
        assert!(axis.to > axis.from && axis.labels.len() > 1, "{axis:?}");
    }

    #[test]
    fn a_log_axis_holds_its_figures_between_round_ones() {
        for (from, to) in [(1.0, 1.0), (3.0, 8.0), (70.0, 250_000.0), (100.0, 2_000.0)] {
            let axis = Axis::log(from, to);
            assert!(axis.from <= from * 1.001, "{from}: {axis:?}");
            assert!(axis.to >= to * 0.999, "{to}: {axis:?}");
            assert!((2..=8).contains(&axis.labels.len()), "{axis:?}");
        }
        let labels = Axis::log(3.0, 40.0).labels;
        assert_eq!(labels, [2.0, 5.0, 10.0, 20.0, 50.0]);
    }

    #[test]
    fn equal_ratios_have_equal_room_on_a_log_axis() {
        let places = |axis: &Axis, figures: [f64; 3]| figures.map(|f| axis.map(&f, (0, 200)));
        assert_eq!(places(&Axis::log(1.0, 100.0), [1.0, 10.0, 100.0]), [0, 100, 200]);
        assert_eq!(places(&Axis::linear(0.0, 100.0), [0.0, 10.0, 100.0]), [0, 20, 200]);
    }
}
