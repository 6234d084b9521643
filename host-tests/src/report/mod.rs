//! What was found, and the pages that show it.
//!
//! Results are plain data, written as JSON for programs, and the same struct becomes one HTML file for
//! people. The two can't disagree, because the page has no other source.
//!
//! The page is one file. Pictures are inline SVG, styles are inline, and there is no script, so it
//! can be mailed, archived, or opened from a disk years later. It follows the reader's light or
//! dark mode and the width of the screen.
//!
//! Runs go wrong, and then the report is most needed: a loss that is not finite is drawn as a gap
//! and named in words, a missing series leaves its section out, a series of one point is a point.
//!
//! What it refuses: shapes that contradict themselves (a strip whose values don't fill its rows
//! and columns, a scatter with unpaired values) are errors, as any picture of them would be a
//! guess. It reads no clock and no environment, so the same report gives the same page.
//!
//! * [`run`] is what a tuning run found, and [`tuning`] its page,
//! * [`findings`] is what a study found, and [`experiments`] its page,
//! * [`methods`] is what methods came to beside each other, and [`frontier`] its page, [`scaling`] the one that shows how they grow,
//! * `page` is what they all fill `page.html` with, and `plots` draws their pictures.

#![deny(missing_docs)]

pub mod experiments;
pub mod findings;
pub mod frontier;
pub mod methods;
pub(crate) mod page;
pub(crate) mod plots;
pub mod run;
pub mod scaling;
pub mod tuning;
