//! The harness killed at random moments, on full and read-only disks, beside itself in one folder, with
//! states that are of something else, and in little memory.
//!
//! `cargo test` kills a few times. `DRMAD_KILLS=200 cargo test -p drmad-host --test harness killed_at_random` kills so
//! often; `DRMAD_SEED` chooses other moments, and each is printed.
//!
//! What must hold after a kill: every file there is whole, a run that resumes ends with the bits of one
//! that nobody disturbed, and leaves the same files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::Noise;
use clap::ValueEnum;
use drmad::Fused;
use drmad::method::Extent;
use drmad::schedule::Optimizer;
use drmad_host::data::{Dataset, Split};
use drmad_host::experiment::Experiment;
use drmad_host::memory::resident;
use drmad_host::method::{Method, Name};
use drmad_host::problem::Problem;
use drmad_host::recipe::Recipe;
use serde_json::Value;

/// A small experiment, as a training and as a study whose variants wait for each other, start from each
/// other and diverge.
const SMALL: &str = r#"
title = "Small"
layers = [784, 12, 10]
batch = 10
steps = 40
rate = 0.1
momentum = 0.5
log-scale = -2
examples = { train = 100, valid = 50, test = 40 }
tuned = [{ what = "penalty", by = "layer", start = -4 }, { what = "scale", start = 0 }]
outer = { meta-steps = 8, rates.adam = 0.1 }

[study]
source = "nobody"
about = "Whether it survives."
seeds = 2
variants = [
  { name = "coarse" },
  { name = "fine", from = "coarse", tuned = [{ what = "penalty", by = "unit", start = -4 }] },
  { name = "warm", outer.warm = true },
  { name = "clients", outer.clients = { count = 3, reduction = "mean", pool = 200 } },
  { name = "diverges", rate = 1e30, tuned = [{ what = "penalty", start = -4 }] },
]
quick = { steps = 30 }
"#;

/// A folder with [`SMALL`] and some images.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("small.toml"), SMALL).expect("written");
    let data = Dataset::mnist().expect("MNIST");
    data.write_first(folder.path(), 300, 100).expect("written");
    folder
}

/// A command, what it writes to, and the file by which it can go on.
#[derive(Clone, Copy)]
struct Job {
    arguments: &'static [&'static str],
    out: &'static str,
    /// It refuses to resume where this is not there.
    needs: Option<&'static str>,
}

const TUNE: Job = Job {
    arguments: &["tune", "small.toml", "--data", ".", "--out", "out"],
    out: "out",
    needs: Some("state.json"),
};

const DRAWS: Job = Job {
    arguments: &[
        "tune",
        "small.toml",
        "--data",
        ".",
        "--out",
        "out",
        "--draws",
        "3",
        "--outer",
        "sign",
        "--compare",
        "every",
    ],
    ..TUNE
};

const SERVER: Job = Job {
    arguments: &[
        "server",
        "small.toml",
        "--data",
        ".",
        "--out",
        "out",
        "--clients",
        "2",
    ],
    ..TUNE
};

const EXPERIMENT: Job = Job {
    arguments: &[
        "experiment",
        "small.toml",
        "--quick",
        "--data",
        ".",
        "--out",
        "out",
    ],
    out: "out",
    needs: None,
};

/// The kinds of studies that keep states of other kinds, in their reduced forms.
const OTHERS: [Job; 5] = [
    Job {
        arguments: &["experiment", "multitask", "--quick", "--out", "out"],
        ..EXPERIMENT
    },
    Job {
        arguments: &["experiment", "rtho", "--quick", "--out", "out"],
        ..EXPERIMENT
    },
    Job {
        arguments: &["experiment", "average-gradient", "--quick", "--out", "out"],
        ..EXPERIMENT
    },
    Job {
        arguments: &["experiment", "chaos", "--quick", "--out", "out"],
        ..EXPERIMENT
    },
    Job {
        arguments: &["experiment", "hyper-cleaning", "--quick", "--out", "out"],
        ..EXPERIMENT
    },
];

impl Job {
    fn command(&self, folder: &Path) -> Command {
        let mut command = crate::drmad();
        command.args(self.arguments).current_dir(folder);
        let out = folder.join(self.out);
        if self.needs.is_none_or(|file| out.join(file).exists()) {
            command.arg("--resume");
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn output(&self, folder: &Path) -> Output {
        self.command(folder).output().expect("the binary runs")
    }

    /// Runs to the end; what it left.
    fn finish(&self, folder: &Path) -> Left {
        let output = self.output(folder);
        assert!(output.status.success(), "{}", errors(&output));
        left(&folder.join(self.out))
    }

    /// Must fail, in one line that has these words.
    fn refuses(&self, folder: &Path, words: &[&str]) -> String {
        let output = self.output(folder);
        one_line(&output, words)
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn one_line(output: &Output, words: &[&str]) -> String {
    let errors = errors(output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in {errors}");
    }
    errors
}

/// The files below a folder with all that does not depend on the clock.
type Left = BTreeMap<PathBuf, Vec<u8>>;

/// Reads all of a folder, whose files must be whole; unfinished ones and locks are no part of it.
fn left(folder: &Path) -> Left {
    let mut files = Left::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if name == ".lock" || name.ends_with(".part") {
                continue;
            }
            let bytes = fs::read(&path).expect("a file");
            let bytes = match path.extension().and_then(|end| end.to_str()) {
                Some("json") => {
                    let mut value: Value = serde_json::from_slice(&bytes)
                        .unwrap_or_else(|error| panic!("{} is not whole: {error}", path.display()));
                    untimed(&mut value);
                    serde_json::to_vec(&value).expect("JSON")
                }
                Some("npy") => {
                    let file = npyz::NpyFile::new(&bytes[..]).expect("a header");
                    file.into_vec::<f32>().expect("whole");
                    bytes
                }
                // Times are written into it.
                Some("html") => {
                    let page = String::from_utf8(bytes).expect("UTF-8");
                    assert!(page.trim_end().ends_with("</html>"), "{}", path.display());
                    vec![]
                }
                _ => bytes,
            };
            let path = path.strip_prefix(folder).expect("inside").to_path_buf();
            files.insert(path, bytes);
        }
    }
    files
}

/// Without what the clock says.
fn untimed(value: &mut Value) {
    let timed = |value: &Value| {
        let fields = ["unit", "name", "x_label", "y_label", "metric"];
        fields
            .iter()
            .any(|field| value[field].as_str().is_some_and(|s| s.contains("seconds")))
    };
    if value.is_object() && timed(value) {
        *value = Value::Null;
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.contains("seconds"));
            fields.values_mut().for_each(untimed);
        }
        Value::Array(items) => items.iter_mut().for_each(untimed),
        // seconds.json is one number.
        Value::Number(_) => {}
        _ => {}
    }
}

/// The same files with the same bits.
fn same(got: &Left, want: &Left, of: &str) {
    let names = |left: &Left| left.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(want), "{of}");
    for (name, bytes) in want {
        if name.ends_with("seconds.json") {
            continue;
        }
        assert!(
            got[name] == *bytes,
            "{of}: {} has other bits",
            name.display()
        );
    }
}

/// The number in the environment, or this.
fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Kills a job so often, again and again from where it came to, and compares every end with that of a run
/// that nobody disturbed.
fn kill_at_random_moments(name: &str, job: Job, kills: u64) {
    let seed = number("DRMAD_SEED", 1);
    let mut noise = Noise(seed);
    let undisturbed = place();
    let clock = Instant::now();
    let want = job.finish(undisturbed.path());
    let whole = clock.elapsed();
    assert!(
        want.keys()
            .any(|path| path.ends_with("hyper.npy") || path.ends_with("findings.json"))
    );

    let (mut killed, mut ends, mut folder) = (0, 0, place());
    while killed < kills {
        let mut child = job.command(folder.path()).spawn().expect("the binary runs");
        // More of the short ones: what is over in an instant is the harder to hit.
        let part = (noise.word() >> 40) as f64 / f64::from(1 << 24);
        let moment = whole.mul_f64(part * part);
        let ended = ends_within(&mut child, moment);
        if ended {
            let output = child.wait_with_output().expect("ended");
            assert!(
                output.status.success(),
                "{name}, seed {seed}: {}",
                errors(&output)
            );
            let got = left(&folder.path().join(job.out));
            same(
                &got,
                &want,
                &format!("{name}, seed {seed}, after {killed} kills"),
            );
            (ends, folder) = (ends + 1, place());
        } else {
            child.kill().expect("killed");
            child.wait().expect("gone");
            killed += 1;
            let files = left(&folder.path().join(job.out)).len();
            eprintln!(
                "{name}: kill {killed} (seed {seed}) after {moment:.1?}: {files} whole files"
            );
        }
    }
    let got = job.finish(folder.path());
    same(
        &got,
        &want,
        &format!("{name}, seed {seed}, after {killed} kills"),
    );
    let unfinished = unfinished(&folder.path().join(job.out));
    assert!(unfinished.is_empty(), "{name}: left behind {unfinished:?}");
    eprintln!(
        "{name}: {killed} kills, {} ends, all with the bits of one run of {whole:.1?}",
        ends + 1
    );
}

/// Whether it ends by itself in this time.
fn ends_within(child: &mut Child, time: Duration) -> bool {
    let clock = Instant::now();
    loop {
        if child.try_wait().expect("a child").is_some() {
            return true;
        }
        let Some(rest) = time.checked_sub(clock.elapsed()) else {
            return false;
        };
        sleep(rest.min(Duration::from_millis(2)));
    }
}

/// Files that were being written.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".part") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_tuning_killed_at_random_moments_ends_with_the_same_bits() {
    let kills = number("DRMAD_KILLS", 6);
    kill_at_random_moments("tune", TUNE, kills.div_ceil(2));
    kill_at_random_moments("tune of three draws", DRAWS, kills / 2);
}

#[test]
fn an_experiment_killed_at_random_moments_ends_with_the_same_bits() {
    let kills = number("DRMAD_KILLS", 6);
    if kills < 100 {
        return kill_at_random_moments("experiment", EXPERIMENT, kills);
    }
    kill_at_random_moments("experiment", EXPERIMENT, kills / 2);
    for job in OTHERS {
        kill_at_random_moments(job.arguments[1], job, kills / 10);
    }
}

/// A file system in memory, mounted on a folder for as long as this lives.
struct Disk(PathBuf);

impl Disk {
    /// Nothing where this process may not mount.
    fn mount(at: &Path, options: &str) -> Option<Disk> {
        fs::create_dir_all(at).expect("a folder");
        let disk = Disk(at.to_path_buf());
        let mounted = disk.run("mount", &["-t", "tmpfs", "-o", options, "drmad-test"]);
        if !mounted {
            eprintln!("skipped: mounting takes root");
        }
        mounted.then_some(disk)
    }

    fn remount(&self, options: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{options}")]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        let output = command.args(arguments).arg(&self.0).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &[]);
    }
}

/// What the job gives where nothing is in its way.
fn undisturbed(job: Job) -> Left {
    job.finish(place().path())
}

#[test]
fn a_full_disk_is_said_and_what_was_written_before_is_whole() {
    for job in [TUNE, EXPERIMENT] {
        let want = undisturbed(job);
        let folder = place();
        let out = folder.path().join(job.out);
        let Some(disk) = Disk::mount(&out, "size=16k") else {
            return;
        };
        // It fills up sooner or later, in a state, a report or a list of numbers.
        let words = ["cannot write", "make room there", "os error 28"];
        let mut before = left(&out);
        let mut places = vec![];
        for kilobytes in (16..400).step_by(40) {
            disk.remount(&format!("size={kilobytes}k"));
            let output = job.output(folder.path());
            if output.status.success() {
                break;
            }
            let error = one_line(&output, &words);
            places.extend(error.split(' ').nth(3).map(str::to_string));
            let after = left(&out);
            assert!(
                before.keys().all(|file| after.contains_key(file)),
                "a file is lost"
            );
            before = after;
        }
        assert!(!places.is_empty(), "the disk was never full");
        disk.remount("size=16m");
        same(&job.finish(folder.path()), &want, "after a full disk");
    }
}

#[test]
#[cfg(unix)]
fn a_file_that_may_not_grow_is_said_and_what_was_written_before_is_whole() {
    let want = undisturbed(TUNE);
    let limited = |folder: &Path, shell: &str, words: &[&str]| {
        let mut command = Command::new("sh");
        // Blocks of 512 or 1024 bytes: room for a state, and for no page.
        command.args(["-c", &format!("{shell} ulimit -f 20; exec \"$0\" \"$@\"")]);
        let job = TUNE.command(folder);
        command
            .arg(job.get_program())
            .args(job.get_args())
            .current_dir(folder);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().expect("sh runs");
        match words {
            [] => assert_eq!(output.status.code(), None, "killed by a signal"),
            words => drop(one_line(&output, words)),
        }
    };
    let folder = place();
    limited(
        folder.path(),
        "trap '' XFSZ;",
        &["cannot write", "make room there", "os error 27"],
    );
    assert!(
        folder.path().join("out/state.json").exists(),
        "the states had room"
    );
    // Where the signal is not ignored it is one more way to be killed.
    limited(folder.path(), "", &[]);
    same(&TUNE.finish(folder.path()), &want, "after a limit");
    assert!(unfinished(&folder.path().join("out")).is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn full_output_is_told_at_the_end_of_a_run_and_its_results_are_there() {
    let folder = place();
    let full = fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let output = TUNE
        .command(folder.path())
        .stdout(full)
        .output()
        .expect("runs");
    one_line(&output, &["cannot write to standard output", "os error 28"]);
    let want = undisturbed(TUNE);
    same(&left(&folder.path().join(TUNE.out)), &want, "by then");
    same(&TUNE.finish(folder.path()), &want, "after full output");
}

#[test]
fn a_run_whose_output_nobody_reads_any_longer_ends_quietly_with_its_results() {
    for job in [TUNE, EXPERIMENT, SERVER] {
        let folder = place();
        let mut command = job.command(folder.path());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("runs");
        // As `| head -1` does, or a pager that is left.
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert!(!line.is_empty());
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(errors(&output), "");
        same(
            &left(&folder.path().join(job.out)),
            &undisturbed(job),
            "unread",
        );
    }
}

#[test]
#[cfg(unix)]
fn an_error_that_nobody_reads_ends_with_its_code() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = crate::drmad();
    command
        .args(["tune", "nowhere.toml", "--resume"])
        .stderr(writer);
    assert_eq!(command.status().expect("runs").code(), Some(2));
    let folder = place();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = TUNE.command(folder.path());
    command.arg("--resume").stderr(writer);
    assert_eq!(command.status().expect("runs").code(), Some(1));
}

/// Waits until a file is there.
fn appears(path: &Path) {
    let clock = Instant::now();
    while !path.exists() {
        assert!(
            clock.elapsed() < Duration::from_secs(60),
            "no {}",
            path.display()
        );
        sleep(Duration::from_millis(1));
    }
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_says_how_to_go_on_and_what_it_says_ends_with_the_same_bits() {
    for (job, name, begun) in [
        (TUNE, "INT", "state.json"),
        (TUNE, "TERM", "state.json"),
        (SERVER, "INT", "state.json"),
        (EXPERIMENT, "INT", "small/coarse/seed-0/state.json"),
    ] {
        let (folder, want) = (place(), undisturbed(job));
        let out = folder.path().join(job.out);
        let child = job.command(folder.path()).spawn().expect("runs");
        appears(&out.join(begun));
        signal(&child, name);
        let output = child.wait_with_output().expect("ended");
        let line = one_line(&output, &["interrupted: what is done is in out"]);
        let (_, command) = line.split_once("go on with `").expect(&line);
        let (command, _) = command.split_once('`').expect(&line);
        assert_eq!(command.matches("--resume").count(), 1, "{command}");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(folder.path());
        let output = shell.output().expect("sh runs");
        assert!(output.status.success(), "{}", errors(&output));
        same(&left(&out), &want, &line);
    }
}

#[test]
#[cfg(unix)]
fn an_interrupt_where_nothing_is_kept_says_so_and_does_not_wait_for_the_step() {
    // One training would take hours.
    let steps = ["--steps", "100000000"];
    let tune = ["tune", "mnist-layers", "--out", "out", "--method", "hats"];
    let frontier = ["frontier", "--experiment", "mnist-layers", "--out", "out"];
    for arguments in [&tune[..], &frontier] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = crate::drmad();
        command
            .args(arguments)
            .args(steps)
            .current_dir(folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().expect("runs");
        appears(&folder.path().join("out/.lock"));
        signal(&child, "INT");
        let clock = Instant::now();
        let output = child.wait_with_output().expect("ended");
        one_line(&output, &["nothing is kept of what was done; run it again"]);
        assert!(
            clock.elapsed() < Duration::from_secs(10),
            "{:?}",
            clock.elapsed()
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_second_interrupt_ends_a_run_whose_words_nobody_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut command = crate::drmad();
    let steps = ["--steps", "100000000", "--method", "hats"];
    command
        .args(["tune", "mnist-layers", "--out", "out"])
        .args(steps);
    command.current_dir(folder.path()).stdout(Stdio::null());
    command.stderr(writer.try_clone().expect("a second end"));
    let mut child = command.spawn().expect("runs");
    drop(command);
    // As full as it gets, it takes nothing of a line either.
    let fills = std::thread::spawn(move || while writer.write_all(&[b' '; 4096]).is_ok() {});
    appears(&folder.path().join("out/.lock"));
    sleep(Duration::from_millis(300));
    signal(&child, "INT");
    sleep(Duration::from_millis(700));
    assert!(
        child.try_wait().expect("waited").is_none(),
        "it waits for its words"
    );
    signal(&child, "INT");
    assert_eq!(child.wait().expect("gone").code(), Some(1));
    drop(reader);
    fills.join().expect("filled");
}

#[test]
fn a_folder_that_is_read_only_is_refused_before_the_work_and_keeps_what_it_has() {
    for job in [TUNE, EXPERIMENT] {
        let folder = place();
        let out = folder.path().join(job.out);
        let Some(disk) = Disk::mount(&out, "size=16m") else {
            return;
        };
        let want = job.finish(folder.path());
        disk.remount("ro");
        job.refuses(
            folder.path(),
            &["cannot write to", "give a folder that may be written"],
        );
        assert!(left(&out) == want);
    }
}

#[test]
#[cfg(unix)]
fn a_folder_of_somebody_elses_is_refused_before_the_work() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = place();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    };
    fs::create_dir(folder.path().join("out")).expect("made");
    mode(&folder.path().join("out"), 0o555);
    mode(folder.path(), 0o755);
    let mut command = TUNE.command(folder.path());
    let root = fs::File::create(folder.path().join("out/probe")).is_ok();
    if root {
        // Whom permissions do not bind.
        command.uid(65534).gid(65534);
    }
    match command.output() {
        Ok(output) => {
            one_line(
                &output,
                &["cannot write to", "give a folder that may be written"],
            );
        }
        Err(error) => eprintln!("skipped: nobody may not run the binary here: {error}"),
    }
}

#[test]
fn two_runs_in_one_folder_are_refused_and_a_killed_one_is_not_in_the_way() {
    for (job, begun) in [
        (TUNE, "state.json"),
        (EXPERIMENT, "coarse/seed-0/state.json"),
    ] {
        let (folder, want) = (place(), undisturbed(job));
        let mut first = job.command(folder.path()).spawn().expect("runs");
        let state = folder.path().join(job.out);
        let state = match job.needs {
            Some(_) => state.join(begun),
            None => state.join("small").join(begun),
        };
        let clock = Instant::now();
        while !state.exists() && clock.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(1));
        }
        // Stopped, it can neither end nor write while the others try.
        signal(&first, "STOP");
        let before = left(&folder.path().join(job.out));
        for _ in 0..2 {
            job.refuses(
                folder.path(),
                &["another run writes to", "give another folder"],
            );
        }
        assert!(left(&folder.path().join(job.out)) == before);
        first.kill().expect("killed");
        first.wait().expect("gone");
        same(&job.finish(folder.path()), &want, "after a killed one");
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-s", name, &id]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn a_state_of_something_else_is_refused_by_what_differs_and_left_as_it_is() {
    let folder = place();
    let folder = folder.path();
    TUNE.finish(folder);
    let out = folder.join("out");
    let path = out.join("state.json");
    let state = fs::read_to_string(&path).expect("a state");
    let refuses = |words: &[&str]| {
        let before = left_raw(&out);
        TUNE.refuses(folder, &[&["state.json"], words].concat());
        assert!(left_raw(&out) == before, "a refusal changed something");
    };
    let edited = |from: &str, to: &str| {
        assert!(state.contains(from), "{from}");
        fs::write(&path, state.replacen(from, to, 1)).expect("written");
    };
    let version = concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"");
    edited(version, "\"version\":\"0.0.9\"");
    let here = env!("CARGO_PKG_VERSION");
    refuses(&[
        &format!("other settings: version is \"0.0.9\" there and \"{here}\" here: give the same"),
        "leave out --resume",
    ]);
    edited("\"version\"", "\"release\"");
    refuses(&["is not the state of a run of this version", "delete it"]);
    edited("\"steps\":40", "\"steps\":41");
    refuses(&["other settings: experiment.steps is 41 there and 40 here: give"]);
    edited("\"start\":[", "\"start\":[7,");
    refuses(&["other hyperparameters", "delete it"]);
    edited("\"tuner\":[", "\"tuner\":[7,");
    refuses(&["is damaged", "delete it"]);
    fs::write(&path, &state[..state.len() / 2]).expect("written");
    refuses(&["is not the state of a run of this version"]);
    fs::write(&path, "").expect("written");
    refuses(&["is not the state of a run of this version"]);

    // The same settings, and other images under the same path.
    fs::write(&path, &state).expect("written");
    let images = folder.join("train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).expect("images");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&images, bytes).expect("written");
    refuses(&["other settings: data.sha256 is \""]);
}

/// Every byte of a folder.
fn left_raw(folder: &Path) -> Left {
    let files = left_names(folder).into_iter();
    files
        .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
        .collect()
}

fn left_names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[test]
fn a_variant_begins_anew_where_the_one_that_it_starts_from_was_changed() {
    let (changed, anew) = (place(), place());
    EXPERIMENT.finish(changed.path());
    let text = SMALL.replace("name = \"coarse\"", "rate = 0.11, name = \"coarse\"");
    for folder in [&changed, &anew] {
        fs::write(folder.path().join("small.toml"), &text).expect("written");
    }
    let (got, want) = (
        EXPERIMENT.finish(changed.path()),
        EXPERIMENT.finish(anew.path()),
    );
    same(&got, &want, "coarse was changed");
}

/// A training of so many steps by a method: what it kept, what it was planned to take, and the most that
/// this process held beyond what it held before.
fn take(method: Name, steps: usize) -> Result<[u64; 3], String> {
    // Long trainings are of a small network, or a tape of theirs would not fit.
    let hidden = if steps > 1000 { 30 } else { 300 };
    let text = format!(
        r#"
        title = "Memory"
        layers = [64, {hidden}, 10]
        batch = 10
        steps = {steps}
        rate = 0.01
        momentum = 0.9
        log-scale = -2
        log-l2 = -5
        examples = {{ train = 100, valid = 50, test = 50 }}
        tuned = [{{ what = "scale", by = "layer", start = 0 }}]
        outer.meta-steps = 1
        "#
    );
    let recipe = Recipe::parse("memory", &text).expect("in order");
    let experiment = recipe.experiment().expect("in order");
    let mut noise = Noise(3);
    let mut split = |count: usize| {
        let pixels = (0..count * 64).map(|_| noise.word() as u8).collect();
        Split::new(pixels, (0..count).map(|i| i as u8 % 10).collect(), 8, 8)
    };
    let data = Dataset {
        train: split(200),
        test: split(50),
    };
    let problem = Problem::draw(&experiment, &data, 0, 0).expect("drawn");
    let method = Method::new(method);
    let extent = Extent {
        weights: experiment.weights(),
        steps,
        optimizer: Optimizer::HeavyBall,
        recalls: false,
        momentum: experiment.momentum,
        reach: 0,
    };
    let way = method
        .to_core(extent)
        .map_err(|error| format!("{error:#}"))?;
    let need = problem.training().need::<f32>(way).bytes();
    // A short one before it: code that is read for the first time takes memory too.
    let short = Experiment {
        steps: 33,
        ..experiment.clone()
    };
    let short = Problem::draw(&short, &data, 0, 0).expect("drawn");
    drop(short.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ()));
    let before = resident().expect("/proc");
    let trained = problem.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ());
    let after = resident().expect("/proc");
    let back = trained
        .map_err(|error| format!("{error:#}"))?
        .back
        .expect("a backward pass");
    let kept = 4 * back.floats as u64;
    // A loss for each step is noted.
    let planned = (need + 4 * steps) as u64;
    Ok([kept, planned, after.peak.saturating_sub(before.now)])
}

/// What a process and its libraries take by the way.
const BY_THE_WAY: u64 = 256 << 10;

#[test]
#[ignore = "one method in a process of its own, for the test below"]
fn one_method() {
    let task = std::env::var("DRMAD_MEMORY").expect("a method and steps");
    let (name, steps) = task.split_once(' ').expect("a method and steps");
    let method = Name::from_str(name, false).expect("a method");
    match take(method, steps.parse().expect("steps")) {
        Ok([kept, planned, peak]) => println!("memory: {kept} {planned} {peak}"),
        Err(why) => println!("refused: {why}"),
    }
}

/// `DRMAD_STEPS=100000 cargo test -p drmad-host --test harness memory -- --nocapture` prints the table of
/// `docs/limits.md`.
#[test]
#[cfg(target_os = "linux")]
fn no_method_takes_more_memory_than_it_says() {
    let steps = number("DRMAD_STEPS", 100);
    println!("| method | kept | planned | most held |");
    println!("|---|---:|---:|---:|");
    for method in Name::value_variants() {
        let name = method.as_str();
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--ignored", "--exact", "kills::one_method", "--nocapture"]);
        let output = child
            .env("DRMAD_MEMORY", format!("{name} {steps}"))
            .output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(why) = said.lines().find_map(|line| line.strip_prefix("refused: ")) {
            println!("| {name} | | | {why} |");
            // Backwards in floating point a long training is not to be run.
            assert_eq!(
                (*method, steps > 100),
                (Name::Reversed, true),
                "{name}: {why}"
            );
            continue;
        }
        let numbers = said.lines().find_map(|line| line.split("memory: ").nth(1));
        let numbers = numbers.unwrap_or_else(|| panic!("{name}: {said} {}", errors(&output)));
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map(|n| n.parse().expect("bytes"))
            .collect();
        let [kept, planned, peak] = numbers[..] else {
            panic!("{name}: {said}")
        };
        let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
        println!(
            "| {name} | {} | {} | {} |",
            megabytes(kept),
            megabytes(planned),
            megabytes(peak)
        );
        assert!(
            peak <= planned + planned / 50 + BY_THE_WAY,
            "{name}: {peak} of {planned}"
        );
        assert!(
            peak + BY_THE_WAY >= kept,
            "{name} says that it keeps {kept} and held {peak}"
        );
    }
}
