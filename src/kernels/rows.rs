//! Loops over the rows of a block of weights, rows x columns, each row with numbers of its own: the
//! shape of a group of hyperparameters. One row of all columns is a shared hyperparameter, rows of one
//! column are a hyperparameter for each weight.

/// Calls `body`, a loop over rows with another over the columns in it, with the number of columns: a constant
/// where that is 1, so that the loop within is none and the one around it vectorises. It must be
/// `#[inline(always)]`. No columns are one: `chunks_exact` takes no 0.
#[inline(always)]
pub(super) fn by_columns(columns: usize, body: impl FnOnce(usize)) {
    if columns == 1 {
        body(1);
    } else {
        body(columns.max(1));
    }
}
