//! Medians over runs.

/// The middle one of `values` by size, the mean of the two middle ones if their number is even; 0 if there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2);
    let lower = values.len().checked_sub(1).and_then(|last| values.get(last / 2));
    (lower.unwrap_or(&0.0) + upper.unwrap_or(&0.0)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_middle_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }
}
