//! Runs a program of the firmware on the host and prints what it comes to: `host drift`.

use programs::{Failure, Report, digits, drift, papers};

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let report: Result<Report, Failure> = match &name[..] {
        "drift" => drift::run(&mut drift::Memory::new()),
        "digits" => digits::run(&mut Box::new(digits::Memory::new())),
        "papers" => papers::run(&mut Box::new(papers::Memory::new())),
        _ => {
            eprintln!("give a program: drift, digits or papers");
            std::process::exit(2);
        }
    };
    match report {
        Ok(report) => {
            println!("losses {:?}", report.losses);
            println!("before {:?}", report.before);
            println!("after {:?}", report.after);
            println!("hash {:016x}", report.hash);
        }
        Err(failure) => {
            eprintln!("{failure:?}");
            std::process::exit(1);
        }
    }
}
