//! A hyperparameter server and its clients: that they follow what `drmad tune` follows, that neither
//! threads nor kills change a bit, and what happens to clients that fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use drmad::kernels::reduce::cosine;
use drmad_host::data::{Dataset, Split};
use drmad_host::experiment::{Clients, Counts, Experiment, OuterOptimizer, Rounding};
use drmad_host::recipe;
use drmad_host::reduction::Reduction;
use drmad_host::server::Server;
use drmad_host::server::clients::Work;
use drmad_host::server::link::{Link, Threads};
use drmad_host::server::round::Why;
use drmad_host::server::settings::{Absent, Conditions, Settings, Slow};
use drmad_host::server::shards::Shards;
use drmad_host::server::simulation::clients::{ManyClients, Part};
use drmad_host::server::simulation::times::{ClientModel, Network, Topology, meta_iteration};
use drmad_host::server::wire::{Measured, Order, Said, Shape, Task, Wire};
use drmad_host::tune::{self, Compare, Tuning};
use indicatif::ProgressBar;
use rayon::ThreadPoolBuilder;
use tempfile::TempDir;

const CLIENTS: usize = 5;

/// Five clients of 300 examples, three meta-iterations.
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
    experiment.outer.meta_steps = 3;
    experiment.outer.clients = Some(Clients {
        count: CLIENTS,
        reduction: Reduction::Mean,
        pool: 1_000,
    });
    experiment
}

fn server(experiment: Experiment) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server {
        settings: Settings {
            version: String::new(),
            experiment,
            shards: Shards::Even,
            wire: Wire::F32,
            seed: 0,
            arithmetic: Rounding::Fused,
            data: None,
        },
        conditions: Conditions::default(),
        threads: 2,
        out: folder.path().to_path_buf(),
        quiet: true,
    };
    (server, folder)
}

fn state(server: &Server) -> Vec<u8> {
    fs::read(server.state_path()).expect("a state")
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn vote(mut experiment: Experiment) -> Experiment {
    experiment.outer.optimizer = OuterOptimizer::Sgd;
    experiment.outer.clients.as_mut().expect("some").reduction = Reduction::SignVote;
    experiment
}

#[test]
fn a_server_reaches_the_bits_of_a_tuning_with_clients() {
    let data = Dataset::mnist().expect("MNIST");
    for experiment in [small(), vote(small())] {
        let folder = tempfile::tempdir().expect("a folder");
        let tuning = Tuning {
            data: &data,
            settings: tune::Settings {
                version: String::new(),
                experiment: experiment.clone(),
                compare: Compare::Never,
                seed: 0,
                arithmetic: Rounding::Fused,
                data: None,
            },
            start: None,
            out: folder.path().to_path_buf(),
            part_of: Some(&ProgressBar::hidden()),
        };
        let tuned = tuning.run(drmad_host::tune::Resume::No).expect("tuned");
        let (server, _folder) = server(experiment);
        let served = server.run(false).expect("served");
        assert_eq!(bits(&served.hyper), bits(&tuned.hyper));
        for (ours, theirs) in served.rounds.iter().zip(&tuned.report.meta_steps) {
            assert_eq!(ours.mean(|m| m.valid_loss), theirs.valid_loss);
            assert_eq!(ours.mean(|m| m.test_error), theirs.test_error);
            assert_eq!((ours.norm, ours.agreement), (theirs.norm, theirs.agreement));
        }
    }
}

/// A link that breaks before a round.
struct Breaks<'a> {
    inner: &'a mut Threads,
    at: u32,
}

impl Link for Breaks<'_> {
    fn tell(&mut self, order: &Order) -> Result<()> {
        if order.round == self.at {
            bail!("the link is broken");
        }
        self.inner.tell(order)
    }

    fn hear(&mut self, patience: Duration) -> Result<Option<Vec<u8>>> {
        self.inner.hear(patience)
    }
}

#[test]
fn neither_threads_nor_a_broken_link_change_a_byte_of_the_state() {
    let (mut all, folder) = server(small());
    let mut states = vec![];
    for threads in [1, 2, 5] {
        all.threads = threads;
        all.run(false).expect("served");
        states.push(state(&all));
    }
    assert!(states[1] == states[0] && states[2] == states[0]);

    // The clients of that run, and a link that breaks before the third meta-iteration.
    let (broken, _folder) = server(small());
    let own: Vec<usize> = (0..CLIENTS).collect();
    let error = broken
        .with_clients(&own, |inner| {
            broken.serve(&mut Breaks { inner, at: 3 }, false)
        })
        .expect_err("broken");
    assert!(format!("{error:#}").contains("the link is broken"));
    let half = String::from_utf8(state(&broken)).expect("JSON");
    assert_eq!(half.matches("agreement").count(), 2);
    let resumed = Server {
        threads: 3,
        ..broken
    };
    resumed.run(true).expect("resumed");
    assert!(state(&resumed) == states[0]);

    let mut other = resumed;
    other.settings.seed = 1;
    let error = other.run(true).expect_err("another run");
    let differs = "other settings: seed is 0 there and 1 here: give";
    assert!(error.to_string().contains(differs), "{error}");
    drop(folder);
}

#[test]
fn signs_and_sixteen_bits_take_the_bytes_they_say_and_give_what_they_can() {
    let (mut all, _folder) = server(small());
    let mut run = |wire, experiment: Experiment| {
        all.settings.wire = wire;
        all.settings.experiment = experiment;
        all.run(false).expect("served")
    };
    let exact = run(Wire::F32, small());
    let half = run(Wire::F16, small());
    let votes = run(Wire::F32, vote(small()));
    let signs = run(Wire::Sign, vote(small()));
    assert_eq!(bits(&signs.hyper), bits(&votes.hyper));
    assert_ne!(bits(&half.hyper), bits(&small().start()));
    assert!(half.rounds[0].norm != exact.rounds[0].norm);
    let cosine = cosine(&half.hyper, &exact.hyper);
    assert!(cosine > 0.999, "{cosine}");
    // Kind, round, client, and five numbers of 8 bytes.
    let (h, head) = (small().hypers() as u64, 1 + 4 + 4 + 5 * 8);
    for (served, numbers) in [(exact, 4 * h), (half, 2 * h + 2), (signs, h.div_ceil(5))] {
        for round in &served.rounds {
            assert_eq!(round.sent, 5 * (head + numbers));
            assert_eq!(round.received, 5 * (5 + 4 * h));
        }
    }
    all.settings.experiment = small();
    let error = all.run(false).expect_err("no mean of signs").to_string();
    assert!(error.contains("--reduction sign-vote"), "{error}");
}

#[test]
fn a_client_too_slow_is_left_out_and_an_absence_gives_the_same_bits_without_a_clock() {
    let mut experiment = small();
    experiment.outer.meta_steps = 2;
    let (mut late, _late) = server(experiment.clone());
    late.conditions.deadline = Some(Duration::from_secs(2));
    late.conditions.slow = vec![Slow {
        client: 2,
        wait: Duration::from_secs(3600),
    }];
    let late = late.run(false).expect("served");
    let (mut absent, _absent) = server(experiment);
    absent.conditions.absent = vec![Absent {
        client: 2,
        first: 0,
        last: Some(1),
    }];
    let absent = absent.run(false).expect("served");
    for (served, why) in [(&late, Why::Late), (&absent, Why::Absent)] {
        for round in &served.rounds {
            assert_eq!(round.left_out().collect::<Vec<_>>(), [(2, why)]);
        }
    }
    assert_eq!(bits(&late.hyper), bits(&absent.hyper));

    // One that is gone does not answer at the end either.
    let (mut gone, folder) = server(small());
    gone.conditions.absent = vec!["4@1-".parse().expect("an absence")];
    let gone = gone.run(false).expect("served");
    let left_out = gone.rounds.iter().map(|round| round.left_out().count());
    assert_eq!(left_out.collect::<Vec<_>>(), [0, 1, 1]);
    assert!(gone.after[4].is_none() && gone.after[3].is_some());
    let page = fs::read_to_string(folder.path().join("report.html")).expect("a page");
    for words in [
        "client 0",
        "client 4",
        "shared",
        "is absent",
        "said nothing",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn where_nobody_is_left_every_cause_is_named() {
    let error = |change: &dyn Fn(&mut Server)| {
        let (mut server, _folder) = server(small());
        change(&mut server);
        format!("{:#}", server.run(false).expect_err("nobody"))
    };
    let gone = |server: &mut Server| {
        server.conditions.absent = (0..CLIENTS)
            .map(|client| format!("{client}@0").parse().expect("an absence"))
            .collect();
    };
    let words = error(&gone);
    assert!(
        words.ends_with("nobody is left to follow: 5 of 5 clients are absent: shorten --absent"),
        "{words}"
    );
    let words = error(&|server| {
        gone(server);
        server.conditions.absent.remove(0);
        server.conditions.deadline = Some(Duration::from_millis(300));
        let wait = Duration::from_secs(3600);
        server.conditions.slow = vec![Slow { client: 0, wait }];
    });
    assert!(
        words.ends_with(
            "nobody is left to follow: 4 of 5 clients are absent: shorten --absent; \
             1 of 5 clients is late: raise --deadline"
        ),
        "{words}"
    );
}

/// Clients without data: each sends its number in every place, one of them something else.
struct Mock {
    odd: Said,
}

const ODD: usize = 1;

fn measured(valid_loss: f64) -> Measured {
    Measured {
        valid_loss,
        valid_error: 0.5,
        test_error: 0.5,
        train_loss: 1.0,
        norm: 1.0,
    }
}

fn shape() -> Shape {
    Shape {
        rows: 28,
        columns: 28,
        examples: 300,
        hypers: small().hypers() as u32,
        settings: 7,
    }
}

fn numbers(x: f32) -> Vec<u8> {
    x.to_le_bytes().repeat(small().hypers())
}

impl Work for Mock {
    fn reply(&self, client: usize, order: &Order) -> Said {
        let odd = client == ODD;
        match (&order.task, &self.odd) {
            (Task::Greet, Said::Holds(shape)) if odd => Said::Holds(*shape),
            (Task::Greet, _) => Said::Holds(shape()),
            (Task::Step(_), Said::Quality(_)) if odd => panic!("nothing goes"),
            (Task::Step(_), said) if odd => said.clone(),
            (Task::Step(_), _) => Said::Gradient(measured(1.0), numbers(client as f32)),
            _ => Said::Diverged("no judgement".to_string()),
        }
    }
}

fn mocked(odd: Said) -> Result<drmad_host::server::Served> {
    let mut experiment = small();
    experiment.outer.optimizer = OuterOptimizer::Sgd;
    experiment.outer.rates.sgd = 1.0;
    experiment.outer.meta_steps = 1;
    let (server, _folder) = server(experiment);
    let own: Vec<usize> = (0..CLIENTS).collect();
    Threads::with(&Mock { odd }, &own, &[], 2, |link| {
        server.serve(link, false)
    })
}

#[test]
fn what_is_not_finite_is_left_out_and_never_averaged() {
    let gradient = |loss, x| Said::Gradient(measured(loss), numbers(x));
    for (odd, why) in [
        (gradient(1.0, f32::NAN), Why::NotFinite),
        (gradient(1.0, f32::INFINITY), Why::NotFinite),
        (gradient(f64::NAN, 1.0), Why::NotFinite),
        (Said::Diverged("step 3".to_string()), Why::Diverged),
    ] {
        let served = mocked(odd).expect("four are left");
        assert_eq!(
            served.rounds[0].left_out().collect::<Vec<_>>(),
            [(ODD, why)]
        );
        let mean = (0.0 + 2.0 + 3.0 + 4.0) / 4.0;
        for (h, start) in served.hyper.iter().zip(small().start()) {
            assert_eq!(*h, start - mean);
        }
        assert!(served.before.iter().all(Option::is_none));
    }
}

#[test]
fn clients_that_differ_are_refused_with_both_shapes_and_failures_end_the_run() {
    let refused = |odd| format!("{:#}", mocked(odd).expect_err("refused"));
    let holds = |change: fn(&mut Shape)| {
        let mut shape = shape();
        change(&mut shape);
        refused(Said::Holds(shape))
    };
    let words = holds(|s| s.rows = 14);
    assert_eq!(words, "client 1 has images of 14 x 28 and client 0 28 x 28");
    let words = holds(|s| s.hypers = 3);
    assert!(words.contains("hyperparameters: 3"), "{words}");
    let words = holds(|s| s.settings = 8);
    assert!(
        words.contains("settings of digest 0000000000000008"),
        "{words}"
    );
    let words = refused(Said::Failed("the disk is gone".to_string()));
    assert!(words.contains("client 1: the disk is gone"), "{words}");
    let short = Said::Gradient(measured(1.0), vec![0; 8]);
    let words = refused(short);
    assert!(words.contains("and 8 came"), "{words}");
    let nothing = drmad_host::quality::Quality {
        valid_loss: 0.0,
        valid_error: 0.0,
        test_loss: 0.0,
        test_error: 0.0,
    };
    let words = refused(Said::Quality(nothing));
    assert!(words.contains("client 1: nothing goes"), "{words}");
}

/// Images of a size, as many as MNIST's first.
fn images(rows: usize) -> Dataset {
    let split = |count: usize| {
        let pixels = (0..count * rows * rows).map(|i| (i * i % 251) as u8);
        let labels = (0..count).map(|i| (i % 10) as u8);
        Split::new(pixels.collect(), labels.collect(), rows, rows)
    };
    Dataset {
        train: split(30),
        test: split(50),
    }
}

#[test]
fn each_client_may_have_a_folder_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |client: usize, data: &Dataset, train| {
        let own = folder.path().join(format!("c{client}"));
        data.write_first(&own, train, 50).expect("written");
    };
    let mnist = Dataset::mnist().expect("MNIST");
    for client in 0..CLIENTS {
        write(client, &mnist, 60 + 30 * client);
    }
    let (mut own, _folder) = server(small());
    own.settings.data = Some(folder.path().join("c{client}"));
    let served = own.run(false).expect("served");
    let losses = served.rounds[0].clients.iter().flatten();
    let losses: BTreeSet<u64> = losses.map(|m| m.valid_loss.to_bits()).collect();
    assert_eq!(losses.len(), CLIENTS);

    write(3, &images(14), 30);
    let error = own.run(false).expect_err("another size").to_string();
    assert_eq!(error, "client 3 has images of 14 x 14 and client 0 28 x 28");
    fs::remove_dir_all(folder.path().join("c4")).expect("removed");
    let error = own.run(false).expect_err("nothing there").to_string();
    assert!(error.starts_with("client 4: "), "{error}");
}

#[test]
fn shards_are_even_or_uneven_or_of_a_few_digits_each() {
    let data = Dataset::mnist().expect("MNIST");
    let experiment = small();
    let of = |shards: Shards, client| {
        let shard = shards.of(&experiment, &data, 3, client).expect("a shard");
        let set: BTreeSet<u32> = shard.iter().copied().collect();
        assert_eq!(set.len(), shard.len(), "no example twice");
        shard
    };
    let sizes = |shards| {
        (0..CLIENTS)
            .map(|client| of(shards, client).len())
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(Shards::Even), [300; CLIENTS]);
    assert_eq!(sizes(Shards::Uneven), [100, 200, 300, 400, 500]);
    for client in 0..CLIENTS {
        let labels = of(Shards::ByLabel, client).into_iter();
        let labels: BTreeSet<u8> = labels.map(|i| data.train.labels[i as usize]).collect();
        let two = [2 * client as u8, 2 * client as u8 + 1];
        assert_eq!(labels, BTreeSet::from(two));
    }
    let mut wide = small();
    wide.examples.train = 700;
    let error = Shards::Uneven.of(&wide, &data, 3, 4).expect_err("too many");
    assert!(
        error.to_string().contains("larger outer.clients.pool"),
        "{error}"
    );

    for shards in [Shards::Uneven, Shards::ByLabel] {
        let (mut server, _folder) = server(small());
        server.settings.shards = shards;
        let served = server.run(false).expect("served");
        assert!(served.after.iter().all(Option::is_some));
        assert_ne!(bits(&served.hyper), bits(&small().start()));
    }
}

fn drmad(arguments: &[&str]) -> Command {
    let mut command = crate::drmad();
    command.args(arguments);
    command
}

#[test]
fn the_command_line_says_what_it_refuses() {
    let code = |arguments: &[&str]| {
        let output = drmad(arguments).output().expect("the binary runs");
        let words = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), words)
    };
    for bad in [
        &["server", "--clients", "0"][..],
        &["server", "--absent", "2@x"],
        &["server", "--absent", "0@1-0"],
        &["server", "--slow", "2"],
        &["server", "--deadline", "-1"],
        &["server", "--outer-rate", "nan"],
        &["server", "--wire", "f8"],
    ] {
        assert_eq!(code(bad).0, Some(2), "{bad:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    let (status, words) = code(&["server", "--absent", "5@0", "--out", out]);
    assert_eq!(status, Some(1));
    assert!(words.contains("there is no client 5"), "{words}");
    let (status, words) = code(&["server", "--absent", "0@2000-", "--out", out]);
    assert_eq!(status, Some(1));
    assert!(words.contains("--absent 0@2000: there are"), "{words}");
    let (status, words) = code(&["server", "--resume", "--out", out]);
    assert_eq!(status, Some(1));
    assert!(words.contains("nothing to resume"), "{words}");
    if cfg!(not(feature = "mpi")) {
        let output = drmad(&["server", "--out", out])
            .env("OMPI_COMM_WORLD_SIZE", "2")
            .output();
        let words = String::from_utf8(output.expect("it runs").stderr).expect("UTF-8");
        assert!(words.contains("one of 2 processes"), "{words}");
    }
    assert!(!Path::new(out).join("state.json").exists());
}

/// Weather in which all trainings take as long and nobody drops out.
const FAIR: ClientModel = ClientModel {
    training: 10.0,
    spread: 0.0,
    slow: 0.0,
    slowdown: 10.0,
    dropped: 0.0,
    deadline: None,
};

#[test]
fn simulated_reductions_take_what_their_formulas_say() {
    let network = Network::CLUSTER;
    let Network {
        latency: l,
        bandwidth: b,
        overhead: o,
    } = network;
    let beyond = |topology, clients, hypers| {
        let taken = meta_iteration(topology, &network, &FAIR, clients, hypers, 1).expect("taken");
        assert_eq!(taken.counted, clients);
        taken.seconds - FAIR.training
    };
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    for (n, h) in [(1, 1), (10, 934), (1000, 934), (1000, 100_000)] {
        let (clients, hypers) = (n as f64, h as f64);
        // The first is ready as soon as it may send, so the way down hides the way up.
        near(
            beyond(Topology::Star, n, h),
            2.0 * l + (clients + 1.0) * (o + 4.0 * hypers / b),
        );
        let pieces = 2.0 * (clients - 1.0);
        near(
            beyond(Topology::Ring, n, h),
            pieces * (l + o + 8.0 * hypers / clients / b),
        );
        let most = 2.0 * l + 2.0 * (2.0 * o + 12.0 * hypers / b);
        let levels = (clients + 1.0).log2().ceil();
        assert!(beyond(Topology::Tree(2), n, h) <= levels * most);
    }
    // Where trees and rings begin to pay.
    assert!(beyond(Topology::Star, 10, 934) < beyond(Topology::Tree(2), 10, 934));
    assert!(beyond(Topology::Star, 10_000, 934) > 10.0 * beyond(Topology::Tree(2), 10_000, 934));
    assert!(beyond(Topology::Ring, 100, 934) > beyond(Topology::Star, 100, 934));
    assert!(beyond(Topology::Ring, 100, 934_000) < beyond(Topology::Tree(2), 100, 934_000));
}

#[test]
fn simulated_clients_that_drop_out_or_are_late_are_not_counted() {
    let taken = |topology, model: ClientModel| {
        meta_iteration(topology, &Network::CLUSTER, &model, 1000, 934, 3).expect("taken")
    };
    let dropped = ClientModel {
        dropped: 0.1,
        ..FAIR
    };
    assert_eq!(taken(Topology::Star, dropped).counted, 900);
    assert_eq!(taken(Topology::Ring, dropped).counted, 900);
    // Whoever is below one that drops out is lost with it.
    let tree = taken(Topology::Tree(2), dropped).counted;
    assert!((1..850).contains(&tree), "{tree}");
    let slow = ClientModel { slow: 0.05, ..FAIR };
    let deadline = ClientModel {
        deadline: Some(15.0),
        ..slow
    };
    for topology in [Topology::Star, Topology::Tree(16), Topology::Ring] {
        assert!(taken(topology, slow).seconds > 100.0);
        let taken = taken(topology, deadline);
        assert_eq!(taken.counted, 950);
        assert!((15.0..16.0).contains(&taken.seconds));
    }
    let bad = ClientModel {
        dropped: 1.5,
        ..FAIR
    };
    assert!(meta_iteration(Topology::Star, &Network::WIDE, &bad, 9, 9, 0).is_err());
    assert!(meta_iteration(Topology::Star, &Network::WIDE, &FAIR, 0, 9, 0).is_err());
}

#[test]
fn a_crowd_tunes_alike_on_any_number_of_threads_and_misses_those_who_take_no_part() {
    let data = Dataset::mnist().expect("MNIST");
    let clients = ManyClients::new(&data, 200, true).expect("a crowd");
    let tune = |threads, part| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let tuned = pool
            .expect("threads")
            .install(|| clients.tune(Reduction::Mean, part, 4));
        tuned.expect("tuned")
    };
    let all = tune(1, Part::All);
    assert_eq!(all, tune(3, Part::All));
    let untuned = clients.tune(Reduction::Mean, Part::All, 0).expect("judged");
    assert_eq!(untuned.hyper, vec![0.0; clients.hypers()]);
    assert!(all.valid_loss < untuned.valid_loss);
    let without = tune(2, Part::NoLastDigits);
    assert!(without.last_digits > all.last_digits);
    assert!(ManyClients::new(&data, 0, false).is_err());
}
