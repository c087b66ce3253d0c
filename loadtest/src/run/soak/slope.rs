//! The straight line that lies best among points (least squares), and how sure its slope is.

/// A line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Line {
    /// How much it rises a unit.
    pub(super) slope: f64,
    /// The standard error of that, the points' distances from the line being independent.
    pub(super) slope_error: f64,
}

impl Line {
    /// Through three points at least, not all at one place.
    pub(super) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        if points.len() < 3 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let together = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>();
        let slope = together / spread;
        let rest = |(x, y): &(f64, f64)| (y - y_mean - slope * (x - x_mean)).powi(2);
        let rest: f64 = points.iter().map(rest).sum();
        Some(Self { slope, slope_error: (rest / (count - 2.0) / spread).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_have_its_slope_and_no_doubt() {
        let line = Line::through(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-9 && line.slope_error < 1e-9, "{line:?}");
    }

    #[test]
    fn points_around_a_level_line_have_a_slope_within_its_doubt() {
        let points: Vec<_> = (0..100).map(|n| (f64::from(n), f64::from(n * 7 % 5))).collect();
        let line = Line::through(&points).unwrap();
        assert!(line.slope.abs() < 2.0 * line.slope_error, "{line:?}");
        assert_eq!(Line::through(&points[..2]), None);
        assert_eq!(Line::through(&[(1.0, 0.0), (1.0, 1.0), (1.0, 2.0)]), None);
    }
}
