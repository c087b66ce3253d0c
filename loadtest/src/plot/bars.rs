//! A measure of several subjects: a bar to each median, a whisker from the least to the most, and a line at the base.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::ink::{self, ACCENT, BASE, INK, MUTED, OTHER};
use super::{Kind, Plot, WIDTH};
use crate::report::amount;
use crate::report::comparison::{Comparison, Measure};

/// Of one subject: its words, and its bar below.
const ROW: i32 = 46;
const WORDS_AT: i32 = 12;
const BAR_AT: i32 = 22;
const BAR: i32 = 14;
/// Free at both sides, so that caps of whiskers are whole.
const MARGIN: i32 = 2;
/// Half of the cap of a whisker.
const CAP: i32 = 4;

/// `None` where no subject has the figure.
pub(super) fn plot(number: usize, comparison: &Comparison, measure: &Measure) -> Option<Plot> {
    let spreads = comparison.spreads(measure);
    let most = spreads.iter().map(|(_, spread)| spread.most).reduce(f64::max)?;
    let base = comparison.base().map(|base| &*base.name);
    let full = f64::from(WIDTH as i32 - 2 * MARGIN);
    let place = |figure: f64| {
        let share = if most > 0.0 { (figure / most).clamp(0.0, 1.0) } else { 0.0 };
        MARGIN + (full * share).round() as i32
    };
    let height = ROW * spreads.len() as i32;
    let shapes = ink::shapes((WIDTH, height as u32), |area| {
        for (n, (subject, spread)) in spreads.iter().enumerate() {
            let top = ROW * n as i32;
            let color = match n {
                _ if base == Some(&*subject.name) => BASE,
                0 => ACCENT,
                _ => OTHER,
            };
            let name = format!("{} {}", subject.name, subject.version);
            area.draw(&Text::new(
                name.trim_end(),
                (MARGIN, top + WORDS_AT),
                ink::letters(INK, HPos::Left),
            ))?;
            let ratio = spread.ratio.map(|ratio| format!(" · {}×", amount::ratio(ratio)));
            let median = amount::whole(spread.median, &measure.unit);
            let said = median + &ratio.unwrap_or_default();
            area.draw(&Text::new(
                said,
                (WIDTH as i32 - MARGIN, top + WORDS_AT),
                ink::letters(MUTED, HPos::Right),
            ))?;
            let (from, to) = (top + BAR_AT, top + BAR_AT + BAR);
            let bar = [(MARGIN, from), (place(spread.median), to)];
            area.draw(&Rectangle::new(bar, color.filled()))?;
            let (least, most, middle) = (place(spread.least), place(spread.most), from + BAR / 2);
            for line in [
                [(least, middle), (most, middle)],
                [(least, middle - CAP), (least, middle + CAP)],
                [(most, middle - CAP), (most, middle + CAP)],
            ] {
                area.draw(&PathElement::new(line, INK))?;
            }
        }
        if let Some((_, spread)) = spreads.iter().find(|(subject, _)| base == Some(&*subject.name))
        {
            let at = place(spread.median);
            for n in 0..spreads.len() as i32 {
                let top = ROW * n + BAR_AT;
                area.draw(&PathElement::new(
                    [(at, top - 2), (at, top + BAR + 2)],
                    BASE.stroke_width(2),
                ))?;
            }
        }
        Ok(())
    });
    let better = if measure.lower_is_better { "Less is better" } else { "More is better" };
    let runs = spreads.iter().map(|(_, spread)| spread.runs).max().unwrap_or(0);
    let beside = base.map_or_else(String::new, |base| format!(", ratio to {base}"));
    let note = format!("{better}. Median of {runs} runs, whiskers from least to most{beside}");
    let plot = Plot::new(Kind::Bars(number), &measure.title, note, height as u32, shapes);
    Some(plot.of_scenario(&comparison.scenario))
}
