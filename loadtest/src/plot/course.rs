//! A figure over time.

use plotters::chart::ChartContext;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::ink::{self, ACCENT, Area, Failed, GRID, MUTED};
use super::scale::Axis;
use super::{HEIGHT, Kind, Plot, WIDTH};
use crate::report::{Course, amount};

/// A figure that never falls below this share of its greatest is drawn without the zero.
const FLAT_FROM: f64 = 0.8;

/// `None` of nothing.
pub(super) fn plot(course: &Course) -> Option<Plot> {
    let Course { name, unit, points } = course;
    let least = points.iter().map(|(_, figure)| *figure).reduce(f64::min)?;
    let most = points.iter().map(|(_, figure)| *figure).reduce(f64::max)?;
    let (time_unit, scale) = time_unit(points.last()?.0);
    let is_whole = least < FLAT_FROM * most || least >= most;
    let y = Axis::linear(if is_whole { least.min(0.0) } else { least }, most);
    let x = Axis::linear(points[0].0 / scale, points.last()?.0 / scale);
    let label = |time: f64| format!("{} {time_unit}", amount::trimmed(time, 1));
    // Where the axis is short, labels must tell its steps apart.
    let step = y.labels[1] - y.labels[0];
    let shapes = ink::shapes((WIDTH, HEIGHT), |area| {
        let mut chart = frame(area, &x, &y, &label, &|v| amount::short_to(v, step, unit))?;
        let places: Vec<_> = points.iter().map(|(at, figure)| (at / scale, *figure)).collect();
        if is_whole {
            let filled = AreaSeries::new(places.iter().copied(), y.from.max(0.0), ACCENT.mix(0.12));
            chart.draw_series(filled)?;
        }
        chart.draw_series(LineSeries::new(places, ACCENT.stroke_width(2)))?;
        Ok(())
    });
    let [least, most] = [least, most].map(|figure| amount::short_to(figure, step, unit));
    let cut = if is_whole { "" } else { "; the axis does not begin at zero" };
    let note = format!("From {least} to {most}{cut}");
    Some(Plot::new(Kind::Course, name, note, HEIGHT, shapes))
}

/// What time is told in, and its seconds.
fn time_unit(last_s: f64) -> (&'static str, f64) {
    match last_s {
        ..300.0 => ("s", 1.0),
        300.0..10_800.0 => ("min", 60.0),
        _ => ("h", 3_600.0),
    }
}

/// A chart between two axes.
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// A grid with both axes; the two last say what a figure is called at each.
pub(super) fn frame<'a, 'b>(
    area: &'a Area<'b>,
    x: &Axis,
    y: &Axis,
    x_label: &dyn Fn(f64) -> String,
    y_label: &dyn Fn(f64) -> String,
) -> Result<Chart<'a, 'b>, Failed> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(14)
        .margin_right(24)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .x_labels(x.labels.len())
        .y_labels(y.labels.len())
        .x_label_style(ink::letters(MUTED, HPos::Center))
        .y_label_style(ink::letters(MUTED, HPos::Right))
        .x_label_formatter(&|figure| x_label(*figure))
        .y_label_formatter(&|figure| y_label(*figure))
        .draw()?;
    Ok(chart)
}
