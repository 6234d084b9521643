//! Numbers as a reader wants to meet them.
//!
//! A report is read by people, so a number is written with as many digits as it deserves, a true
//! minus sign, and a separator between thousands. Every function takes any `f64`: what is not
//! finite is said to be so in words, because a `NaN` in a sentence reads like a fault of the page
//! and not like a fact about the run.
//!
//! What it refuses: locales, units beyond the percent sign, and rounding a number that is too
//! small for its digits to a bare zero (it goes to powers of ten instead).

/// What is written in the place of a number that is none.
pub(crate) const NOT_FINITE: &str = "not finite";

/// The no-break space that keeps a number and its unit on one line.
const NBSP: char = '\u{a0}';

/// A number to three significant digits.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NOT_FINITE.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    if (1e-3..1e7).contains(&size) {
        let decimals = (2 - size.log10().floor() as i32).max(0);
        return fixed(value, decimals as usize);
    }
    scientific(value, 2)
}

/// A number with a given count of decimals and thousands set apart.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NOT_FINITE.into();
    }
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, rest) = match plain.split_once('.') {
        Some((whole, rest)) => (whole, Some(rest)),
        None => (plain.as_str(), None),
    };
    let mut out = String::new();
    // A value that rounds to nothing has no sign to show.
    if value < 0.0 && plain.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        out.push('\u{2212}');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// A mantissa times a power of ten, in raised digits.
pub(crate) fn scientific(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NOT_FINITE.into();
    }
    let plain = format!("{value:.decimals$e}");
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let mantissa = mantissa.replace('-', "\u{2212}");
    match mantissa.as_str() {
        "1" => power_of_ten(exponent),
        "\u{2212}1" => format!("\u{2212}{}", power_of_ten(exponent)),
        _ => format!("{mantissa}·{}", power_of_ten(exponent)),
    }
}

/// Ten to a power, in raised digits.
pub(crate) fn power_of_ten(exponent: impl ToString) -> String {
    let raised = exponent
        .to_string()
        .chars()
        .fold(String::new(), |mut out, c| {
            out.push(match c {
                '-' => '⁻',
                '1' => '¹',
                '2' => '²',
                '3' => '³',
                // The other raised digits lie side by side in Unicode.
                c => c
                    .to_digit(10)
                    .and_then(|d| char::from_u32('⁰' as u32 + d))
                    .unwrap_or(c),
            });
            out
        });
    format!("10{raised}")
}

/// A fraction as a percentage: one decimal, or two where one would say too little.
pub(crate) fn percent(fraction: f64) -> String {
    let value = 100.0 * fraction;
    if !value.is_finite() {
        return NOT_FINITE.into();
    }
    let decimals = if value.abs() < 2.0 { 2 } else { 1 };
    format!("{}{NBSP}%", fixed(value, decimals))
}

/// A length of time: seconds, or minutes and hours where seconds would be many.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return NOT_FINITE.into();
    }
    if seconds >= 3600.0 {
        format!("{}{NBSP}h", number(seconds / 3600.0))
    } else if seconds >= 600.0 {
        format!("{}{NBSP}min", number(seconds / 60.0))
    } else {
        format!("{}{NBSP}s", number(seconds))
    }
}

/// A noun for so many; the plural is the noun with an s.
fn plural(n: usize, noun: &str) -> String {
    format!("{noun}{}", if n == 1 { "" } else { "s" })
}

/// A count and its noun on a page.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{} {}", fixed(n as f64, 0), plural(n, noun))
}

/// A count and its noun in a terminal, where programs read the number.
///
/// ```
/// # use drmad_host::words::several;
/// assert_eq!([several(1, "step"), several(1000, "step")], ["1 step", "1000 steps"]);
/// ```
pub fn several(n: usize, noun: &str) -> String {
    format!("{n} {}", plural(n, noun))
}

/// How a quantity goes from its first value to its last: "falls from 10.2 % to 7.9 %".
pub(crate) fn moves(from: f64, to: f64, say: fn(f64) -> String) -> String {
    if !from.is_finite() && !to.is_finite() {
        return format!("is {NOT_FINITE}");
    }
    let (a, b) = (say(from), say(to));
    if a == b {
        return format!("stays at {a}");
    }
    let verb = match to.partial_cmp(&from) {
        Some(std::cmp::Ordering::Less) => "falls",
        Some(std::cmp::Ordering::Greater) => "rises",
        _ => "goes",
    };
    format!("{verb} from {a} to {b}")
}

/// The label of a tick, given the distance between ticks.
pub(crate) fn tick(value: f64, step: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".into();
    }
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0);
    if decimals > 4.0 || value.abs() >= 1e7 {
        // As many digits as tell two neighbours apart.
        let apart = value.abs().log10().floor() - (step.log10() + 1e-9).floor();
        return scientific(value, apart.clamp(1.0, 7.0) as usize);
    }
    fixed(value, decimals as usize)
}

/// How numbers that stand together are written: one unit and so many decimals for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Alike {
    /// What one of the unit is.
    pub(crate) per: f64,
    decimals: usize,
    /// The unit with the space before it.
    pub(crate) unit: String,
}

impl Alike {
    fn new(per: f64, decimals: usize, unit: &str) -> Self {
        Self {
            per,
            decimals,
            unit: unit.into(),
        }
    }

    /// Four significant digits of a number like this.
    pub(crate) fn number(like: f64) -> Self {
        if !like.is_finite() || like == 0.0 {
            return Self::new(1.0, 3, "");
        }
        let exponent = like.abs().log10().floor();
        if (-3.0..7.0).contains(&exponent) {
            return Self::new(1.0, (3.0 - exponent).max(0.0) as usize, "");
        }
        let unit = format!("·{}", power_of_ten(exponent));
        Self::new(10f64.powf(exponent), 2, &unit)
    }

    /// Fractions in percent.
    pub(crate) fn percent() -> Self {
        Self::new(0.01, 2, "\u{a0}%")
    }

    /// Cosines, with as many nines as this one has.
    pub(crate) fn cosine(like: f64) -> Self {
        let decimals = match 1.0 - like {
            short if short > 0.0 => (1.0 - short.log10().floor()).clamp(3.0, 7.0),
            _ => 3.0,
        };
        Self::new(1.0, decimals as usize, "")
    }

    /// So many times.
    pub(crate) fn times(like: f64) -> Self {
        let mut alike = Self::rounded(1.0, like, "");
        alike.unit += "\u{a0}×";
        alike
    }

    /// Lengths of time like this one.
    pub(crate) fn duration(like: f64) -> Self {
        match like {
            s if s >= 3600.0 => Self::rounded(3600.0, like, "\u{a0}h"),
            s if s >= 600.0 => Self::rounded(60.0, like, "\u{a0}min"),
            _ => Self::rounded(1.0, like, "\u{a0}s"),
        }
    }

    /// Sizes of memory like this one.
    pub(crate) fn bytes(like: f64) -> Self {
        let (per, name) = memory(like);
        Self::rounded(per, like, &format!("{NBSP}{name}"))
    }

    /// Whole numbers, and means of them.
    pub(crate) fn count(like: f64) -> Self {
        Self::new(1.0, usize::from(like.fract() != 0.0), "")
    }

    /// Three significant digits of a number like this, in a unit.
    fn rounded(per: f64, like: f64, unit: &str) -> Self {
        let size = (like / per).abs();
        let decimals = match size.is_finite() && size > 0.0 {
            true => (2.0 - size.log10().floor()).clamp(0.0, 6.0),
            false => 1.0,
        };
        Self::new(per, decimals as usize, unit)
    }

    /// The number alone.
    pub(crate) fn bare(&self, value: f64) -> String {
        let value = value / self.per;
        // What is of another size altogether would be a row of digits.
        match value.abs() >= 1e9 && value.is_finite() {
            true => scientific(value, 2),
            false => fixed(value, self.decimals),
        }
    }

    /// The number with its unit.
    pub(crate) fn say(&self, value: f64) -> String {
        match value.is_finite() {
            true => format!("{}{}", self.bare(value), self.unit),
            false => NOT_FINITE.into(),
        }
    }

    /// Two numbers with a word between them and one unit behind.
    pub(crate) fn both(&self, a: f64, word: &str, b: f64) -> String {
        // A power of ten belongs to each of them.
        match self.unit.starts_with('·') {
            true => format!("{}{word}{}", self.say(a), self.say(b)),
            false => format!("{}{word}{}", self.bare(a), self.say(b)),
        }
    }

    /// A difference of two of them, with its sign.
    pub(crate) fn difference(&self, value: f64) -> String {
        let text = self.say(value);
        let plus = value > 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
        // Differences of percentages are no percentages.
        let text = match self.unit == "\u{a0}%" && value.is_finite() {
            true => format!("{}{NBSP}points", self.bare(value)),
            false => text,
        };
        match plus && value.is_finite() {
            true => format!("+{text}"),
            false => text,
        }
    }
}

/// A size of memory.
pub(crate) fn bytes(n: f64) -> String {
    let (unit, name) = memory(n);
    format!("{}{NBSP}{name}", number(n / unit))
}

/// The unit that suits a size of memory, and its name.
fn memory(n: f64) -> (f64, &'static str) {
    match n {
        n if n >= 1e9 => (1e9, "GB"),
        n if n >= 1e6 => (1e6, "MB"),
        n if n >= 1e3 => (1e3, "kB"),
        _ => (1.0, "bytes"),
    }
}

/// A number for programs.
pub(crate) fn plain(value: f64, decimals: usize) -> String {
    if value.is_finite() {
        format!("{value:.decimals$}")
    } else {
        "-".into()
    }
}

/// A line of a terminal's table, its columns as wide as they are said to be; the first, and one of
/// no width, are words.
pub(crate) fn columns<const N: usize>(table: &[(&str, usize); N], texts: [String; N]) -> String {
    let mut line = String::new();
    for (i, (text, (_, width))) in texts.iter().zip(table).enumerate() {
        // One space at most inside a column, and no line of its own.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if i > 0 {
            line += "  ";
        }
        line += &match i == 0 || *width == 0 {
            true => format!("{text:<width$}"),
            false => format!("{text:>width$}"),
        };
    }
    line.trim_end().into()
}

/// The first letter made large, for a caption that opens with a name.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// A name cut to at most `most` letters, so that it can't run over a picture's edge.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_three_digits_and_never_a_bare_nan() {
        assert_eq!(number(12345.6), "12,346");
        assert_eq!(number(0.123456), "0.123");
        assert_eq!(number(-4.0), "\u{2212}4.00");
        assert_eq!(number(1.5e-6), "1.50·10⁻⁶");
        assert_eq!(number(f64::NAN), NOT_FINITE);
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(power_of_ten(-14), "10⁻¹⁴");
    }

    #[test]
    fn sentences_follow_the_direction_of_the_numbers() {
        assert_eq!(
            moves(0.102, 0.079, percent),
            "falls from 10.2\u{a0}% to 7.9\u{a0}%"
        );
        assert_eq!(moves(1.0, 1.0, number), "stays at 1.00");
        assert_eq!(moves(f64::NAN, f64::NAN, number), "is not finite");
        assert_eq!(moves(1.0, f64::NAN, number), "goes from 1.00 to not finite");
    }

    #[test]
    fn numbers_that_stand_together_have_one_unit_and_as_many_decimals() {
        assert_eq!(
            Alike::number(0.2135).both(0.2135, " ± ", 0.00421),
            "0.2135 ± 0.0042"
        );
        assert_eq!(
            Alike::percent().both(0.0291, " to ", 0.0302),
            "2.91 to 3.02\u{a0}%"
        );
        assert_eq!(Alike::number(2.5e-9).say(1e-10), "0.10·10⁻⁹");
        assert_eq!(Alike::percent().difference(0.0004), "+0.04\u{a0}points");
        assert_eq!(Alike::number(1.0).difference(-1e-9), "0.000");
        assert_eq!(Alike::cosine(0.99998).say(0.99998), "0.999980");
        assert_eq!(Alike::duration(7200.0).say(5400.0), "1.50\u{a0}h");
        assert_eq!(Alike::count(3.0).say(f64::NAN), NOT_FINITE);
    }
}
