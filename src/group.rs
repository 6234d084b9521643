//! How hyperparameters map to weights.
//!
//! A [`Layout`] says where the weights lie; a [`Granularity`] how many of them share a
//! hyperparameter. Together they are [`Groups`], which cuts the flat vector of weights into
//! [`Block`]s: matrices with one hyperparameter for each row, the shape the kernels work on. A
//! group's hypergradient is the sum over its members, its true derivative, never the mean.
//!
//! Refused: groups of scattered weights; a group is contiguous within each block.

use core::fmt;

use crate::error::{Error, check_len};
use crate::layers::{Activation, Dense, Layer, dense};

/// Where the weights lie in their flat vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layout<'a> {
    /// A vector of so many weights without further structure.
    Flat(usize),
    /// A tanh network of these widths: for each layer its weight matrix, row-major, inputs x outputs,
    /// then its biases.
    Layers(&'a [usize]),
    /// The same of a [`Network`](crate::network::Network).
    Network {
        /// Its inputs.
        inputs: usize,
        /// Its layers.
        layers: &'a [Layer],
    },
}

impl Layout<'_> {
    /// How many weights there are.
    ///
    /// ```
    /// use drmad::group::Layout;
    /// assert_eq!(Layout::Layers(&[784, 50, 50, 50, 10]).weights(), 44_860);
    /// ```
    pub const fn weights(&self) -> usize {
        match self {
            Layout::Flat(n) => *n,
            _ => self.weights_before(usize::MAX),
        }
    }

    /// How many weights lie before dense layer `l`.
    pub(crate) const fn weights_before(&self, l: usize) -> usize {
        let (mut sum, mut i) = (0usize, 0);
        while i < l
            && let Some(layer) = self.dense(i)
        {
            let weights = layer.inputs.saturating_add(1).saturating_mul(layer.outputs);
            (sum, i) = (sum.saturating_add(weights), i + 1);
        }
        sum
    }

    /// Dense layer `l`, counted from 0; weights without further structure have none.
    ///
    /// ```
    /// use drmad::{group::Layout, layers::{Activation, Dense}};
    /// let last = Dense { inputs: 3, outputs: 2, activation: Activation::Identity };
    /// assert_eq!(Layout::Layers(&[4, 3, 2]).dense(1), Some(last));
    /// ```
    pub const fn dense(&self, l: usize) -> Option<Dense> {
        match self {
            Layout::Flat(_) => None,
            Layout::Network { inputs, layers } => dense(*inputs, layers, l),
            Layout::Layers(widths) => match widths.split_at_checked(l) {
                Some((_, [inputs, outputs, beyond @ ..])) => Some(Dense {
                    inputs: *inputs,
                    outputs: *outputs,
                    activation: if beyond.is_empty() {
                        Activation::Identity
                    } else {
                        Activation::Tanh
                    },
                }),
                _ => None,
            },
        }
    }

    /// Inputs of the network; 1 of weights without further structure.
    pub const fn inputs(&self) -> usize {
        match self.dense(0) {
            Some(first) => first.inputs,
            None => 1,
        }
    }

    /// Outputs of the network; 1 of weights without further structure.
    pub const fn outputs(&self) -> usize {
        let (mut outputs, mut l) = (1, 0);
        while let Some(layer) = self.dense(l) {
            (outputs, l) = (layer.outputs, l + 1);
        }
        outputs
    }
}

/// How many weights share a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Granularity {
    /// All of them.
    Global,
    /// Those of a layer, its biases with it.
    Layer,
    /// Those of a weight matrix; each vector of biases is a group of its own.
    Tensor,
    /// Those of a unit: one row of a weight matrix, the weights that leave one input of the layer.
    /// The biases leave the constant input and are one more unit.
    Unit,
    /// None: each weight has its own.
    Parameter,
}

/// A map from weights to hyperparameters.
///
/// ```
/// use drmad::group::{Granularity, Groups, Layout};
/// let units = Groups {
///     layout: Layout::Layers(&[784, 50, 50, 50, 10]),
///     by: Granularity::Unit,
///     biases: false,
/// };
/// assert_eq!(units.len(), 934);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Groups<'a> {
    /// Where the weights lie.
    pub layout: Layout<'a>,
    /// How many share a hyperparameter.
    pub by: Granularity,
    /// Whether biases belong to a group; otherwise no hyperparameter touches them.
    pub biases: bool,
}

/// A contiguous matrix of weights with one hyperparameter for each row, or with none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Block {
    /// Its first weight.
    pub start: usize,
    /// Its rows, each of one hyperparameter.
    pub rows: usize,
    /// The weights of a row.
    pub columns: usize,
    /// The hyperparameter of its first row; the rows' are consecutive.
    pub hyper: Option<usize>,
}

impl Block {
    /// Its number of weights.
    pub const fn len(&self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// Whether it has no weights.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of weight `i` (of all weights), and how many weights of that row follow from `i` on.
    ///
    /// ```
    /// use drmad::group::Block;
    /// let block = Block { start: 10, rows: 3, columns: 4, hyper: Some(0) };
    /// assert_eq!([9, 10, 15, 21, 22].map(|i| block.row_of(i)), [None, Some((0, 4)), Some((1, 3)), Some((2, 1)), None]);
    /// ```
    pub const fn row_of(&self, i: usize) -> Option<(usize, usize)> {
        let Some(into) = i.checked_sub(self.start) else {
            return None;
        };
        if into >= self.len() {
            return None;
        }
        match (
            into.checked_div(self.columns),
            into.checked_rem(self.columns),
        ) {
            (Some(row), Some(column)) => Some((row, self.columns - column)),
            _ => None,
        }
    }

    /// Its piece of a vector of weights.
    #[inline]
    pub fn of<'s, S>(&self, w: &'s [S]) -> &'s [S] {
        w.get(self.start..self.start.saturating_add(self.len()))
            .unwrap_or(&[])
    }

    /// Its piece of a vector of weights, to write.
    #[inline]
    pub fn of_mut<'s, S>(&self, w: &'s mut [S]) -> &'s mut [S] {
        w.get_mut(self.start..self.start.saturating_add(self.len()))
            .unwrap_or_default()
    }

    /// Some of its rows, from `first` on.
    pub(crate) const fn rows(&self, first: usize, rows: usize) -> Block {
        let start = first
            .saturating_mul(self.columns)
            .saturating_add(self.start);
        let hyper = match self.hyper {
            Some(hyper) => Some(hyper.saturating_add(first)),
            None => None,
        };
        Block {
            start,
            rows,
            columns: self.columns,
            hyper,
        }
    }

    /// Its rows' hyperparameters.
    #[inline]
    pub fn hypers<'s, S>(&self, h: &'s [S]) -> &'s [S] {
        self.hyper
            .and_then(|first| h.get(first..first.saturating_add(self.rows)))
            .unwrap_or(&[])
    }

    /// Its rows' hyperparameters, to write.
    #[inline]
    pub fn hypers_mut<'s, S>(&self, h: &'s mut [S]) -> &'s mut [S] {
        self.hyper
            .and_then(|first| h.get_mut(first..first.saturating_add(self.rows)))
            .unwrap_or_default()
    }
}

impl<'a> Groups<'a> {
    /// No groups at all.
    ///
    /// ```
    /// use drmad::group::Groups;
    /// assert!(Groups::NONE.is_empty());
    /// ```
    pub const NONE: Groups<'static> = Groups {
        layout: Layout::Flat(0),
        by: Granularity::Parameter,
        biases: false,
    };

    /// All weights in one group.
    pub const fn global(weights: usize) -> Self {
        Groups {
            layout: Layout::Flat(weights),
            by: Granularity::Global,
            biases: true,
        }
    }

    /// How many hyperparameters there are.
    pub const fn len(&self) -> usize {
        let (mut blocks, mut len) = (self.blocks(), 0);
        while let Some(block) = blocks.step() {
            if let Some(first) = block.hyper {
                let end = first.saturating_add(block.rows);
                len = if end > len { end } else { len };
            }
        }
        len
    }

    /// Whether no weight has a hyperparameter.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many weights there are.
    pub const fn weights(&self) -> usize {
        self.layout.weights()
    }

    /// The blocks in the order of their weights.
    pub const fn blocks(&self) -> Blocks<'a> {
        Blocks {
            groups: *self,
            part: 0,
            start: 0,
            hyper: 0,
        }
    }

    /// The hyperparameter of each weight, -1 where it has none.
    ///
    /// # Errors
    /// [`Error::Length`] where `map` has not one element a weight.
    pub fn map(&self, map: &mut [i64]) -> Result<(), Error> {
        check_len("map", map, self.weights())?;
        for block in self.blocks() {
            for (i, m) in block.of_mut(map).iter_mut().enumerate() {
                *m = match block.hyper {
                    Some(first) => (first + i / block.columns.max(1)) as i64,
                    None => -1,
                };
            }
        }
        Ok(())
    }
}

/// A group, told to people. Layers are counted from 1, since the inputs are none; units and weights from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Member {
    /// All weights.
    Everything,
    /// Those of a layer.
    Layer(usize),
    /// The matrix of a layer.
    Matrix(usize),
    /// The biases of a layer.
    Biases(usize),
    /// The weights that leave an input of a layer.
    Unit {
        /// The layer.
        layer: usize,
        /// Which of its inputs.
        unit: usize,
    },
    /// The weight from an input of a layer to an output.
    Weight {
        /// The layer.
        layer: usize,
        /// From which input.
        from: usize,
        /// To which output.
        to: usize,
    },
    /// The bias of an output of a layer.
    Bias {
        /// The layer.
        layer: usize,
        /// Of which output.
        to: usize,
    },
    /// A weight of those without further structure.
    Number(usize),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::Everything => f.write_str("all weights"),
            Member::Layer(layer) => write!(f, "layer {layer}"),
            Member::Matrix(layer) => write!(f, "layer {layer}, weights"),
            Member::Biases(layer) => write!(f, "layer {layer}, biases"),
            Member::Unit { layer, unit } => write!(f, "layer {layer}, unit {unit}"),
            Member::Weight { layer, from, to } => {
                write!(f, "layer {layer}, weight {from} to {to}")
            }
            Member::Bias { layer, to } => write!(f, "layer {layer}, bias {to}"),
            Member::Number(i) => write!(f, "weight {i}"),
        }
    }
}

impl Groups<'_> {
    /// Which weights are those of hyperparameter `j`.
    ///
    /// ```
    /// use drmad::group::{Granularity, Groups, Layout, Member};
    /// let layout = Layout::Layers(&[3, 2]);
    /// let weights = Groups { layout, by: Granularity::Parameter, biases: true };
    /// assert_eq!(weights.member(3), Some(Member::Weight { layer: 1, from: 1, to: 1 }));
    /// assert_eq!(weights.member(6), Some(Member::Bias { layer: 1, to: 0 }));
    /// ```
    pub fn member(&self, j: usize) -> Option<Member> {
        let (part, row) = self.blocks().enumerate().find_map(|(part, block)| {
            let row = j.checked_sub(block.hyper?)?;
            (row < block.rows).then_some((part, row))
        })?;
        if let Layout::Flat(_) = self.layout {
            return Some(match self.by {
                Granularity::Unit | Granularity::Parameter => Member::Number(row),
                _ => Member::Everything,
            });
        }
        let (layer, is_bias) = (part / 2 + 1, part % 2 == 1);
        Some(match (self.by, is_bias) {
            (Granularity::Global, _) => Member::Everything,
            (Granularity::Layer, _) => Member::Layer(layer),
            (Granularity::Tensor, false) => Member::Matrix(layer),
            (Granularity::Tensor | Granularity::Unit, true) => Member::Biases(layer),
            (Granularity::Unit, false) => Member::Unit { layer, unit: row },
            (Granularity::Parameter, true) => Member::Bias { layer, to: row },
            (Granularity::Parameter, false) => {
                let outputs = self.layout.dense(part / 2)?.outputs;
                let (from, to) = (row.checked_div(outputs)?, row.checked_rem(outputs)?);
                Member::Weight { layer, from, to }
            }
        })
    }
}

/// The [`Block`]s of [`Groups`].
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    groups: Groups<'a>,
    /// Weight matrices are the even parts, biases the odd ones.
    part: usize,
    start: usize,
    hyper: usize,
}

impl Blocks<'_> {
    /// The next block, for constants too.
    const fn step(&mut self) -> Option<Block> {
        let Groups { layout, by, biases } = self.groups;
        let (layer, is_bias) = (self.part / 2, self.part % 2 == 1);
        let (rows, columns) = match (layout, layout.dense(layer)) {
            (Layout::Flat(n), _) if self.part == 0 => (n, 1),
            (_, None) => return None,
            (_, Some(dense)) if is_bias => (1, dense.outputs),
            (_, Some(dense)) => (dense.inputs, dense.outputs),
        };
        self.part += 1;
        let len = rows.saturating_mul(columns);
        let start = self.start;
        self.start = start.saturating_add(len);
        if is_bias && !biases {
            return Some(Block {
                start,
                rows: 1,
                columns: len,
                hyper: None,
            });
        }
        let (rows, columns) = match by {
            Granularity::Unit => (rows, columns),
            Granularity::Parameter => (len, 1),
            _ => (1, len),
        };
        let first = match by {
            Granularity::Global => 0,
            Granularity::Layer => layer,
            _ => self.hyper,
        };
        self.hyper = first.saturating_add(rows);
        Some(Block {
            start,
            rows,
            columns,
            hyper: Some(first),
        })
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        self.step()
    }
}
