//! The pictures of the report, as SVG that takes its colours from the page.
//!
//! `plotters` draws with colours that are fixed when the picture is made, and a page that follows
//! the reader's dark mode cannot use those. So every drawing here uses a small set of sentinel
//! colours, near-black tones no colour map produces, and when the picture is done each sentinel is
//! exchanged for a CSS variable: the page's two palettes then reach the pictures too. Sizes are
//! treated alike: the outer `<svg>` tag with its fixed width is cut off, and the page writes its
//! own with nothing but a view box, so that a picture is as wide as its column.
//!
//! The backend knows whole pixels only. Everything is therefore drawn on a canvas [`FINE`](canvas::FINE) times
//! larger than the nominal one, which gives curves a quarter of a pixel to move by.
//!
//! The axes are drawn here and not by the library's own mesh, because without a font library it
//! can only guess the width of a label, and a guess makes labels collide. Here a label is anchored
//! at the end that must not move, and the margin is made from the longest label.
//!
//! What it refuses: bitmaps, fonts (text is set in the page's font by the browser), and values
//! that aren't finite. Those are never drawn; the caller counts them and says so in the caption.

mod bands;
pub(crate) mod canvas;
mod cells;
mod curves;
mod front;
pub(crate) mod lines;
mod ranking;
pub(crate) mod scatter;
mod shade;
pub(crate) mod strips;

pub(crate) use bands::{Band, Bands};
pub(crate) use cells::{Grid, Tiles};
pub(crate) use curves::{Curve, Curves};
pub(crate) use front::{Dot, Family, Field, on_front};
pub(crate) use ranking::{Ranked, Ranking};
