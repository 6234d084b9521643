//! Libraries that are no driver of NVIDIA's, or not the one that is needed: the program says so in one line, and
//! ends with exit code 1, whatever they lack or answer. They are made from `driver.c` by a C compiler.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::skipped;
use crate::drmad;

/// All functions of the driver and of NVRTC that the program calls, and what stands around them.
const SOURCE: &str = include_str!("driver.c");

/// Names that the two libraries are loaded by.
const DRIVER: [&str; 2] = ["libcuda.so", "libcuda.so.1"];
const NVRTC: &str = "libnvrtc.so";

/// Compiles a library; none without a compiler.
fn compile(text: &str, options: &[&str], library: &Path) -> Option<()> {
    let source = library.with_extension("c");
    fs::write(&source, text).expect("a source");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(["-shared", "-fPIC", "-w"]).args(options);
    let output = match command.arg(&source).arg("-o").arg(library).output() {
        Ok(output) => output,
        Err(error) => {
            skipped(&format!("install gcc ({compiler}: {error})"));
            return None;
        }
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    Some(())
}

/// A folder with a driver and an NVRTC of these sources; an empty text for none.
fn folder(driver: &str, nvrtc: &str, options: &[&str]) -> Option<TempDir> {
    let folder = tempfile::tempdir().expect("a folder");
    if !driver.is_empty() {
        let [first, second] = DRIVER.map(|name| folder.path().join(name));
        compile(driver, options, &first)?;
        fs::copy(first, second).expect("a copy");
    }
    if !nvrtc.is_empty() {
        compile(nvrtc, options, &folder.path().join(NVRTC))?;
    }
    Some(folder)
}

/// What the program says of the libraries in a folder, which is one line.
#[track_caller]
fn refusal(folder: &TempDir) -> String {
    let mut command = drmad();
    command.args(["check", "--device", "cuda"]);
    let output: Output = command
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .expect("the program");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("drmad: "), "{told}");
    told
}

/// The functions of the source, by the first letters of their names.
fn functions(begin: &str) -> Vec<&'static str> {
    let lines = SOURCE.lines().filter_map(|line| line.strip_prefix("int "));
    let names = lines.filter_map(|line| line.split('(').next());
    names.filter(|name| name.starts_with(begin)).collect()
}

/// The source without a function.
fn without(function: &str) -> String {
    let begin = format!("int {function}(");
    let lines = SOURCE.lines().filter(|line| !line.starts_with(&begin));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_driver_or_a_compiler_that_lacks_a_function_is_refused_by_that_functions_name() {
    let (of_driver, of_nvrtc) = (functions("cu"), functions("nvrtc"));
    assert_eq!((of_driver.len(), of_nvrtc.len()), (23, 10));
    for function in of_driver {
        let Some(folder) = folder(&without(function), "", &[]) else {
            return;
        };
        let told = refusal(&folder);
        let words = format!("NVIDIA's driver: its library lacks {function}; install");
        assert!(told.contains(&words), "{told}");
    }
    let Some(whole) = folder(SOURCE, "", &[]) else {
        return;
    };
    for function in of_nvrtc {
        let library = whole.path().join(NVRTC);
        if compile(&without(function), &[], &library).is_none() {
            return;
        }
        let told = refusal(&whole);
        let words = format!("NVRTC: its library lacks {function}; install");
        assert!(told.contains(&words), "{told}");
    }
}

#[test]
fn an_empty_library_and_a_file_that_is_none_are_refused() {
    let Some(empty) = folder("int nothing;", "", &[]) else {
        return;
    };
    let told = refusal(&empty);
    assert!(told.contains("its library lacks cu"), "{told}");
    let Some(empty) = folder(SOURCE, "int nothing;", &[]) else {
        return;
    };
    let told = refusal(&empty);
    assert!(told.contains("its library lacks nvrtc"), "{told}");
    for name in DRIVER {
        fs::write(empty.path().join(name), "no library").expect("a file");
    }
    let told = refusal(&empty);
    assert!(told.contains("no NVIDIA driver"), "{told}");
}

#[test]
fn a_driver_whose_calls_fail_is_refused_in_its_words_or_without_them() {
    let failing = ["-DANSWER=34"];
    let Some(speaks) = folder(SOURCE, SOURCE, &failing) else {
        return;
    };
    let told = refusal(&speaks);
    assert!(
        told.contains("asking the driver: so says the stand-in"),
        "{told}"
    );
    let Some(silent) = folder(&without("cuGetErrorString"), "", &failing) else {
        return;
    };
    let told = refusal(&silent);
    assert!(told.contains("lacks cuGetErrorString"), "{told}");
    // It has the function, which fails as well.
    let text = SOURCE.replace("*text = \"so says the stand-in\"; return 0;", "return 34;");
    let Some(mute) = folder(&text, "", &failing) else {
        return;
    };
    let told = refusal(&mute);
    assert!(told.contains("CUDA_ERROR_STUB_LIBRARY"), "{told}");
    let Some(old) = folder(SOURCE, SOURCE, &["-DVERSION=11"]) else {
        return;
    };
    assert!(refusal(&old).contains("it is of CUDA 11.0, and 12.0 is needed"));
}

/// With nothing missing the same calls succeed: what is asked for is there, and no more is called.
#[test]
fn a_driver_that_has_these_functions_and_no_others_is_enough() {
    let mut sizes = [0u32; 5];
    // Each structure whose size does not agree is named, with the size that it should have.
    for what in ["Replica", "Status", "Teams"] {
        let define = format!("-DSIZES={{{}}}", sizes.map(|n| n.to_string()).join(","));
        let Some(folder) = folder(SOURCE, SOURCE, &[&define]) else {
            return;
        };
        let told = refusal(&folder);
        let (_, size) = (told.split_once(&format!("{what} has "))).expect("its size");
        let size = size.split(' ').next().and_then(|size| size.parse().ok());
        let place = sizes.iter().position(|size| *size == 0);
        sizes[place.expect("a size")] = size.expect("a number");
    }
    sizes[3..].copy_from_slice(&[64, 256]);
    let define = format!("-DSIZES={{{}}}", sizes.map(|n| n.to_string()).join(","));
    let Some(folder) = folder(SOURCE, SOURCE, &[&define]) else {
        return;
    };
    let told = refusal(&folder);
    assert!(
        told.contains("asking how many blocks fit: so says the stand-in"),
        "{told}"
    );
}
