//! `drmad scaling` as a user meets it, and its page.

use std::fs;
use std::path::Path;
use std::process::Output;

use drmad_host::report::scaling::{
    Absent, Curve, Exponents, Growth, Page, Point, line, render, slope,
};
use drmad_host::tolerances::SAME_FORMULA_F64;

fn scaling(arguments: &[&str], out: &Path) -> Output {
    crate::drmad()
        .args(["scaling", "--quick", "--out"])
        .arg(out)
        .args(arguments)
        .output()
        .expect("the binary runs")
}

/// The page of a run that must succeed, and what it printed.
fn page(arguments: &[&str]) -> (Page, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = scaling(arguments, folder.path());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let html = fs::read_to_string(folder.path().join("report.html")).expect("the page");
    assert!(html.contains("<svg") && html.trim_end().ends_with("</html>"));
    let json = fs::read(folder.path().join("scaling.json")).expect("JSON");
    let page = serde_json::from_slice(&json).expect("a page");
    (page, String::from_utf8(output.stdout).expect("UTF-8"))
}

fn find<'a>(growth: &'a Growth, method: &str) -> &'a Curve {
    let mut curves = growth.curves.iter();
    curves.find(|c| c.method.starts_with(method)).expect(method)
}

#[test]
fn over_steps_the_tape_grows_and_hats_do_not() {
    let (page, printed) = page(&["--axis", "steps", "--method", "tape", "--method", "hats"]);
    let [growth] = &page.axes[..] else {
        panic!("one axis")
    };
    let (tape, hats) = (find(growth, "tape"), find(growth, "hats"));
    for point in &tape.points {
        assert_eq!(point.floats, 7850 * point.size);
        // The process holds what the method says it keeps.
        if let Some(memory) = point.memory {
            assert!(memory > 4 * point.floats as u64, "{memory}");
        }
    }
    assert_eq!(hats.points.len(), 3);
    assert!(
        hats.points
            .iter()
            .all(|p| p.floats == hats.points[0].floats)
    );
    assert_eq!(hats.measured.floats, Some(0.0));
    let exponent = tape.measured.floats.expect("an exponent");
    assert!((exponent - 1.0).abs() < SAME_FORMULA_F64);
    let rows: Vec<&str> = printed
        .lines()
        .filter(|row| row.contains("  steps  "))
        .collect();
    assert_eq!(rows.len(), 2, "{printed}");
    assert!(
        rows[0].starts_with("tape") && rows[0].contains("1.00 (1.00)"),
        "{printed}"
    );
}

#[test]
fn over_weights_what_is_kept_is_a_number_a_weight() {
    let (page, _) = page(&[
        "--axis",
        "weights",
        "--method",
        "checkpoints",
        "--method",
        "line",
    ]);
    let (checkpoints, line) = (
        find(&page.axes[0], "checkpoints"),
        find(&page.axes[0], "line"),
    );
    let weights: Vec<usize> = line.points.iter().map(|p| p.size).collect();
    assert_eq!(weights, [8180, 25_720, 99_710]);
    for point in &checkpoints.points {
        // Ten snapshots of weights and velocity, and the marks of where they are.
        let marks = point.floats - 20 * point.size;
        assert!(marks < 100, "{marks}");
    }
    assert!(line.points.iter().all(|p| p.floats == 0));
    assert_eq!(line.measured.floats, None);
}

#[test]
fn over_hyperparameters_forward_mode_grows_until_it_is_left_out_with_its_bytes() {
    let (page, printed) = page(&["--axis", "hypers", "--method", "forward"]);
    let forward = find(&page.axes[0], "forward");
    let sizes: Vec<usize> = forward.points.iter().map(|p| p.size).collect();
    assert_eq!(sizes, [1, 16]);
    for point in &forward.points {
        assert_eq!(point.floats, 3 * point.size * 9500);
    }
    let left: Vec<(usize, Option<f64>)> =
        forward.absent.iter().map(|a| (a.size, a.bytes)).collect();
    let bytes = |hypers: usize| Some((4 * 3 * hypers * 9500) as f64);
    assert_eq!(left, [(934, bytes(934)), (9500, bytes(9500))]);
    assert!(
        printed.contains("without 934 and more: more than 64 tangents"),
        "{printed}"
    );
}

#[test]
fn a_reversal_beyond_its_reach_is_left_out() {
    let (page, _) = page(&["--axis", "steps", "--method", "reversed"]);
    let reversed = find(&page.axes[0], "reversed");
    assert!(reversed.points.iter().all(|p| p.floats == 0));
    assert_eq!(reversed.points.len(), 2);
    let [absent] = &reversed.absent[..] else {
        panic!("one size is left out")
    };
    // The last T with .99^-T below 2^15.
    let reach = (15.0 * 2f64.ln() / -(0.99f64.ln())) as usize;
    assert!(
        absent.size == 1600 && absent.why.contains(&reach.to_string()),
        "{}",
        absent.why
    );
}

#[test]
fn bad_usage_exits_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["--axis", "depth"][..], &["--method", "rope"]] {
        assert_eq!(scaling(arguments, folder.path()).status.code(), Some(2));
    }
}

#[test]
fn a_slope_is_the_power_and_none_where_there_is_no_power() {
    let cubic = [2.0, 3.0, 7.0, 50.0].map(|x: f64| (x, 0.1 * x * x * x));
    let power = slope(&cubic).expect("a slope");
    assert!((power - 3.0).abs() < 10.0 * SAME_FORMULA_F64);
    assert_eq!(slope(&[(1.0, 2.0)]), None);
    assert_eq!(slope(&[(3.0, 2.0), (3.0, 4.0)]), None);
    assert_eq!(slope(&[(1.0, 2.0), (2.0, 0.0)]), None);
    assert_eq!(slope(&[(1.0, 2.0), (2.0, f64::NAN)]), None);
}

/// A page of made-up numbers: what it must survive.
fn sample(points: &[(usize, f64, Option<u64>)]) -> Page {
    let none = Exponents {
        forward: Some(1.0),
        backward: Some(1.0),
        floats: None,
        memory: Some(0.0),
    };
    let mut curve = Curve::new("line <&>".into(), "shortcut", none);
    for (size, seconds, memory) in points {
        curve.push(Point {
            size: *size,
            forward_seconds: *seconds,
            backward_seconds: *seconds,
            runs: 1,
            floats: 0,
            memory: *memory,
        });
    }
    curve.absent.push(Absent {
        size: 1000,
        bytes: Some(3.2e9),
        why: "too much memory".into(),
    });
    Page {
        settings: vec![],
        versions: vec![],
        axes: vec![Growth {
            axis: "steps".into(),
            what: "training steps".into(),
            setting: "Made up.".into(),
            curves: vec![curve],
        }],
    }
}

#[test]
fn the_page_is_one_file_that_says_what_is_left_out() {
    let html = render(&sample(&[(10, 0.1, Some(4096)), (100, 1.0, Some(4096))])).expect("a page");
    assert!(html.contains("too much memory") && html.contains("3.20\u{a0}GB"));
    assert_eq!(html.matches("<figure class=\"wide\">").count(), 2);
    assert!(html.contains("line &lt;&amp;&gt;") && !html.contains("<&>"));
    for reference in [
        "http:", "https:", "src=", "href=", "url(", "<script", "<link",
    ] {
        assert!(!html.contains(reference), "the page has {reference}");
    }
    assert!(!html.contains("\"#0102") && !html.contains("\"#0201"));
}

#[test]
fn a_page_without_memory_or_with_numbers_that_are_none_is_still_a_page() {
    for points in [
        &[][..],
        &[(10, 0.1, None)],
        &[(10, 0.1, None), (100, 1.0, None)],
        &[(10, f64::NAN, Some(1)), (100, f64::INFINITY, Some(0))],
        &[(0, 0.0, Some(0)), (0, 0.0, Some(0))],
    ] {
        let page = sample(points);
        let html = render(&page).expect("a page");
        for bad in ["NaN", ">inf<"] {
            assert!(!html.contains(bad), "{bad} for {points:?}");
        }
        assert!(!line("steps", &page.axes[0].curves[0]).contains("NaN"));
    }
}
