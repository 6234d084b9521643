//! The page of the papers' experiments, its pictures and its Markdown.
//!
//! The findings are made up: shaped like those of the experiments, measured nowhere.
//! `EXPERIMENTS_SAMPLE=FOLDER cargo test -p drmad-host --test harness experiments_page` writes them to a folder.

use drmad_host::report::experiments::markdown::{markdown, picture_files};
use drmad_host::report::experiments::render;
use drmad_host::report::findings::{
    Compared, Curve, Curves, Findings, Image, Images, Matrix, Metric, Ranking, Shown, Unit, Variant,
};

/// Numbers from 0 to 1 without a pattern.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(a, b)| ((*a).into(), (*b).into()))
        .collect()
}

fn metric(name: &str, unit: Unit, values: &[f64]) -> Metric {
    Metric {
        name: name.into(),
        unit,
        values: values.into(),
    }
}

fn variant(name: &str, metrics: Vec<Metric>) -> Variant {
    Variant {
        name: name.into(),
        metrics,
        failed: None,
    }
}

fn compared(
    what: &str,
    published: Option<f64>,
    ours: &[f64],
    unit: Unit,
    remark: &str,
) -> Compared {
    Compared {
        what: what.into(),
        published,
        ours: ours.into(),
        unit,
        remark: remark.into(),
    }
}

fn findings(name: &str, title: &str) -> Findings {
    Findings {
        name: name.into(),
        title: title.into(),
        source: String::new(),
        about: String::new(),
        quick: false,
        settings: vec![],
        seeds: 3,
        seconds: 100.0,
        variants: vec![],
        compared: vec![],
        figures: vec![],
        notes: vec![],
        versions: pairs(&[("drmad", "0.1.0")]),
    }
}

/// A thousand rates: a smooth loss that turns chaotic, and its derivative.
fn chaos() -> Findings {
    let mut dice = Dice(1);
    let x: Vec<f64> = (0..1000)
        .map(|i| (0.5 + 0.002 * f64::from(i)).exp())
        .collect();
    let wild = |x: f64| ((x - 5.0) / 1.5).clamp(0.0, 1.0);
    let loss = x
        .iter()
        .map(|x| 0.3 + 0.4 / x + wild(*x) * 3.0 * dice.roll())
        .collect();
    let mut dice = Dice(2);
    let slope = x
        .iter()
        .map(|x| 10f64.powf(wild(*x) * 12.0 + 2.0 * dice.roll() - 2.0))
        .collect();
    let curves = |caption: &str, y_label: &str, log, y| {
        Shown::Curves(Curves {
            caption: caption.into(),
            x_label: "learning rate".into(),
            y_label: y_label.into(),
            log: [true, log],
            series: vec![Curve {
                name: "training loss".into(),
                x: x.clone(),
                y: vec![y],
            }],
        })
    };
    Findings {
        source: "Maclaurin et al. 2015, section 2.3 and figure 2".into(),
        about: "A network of three layers is trained for 50 steps at each of 1,000 learning rates. Where \
                the rate is small, the hypergradient says which way to go. From a certain rate on training \
                becomes chaotic: the loss jumps, and its derivative grows by ten orders of magnitude and \
                says nothing."
            .into(),
        settings: pairs(&[("network", "784-200-50-10, tanh"), ("examples", "1,000"), ("steps", "50")]),
        seeds: 1,
        seconds: 754.0,
        compared: vec![compared("rate at which chaos begins", None, &[5.2], Unit::Number, "")],
        figures: vec![
            curves("The training loss after 50 steps.", "training loss (nats per example)", false, loss),
            curves("The absolute derivative by the logarithm of the rate.", "|derivative|", true, slope),
        ],
        notes: vec!["The figure in the paper has no numbers at its axes.".into()],
        ..findings("chaos", "Where hypergradients turn chaotic")
    }
}

/// Ten curves of three seeds, and a ranking.
fn schedules() -> Findings {
    let mut dice = Dice(3);
    let x: Vec<f64> = (0..100).map(f64::from).collect();
    let layers: Vec<String> = (1..=4)
        .flat_map(|i| [format!("weights, layer {i}"), format!("biases, layer {i}")])
        .collect();
    let series = layers.iter().enumerate().map(|(n, name)| Curve {
        name: name.clone(),
        x: x.clone(),
        y: (0..3)
            .map(|_| {
                let shift = 0.2 * dice.roll();
                let level =
                    |t: &f64| 0.3 + 0.1 * n as f64 + shift + 0.8 * (t / (15.0 + n as f64)).sin();
                x.iter().map(|t| level(t) + 0.05 * dice.roll()).collect()
            })
            .collect(),
    });
    let lines = Shown::Curves(Curves {
        caption: "The tuned learning rates of weights and biases over the steps of training."
            .into(),
        x_label: "training step".into(),
        y_label: "learning rate".into(),
        log: [false, false],
        series: series.collect(),
    });
    let few = Shown::Curves(Curves {
        caption: "The meta-objective.".into(),
        x_label: "meta-iteration".into(),
        y_label: "validation loss (nats per example)".into(),
        log: [false, true],
        series: ["sign", "Adam", "diverging"]
            .iter()
            .enumerate()
            .map(|(n, name)| Curve {
                name: (*name).into(),
                x: (0..50).map(f64::from).collect(),
                y: (0..3)
                    .map(|_| {
                        let noise = 0.2 * dice.roll();
                        (0..50)
                            .map(|t| match (n, t) {
                                (2, 20..30) => f64::NAN,
                                _ => {
                                    0.2 + noise + 2.0 * (-0.1 * f64::from(t) / (n + 1) as f64).exp()
                                }
                            })
                            .collect()
                    })
                    .collect(),
            })
            .collect(),
    });
    let layers = |n: usize| -> Vec<String> { (1..=n).map(|i| format!("layer {i}")).collect() };
    let wide = Shown::Matrix(Matrix {
        caption: "The mean hypergradient of each layer's rate at every tenth step.".into(),
        unit: "hypergradient".into(),
        rows: layers(8),
        columns: (0..100).map(|i| format!("step {i}")).collect(),
        values: (0..800)
            .map(|i| (f64::from(i % 100) / 14.0).sin() * f64::from(1 + i / 100))
            .collect(),
    });
    Findings {
        source: "Maclaurin et al. 2015, section 3.1".into(),
        about: "A learning rate for each step and each layer, tuned by hypergradients of the training loss."
            .into(),
        quick: true,
        settings: pairs(&[("network", "784-50-50-50-10, tanh"), ("meta-iterations", "50")]),
        seconds: 5000.0,
        figures: vec![lines, few, wide],
        ..findings("schedules", "A learning rate for every step and layer")
    }
}

fn blob(cx: f64, cy: f64, dice: &mut Dice) -> Vec<f64> {
    (0..784)
        .map(|i| {
            let (r, c) = (f64::from(i / 28), f64::from(i % 28));
            let d = ((r - cy).powi(2) + (c - cx).powi(2)) / 40.0;
            let ring = (-(d - 1.0).powi(2)).exp() - 0.6 * (-d * 0.3).exp();
            ring + 0.15 * (dice.roll() - 0.5)
        })
        .collect()
}

fn pixels() -> Findings {
    let mut dice = Dice(4);
    let images = (0..10).map(|d| Image {
        name: format!("{d}"),
        values: blob(10.0 + f64::from(d % 4) * 2.0, 14.0, &mut dice),
    });
    let images: Vec<Image> = images.collect();
    let picture = |caption: &str, across, diverging, images: Vec<Image>| {
        Shown::Images(Images {
            caption: caption.into(),
            unit: "log penalty".into(),
            rows: 28,
            columns: 28,
            across,
            diverging,
            images,
        })
    };
    Findings {
        source: "Maclaurin et al. 2015, section 3.2".into(),
        about: "A penalty for each pixel and digit.".into(),
        seconds: 12_345.0,
        figures: vec![
            picture("The tuned penalties.", 5, true, images.clone()),
            picture("The same side by side.", 10, false, images.clone()),
            picture("One alone.", 1, false, images[..1].to_vec()),
        ],
        ..findings("pixel-penalties", "A penalty for every pixel")
    }
}

fn cleaning() -> Findings {
    let names = [
        "oracle",
        "baseline",
        "cleaned by reverse mode",
        "cleaned by hats, K = 8",
        "cleaned in real time",
    ];
    let errors = [0.0954, 0.1226, 0.0993, 0.0997, 0.1104];
    let mut variants: Vec<Variant> = names
        .iter()
        .zip(errors)
        .map(|(name, error)| {
            let metrics = vec![
                metric(
                    "test error",
                    Unit::Percent,
                    &[error, error + 0.0021, error - 0.0012],
                ),
                metric("validation loss", Unit::Number, &[0.31 + error, 0.33, 0.32]),
                metric("F1", Unit::Number, &[0.91, 0.905, 0.899]),
                metric("time", Unit::Seconds, &[12.1, 13.4, 12.2]),
                metric("memory", Unit::Bytes, &[3.2e6, 3.2e6, 3.2e6]),
            ];
            variant(name, metrics)
        })
        .collect();
    variants[4].metrics[1].values[1] = f64::NAN;
    variants.push(Variant {
        failed: Some("the loss is not finite at step 312".into()),
        ..variant("forward mode", vec![])
    });
    let tasks: Vec<String> = (0..10).map(|d| format!("task {d}")).collect();
    let couplings = (0..100).map(|i| {
        let (r, c) = (i / 10, i % 10);
        match (r, c) {
            (3, 4) => f64::NAN,
            (r, c) if r == c => 1.0,
            (r, c) => 0.4 * (f64::from(r + c)).sin().abs(),
        }
    });
    Findings {
        source: "Franceschi et al. 2017, section 5.1".into(),
        about: "Half of the labels are wrong. A weight for each example is tuned by the hypergradient of the \
                validation loss, and wrong examples lose theirs.\n\nThe exact hypergradient is compared with \
                shortcuts."
            .into(),
        settings: pairs(&[("examples", "5,000, of which 2,500 have a wrong label"), ("steps", "4,000")]),
        seconds: 98.0,
        compared: vec![
            compared("accuracy, oracle", Some(0.9046), &[0.9046, 0.9025, 0.9058], Unit::Percent, ""),
            compared(
                "accuracy, cleaned, 20 meta-iterations",
                Some(0.901),
                &[0.9007, 0.8986, 0.9019],
                Unit::Percent,
                "The paper draws its examples once; here each seed has its own.",
            ),
            compared("F1 of the examples found", Some(0.91), &[0.91, f64::NAN, 0.899], Unit::Number, ""),
            compared("speed-up over forward mode", Some(20.0), &[31.0], Unit::Times, ""),
        ],
        figures: vec![
            Shown::Ranking(Ranking {
                caption: "Test errors.".into(),
                metric: "test error".into(),
                baseline: Some("baseline".into()),
            }),
            Shown::Matrix(Matrix {
                caption: "How much tasks share.".into(),
                unit: "coupling".into(),
                rows: tasks.clone(),
                columns: tasks,
                values: couplings.collect(),
            }),
        ],
        variants,
        notes: vec!["The projection is onto the box and the ball at once.".into()],
        ..findings("hyper-cleaning", "Finding wrong labels")
    }
}

fn all() -> Vec<Findings> {
    vec![chaos(), schedules(), pixels(), cleaning()]
}

/// The figures of a page, each from its opening tag to its closing one.
fn drawn(page: &str) -> Vec<&str> {
    let figures = page.split("<figure").skip(1);
    figures
        .map(|rest| rest.split("</figure>").next().unwrap())
        .collect()
}

#[test]
fn page_is_one_file_without_external_references() {
    let page = render(&all()).unwrap();
    if let Some(folder) = std::env::var_os("EXPERIMENTS_SAMPLE") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(folder.join("pictures")).unwrap();
        std::fs::write(folder.join("all.html"), &page).unwrap();
        std::fs::write(folder.join("one.html"), render(&[cleaning()]).unwrap()).unwrap();
        std::fs::write(
            folder.join("docs.md"),
            markdown(&all(), "pictures").unwrap(),
        )
        .unwrap();
        for (name, text) in all()
            .iter()
            .chain([&crowded()])
            .flat_map(|f| picture_files(f).unwrap())
        {
            std::fs::write(folder.join("pictures").join(name), text).unwrap();
        }
    }
    for reference in [
        "http:", "https:", "src=", "url(", "@import", "<script", "<link", "<img", "<use",
    ] {
        assert!(!page.contains(reference), "the page has {reference}");
    }
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert_eq!(page, render(&all()).unwrap(), "the page is deterministic");
    assert_eq!(drawn(&page).len(), 10);
    assert!(!page.contains("\"#0102") && !page.contains("\"#0201"));
    assert!(page.len() < 700_000, "{} bytes", page.len());
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

/// The texts of a picture that stand level, as left, top, right and bottom, with letters this wide.
fn texts(picture: &str, letter: f64) -> Vec<(String, [f64; 4])> {
    let mut texts = Vec::new();
    for part in picture.split("<text").skip(1) {
        let (tag, rest) = part.split_once('>').unwrap();
        if tag.contains("rotate") {
            continue;
        }
        let text = rest.split("</text>").next().unwrap().trim().to_owned();
        let number = |name: &str| attribute(tag, name).parse::<f64>().unwrap();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
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
        texts.push((text, [left, y - 0.5 * size, left + width, y + 0.5 * size]));
    }
    texts
}

#[test]
fn table_sets_ours_beside_the_published_value() {
    let page = render(&all()).unwrap();
    // (0.9007 + 0.8986 + 0.9019) / 3 = 0.9004.
    let row = "<td class=\"words wrap\">accuracy, cleaned, 20 meta-iterations</td><td>90.10\u{a0}%</td>\
               <td>90.04\u{a0}%</td><td>89.86 to 90.19\u{a0}%</td><td>−0.06\u{a0}points</td></tr>";
    assert!(page.contains(row));
    assert!(page.contains("<td>0.9045 (1 of 3 not finite)</td>"));
    assert!(page.contains("<td>+11.0\u{a0}× (+55.0\u{a0}%)</td>"));
    assert!(page.contains("The paper draws its examples once"));
    // The accuracies within a tenth of what they lack to one, and F1; not the speed-up.
    assert!(page.contains("4 experiments: ours is near 3 of 4 published values"));
}

#[test]
fn longest_experiment_is_named_first_and_leads_to_its_section() {
    let page = render(&all()).unwrap();
    let table = page.split("What took how long").nth(2).unwrap();
    let order = ["pixel-penalties", "schedules", "chaos", "hyper-cleaning"];
    let places = order.map(|name| table.find(&format!("href=\"#{name}\"")).unwrap());
    assert!(places.is_sorted());
    for name in order {
        assert!(page.contains(&format!("<section id=\"{name}\">")), "{name}");
    }
}

#[test]
fn quick_runs_say_that_their_numbers_mean_little() {
    let warning = "Its numbers mean little.";
    assert_eq!(render(&all()).unwrap().matches(warning).count(), 1);
    assert!(render(&[schedules()]).unwrap().contains(warning));
    assert!(!render(&[chaos()]).unwrap().contains(warning));
    assert!(markdown(&all(), "p").unwrap().contains(warning));
}

#[test]
fn failed_variants_say_why() {
    for text in [
        render(&[cleaning()]).unwrap(),
        markdown(&[cleaning()], "p").unwrap(),
    ] {
        assert!(text.contains("failed: the loss is not finite at step 312"));
    }
}

#[test]
fn words_are_explained_where_they_occur_and_once() {
    let page = render(&all()).unwrap();
    for word in ["hypergradient", "meta-iteration", "F1", "seed"] {
        assert_eq!(
            page.matches(&format!("<dfn>{word}</dfn>")).count(),
            1,
            "{word}"
        );
    }
    assert!(!page.contains("<dfn>sign vote</dfn>"));
    let mut vote = chaos();
    vote.notes.push("By a sign vote.".into());
    assert!(render(&[vote]).unwrap().contains("<dfn>sign vote</dfn>"));
}

#[test]
fn ranking_has_the_best_first_and_a_dot_for_every_seed() {
    let page = render(&[cleaning()]).unwrap();
    let figure = drawn(&page)[0];
    let order = [
        "oracle",
        "cleaned by reverse mode",
        "cleaned by hats, K = 8",
        "cleaned in real time",
    ];
    let places = texts(figure, 0.5);
    let level = |name: &str| places.iter().find(|(t, _)| t == name).unwrap().1[1];
    assert!(order.map(level).is_sorted());
    assert_eq!(figure.matches("r=\"16\"").count(), 15);

    // Of accuracies the greatest is the best.
    let mut higher = cleaning();
    for metric in higher.variants.iter_mut().flat_map(|v| &mut v.metrics) {
        metric.name = metric.name.replace("test error", "accuracy");
    }
    if let Shown::Ranking(ranking) = &mut higher.figures[0] {
        ranking.metric = "accuracy".into();
    }
    let page = render(&[higher]).unwrap();
    let places = texts(drawn(&page)[0], 0.5);
    let level = |name: &str| places.iter().find(|(t, _)| t == name).unwrap().1[1];
    assert!(level("oracle") > level("cleaned in real time"));
}

/// Curves of many and long names, a metric of many variants, and a matrix of long names.
fn crowded() -> Findings {
    let long = |i: usize| format!("number {i} of the things with very long names");
    let mut clients = Findings {
        name: "crowded".into(),
        ..cleaning()
    };
    clients.variants = (0..30)
        .map(|i| {
            variant(
                &long(i),
                vec![metric(
                    "test error",
                    Unit::Percent,
                    &[0.1 + 1e-5 * i as f64; 2],
                )],
            )
        })
        .collect();
    let series = (0..12).map(|i| Curve {
        name: long(i),
        x: vec![1.0, 1e6],
        y: vec![vec![1e-7, 1e-7 * (1.0 + 1e-3 * i as f64)]],
    });
    clients.figures = vec![
        Shown::Ranking(Ranking {
            caption: String::new(),
            metric: "test error".into(),
            baseline: Some(long(3)),
        }),
        Shown::Curves(Curves {
            caption: String::new(),
            x_label: "step".into(),
            y_label: "loss".into(),
            log: [true, true],
            series: series.collect(),
        }),
        Shown::Matrix(Matrix {
            caption: String::new(),
            unit: "coupling".into(),
            rows: (0..3).map(long).collect(),
            columns: (0..40).map(long).collect(),
            values: vec![0.5; 120],
        }),
        Shown::Matrix(Matrix {
            caption: String::new(),
            unit: "coupling".into(),
            rows: (0..100).map(long).collect(),
            columns: (0..2).map(long).collect(),
            values: (0..200).map(|i| 1e9 * (f64::from(i) - 100.0)).collect(),
        }),
        Shown::Images(Images {
            caption: String::new(),
            unit: "a very long name of what the values of these small pictures are".into(),
            rows: 2,
            columns: 2,
            across: 30,
            diverging: false,
            images: (0..30)
                .map(|i| Image {
                    name: long(i),
                    values: vec![i as f64; 4],
                })
                .collect(),
        }),
    ];
    clients
}

#[test]
fn labels_stay_inside_and_apart() {
    let mut every = all();
    every.push(crowded());
    for one in every {
        for (name, picture) in picture_files(&one).unwrap() {
            let bounds: Vec<f64> = attribute(&picture, "viewBox")
                .split(' ')
                .map(|n| n.parse().unwrap())
                .collect();
            for (text, [left, top, right, bottom]) in texts(&picture, 0.56) {
                let (w, h) = (bounds[0] + bounds[2], bounds[1] + bounds[3]);
                let inside = left >= bounds[0] && top >= bounds[1] && right <= w && bottom <= h;
                assert!(inside, "{name}: {text} hangs out");
            }
            let texts = texts(&picture, 0.5);
            for (i, (text, a)) in texts.iter().enumerate() {
                for (other, b) in &texts[..i] {
                    let meet = a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
                    assert!(!meet, "{name}: {text} covers {other}");
                }
            }
        }
    }
}

#[test]
fn pictures_stand_alone_and_are_small() {
    let mut size = 0;
    for one in all() {
        let files = picture_files(&one).unwrap();
        for (i, (name, text)) in files.iter().enumerate() {
            assert_eq!(*name, format!("{}-{}.svg", one.name, i + 1));
            assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
            assert!(
                text.contains("prefers-color-scheme: dark")
                    && text.contains("fill=\"var(--card)\"")
            );
            assert!(!text.contains("\"#0102") && !text.contains("\"#0201"));
            // Every variable that is used is declared.
            for used in text.split("var(").skip(1) {
                let name = used.split(')').next().unwrap();
                assert!(text.contains(&format!("{name}:")), "{name} has no value");
            }
            size += text.len();
        }
        let docs = markdown(&[one], "pictures").unwrap();
        for (name, _) in files {
            assert!(docs.contains(&format!("](pictures/{name})")), "{name}");
        }
    }
    assert!(size < 400_000, "{size} bytes");
}

#[test]
fn shapes_that_contradict_themselves_are_errors_that_name_the_figure() {
    type Break = fn(&mut Findings);
    let breaks: [(Findings, Break, &str); 8] = [
        (
            chaos(),
            |f| match &mut f.figures[1] {
                Shown::Curves(c) => c.series[0].y[0].truncate(7),
                _ => unreachable!(),
            },
            "chaos, figure 2: the curve training loss has 1000 places and 7 heights",
        ),
        (
            pixels(),
            |f| match &mut f.figures[0] {
                Shown::Images(i) => i.rows = 27,
                _ => unreachable!(),
            },
            "pixel-penalties, figure 1: 27 rows of 28",
        ),
        (
            pixels(),
            |f| match &mut f.figures[2] {
                Shown::Images(i) => i.across = 0,
                _ => unreachable!(),
            },
            "pixel-penalties, figure 3",
        ),
        (
            pixels(),
            |f| match &mut f.figures[2] {
                Shown::Images(i) => (i.rows, i.columns) = (usize::MAX, 2),
                _ => unreachable!(),
            },
            "pixel-penalties, figure 3",
        ),
        (
            cleaning(),
            |f| match &mut f.figures[1] {
                Shown::Matrix(m) => m.rows.truncate(9),
                _ => unreachable!(),
            },
            "hyper-cleaning, figure 2: 9 rows of 10",
        ),
        (
            cleaning(),
            |f| match &mut f.figures[0] {
                Shown::Ranking(r) => r.metric = "tset error".into(),
                _ => unreachable!(),
            },
            "hyper-cleaning, figure 1: no variant has the metric tset error",
        ),
        (
            cleaning(),
            |f| match &mut f.figures[0] {
                Shown::Ranking(r) => r.baseline = Some("nobody".into()),
                _ => unreachable!(),
            },
            "hyper-cleaning, figure 1: no variant is called nobody",
        ),
        (
            cleaning(),
            |f| f.variants[1].metrics[0].unit = Unit::Count,
            "hyper-cleaning: test error is measured in two units",
        ),
    ];
    for (mut one, break_it, words) in breaks {
        break_it(&mut one);
        let error = render(&[one.clone()]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(picture_files(&one).is_err() && markdown(&[one], "p").is_err());
    }
    let error = render(&[chaos(), chaos()]).unwrap_err().to_string();
    assert!(
        error.contains("two experiments are called chaos"),
        "{error}"
    );
}

#[test]
fn nothing_is_shown_of_nothing() {
    assert!(render(&[]).unwrap().contains("0 experiments"));
    let bare = findings("bare", "Bare");
    let page = render(&[bare]).unwrap();
    assert_eq!(drawn(&page).len(), 0);
    let empty = |f: Shown| -> Shown {
        match f {
            Shown::Curves(mut c) => {
                c.series.clear();
                Shown::Curves(c)
            }
            Shown::Images(mut i) => {
                i.images.clear();
                Shown::Images(i)
            }
            Shown::Matrix(mut m) => {
                m.rows.clear();
                m.values.clear();
                Shown::Matrix(m)
            }
            f => f,
        }
    };
    for mut one in all() {
        one.figures = one.figures.into_iter().map(empty).collect();
        one.variants.clear();
        one.figures.retain(|f| !matches!(f, Shown::Ranking(_)));
        assert_eq!(drawn(&render(&[one.clone()]).unwrap()).len(), 0);
        assert!(picture_files(&one).unwrap().is_empty());
    }
    let mut failed = cleaning();
    for variant in &mut failed.variants {
        variant.metrics.clear();
        variant.failed = Some("no memory".into());
    }
    assert_eq!(drawn(&render(&[failed]).unwrap()).len(), 1);
}

#[test]
fn no_number_reaches_the_page_unsaid() {
    for bad in [f64::NAN, f64::INFINITY, f64::MAX, -1.0, 0.0, 1e-300] {
        for mut one in all().into_iter().chain([crowded()]) {
            one.seconds = bad;
            for c in &mut one.compared {
                c.published = c.published.map(|_| bad);
                c.ours.fill(bad);
            }
            for metric in one.variants.iter_mut().flat_map(|v| &mut v.metrics) {
                metric.values.fill(bad);
            }
            for figure in &mut one.figures {
                match figure {
                    Shown::Curves(c) => c
                        .series
                        .iter_mut()
                        .flat_map(|s| &mut s.y)
                        .for_each(|y| y.fill(bad)),
                    Shown::Images(i) => i.images.iter_mut().for_each(|i| i.values.fill(bad)),
                    Shown::Matrix(m) => m.values.fill(bad),
                    Shown::Ranking(_) => {}
                }
            }
            for text in [
                render(&[one.clone()]).unwrap(),
                markdown(&[one.clone()], "p").unwrap(),
            ] {
                for word in ["NaN", ">inf", "\"inf", " inf "] {
                    assert!(!text.contains(word), "{bad}: {word} in {}", one.name);
                }
            }
        }
    }
}

#[test]
fn json_keeps_the_findings_and_reads_null_as_nan() {
    let json = serde_json::to_string(&all()).unwrap();
    let back: Vec<Findings> = serde_json::from_str(&json).unwrap();
    assert!(json.contains("null"));
    assert_eq!(render(&back).unwrap(), render(&all()).unwrap());
}

#[test]
fn names_are_escaped() {
    let evil = "</title><script>&\"'#010203|*_`[x](y)$\u{1}</script>";
    let mut one = cleaning();
    for text in [&mut one.title, &mut one.source, &mut one.about] {
        *text = evil.into();
    }
    one.name = evil.into();
    one.notes = vec![evil.into()];
    one.settings.push((evil.into(), evil.into()));
    one.compared[0].what = evil.into();
    one.compared[0].remark = evil.into();
    for variant in &mut one.variants {
        variant.name = format!("{evil}{}", variant.name);
        variant.failed = Some(evil.into());
    }
    one.figures = crowded().figures.into_iter().skip(1).collect();
    for figure in &mut one.figures {
        match figure {
            Shown::Curves(c) => {
                c.series[0].name = evil.into();
                (c.caption, c.x_label, c.y_label) = (evil.into(), evil.into(), evil.into());
            }
            Shown::Images(i) => (i.images[0].name, i.unit) = (evil.into(), evil.into()),
            Shown::Matrix(m) => {
                (m.rows[0], m.columns[0], m.unit) = (evil.into(), evil.into(), evil.into())
            }
            Shown::Ranking(_) => {}
        }
    }
    one.figures.push(Shown::Ranking(Ranking {
        caption: evil.into(),
        metric: "test error".into(),
        baseline: Some(one.variants[1].name.clone()),
    }));
    let page = render(&[one.clone(), chaos()]).unwrap();
    assert!(!page.contains("<script") && !page.contains("</script"));
    let docs = markdown(&[one.clone(), chaos()], "p").unwrap();
    assert!(!docs.contains("<script") && !docs.contains("</script"));
    for line in docs.lines().filter(|l| l.contains("script")) {
        for sign in ["|*", "*_", "`[", "x](", ")$"] {
            assert!(!line.contains(sign), "{sign} in {line}");
        }
    }
    for (name, text) in picture_files(&one).unwrap() {
        assert!(
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)),
            "{name}"
        );
        assert!(!text.contains("<script") && !text.contains('\u{1}'));
    }
}
