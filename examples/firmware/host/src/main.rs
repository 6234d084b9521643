//! Runs a program of the firmware on the host and prints what it comes to: `host drift`.

use drmad::kernels::reduce::cosine;
use programs::methods::{self, Hypergradient};
use programs::{Failure, Report, digits, drift, papers};

/// A method's report, after a look at its angle to the exact hypergradient.
macro_rules! method {
    ($name:ident, $least:expr) => {{
        let exact = methods::tape::hypergradient(&mut Box::new(methods::tape::Memory::new()))?;
        let mut memory = Box::new(methods::$name::Memory::new());
        let got = methods::$name::hypergradient(&mut memory)?;
        judge(&got, &exact, $least)?;
        println!("storage {}", methods::$name::STORAGE);
        methods::$name::run(&mut memory)
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
        "drift" => drift::run(&mut drift::Memory::new()),
        "digits" => digits::run(&mut Box::new(digits::Memory::new())),
        "papers" => papers::run(&mut Box::new(papers::Memory::new())),
        "training" => methods::training::run(&mut Box::new(methods::training::Memory::new())),
        "tape" => method!(tape, 1.0),
        "checkpoints" => method!(checkpoints, 1.0),
        "reversible" => method!(reversible, 0.9999),
        "line" => method!(line, 0.98),
        "knots" => method!(knots, 0.999),
        "legendre" => method!(legendre, 0.999),
        "hats" => method!(hats, 0.999),
        "reversed" => method!(reversed, 0.9999),
        "forward_mode" => method!(forward_mode, 0.9999),
        "implicit" => method!(implicit, 0.9),
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
