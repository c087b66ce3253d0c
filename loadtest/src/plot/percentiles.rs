//! What share of a latency stays under what: the share on an axis that gives each further nine as much room as the one before.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::course::frame;
use super::ink::{self, ACCENT, INK};
use super::scale::Axis;
use super::{HEIGHT, Kind, Plot, WIDTH};
use crate::report::{Latency, amount};

/// Shares that are labelled, with those that have a figure at the curve.
const LABELLED: [(f64, &str, bool); 6] = [
    (0.0, "0", false),
    (0.5, "50 %", true),
    (0.9, "90 %", true),
    (0.99, "99 %", true),
    (0.999, "99.9 %", true),
    (0.9999, "99.99 %", false),
];
/// The last share, in nines.
const NINES: f64 = 4.0;
/// Points of a curve a nine.
const STEPS: u32 = 50;
/// From this ratio of the last to the first figure the other axis is logarithmic.
const LOG_FROM: f64 = 20.0;

/// `None` of nothing.
pub(super) fn plot(latency: &Latency) -> Option<Plot> {
    let histogram = &latency.histogram;
    if histogram.is_empty() {
        return None;
    }
    let at = |share: f64| histogram.value_at_quantile(share).max(1) as f64;
    // The curve ends where one more nine would be less than one of the count.
    let last = (histogram.len() as f64).log10().clamp(0.5, NINES);
    let steps = (last * f64::from(STEPS)).ceil() as u32;
    let curve = (0..=steps).map(|n| (last * f64::from(n) / f64::from(steps)).min(last));
    let curve: Vec<(f64, f64)> = curve.map(|nines| (nines, at(share(nines)))).collect();
    let (least, most) = (curve[0].1, curve[curve.len() - 1].1);
    let y =
        if most / at(0.5) >= LOG_FROM { Axis::log(least, most) } else { Axis::linear(0.0, most) };
    let labels = LABELLED.map(|(share, ..)| nines(share)).to_vec();
    let x = Axis { from: 0.0, to: NINES, labels, is_log: false };
    let shapes = ink::shapes((WIDTH, HEIGHT), |area| {
        let mut chart = frame(area, &x, &y, &label, &|us| amount::short(us, "us"))?;
        chart.draw_series(LineSeries::new(curve.iter().copied(), ACCENT.stroke_width(2)))?;
        let letters = ink::letters(INK, HPos::Right);
        let told = LABELLED.iter().filter(|(share, _, is_told)| *is_told && nines(*share) <= last);
        for (share, ..) in told {
            let (us, nines) = (at(*share), nines(*share));
            let mark = EmptyElement::at((nines, us))
                + Circle::new((0, 0), 3, ACCENT.filled())
                + Text::new(amount::short(us, "us"), (-3, -11), letters.clone());
            chart.draw_series([mark])?;
        }
        Ok(())
    });
    let scale = if y.is_log { ", on a logarithmic scale" } else { "" };
    let count = amount::value(&histogram.len().into());
    let longest = amount::short(histogram.max() as f64, "us");
    let note = format!(
        "Share of {count} that took no longer than this{scale}; the longest took {longest}"
    );
    Some(Plot::new(Kind::Percentiles, &latency.name, note, HEIGHT, shapes))
}

fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn share(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}

fn label(place: f64) -> String {
    let near = LABELLED.iter().find(|(share, ..)| (nines(*share) - place).abs() < 1e-6);
    near.map_or_else(String::new, |(_, label, _)| (*label).to_owned())
}
