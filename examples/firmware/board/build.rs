//! Gives each program the RAM that it may have, and no more: the linker holds it to that.

use std::env;
use std::error::Error;
use std::fs::{create_dir_all, write};
use std::path::PathBuf;

/// What of the RAM each program may use, in KiB.
const PROGRAMS: [(&str, u32); 3] = [("drift", 16), ("digits", 256), ("papers", 4096)];
/// The programs that measure a method, and those that must fail.
const OTHERS: [&str; 16] = [
    "panics",
    "faults",
    "direct",
    "tape",
    "checkpoints",
    "reversible",
    "line",
    "line_published",
    "knots",
    "hermite",
    "legendre",
    "hats",
    "reversed",
    "forward",
    "implicit",
    "neumann",
];
const OTHER_RAM: u32 = 128;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let arm = env::var("CARGO_CFG_TARGET_ARCH")? == "arm";
    let others = OTHERS.map(|name| (name, OTHER_RAM));
    for (bin, ram) in PROGRAMS.into_iter().chain(others) {
        let memory = if arm {
            format!(
                "MEMORY {{\n  FLASH : ORIGIN = 0x00000000, LENGTH = 4M\n  \
                 RAM : ORIGIN = 0x20000000, LENGTH = {ram}K\n}}\n"
            )
        } else {
            // QEMU loads it all to RAM, where it begins to run; the first 4 MiB stand for flash.
            format!(
                "MEMORY {{\n  FLASH : ORIGIN = 0x80000000, LENGTH = 4M\n  \
                 RAM : ORIGIN = 0x80400000, LENGTH = {ram}K\n}}\n\
                 REGION_ALIAS(\"REGION_TEXT\", FLASH);\nREGION_ALIAS(\"REGION_RODATA\", FLASH);\n\
                 REGION_ALIAS(\"REGION_DATA\", RAM);\nREGION_ALIAS(\"REGION_BSS\", RAM);\n\
                 REGION_ALIAS(\"REGION_HEAP\", RAM);\nREGION_ALIAS(\"REGION_STACK\", RAM);\n"
            )
        };
        let folder = out.join(bin);
        create_dir_all(&folder)?;
        write(folder.join("memory.x"), memory)?;
        // Searched before the scripts are read, which include it.
        println!("cargo::rustc-link-arg-bin={bin}=-L{}", folder.display());
        if !arm {
            // The script of the Cortex-M runtime includes it.
            println!("cargo::rustc-link-arg-bin={bin}=-Tmemory.x");
        }
        println!("cargo::rustc-link-arg-bin={bin}=-Tlink.x");
        println!("cargo::rustc-link-arg-bin={bin}=-Tdefmt.x");
    }
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
