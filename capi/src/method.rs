//! The reverse methods: which path a struct stands for, and the words it needs.
//!
//! A path lies in words of the caller's and is chosen at run time, so all of them are one enumeration
//! here; a tail and a truncation go around it as in `drmad::path`.

use drmad::kernels::quantise;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Plan, Quantised, Reversed,
    Reversible, Rows, Spare, Steps, Stored, Tail, Taken, Tape, Truncated,
};
use drmad::random::{Normal, Origin};
use drmad::train::{Rule, Schedule};
use drmad::{Arithmetic, Error};

use crate::raw::{place, words_for};
use crate::{Code, times};

/// Where the weights were: what a method remembers of the training.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A least-squares fit by hat functions of time, the default.
    Hats = 0,
    /// Every step: exact.
    Tape = 1,
    /// Some steps, the others are taken again: exact.
    Checkpoints = 2,
    /// The bits that a step in fixed point loses: exact, of that training.
    Reversible = 3,
    /// Nothing: a straight line from the first weights to the last (DrMAD as its formula says).
    Line = 4,
    /// The same as DrMAD's published code has it.
    LinePublished = 5,
    /// Some points, with lines between them.
    Knots = 6,
    /// Some points, with cubics between them.
    Hermite = 7,
    /// A least-squares fit by polynomials of time.
    Legendre = 8,
    /// Nothing: runs backwards in floating point, good for some steps.
    Reversed = 9,
}

/// No tail.
pub const TAIL_NONE: usize = !0;
/// Numbers in full, not as differences of a few levels.
pub const LEVELS_FULL: u32 = 1;

/// A reverse method. All zeros are the default: hats, 8 of them, in 11 levels, with a tail.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// One of `drmad_path`.
    pub path: i32,
    /// Levels of hats and knots: 3, 7, 11, 15, 255 or DRMAD_LEVELS_FULL; 0 is 11 for hats and in full for
    /// knots.
    pub levels: u32,
    /// How many hats, snapshots, intervals or polynomials; 0 is 8 hats, 10 snapshots, 16 of the others.
    pub size: usize,
    /// The power of the spacing of hats, 0.1 to 10; 0 is the one that serves their number best.
    pub spacing: f32,
    /// The last steps that are run backwards, before hats, knots, line or polynomials; 0 is as many as the
    /// momentum allows for hats, and none for the others; DRMAD_TAIL_NONE is none.
    pub tail: usize,
    /// Only so many last steps are taken back; 0 is all.
    pub last: usize,
}

/// Where training begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    Given(&'a [f32]),
    Seeded(Normal<'a, f32>),
}

impl Origin<f32> for Start<'_> {
    fn fill(&self, first: usize, out: &mut [f32]) {
        match self {
            Start::Given(w) => w.fill(first, out),
            Start::Seeded(normal) => normal.fill(first, out),
        }
    }

    fn weights(&self) -> usize {
        match self {
            Start::Given(w) => w.len(),
            Start::Seeded(normal) => normal.weights(),
        }
    }

    fn floats(&self) -> usize {
        match self {
            Start::Given(w) => w.len(),
            Start::Seeded(_) => 0,
        }
    }
}

/// A method with its defaults filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    way: Way,
    levels: u32,
    size: usize,
    spacing: f32,
    tail: usize,
    last: usize,
    /// Vectors of what the rule remembers that are kept with the weights.
    slots: usize,
    /// The least momentum of all.
    momentum: f32,
    weights: usize,
    steps: usize,
}

impl Method {
    /// The method for a training; `recalls` says that what the rule remembers will be asked for.
    pub(crate) fn choose(
        &self,
        schedule: &Schedule<'_, f32>,
        steps: usize,
        recalls: bool,
    ) -> Result<Chosen, Code> {
        const WAYS: [Way; 10] = [
            Way::Hats,
            Way::Tape,
            Way::Checkpoints,
            Way::Reversible,
            Way::Line,
            Way::LinePublished,
            Way::Knots,
            Way::Hermite,
            Way::Legendre,
            Way::Reversed,
        ];
        let way = WAYS.into_iter().find(|way| *way as i32 == self.path);
        let way = way.ok_or(Code::Enum)?;
        let size = match (self.size, way) {
            (0, Way::Hats) => 8,
            (0, Way::Checkpoints) => 10,
            (0, _) => 16,
            (size, _) => size,
        };
        let levels = match (self.levels, way) {
            (0, Way::Hats) => 11,
            (0, _) => LEVELS_FULL,
            (levels @ (LEVELS_FULL | 3 | 7 | 11 | 15 | 255), _) => levels,
            _ => return Err(Code::Enum),
        };
        let spacing = if self.spacing == 0.0 {
            Grid::spacing(size)
        } else {
            self.spacing
        };
        if !spacing.is_finite() {
            return Err(Code::NotFinite);
        }
        let last = if self.last == 0 { steps } else { self.last };
        if last > steps {
            return Err(Code::Range);
        }
        let may_have_tail = matches!(
            way,
            Way::Hats | Way::Line | Way::Knots | Way::Hermite | Way::Legendre
        );
        let tail = match self.tail {
            TAIL_NONE => 0,
            // As the harness does: shorter trainings are half tail, and a step is left for each hat.
            0 if way == Way::Hats && schedule.rule == Rule::HeavyBall => {
                let reach = Reversed::reach(schedule, steps);
                reach.min(steps / 2).min(steps.saturating_sub(size))
            }
            tail => tail,
        };
        if tail > 0 && !may_have_tail {
            return Err(Code::Unsupported);
        }
        if tail >= steps {
            return Err(Code::Range);
        }
        // What the weights tell of a step is the heavy ball's velocity alone, and only its steps are run
        // backwards.
        let backwards = tail > 0 || matches!(way, Way::Reversible | Way::Reversed);
        let keeps_all = matches!(way, Way::Tape | Way::Checkpoints);
        if schedule.rule != Rule::HeavyBall && (backwards || (recalls && !keeps_all)) {
            return Err(Code::Unsupported);
        }
        let rule_slots = schedule.rule.slots();
        Ok(Chosen {
            way,
            levels,
            size,
            spacing,
            tail,
            last,
            slots: match way {
                // Steps are taken again with what the rule remembers.
                Way::Checkpoints => rule_slots,
                _ if recalls => rule_slots,
                _ => 0,
            },
            momentum: schedule.momenta.iter().copied().fold(1.0, f32::min),
            weights: schedule.groups.weights(),
            steps,
        })
    }
}

impl Chosen {
    /// A tape and checkpoints see the last steps alone, the others all before their tail.
    fn sees_the_end_alone(&self) -> bool {
        matches!(self.way, Way::Tape | Way::Checkpoints)
    }

    /// The steps that the path itself sees.
    fn seen(&self) -> usize {
        if self.sees_the_end_alone() {
            self.last
        } else {
            self.steps.saturating_sub(self.tail)
        }
    }

    /// Words of rows.
    fn rows_len(&self, rows: usize) -> Result<usize, Code> {
        if self.levels == LEVELS_FULL {
            return times(self.weights, rows);
        }
        let levels = self.levels;
        let each = crate::kernels::with_levels!(levels, L => {
            self.weights.div_ceil(quantise::block(L)) * quantise::words(L)
        });
        times(each, rows)
    }

    /// Words of storage.
    pub(crate) fn storage_len(&self) -> Result<usize, Code> {
        let (p, size) = (self.weights, self.size);
        let more = size.checked_add(1).ok_or(Code::Size)?;
        let len = match self.way {
            Way::Line | Way::LinePublished | Way::Reversed => 0,
            Way::Tape => Tape::<f32>::required_len(p, self.seen(), self.slots),
            Way::Checkpoints => {
                let marks = words_for::<Mark>(size).ok_or(Code::Size)?;
                Checkpoints::<f32>::required_len(p, size, self.slots).saturating_add(marks)
            }
            Way::Reversible => {
                // A momentum that cannot be reversed has no length; the path says why.
                match Reversible::required_len(p, self.seen(), self.momentum) {
                    usize::MAX if self.momentum == 0.0 => return Err(Code::Unsupported),
                    usize::MAX => return Err(Code::Range),
                    len => len,
                }
            }
            Way::Knots => self.rows_len(size)?,
            Way::Hermite => self.rows_len(size)?.saturating_add(self.rows_len(more)?),
            Way::Legendre => Legendre::<f32>::required_len(p, size),
            Way::Hats => self.rows_len(size)?.saturating_add(more),
        };
        if len == usize::MAX {
            return Err(Code::Size);
        }
        Ok(len)
    }

    /// Calls `body` with the path.
    pub(crate) fn with_path<A: Arithmetic, R>(
        &self,
        origin: Start<'_>,
        storage: &mut [u32],
        body: impl FnOnce(&mut dyn Path<A, f32>) -> Result<R, Code>,
    ) -> Result<R, Code> {
        let path = self.path(origin, storage)?;
        let Chosen {
            tail, last, steps, ..
        } = *self;
        match (tail > 0, last < steps) {
            (false, false) => body(&mut { path }),
            (false, true) if self.sees_the_end_alone() => {
                body(&mut Truncated::new(path, steps, last)?)
            }
            (false, true) => body(&mut Truncated::early(path, steps, last)?),
            (true, false) => body(&mut Tail::new(path, steps, tail)?),
            (true, true) => {
                let tail = Tail::new(path, steps, tail)?;
                body(&mut Truncated::early(tail, steps, last)?)
            }
        }
    }

    fn path<'a>(&self, origin: Start<'a>, storage: &'a mut [u32]) -> Result<AnyPath<'a>, Code> {
        let (p, size, steps) = (self.weights, self.size, self.seen());
        Ok(match self.way {
            Way::Tape => {
                let storage = bytemuck::cast_slice_mut(storage);
                AnyPath::Tape(Tape::new(p, steps, self.slots, storage)?)
            }
            Way::Checkpoints => {
                let len = Checkpoints::<f32>::required_len(p, size, self.slots);
                let (numbers, marks) = split(storage, len)?;
                let marks = place::<Mark>(marks, size).ok_or(Code::Length)?;
                let numbers = bytemuck::cast_slice_mut(numbers);
                AnyPath::Checkpoints(Checkpoints::new(p, steps, self.slots, numbers, marks)?)
            }
            Way::Reversible => {
                AnyPath::Reversible(Reversible::new(p, steps, self.momentum, storage)?)
            }
            Way::Line => AnyPath::Line(Line::new(origin, steps)),
            Way::LinePublished => {
                AnyPath::Line(Line::new(origin, steps).with(Plan::published(steps)))
            }
            Way::Knots => {
                let rows = AnyRows::new(self.levels, p, size, storage)?;
                AnyPath::Knots(Knots::new(p, size, origin, rows)?)
            }
            Way::Hermite => {
                let (rows, changes) = split(storage, self.rows_len(size)?)?;
                let rows = AnyRows::new(self.levels, p, size, rows)?;
                let changes = AnyRows::new(self.levels, p, size + 1, changes)?;
                AnyPath::Knots(Knots::hermite(p, size, origin, rows, changes)?)
            }
            Way::Legendre => {
                let storage = bytemuck::cast_slice_mut(storage);
                AnyPath::Legendre(Legendre::new(p, steps, size, storage)?)
            }
            Way::Hats => {
                let grid = Grid {
                    steps,
                    intervals: size,
                    spacing: self.spacing,
                };
                let (rows, factors) = split(storage, self.rows_len(size)?)?;
                let factors = bytemuck::cast_slice_mut(factors);
                let factors = factors.get_mut(..=size).ok_or(Code::Length)?;
                let rows = AnyRows::new(self.levels, p, size, rows)?;
                AnyPath::Hats(Hats::new(p, grid, origin, rows, factors)?)
            }
            Way::Reversed => AnyPath::Reversed(Reversed),
        })
    }
}

fn split(storage: &mut [u32], at: usize) -> Result<(&mut [u32], &mut [u32]), Code> {
    storage.split_at_mut_checked(at).ok_or(Code::Length)
}

/// Rows of whichever levels.
enum AnyRows<'a> {
    Full(Full<'a, f32>),
    Three(Quantised<'a, 3>),
    Seven(Quantised<'a, 7>),
    Eleven(Quantised<'a, 11>),
    Fifteen(Quantised<'a, 15>),
    Most(Quantised<'a, 255>),
}

impl<'a> AnyRows<'a> {
    fn new(levels: u32, p: usize, rows: usize, storage: &'a mut [u32]) -> Result<Self, Code> {
        Ok(match levels {
            3 => AnyRows::Three(Quantised::new(p, rows, storage)?),
            7 => AnyRows::Seven(Quantised::new(p, rows, storage)?),
            11 => AnyRows::Eleven(Quantised::new(p, rows, storage)?),
            15 => AnyRows::Fifteen(Quantised::new(p, rows, storage)?),
            255 => AnyRows::Most(Quantised::new(p, rows, storage)?),
            _ => AnyRows::Full(Full::new(p, rows, bytemuck::cast_slice_mut(storage))?),
        })
    }
}

macro_rules! each_rows {
    ($self:expr, $rows:ident => $body:expr) => {
        match $self {
            AnyRows::Full($rows) => $body,
            AnyRows::Three($rows) => $body,
            AnyRows::Seven($rows) => $body,
            AnyRows::Eleven($rows) => $body,
            AnyRows::Fifteen($rows) => $body,
            AnyRows::Most($rows) => $body,
        }
    };
}

impl Stored for AnyRows<'_> {
    fn floats(&self) -> usize {
        each_rows!(self, rows => rows.floats())
    }

    fn check(&self, weights: usize, rows: usize) -> Result<(), Error> {
        each_rows!(self, of => of.check(weights, rows))
    }

    fn copy(&mut self, from: usize, to: usize) {
        each_rows!(self, rows => rows.copy(from, to));
    }
}

impl<A: Arithmetic> Rows<A, f32> for AnyRows<'_> {
    fn block(&self) -> usize {
        each_rows!(self, rows => Rows::<A, f32>::block(rows))
    }

    fn read(&self, k: usize, first: usize, x: &mut [f32]) {
        each_rows!(self, rows => Rows::<A, f32>::read(rows, k, first, x));
    }

    fn write(&mut self, k: usize, first: usize, x: &[f32], before: &[f32]) {
        each_rows!(self, rows => Rows::<A, f32>::write(rows, k, first, x, before));
    }

    fn read_alone(&self, k: usize, first: usize, x: &mut [f32]) {
        each_rows!(self, rows => Rows::<A, f32>::read_alone(rows, k, first, x));
    }
}

/// A path of whichever kind.
enum AnyPath<'a> {
    Tape(Tape<'a, f32>),
    Checkpoints(Checkpoints<'a, f32>),
    Reversible(Reversible<'a>),
    Line(Line<Start<'a>>),
    Knots(Knots<f32, Start<'a>, AnyRows<'a>>),
    Legendre(Legendre<'a, f32>),
    Hats(Hats<'a, f32, Start<'a>, AnyRows<'a>>),
    Reversed(Reversed),
}

macro_rules! each_path {
    ($self:expr, $path:ident => $body:expr) => {
        match $self {
            AnyPath::Tape($path) => $body,
            AnyPath::Checkpoints($path) => $body,
            AnyPath::Reversible($path) => $body,
            AnyPath::Line($path) => $body,
            AnyPath::Knots($path) => $body,
            AnyPath::Legendre($path) => $body,
            AnyPath::Hats($path) => $body,
            AnyPath::Reversed($path) => $body,
        }
    };
}

impl<A: Arithmetic> Path<A, f32> for AnyPath<'_> {
    fn floats(&self) -> usize {
        each_path!(self, path => Path::<A, f32>::floats(path))
    }

    fn start(&mut self, w: &mut [f32]) -> Result<(), Error> {
        each_path!(self, path => Path::<A, f32>::start(path, w))
    }

    fn record(
        &mut self,
        t: usize,
        w: &[f32],
        v: &[f32],
        spare: Spare<'_, f32>,
    ) -> Result<(), Error> {
        each_path!(self, path => Path::<A, f32>::record(path, t, w, v, spare))
    }

    fn advance(
        &mut self,
        t: usize,
        w: &mut [f32],
        v: &mut [f32],
        g: &[f32],
        steps: &mut dyn Steps<f32>,
    ) -> Result<bool, Error> {
        each_path!(self, path => Path::<A, f32>::advance(path, t, w, v, g, steps))
    }

    fn taken(&self) -> Option<Taken<f32>> {
        each_path!(self, path => Path::<A, f32>::taken(path))
    }

    fn finish(&mut self, w: &[f32], v: &[f32], spare: Spare<'_, f32>) -> Result<(), Error> {
        each_path!(self, path => Path::<A, f32>::finish(path, w, v, spare))
    }

    fn open(&mut self, w: &[f32], spare: Spare<'_, f32>) -> Result<(), Error> {
        each_path!(self, path => Path::<A, f32>::open(path, w, spare))
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [f32],
        v: Option<&mut [f32]>,
        steps: &mut dyn Steps<f32>,
        spare: Spare<'_, f32>,
    ) -> Result<(), Error> {
        each_path!(self, path => Path::<A, f32>::recall(path, t, w, v, steps, spare))
    }

    fn plan(&self, trained: usize) -> Plan {
        each_path!(self, path => Path::<A, f32>::plan(path, trained))
    }
}
