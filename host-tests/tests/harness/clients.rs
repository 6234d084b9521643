//! Clients that share hypergradients: what they follow, whose examples they see, and what happens to
//! one that diverges.

use std::collections::BTreeSet;

use drmad::Fused;
use drmad_host::data::{Dataset, Split};
use drmad_host::experiment::{
    Block, By, Clients, Counts, Experiment, OuterOptimizer, Rounding, What,
};
use drmad_host::method::{Method, Name};
use drmad_host::problem::Population;
use drmad_host::recipe;
use drmad_host::reduction::Reduction;
use drmad_host::tolerances::SAME_FORMULA_F64;
use drmad_host::tune::{Compare, Resume, Settings, Tuned, Tuning};
use indicatif::ProgressBar;
use rayon::ThreadPoolBuilder;

const POOL: usize = 1_000;

/// Five clients of 300 examples, and a step down what they follow, not only down its sign.
fn small() -> Experiment {
    let mut experiment = recipe::find("hyperserver-mnist").expect("there");
    experiment.layers = vec![784, 12, 10];
    experiment.steps = 20;
    experiment.batch = 20;
    experiment.examples = Counts {
        train: 200,
        valid: 100,
        test: 50,
        ..experiment.examples
    };
    let outer = &mut experiment.outer;
    outer.optimizer = OuterOptimizer::Sgd;
    outer.rates.sgd = 1.0;
    outer.meta_steps = 1;
    outer.clients = Some(Clients {
        count: 5,
        reduction: Reduction::Mean,
        pool: POOL,
    });
    experiment
}

fn tune(experiment: &Experiment, data: &Dataset, compare: Compare) -> anyhow::Result<Tuned> {
    let folder = tempfile::tempdir().expect("a folder");
    let tuning = Tuning {
        data,
        settings: Settings {
            version: String::new(),
            experiment: experiment.clone(),
            compare,
            seed: 0,
            arithmetic: Rounding::Fused,
            data: None,
        },
        start: None,
        out: folder.path().to_path_buf(),
        part_of: Some(&ProgressBar::hidden()),
    };
    tuning.run(Resume::No)
}

/// The hypergradients of the clients, each on its own.
fn alone(experiment: &Experiment, data: &Dataset) -> Vec<Vec<f32>> {
    let population = Population::new(experiment, data).expect("enough images");
    let method = Method::new(Name::Hats);
    let of = |client| {
        let problem = population.client(0, 0, client).expect("a shard");
        let trained = problem.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ());
        let back = trained.expect("trained").back;
        back.expect("a backward pass").hypergradient
    };
    (0..5).map(of).collect()
}

#[test]
fn clients_follow_the_float64_mean_sum_and_vote_of_their_own_hypergradients() {
    let data = Dataset::mnist().expect("MNIST");
    let mut experiment = small();
    let alone = alone(&experiment, &data);
    assert!(alone[1..].iter().all(|d| *d != alone[0]));
    for (reduction, each, over) in [
        (Reduction::Mean, (|d| d) as fn(f64) -> f64, 5.0),
        (Reduction::Sum, |d| d, 1.0),
        (
            Reduction::SignVote,
            |d| if d == 0.0 { 0.0 } else { d.signum() },
            5.0,
        ),
    ] {
        if let Some(clients) = &mut experiment.outer.clients {
            clients.reduction = reduction;
        }
        let tuned = tune(&experiment, &data, Compare::Never).expect("tuned");
        for (i, (got, start)) in tuned.hyper.iter().zip(experiment.start()).enumerate() {
            let sum: f64 = alone.iter().map(|d| each(f64::from(d[i]))).sum();
            assert_eq!(*got, start - (sum / over) as f32, "{reduction:?}, {i}");
        }
    }
}

#[test]
fn agreement_is_the_mean_cosine_of_all_pairs() {
    let data = Dataset::mnist().expect("MNIST");
    let experiment = small();
    let alone = alone(&experiment, &data);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let mut cosines = vec![];
    for (i, a) in alone.iter().enumerate() {
        for b in &alone[..i] {
            cosines.push(dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
        }
    }
    let want = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let tuned = tune(&experiment, &data, Compare::Never).expect("tuned");
    let got = tuned.report.meta_steps[0].agreement.expect("five clients");
    assert_eq!(cosines.len(), 10);
    assert!((got - want).abs() < SAME_FORMULA_F64, "{got} and {want}");
}

#[test]
fn the_number_of_threads_changes_no_bit_of_what_clients_reach() {
    let data = Dataset::mnist().expect("MNIST");
    let mut experiment = small();
    experiment.outer.meta_steps = 3;
    let all = [1, 2, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let tuned = pool
            .expect("threads")
            .install(|| tune(&experiment, &data, Compare::Every));
        let Tuned { report, hyper } = tuned.expect("tuned");
        let seen = report.meta_steps.iter();
        let seen = seen.map(|m| [m.valid_loss, m.test_error, m.norm].map(f64::to_bits));
        let angles = report.angles.iter().map(|a| a.cosine.to_bits());
        let hyper: Vec<u32> = hyper.iter().map(|h| h.to_bits()).collect();
        (hyper, seen.collect::<Vec<_>>(), angles.collect::<Vec<_>>())
    });
    assert_eq!(all[0].2.len(), 3);
    assert!(all[1] == all[0] && all[2] == all[0]);
}

#[test]
fn a_client_sees_its_shard_alone_and_validates_on_what_it_does_not_train_on() {
    let data = Dataset::mnist().expect("MNIST");
    let experiment = small();
    let population = Population::new(&experiment, &data).expect("enough images");
    let set = |of: &[u32]| of.iter().copied().collect::<BTreeSet<u32>>();
    let mut pool = BTreeSet::new();
    let mut shards = BTreeSet::new();
    for client in 0..40 {
        let shard = set(&population.shard(7, client).expect("a shard"));
        assert_eq!(shard.len(), 300);
        let [first, later] = [0, 5].map(|meta_step| {
            let drawn = population
                .client(7, meta_step, client)
                .expect("drawn")
                .drawn;
            let (train, valid) = (set(&drawn.train), set(&drawn.validation));
            assert!(train.is_disjoint(&valid));
            assert_eq!(&(&train | &valid), &shard);
            train
        });
        assert_ne!(first, later);
        pool.extend(shard.iter().copied());
        assert!(shards.insert(shard));
    }
    // Forty shards of three tenths each leave out almost nothing, and no two pools are the same.
    assert!((POOL - 5..=POOL).contains(&pool.len()), "{}", pool.len());
    let other = set(&population.shard(8, 0).expect("a shard"));
    assert!(!other.is_subset(&pool));
}

/// Two steps of a softmax at a rate so large that bright images leave the finite numbers, black ones not.
fn steep() -> Experiment {
    let mut experiment = small();
    experiment.layers = vec![784, 10];
    experiment.batch = 10;
    experiment.steps = 2;
    experiment.log_l2 = None;
    experiment.examples = Counts {
        train: 20,
        valid: 10,
        ..experiment.examples
    };
    experiment.tuned = vec![Block {
        what: What::Rate,
        by: By::Global,
        each_step: false,
        start: 84.0,
        natural: false,
        total: None,
    }];
    experiment.outer.optimizer = OuterOptimizer::Sign;
    experiment.method.name = Some(Name::Tape);
    experiment
}

/// Images of which some are white and all others black.
fn white(these: impl Fn(u32) -> bool) -> Dataset {
    let split = |count: u32, these: &dyn Fn(u32) -> bool| {
        let pixels = (0..count).flat_map(|i| [if these(i) { 255 } else { 0 }; 784]);
        let labels = (0..count).map(|i| (i % 10) as u8);
        Split::new(pixels.collect(), labels.collect(), 28, 28)
    };
    Dataset {
        train: split(2 * POOL as u32, &these),
        test: split(50, &|_| false),
    }
}

#[test]
fn a_client_that_diverges_is_left_out_and_named() {
    let experiment = steep();
    let (bright, kept) = {
        let black = white(|_| false);
        let population = Population::new(&experiment, &black).expect("enough images");
        let shards: Vec<Vec<u32>> = (0..5)
            .map(|client| population.shard(0, client).expect("a shard"))
            .collect();
        let last = population.draw(0, 1, 0).expect("the last draw").drawn;
        let dark = |i: &u32| {
            let others = shards.iter().enumerate().filter(|(client, _)| *client != 2);
            !others.into_iter().any(|(_, shard)| shard.contains(i))
                && !last.train.contains(i)
                && !last.validation.contains(i)
        };
        let bright: BTreeSet<u32> = shards[2].iter().copied().filter(dark).collect();
        assert!(bright.len() > 20);
        (bright, [0, 1, 3, 4])
    };
    let data = white(|i| bright.contains(&i));
    let population = Population::new(&experiment, &data).expect("enough images");
    let method = Method::new(Name::Tape);
    let one = |client: usize| {
        let problem = population.client(0, 0, client).expect("a shard");
        let trained = problem.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ())?;
        anyhow::Ok(trained.back.expect("a backward pass"))
    };
    assert!(one(2).is_err());
    let losses = kept.map(|client| f64::from(one(client).expect("finite").valid_loss));
    let tuned = tune(&experiment, &data, Compare::Never).expect("four are left");
    let seen = &tuned.report.meta_steps[0];
    assert_eq!(seen.left_out, [2]);
    assert_eq!(seen.valid_loss, losses.iter().sum::<f64>() / 4.0);
    assert!(seen.norm.is_finite());
    let page = drmad_host::report::tuning::render(&tuned.report).expect("a page");
    assert!(page.contains("Diverged and left out: client 2 at meta-iteration 0."));

    let error =
        tune(&experiment, &white(|i| i % 2 == 0), Compare::Never).expect_err("none is left");
    let words = format!("{error:#}");
    assert!(words.contains("all of 5 clients diverge"), "{words}");
}

#[test]
fn what_is_not_finite_is_left_out_of_every_reduction() {
    let (a, b) = ([1.0, -2.0, 0.0], [3.0, 4.0, -5.0]);
    let bad = [f32::NAN, 1.0, 1.0];
    let far = [1.0, f32::INFINITY, 1.0];
    for (reduction, want) in [
        (Reduction::Mean, [2.0, 1.0, -2.5]),
        (Reduction::Sum, [4.0, 2.0, -5.0]),
        (Reduction::SignVote, [1.0, 0.0, -0.5]),
    ] {
        let all = [Some(&bad[..]), Some(&a), None, Some(&b), Some(&far)];
        let reduced = reduction.reduce(&all).expect("two are left");
        assert_eq!(reduced.hypergradient, want);
        assert_eq!(reduced.left_out, [0, 2, 4]);
    }
    let refused = |clients: &[Option<&[f32]>]| {
        let error = Reduction::Mean.reduce(clients).expect_err("refused");
        error.to_string()
    };
    assert!(refused(&[None, Some(&bad)]).contains("none of 2 clients"));
    assert!(refused(&[]).contains("none of 0 clients"));
    assert!(refused(&[Some(&a), Some(&a[..2])]).contains("client 1 has 2 hyperparameters"));
}

#[test]
fn clients_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut Experiment)| {
        let mut experiment = small();
        change(&mut experiment);
        experiment.check().expect_err("refused").to_string()
    };
    assert!(refused(|e| e.outer.draws = 2).contains("each client has one draw"));
    assert!(refused(|e| e.examples.train = 901).contains("a shard has 1001 examples"));
    assert!(refused(|e| e.outer.clients.as_mut().expect("some").count = 0).contains("count is 0"));
    assert!(refused(|e| e.tuned[0].what = What::ExampleWeight).contains("belongs to one client's"));
    let mut experiment = small();
    experiment.outer.clients.as_mut().expect("some").pool = 60_001;
    let data = Dataset::mnist().expect("MNIST");
    let error = Population::new(&experiment, &data).expect_err("refused");
    assert!(error.to_string().contains("60001"), "{error}");
}
