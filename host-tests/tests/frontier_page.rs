//! The page that compares methods: what it must hold, and what it must survive.
//!
//! The sample is test data: shaped like a comparison, measured nowhere.
//! `FRONTIER_SAMPLE=FILE cargo test -p drmad-host --test frontier_page` writes the page to a file.

use drmad_host::report::frontier::{Page, Row, head, line, render, table};

/// A row from its numbers: floats, backward seconds, evaluations, cosine, norm ratio, test error.
fn row(
    method: &str,
    family: &str,
    (floats, seconds): (f64, f64),
    evaluations: [u64; 2],
    angle: (f64, f64),
    test_error: f64,
) -> Row {
    Row {
        method: method.into(),
        family: family.into(),
        floats_per_weight: floats,
        forward_seconds: 0.26,
        backward_seconds: seconds,
        gradients: evaluations[0],
        second_order_products: evaluations[1],
        cosine: Some(angle.0),
        norm_ratio: Some(angle.1),
        failure: None,
        test_error: Some(test_error),
        note: None,
    }
}

fn noted(mut row: Row, note: &str) -> Row {
    row.note = Some(note.into());
    row
}

fn failed(mut row: Row, failure: &str) -> Row {
    row.failure = Some(failure.into());
    (row.cosine, row.norm_ratio, row.test_error) = (None, None, None);
    row
}

fn sample() -> Page {
    let all = [2000, 2000];
    let mut rows = vec![
        row("tape", "exact", (2000.0, 0.58), all, (1.0, 1.0), 0.170),
        row(
            "checkpoints, S = 8",
            "exact",
            (16.0, 1.42),
            [8120, 2000],
            (1.0, 1.0),
            0.170,
        ),
        row(
            "checkpoints, S = 32",
            "exact",
            (64.0, 0.96),
            [4410, 2000],
            (1.0, 1.0),
            0.170,
        ),
        noted(
            row("reversible", "exact", (4.63, 0.97), all, (1.0, 1.0), 0.170),
            "fixed point of 2⁻²⁴; bits returned to the last",
        ),
        failed(
            row("reversed in f32", "exact", (0.0, 0.7), all, (0.0, 0.0), 0.0),
            "adjoint of the weights is not finite at step 312: rounding grew by 1/γ a step",
        ),
        row("line", "shortcut", (0.0, 0.60), all, (0.25, 3e8), 0.241),
        row(
            "line-published",
            "shortcut",
            (0.0, 0.06),
            [200, 200],
            (0.74, 0.021),
            0.191,
        ),
        row(
            "line, psd",
            "shortcut",
            (0.01, 0.61),
            all,
            (0.871, 0.62),
            0.188,
        ),
    ];
    let hats = [
        (4, 0.625, 0.930, 0.946, 0.176),
        (8, 1.125, 0.973, 0.960, 0.170),
        (16, 2.125, 0.981, 0.975, 0.1705),
        (32, 4.125, 0.991, 0.994, 0.170),
        (64, 8.125, 0.995, 0.9978, 0.1702),
    ];
    for (k, floats, small, full, error) in hats {
        let cost = (floats, 0.66);
        let name = format!("hats, K = {k}, 4 bits");
        rows.push(row(&name, "shortcut", cost, all, (small, 0.97), error));
        let cost = (k as f64 + 1.0, 0.64);
        let name = format!("hats, K = {k}, in full");
        rows.push(row(
            &name,
            "shortcut",
            cost,
            all,
            (full, 0.98),
            error - 0.0004,
        ));
    }
    let others = [
        ("knots, linear, 16", 16.0, 0.63, 0.4, 0.183),
        ("knots, linear, 32", 32.0, 0.90, 0.8, 0.174),
        ("knots, linear, 64", 64.0, 0.951, 0.9, 0.172),
        ("knots, Hermite, 16", 32.0, 0.962, 0.93, 0.1715),
        ("knots, Hermite, 32", 64.0, 0.9984, 0.99, 0.1702),
        ("Legendre, r = 8", 8.0, 0.969, 0.95, 0.171),
        ("Legendre, r = 16", 16.0, 0.988, 0.98, 0.1704),
    ];
    for (name, floats, cosine, norm, error) in others {
        rows.push(row(
            name,
            "shortcut",
            (floats, 0.62),
            all,
            (cosine, norm),
            error,
        ));
    }
    rows.push(noted(
        row(
            "truncated, last 500",
            "shortcut",
            (500.0, 0.15),
            [500, 500],
            (0.82, 0.7),
            0.182,
        ),
        "exact over the last 500 steps",
    ));
    rows.push(failed(
        row("forward", "forward", (934.0, 0.0), [0, 0], (0.0, 0.0), 0.0),
        "skipped: 934 directions of 2,000 steps would take 9 minutes; ask with --forward",
    ));
    rows.push(noted(
        row(
            "forward, 16 directions",
            "forward",
            (32.0, 5.3),
            [0, 32_000],
            (0.13, 7.6),
            0.21,
        ),
        "a random projection",
    ));
    rows.push(noted(
        row(
            "implicit, CG 10",
            "implicit",
            (4.0, 0.11),
            [20, 11],
            (0.41, 1.9),
            0.204,
        ),
        "residual 0.02",
    ));
    rows.push(noted(
        row(
            "implicit, Neumann 10",
            "implicit",
            (2.0, 0.10),
            [20, 11],
            (0.39, 0.6),
            0.206,
        ),
        "residual 0.4",
    ));
    rows.push(row(
        "direct term only",
        "baseline",
        (0.0, 0.001),
        [1, 0],
        (0.69, 0.4),
        0.194,
    ));
    rows.push(row(
        "random direction",
        "baseline",
        (0.0, 0.0),
        [0, 0],
        (0.021, 1.0),
        0.233,
    ));
    rows.push(row(
        "all up",
        "baseline",
        (0.0, 0.0),
        [0, 0],
        (-0.31, 1.0),
        0.229,
    ));
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    Page {
        experiment: "mnist-penalties".into(),
        title: "Test data: every method on one L2 coefficient for each unit".into(),
        settings: vec![
            pair("network", "784-50-50-50-10, tanh"),
            pair("training steps", "2000 of 50 digits each"),
            pair("momentum", "0.95"),
            pair("seed", "7"),
        ],
        versions: vec![pair("drmad", "0.1.0"), pair("kernels", "test data")],
        rows,
        tuned_meta_steps: 40,
    }
}

#[test]
fn every_method_is_on_the_page() {
    let page = render(&sample()).unwrap();
    if let Some(path) = std::env::var_os("FRONTIER_SAMPLE") {
        std::fs::write(path, &page).unwrap();
    }
    for row in &sample().rows {
        assert!(page.contains(&row.method), "{} is missing", row.method);
    }
}
