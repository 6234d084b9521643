//! `gates run VARIANT KERNEL` runs a kernel, once to be counted; `gates table DIR` prints the table of
//! the counts that gungraun left in a directory, and refuses one that is below its floor.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use drmad::kernels::dispatch::force;
use gates::Variant;

/// What callgrind counts: its name is in the option `toggle-collect`.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
}

fn run(variant: &str, kernel: &str) {
    let variant = Variant::ALL.into_iter().find(|v| v.name() == variant);
    let variant = variant.expect("a variant");
    force(variant.level()).expect("a level that valgrind has");
    let mut kernels = variant.kernels().into_iter();
    let mut kernel = kernels.find(|k| k.name == kernel).expect("a kernel");
    // What happens only once, as the choice of a memcpy, is not counted.
    (kernel.run)();
    counted(&mut kernel.run);
}

/// The count of a kernel, in the file that callgrind wrote.
fn count(dir: &Path, bench: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(bench).join(format!("callgrind.{bench}.out"))).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("summary: "))?;
    line.split_whitespace().next()?.parse().ok()
}

fn table(dir: &Path) -> String {
    let mut table = format!(
        "#{:<26} {:<15} {:>12} {:>9} {:>9} {:>6} {:>8}\n",
        " kernel", "variant", "instructions", "limit", "a unit", "floor", "of floor",
    );
    for variant in Variant::ALL {
        for kernel in variant.kernels() {
            let (kernel_name, name) = (kernel.name, variant.name());
            let count = count(dir, &format!("{kernel_name}.{name}")).expect("a count");
            let (unit, floor) = (count as f64 / kernel.units as f64, kernel.floor(variant));
            assert!(unit >= floor, "{kernel_name} on {name}: {unit} a unit");
            writeln!(
                table,
                "{kernel_name:<27} {name:<15} {count:>12} {:>9} {unit:>9.3} {floor:>6.3} {:>8.2}",
                count + count / 10,
                unit / floor,
            )
            .expect("memory");
        }
    }
    table
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", variant, kernel] => run(variant, kernel),
        ["table", dir] => print!("{}", table(Path::new(dir))),
        _ => panic!("run VARIANT KERNEL or table DIR"),
    }
}
