//! The page that compares methods: what it must hold, and what it must survive.
//!
//! The sample is test data: shaped like a comparison, measured nowhere.
//! `FRONTIER_SAMPLE=FILE cargo test -p drmad-host --test harness frontier_page` writes the page to a file.

use drmad_host::report::frontier::render;
use drmad_host::report::methods::{Page, Row, head, line, table};

/// The seconds of a training without any method.
const PLAIN: f64 = 0.26;

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
        exact: family == "exact",
        floats_per_weight: floats,
        forward_seconds: PLAIN,
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
            "line, no negative curvature",
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
    let mut skipped = row("forward", "forward", (934.0, 0.0), [0, 0], (0.0, 0.0), 0.0);
    (skipped.cosine, skipped.norm_ratio, skipped.test_error) = (None, None, None);
    rows.push(noted(skipped, "skipped: 934 directions of 2,000 steps"));
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
            pair("training steps", "2000 of 50 examples each"),
            pair("momentum", "0.95"),
            pair("seed", "7"),
        ],
        versions: vec![pair("drmad", "0.1.0"), pair("kernels", "test data")],
        plain_seconds: PLAIN,
        rows,
        tuned_meta_steps: 40,
    }
}

/// A page of these rows alone.
fn page_of(rows: Vec<Row>) -> Page {
    Page { rows, ..sample() }
}

/// The figures of a page, each from its opening tag to its closing one.
fn figures(page: &str) -> Vec<&str> {
    page.split("<figure class=\"wide\">")
        .skip(1)
        .map(|rest| rest.split("</figure>").next().unwrap())
        .collect()
}

/// An attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let start = format!(" {name}=\"");
    let rest = tag
        .split(&start)
        .nth(1)
        .unwrap_or_else(|| panic!("no {name} in {tag}"));
    rest.split('"').next().unwrap()
}

/// The place of every text of a figure, as left, top, right and bottom, with letters this wide.
fn texts(figure: &str, letter: f64) -> Vec<(String, [f64; 4])> {
    let mut texts = Vec::new();
    for part in figure.split("<text").skip(1) {
        let (tag, rest) = part.split_once('>').unwrap();
        let text = rest.split("</text>").next().unwrap().trim().to_owned();
        let number = |name: &str| attribute(tag, name).parse::<f64>().unwrap();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        // An escaped letter is one letter.
        let letters = text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .chars()
            .count();
        let width = letters as f64 * size * letter;
        let left = match attribute(tag, "text-anchor") {
            "start" => x,
            "middle" => x - width / 2.0,
            _ => x - width,
        };
        // Half a letter up or down, whatever the baseline.
        texts.push((text, [left, y - 0.5 * size, left + width, y + 0.5 * size]));
    }
    texts
}

#[test]
fn page_is_one_file_without_external_references() {
    let page = render(&sample()).unwrap();
    if let Some(path) = std::env::var_os("FRONTIER_SAMPLE") {
        std::fs::write(path, &page).unwrap();
    }
    for reference in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<img", "<use",
    ] {
        assert!(!page.contains(reference), "the page has {reference}");
    }
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.len() < 300_000, "{} bytes", page.len());
    assert_eq!(
        page,
        render(&sample()).unwrap(),
        "the page is deterministic"
    );
    assert_eq!(figures(&page).len(), 3);
    assert!(!page.contains("\"#0102") && !page.contains("\"#0201"));
}

#[test]
fn every_method_is_in_the_table_and_hoverable() {
    let page = render(&sample()).unwrap();
    for (i, row) in sample().rows.iter().enumerate() {
        let start = format!(
            "<td>{}</td><td class=\"words\" title=\"{}",
            i + 1,
            row.method
        );
        assert!(page.contains(&start), "{} is missing", row.method);
    }
    let drawn = sample()
        .rows
        .iter()
        .filter(|row| row.cosine.is_some())
        .count();
    for figure in figures(&page) {
        assert_eq!(figure.matches("<title>").count(), drawn);
    }
}

#[test]
fn opening_says_what_memory_buys() {
    let page = render(&sample()).unwrap();
    let lead = "A cosine of 0.973 for 1.125\u{a0}floats a weight (hats, K = 8, 4 bits), exact for \
                4.63\u{a0}floats (reversible)";
    assert!(page.contains(lead));
    let tiles: Vec<&str> = page.split("<dt>").skip(1).collect();
    assert_eq!(tiles.len(), 4, "none, one, two and five floats");
    assert!(tiles[0].contains("no memory") && tiles[0].contains("line-published"));
    assert!(tiles[3].contains("exact") && tiles[3].contains("reversible"));
}

#[test]
fn front_is_what_nothing_beats() {
    let page = render(&sample()).unwrap();
    let rows = sample().rows;
    for (i, row) in rows.iter().enumerate() {
        // From the definition, independently of how the page finds it.
        let beaten = |cosine: f64| {
            rows.iter()
                .filter(|other| other.cosine.is_some())
                .any(|other| {
                    let (m, c) = (other.floats_per_weight, other.cosine.unwrap());
                    m <= row.floats_per_weight
                        && c >= cosine
                        && (m < row.floats_per_weight || c > cosine)
                })
        };
        let front = row.cosine.is_some_and(|cosine| !beaten(cosine));
        let cell = format!("<td>{}</td><td class=\"words\" title=", i + 1);
        let tag = page
            .split(&cell)
            .next()
            .unwrap()
            .rsplit("<tr")
            .next()
            .unwrap();
        assert_eq!(tag.contains("marked"), front, "{}", row.method);
    }
}

#[test]
fn labels_stay_inside_and_apart() {
    let mut crowded = sample();
    // The worst there is: many methods at all but the same place, with long names.
    for i in 0..40 {
        let spot = (0.7 + 0.002 * f64::from(i), 0.5);
        let cosine = 0.94 + 1e-4 * f64::from(i);
        let name = format!("another method, the {i}th, with a long name");
        crowded
            .rows
            .push(row(&name, "shortcut", spot, [0, 0], (cosine, 1.0), 0.2));
    }
    for page in [sample(), crowded] {
        let html = render(&page).unwrap();
        for figure in figures(&html) {
            let bounds: Vec<f64> = attribute(figure, "viewBox")
                .split(' ')
                .map(|n| n.parse().unwrap())
                .collect();
            for (text, [left, top, right, bottom]) in texts(figure, 0.56) {
                let inside = left >= -1.0 && right <= bounds[2] + 1.0;
                assert!(
                    inside && top >= -32.0 && bottom <= bounds[3],
                    "{text} hangs out"
                );
            }
            let texts = texts(figure, 0.5);
            for (i, (text, a)) in texts.iter().enumerate() {
                for (other, b) in &texts[..i] {
                    let meet = a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
                    assert!(!meet, "{text} covers {other}");
                }
            }
        }
    }
}

#[test]
fn failures_are_told_and_not_drawn() {
    let html = render(&sample()).unwrap();
    assert!(html.contains("failed: adjoint of the weights is not finite at step 312"));
    assert!(html.contains("33 methods compared, of which 1 failed"));
    let figure = figures(&html)[0];
    assert!(figure.contains("Not drawn, for want of a number: reversed in f32; forward."));

    // Nothing but failures: no picture, and a table that says why.
    let rows = vec![failed(
        sample().rows[5].clone(),
        "the loss is not finite at step 3",
    )];
    let html = render(&page_of(rows)).unwrap();
    assert_eq!(figures(&html).len(), 0);
    assert!(html.contains("failed: the loss is not finite at step 3"));
    assert!(html.contains("No method came near"));
    assert!(render(&page_of(vec![])).is_ok());
}

#[test]
fn no_number_reaches_the_page_unsaid() {
    let bads = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        0.0,
        -1.0,
        1.0,
        2.0,
    ];
    for bad in bads {
        for only in [None, Some(3)] {
            let mut page = sample();
            for (_, row) in page
                .rows
                .iter_mut()
                .enumerate()
                .filter(|(i, _)| only.is_none_or(|n| *i == n))
            {
                (
                    row.floats_per_weight,
                    row.forward_seconds,
                    row.backward_seconds,
                ) = (bad, bad, bad);
                (row.cosine, row.norm_ratio, row.test_error) = (Some(bad), Some(bad), Some(bad));
            }
            let html = render(&page).unwrap();
            assert!(
                !html.contains("NaN") && !html.contains(">inf") && !html.contains("\"inf"),
                "{bad}"
            );
            assert!(
                !table(&page).contains("NaN") && !table(&page).contains("inf"),
                "{bad}"
            );
        }
    }
}

#[test]
fn cosines_of_one_and_below_zero_have_their_places() {
    let spot = |name: &str, floats, cosine| {
        row(name, "shortcut", (floats, 1.0), [1, 1], (cosine, 1.0), 0.1)
    };
    let rows = vec![
        spot("whole", 3.0, 1.0),
        // Rounding can take a cosine past one.
        spot("over", 2.0, 1.0 + 1e-12),
        spot("under", 1.0, 1.0 - 1e-9),
        spot("middle", 0.5, 0.9),
        spot("against", 0.0, -1.0),
    ];
    let html = render(&page_of(rows)).unwrap();
    let figure = figures(&html)[0];
    let height = |name: &str| {
        let dot = figure
            .split("<circle")
            .find(|part| part.contains(&format!("<title>{name} (")));
        attribute(dot.unwrap(), "cy").parse::<i32>().unwrap()
    };
    assert_eq!(height("whole"), height("over"));
    assert_eq!(height("whole"), height("under"));
    assert!(height("against") < height("middle") && height("middle") < height("whole"));
    assert!(texts(figure, 0.5).iter().any(|(text, _)| text == "1"));
}

#[test]
fn a_slow_way_forward_is_slow_and_times_are_of_a_plain_training() {
    let spot = |name: &str, forward: f64, back: f64| {
        let mut row = row(
            name,
            "shortcut",
            (1.0, back * PLAIN),
            [1, 1],
            (0.9, 1.0),
            0.1,
        );
        row.forward_seconds = forward * PLAIN;
        row
    };
    // Back over its own way forward, the second looked six times as fast as the first.
    let html = render(&page_of(vec![
        spot("quick", 1.0, 2.0),
        spot("slow", 6.0, 2.0),
    ]))
    .unwrap();
    let figure = figures(&html)[1];
    let across = |name: &str| {
        let dot = figure
            .split("<circle")
            .find(|part| part.contains(&format!("<title>{name} (")));
        attribute(dot.unwrap(), "cx").parse::<i32>().unwrap()
    };
    assert!(across("quick") < across("slow"));
    // (1 + 2) and (6 + 2) times a plain training's.
    assert!(html.contains("quick: 1\u{a0}float, 3.00 × the time of a plain training"));
}

#[test]
fn no_angle_makes_a_method_exact() {
    let lossy = row("hats", "shortcut", (1.0, 1.0), [1, 1], (1.0, 1.0), 0.1);
    let cut = row(
        "tape, last 9",
        "shortcut",
        (9.0, 1.0),
        [1, 1],
        (1.0, 1.0),
        0.1,
    );
    let html = render(&page_of(vec![lossy.clone(), cut])).unwrap();
    assert!(html.contains("A cosine of 1 for 1\u{a0}float a weight (hats)"));
    let tiles: String = html.split("<dt>").skip(1).collect();
    let tiles = tiles.split("<figure").next().unwrap();
    assert!(!tiles.contains("<dd>exact") && tiles.contains("cosine 1"));
    assert!(!html.contains("(hats), exact"));
    // What is exact is said beside it, though it takes more.
    let tape = row("tape", "exact", (2000.0, 1.0), [1, 1], (1.0, 1.0), 0.1);
    let html = render(&page_of(vec![lossy, tape])).unwrap();
    assert!(html.contains("(hats), exact for 2,000\u{a0}floats (tape)"));
}

#[test]
fn names_are_escaped() {
    let evil = "</title><script>&\"'#010203</script>";
    let mut page = sample();
    (page.experiment, page.title) = (evil.into(), evil.into());
    page.settings.push((evil.into(), evil.into()));
    page.versions.push((evil.into(), evil.into()));
    for row in &mut page.rows {
        row.method = format!("{evil}{}", row.method);
        row.family = evil.into();
        row.note = Some(evil.into());
    }
    page.rows[4].failure = Some(evil.into());
    let html = render(&page).unwrap();
    assert!(!html.contains("<script") && !html.contains("</script"));
    assert!(html.contains("&lt;script&gt;&amp;"));
    for title in html.split(" title=\"").skip(1) {
        let end = title.find('"').unwrap();
        assert!(
            title[end + 1..].starts_with('>'),
            "a name closed its attribute"
        );
    }
}

#[test]
fn terminal_table_has_columns_that_can_be_parsed() {
    let mut page = sample();
    page.rows[2].method = "a name   with\nspace, and longer than its column is wide".into();
    let text = table(&page);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), page.rows.len() + 1);
    assert_eq!(lines[0], head());
    let split = |line: &str| -> Vec<String> {
        let parts = line
            .split("  ")
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    assert_eq!(split(lines[0]).len(), 10);
    for (text, row) in lines[1..].iter().zip(&page.rows) {
        assert_eq!(*text, line(row));
        let parts = split(text);
        assert!(parts.len() == 9 || parts.len() == 10, "{text}");
        let floats: f64 = parts[1].parse().unwrap();
        assert!((floats - row.floats_per_weight).abs() <= 5e-4);
        match row.cosine {
            Some(cosine) => assert!((parts[6].parse::<f64>().unwrap() - cosine).abs() <= 5e-6),
            None => assert_eq!(parts[6], "-"),
        }
    }
    assert!(split(lines[5])[9].starts_with("failed: adjoint"));
}

#[test]
fn json_keeps_the_page_and_reads_null_as_nan() {
    let mut page = sample();
    page.rows[0].forward_seconds = f64::NAN;
    let back: Page = serde_json::from_str(&page.to_json().unwrap()).unwrap();
    assert!(back.rows[0].forward_seconds.is_nan());
    assert_eq!(back.rows.len(), page.rows.len());
    assert_eq!(back.rows[7].cosine, page.rows[7].cosine);
    assert_eq!(back.rows[4].failure, page.rows[4].failure);
    assert_eq!(table(&back), table(&page));
}
