//! What the server did wrong, counted in full and told in part.

/// Faults that are told in words, where a run does not say otherwise; the others are counted.
const TOLD_MAX: usize = 20;

/// The faults of one run.
#[derive(Debug)]
pub(crate) struct Faults {
    told: Vec<String>,
    told_max: usize,
    count: usize,
}

impl Default for Faults {
    fn default() -> Self {
        Self::telling(TOLD_MAX)
    }
}

impl Faults {
    /// None yet; the first `told_max` will be told in words.
    pub(crate) const fn telling(told_max: usize) -> Self {
        Self { told: Vec::new(), told_max, count: 0 }
    }

    /// Adds one.
    pub(crate) fn add(&mut self, fault: impl std::fmt::Display) {
        self.count += 1;
        if self.told.len() < self.told_max {
            self.told.push(fault.to_string());
        }
    }

    /// Adds each of them.
    pub(crate) fn extend<F: std::fmt::Display>(&mut self, faults: impl IntoIterator<Item = F>) {
        for fault in faults {
            self.add(fault);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// True exactly when nothing was wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first ones, in words.
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_told() {
        let mut faults = Faults::default();
        assert!(faults.is_empty());
        faults.extend(0..100);
        assert_eq!((faults.count(), faults.told().len()), (100, TOLD_MAX));
        assert_eq!(faults.told()[0], "0");
    }
}
