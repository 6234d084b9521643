//! Kills at random moments, full and read-only disks, two runs in one folder: nothing is lost.
//!
//! `DRMAD_KILLS=200 cargo test --test kills` kills each kind of run that often; a few times otherwise. The moments
//! are a function of `DRMAD_SEED`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn drmad(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drmad"));
    command.args(arguments).stdin(Stdio::null());
    command.env("RAYON_NUM_THREADS", "1");
    command
}

fn output(arguments: &[&str]) -> Output {
    drmad(arguments).output().expect("the binary runs")
}

fn done(arguments: &[&str]) -> String {
    let output = output(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refusal(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    errors
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}

/// Arguments, the last of them a folder.
fn with_out<'a>(fixed: &'a str, out: &'a Path) -> Vec<&'a str> {
    fixed.split(' ').chain([path(out)]).collect()
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Numbers from a seed.
struct Moments(u64);

impl Moments {
    fn below(&mut self, most: Duration) -> Duration {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        most.mul_f64((self.0 >> 40) as f64 / (1u64 << 24) as f64)
    }
}

/// Runs to the end, killed so many times on the way; `resumed` are the arguments once it has begun. Returns how many
/// kills hit a run that was still going.
fn killed(arguments: &[&str], begun: &Path, times: u64, each: Duration) -> u64 {
    let seed = number("DRMAD_SEED", 1);
    let mut moments = Moments(seed);
    let (mut hit, mut resume) = (0, arguments.to_vec());
    resume.push("--resume");
    for _ in 0..times {
        let arguments = if begun.exists() { &resume } else { arguments };
        let mut child = drmad(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        std::thread::sleep(moments.below(each));
        if child.try_wait().expect("a child").is_none() {
            hit += 1;
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    done(if begun.exists() { &resume } else { arguments });
    hit
}

/// How long it takes, and a little more.
fn timed(arguments: &[&str]) -> Duration {
    let clock = Instant::now();
    done(arguments);
    clock.elapsed().mul_f64(1.2)
}

/// All that is not a time.
fn without_seconds(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.contains("seconds"));
            let timed = map.get("unit").is_some_and(|unit| unit == "seconds");
            if timed {
                map.remove("values");
            }
            map.values_mut().for_each(without_seconds);
        }
        Value::Array(all) => all.iter_mut().for_each(without_seconds),
        _ => {}
    }
}

#[test]
fn a_tuning_that_is_killed_again_and_again_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let fixed = "tune mnist-units --steps 40 --meta-steps 8 --draws 2 --compare never --out";
    let [one, other] = [&whole, &cut].map(|out| with_out(fixed, out));
    let each = timed(&one);
    let times = number("DRMAD_KILLS", 5);
    let hit = killed(&other, &cut.join("state.json"), times, each);
    println!("{hit} of {times} kills hit a tuning");
    let read = |out: &Path| fs::read(out.join("hyper.npy")).unwrap();
    assert_eq!(read(&whole), read(&cut), "seed {}", number("DRMAD_SEED", 1));
    // And nothing is left lying about.
    for entry in fs::read_dir(&cut).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with(".unfinished"), "{name}");
    }
}

#[test]
fn an_experiment_that_is_killed_again_and_again_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let fixed = "experiment average-gradient --quick --seeds 1 --out";
    let [one, other] = [&whole, &cut].map(|out| with_out(fixed, out));
    let each = timed(&one);
    let times = number("DRMAD_KILLS", 4);
    let hit = killed(&other, &cut, times, each);
    println!("{hit} of {times} kills hit an experiment");
    let read = |out: &Path| {
        let text = fs::read(out.join("average-gradient/findings.json")).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        without_seconds(&mut value);
        value
    };
    assert_eq!(read(&whole), read(&cut), "seed {}", number("DRMAD_SEED", 1));
}

#[test]
fn two_runs_do_not_write_to_one_folder_and_a_dead_one_keeps_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = path(folder.path());
    let mut first = drmad(&["tune", "--steps", "1000", "--out", out])
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    // It owns the folder before it trains.
    while !folder.path().join(".lock").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    let refused = refusal(&["tune", "--steps", "5", "--out", out]);
    assert!(refused.contains("another run is writing to"), "{refused}");
    assert!(refused.contains("give another --out"), "{refused}");
    first.kill().expect("killed");
    first.wait().expect("gone");
    done(&[
        "tune",
        "--steps",
        "10",
        "--meta-steps",
        "1",
        "--compare",
        "never",
        "--out",
        out,
    ]);
}

#[test]
fn the_state_of_another_version_is_refused_by_name_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = path(folder.path());
    let arguments = [
        "tune",
        "--steps",
        "10",
        "--meta-steps",
        "1",
        "--compare",
        "never",
        "--out",
        out,
    ];
    done(&arguments);
    let state = folder.path().join("state.json");
    let text = fs::read_to_string(&state).unwrap();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
    let other = text.replace(&version, "\"version\":\"0.0.0\"");
    fs::write(&state, &other).unwrap();
    let refused = refusal(&[&arguments[..], &["--resume"]].concat());
    assert!(
        refused.contains("0.0.0") && refused.contains("other settings"),
        "{refused}"
    );
    assert_eq!(fs::read_to_string(&state).unwrap(), other);
    fs::write(&state, &text[..text.len() / 2]).unwrap();
    let refused = refusal(&[&arguments[..], &["--resume"]].concat());
    assert!(refused.contains("delete it to start anew"), "{refused}");
}

/// A small file system that is gone when it is dropped; none where that is not allowed.
#[cfg(target_os = "linux")]
struct Disk<'p>(&'p Path);

#[cfg(target_os = "linux")]
impl<'p> Disk<'p> {
    fn mount(at: &'p Path, kib: u32) -> Option<Self> {
        let size = format!("size={kib}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs", path(at)])
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Disk(at))
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let status = Command::new("mount")
            .args(["-o", &options, path(self.0)])
            .status();
        assert!(status.expect("mount").success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_read_only_disk_costs_nothing_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path(), 1_500) else {
        println!("skipped: mounting a small disk needs root");
        return;
    };
    let out = folder.path().join("out");
    let text = path(&out).to_string();
    let arguments = |meta_steps: &'static str| {
        [
            "tune",
            "--steps",
            "20",
            "--compare",
            "never",
            "--meta-steps",
            meta_steps,
            "--out",
            &text,
        ]
        .map(String::from)
    };
    let run = |meta_steps, resume: bool| -> Output {
        let mut all = arguments(meta_steps).to_vec();
        if resume {
            all.push("--resume".into());
        }
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        output(&all)
    };
    assert!(run("3", false).status.success());
    let state = fs::read(out.join("state.json")).unwrap();
    let report = fs::read(out.join("report.html")).unwrap();

    // Full: whatever is left is filled.
    let filler = folder.path().join("filler");
    let mut size = 1_500 << 10;
    while size > 0 {
        let mut all = fs::read(&filler).unwrap_or_default();
        all.resize(all.len() + size, 1);
        if fs::write(&filler, &all).is_err() {
            size /= 2;
        }
    }
    let full = run("3", false);
    let errors = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot write"), "{errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    assert_eq!(fs::read(out.join("state.json")).unwrap(), state);
    assert_eq!(fs::read(out.join("report.html")).unwrap(), report);
    fs::remove_file(&filler).unwrap();

    disk.remount("ro");
    let refused = run("3", false);
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot write"), "{errors}");
    disk.remount("rw");
    assert_eq!(fs::read(out.join("state.json")).unwrap(), state);
    // And then it goes on.
    assert!(run("3", true).status.success());
}
