//! The straight line that lies best among points (least squares), and how sure its slope is.

/// Neighbours are never taken for more alike than this.
const ALIKE_MAX: f64 = 0.99;

/// A line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Line {
    /// How much it rises a unit.
    pub(super) slope: f64,
    /// The standard error of that. Memory goes in steps, so that neighbours are alike and say less than as many independent ones:
    /// the error is larger by what they have in common (lag-1 autocorrelation, as of a first-order autoregression).
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
        let rest = |(x, y): &(f64, f64)| y - y_mean - slope * (x - x_mean);
        let rests: Vec<f64> = points.iter().map(rest).collect();
        let squares: f64 = rests.iter().map(|rest| rest * rest).sum();
        let neighbours: f64 = rests.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let alike = if squares > 0.0 { neighbours / squares } else { 0.0 };
        let alike = alike.clamp(0.0, ALIKE_MAX);
        let inflation = (1.0 + alike) / (1.0 - alike);
        Some(Self { slope, slope_error: (inflation * squares / (count - 2.0) / spread).sqrt() })
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
    fn points_that_go_in_steps_leave_more_doubt() {
        // One step up in the middle. Were its distances from the line independent, the error would be below a thousandth.
        let step = |n: u32| (f64::from(n), f64::from(u8::from(n >= 50)) + f64::from(n % 2) * 0.01);
        let points: Vec<_> = (0..100).map(step).collect();
        let line = Line::through(&points).unwrap();
        assert!(line.slope_error > 0.003, "{line:?}");
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
