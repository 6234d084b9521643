//! Means and medians in float64: one definition each.
//!
//! A mean is a sum in the order of its values, divided once. Of nothing, mean and median are not a number.

/// The mean.
///
/// ```
/// use drmad_host::statistics::mean;
/// assert_eq!(mean([1.0, 2.0, 6.0]), 3.0);
/// assert!(mean([]).is_nan());
/// ```
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut n = 0usize;
    let sum: f64 = values.into_iter().inspect(|_| n += 1).sum();
    sum / n as f64
}

/// The middle one, or the greater of the two in the middle.
///
/// ```
/// use drmad_host::statistics::median;
/// assert_eq!(median([5.0, 1.0, 2.0]), 2.0);
/// assert_eq!(median([5.0, 1.0, 2.0, 3.0]), 3.0);
/// assert!(median([]).is_nan());
/// ```
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
