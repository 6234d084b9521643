//! Runs a program of the firmware on the host and prints what it comes to: `host drift`.

use drmad::kernels::reduce::cosine;
use programs::methods::{self, Hypergradient};
use programs::{Failure, Report, digits, drift, papers};

/// A method's report, after a look at its angle to the exact hypergradient.
macro_rules! method {
    ($name:ident, $least:expr) => {{
        let exact = methods::tape::hypergradient(&mut Box::default())?;
        let got = methods::$name::hypergradient(&mut Box::default())?;
        judge(&got, &exact, $least)?;
        println!("memory {}", methods::$name::NEED.bytes());
        methods::$name::run(&mut Box::default())
    }};
}

/// Prints a method's cosine to the exact hypergradient, and refuses one that is less than it must be.
fn judge(got: &Hypergradient, exact: &Hypergradient, least: f64) -> Result<(), Failure> {
    let cosine = cosine(&got.d_h, &exact.d_h);
    println!("cosine {cosine:.4}");
    // Neither does a NaN pass.
    if cosine >= least {
        return Ok(());
    }
    Err(Failure::NoBetter {
        what: "one less the cosine to the exact hypergradient",
        most: 1.0 - least as f32,
        got: 1.0 - cosine as f32,
    })
}

fn run(name: &str) -> Result<Report, Failure> {
    match name {
        "drift" => drift::run(&mut Box::default()),
        "digits" => digits::run(&mut Box::default()),
        "papers" => papers::run(&mut Box::default()),
        "direct" => methods::direct::run(&mut Box::default()),
        "tape" => method!(tape, 1.0),
        "checkpoints" => method!(checkpoints, 1.0),
        "reversible" => method!(reversible, 0.9999),
        "line" => method!(line, 0.95),
        "line_published" => method!(line_published, 0.8),
        "knots" => method!(knots, 0.999),
        "hermite" => method!(hermite, 0.999),
        "legendre" => method!(legendre, 0.999),
        "hats" => method!(hats, 0.999),
        "reversed" => method!(reversed, 0.9999),
        "forward" => method!(forward, 0.9999),
        "implicit" => method!(implicit, 0.9),
        "neumann" => method!(neumann, 0.9),
        _ => {
            eprintln!("{name}: not a program of the firmware");
            std::process::exit(2);
        }
    }
}

fn main() {
    match run(&std::env::args().nth(1).unwrap_or_default()) {
        Ok(report) => {
            println!("losses {:?}", report.losses);
            let (before, after) = (report.before, report.after);
            println!("valid_loss {} {}", before.valid_loss, after.valid_loss);
            println!("test_error {} {}", before.test_error, after.test_error);
            println!("hash {:016x}", report.hash);
        }
        Err(failure) => {
            eprintln!("{failure:?}");
            std::process::exit(1);
        }
    }
}
