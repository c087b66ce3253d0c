//! The colours and letters of all plots, and the canvas that they are drawn on.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Figures and names.
pub(super) const INK: RGBColor = RGBColor(0x1F, 0x29, 0x33);
/// What stands beside them.
pub(super) const MUTED: RGBColor = RGBColor(0x5F, 0x6B, 0x7A);
/// Lines of a grid.
pub(super) const GRID: RGBColor = RGBColor(0xDD, 0xE2, 0xE9);
/// What a plot is about. This blue and the orange below are told apart by all eyes, and in grey by how light they are.
pub(super) const ACCENT: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// What others are held against.
pub(super) const BASE: RGBColor = RGBColor(0xC2, 0x51, 0x00);
/// The others.
pub(super) const OTHER: RGBColor = RGBColor(0xA9, 0xB4, 0xC2);

/// Each colour on a dark page.
const DARK: [(RGBColor, RGBColor); 6] = [
    (INK, RGBColor(0xE8, 0xEC, 0xF1)),
    (MUTED, RGBColor(0x9D, 0xA8, 0xB7)),
    (GRID, RGBColor(0x33, 0x3C, 0x49)),
    (ACCENT, RGBColor(0x56, 0xB4, 0xE9)),
    (BASE, RGBColor(0xF5, 0xA0, 0x5C)),
    (OTHER, RGBColor(0x5D, 0x6A, 0x7B)),
];

/// The fonts of a plot that is no part of a page.
pub(super) const FONT: &str = "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;\
    font-variant-numeric:tabular-nums}";

/// Height of letters, as it comes out in the drawing.
pub(super) const LETTERS: f64 = 12.0;
/// The backend divides by this.
const LETTERS_SCALE: f64 = 1.24;

/// Why something is not drawn.
pub(super) type Failed = Box<dyn std::error::Error + Send + Sync>;
/// What is drawn on.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// CSS that turns the colours on a dark screen; on paper they stay as they are.
pub(crate) fn style() -> String {
    let turned = DARK.map(|(light, dark)| {
        let (light, dark) = (hex(light), hex(dark));
        format!(
            ".plot [fill=\"{light}\"]{{fill:{dark}}}.plot [stroke=\"{light}\"]{{stroke:{dark}}}"
        )
    });
    format!("@media screen and (prefers-color-scheme:dark){{{}}}", turned.concat())
}

/// As the backend writes it.
pub(super) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// Letters of this colour, which end, begin or stand at `side` of their place, in the middle of their height.
pub(super) fn letters(color: RGBColor, side: HPos) -> TextStyle<'static> {
    let font = ("sans-serif", LETTERS * LETTERS_SCALE).into_font();
    font.color(&color).pos(Pos::new(side, VPos::Center))
}

/// The shapes of what `draw` draws on `size`.
pub(super) fn shapes(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Failed>,
) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).expect("a text takes all that is drawn");
        area.present().expect("the same");
    }
    let (_, rest) = svg.split_once('>').expect("the backend opens an element");
    let (shapes, _) = rest.rsplit_once('<').expect("and closes it");
    shapes.trim().to_owned()
}
