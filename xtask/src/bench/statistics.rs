//! From pairs of runs to one figure.
//!
//! Invariants: a ratio is taken inside a pair, minutes apart at most, and only then is the median taken over pairs;
//! a slow minute of the machine hits both sides of a ratio. Called by the report and by the choice of more pairs.

/// The middle value; the mean of the two middle ones for an even number; `None` for no values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// The median of the ratios of each pair (`numerator / denominator`).
pub fn median_ratio(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    median(pairs.into_iter().map(|(numerator, denominator)| numerator / denominator))
}

/// Whether more pairs are worth their time: the figure is within a fifth of what is aimed at.
pub fn is_close(figure: f64, aim: f64) -> bool {
    (figure / aim - 1.0).abs() <= 0.2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median([9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([]), None);
        assert_eq!(median([f64::NAN, 7.0]), Some(7.0));
    }

    #[test]
    fn ratios_are_taken_inside_pairs_so_a_slow_minute_does_not_count() {
        // The second minute is five times slower for both: the ratio of medians would say 3 x, the pairs say 2 x.
        let pairs = [(4.0, 2.0), (20.0, 10.0), (4.0, 2.0)];
        assert_eq!(median_ratio(pairs), Some(2.0));
        let of_medians = median(pairs.map(|pair| pair.0)).zip(median([2.0, 10.0, 10.0]));
        assert_ne!(of_medians.map(|(a, b)| a / b), Some(2.0));
    }

    #[test]
    fn only_figures_near_an_aim_deserve_more_pairs() {
        assert!(is_close(2.9, 3.0) && is_close(3.5, 3.0));
        assert!(!is_close(6.0, 3.0) && !is_close(1.0, 3.0));
    }
}
