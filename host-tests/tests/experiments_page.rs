//! The page of the papers' experiments, its pictures and its Markdown.
//!
//! The findings are made up: shaped like those of the experiments, measured nowhere.
//! `EXPERIMENTS_SAMPLE=FOLDER cargo test -p drmad-host --test experiments_page` writes them to a folder.

use drmad_host::report::experiments::{
    Compared, Curve, Curves, Findings, Image, Images, Matrix, Metric, Ranking, Shown, Unit,
    Variant, markdown, picture_files, render,
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
            curves("The training loss after 50 steps.", "training loss (nats per digit)", false, loss),
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
        y_label: "validation loss (nats per digit)".into(),
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
        for (name, text) in all().iter().flat_map(|f| picture_files(f).unwrap()) {
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
