//! Methods and inputs of the core, as the harness has them, on MNIST.

use crate::common::{assert_each_above, bits, wide};
use crate::tolerances::{F32_SWEEP, FLOOR_F32_SWEEP};
use drmad::Fused;
use drmad_host::data::Dataset;
use drmad_host::dump::Request;
use drmad_host::experiment::{Experiment, Rounding};
use drmad_host::inputs::Inputs;
use drmad_host::method::{Method, Name};
use drmad_host::problem::Problem;
use drmad_host::recipe::{self, find};

#[test]
fn the_harness_gets_the_tape_s_hypergradient_from_few_snapshots() {
    let data = Dataset::mnist().unwrap();
    for name in ["mnist-units", "schedules"] {
        let mut experiment = find(name).unwrap();
        experiment.steps = 12;
        let get = |method| {
            let folder = tempfile::tempdir().unwrap();
            let request = Request {
                experiment: &experiment,
                data: &data,
                method,
                hyper: experiment.start(),
                seed: 0,
                arithmetic: Rounding::Fused,
            };
            let floats = request.run(Some(folder.path())).unwrap().floats;
            let bytes = std::fs::read(folder.path().join("hypergradient.npy")).unwrap();
            (floats, bytes)
        };
        let (_, want) = get(Method::new(Name::Tape));
        let few = Method {
            snapshots: 3,
            ..Method::new(Name::Checkpoints)
        };
        let (floats, got) = get(few);
        assert!(got == want, "{name}");
        assert_eq!(floats / experiment.weights(), 6);
        assert_eq!(few.describe(), "checkpoints, S = 3");
    }
}

#[test]
fn the_harness_gives_the_tapes_hypergradient_by_forward_mode_or_says_why_not() {
    let data = Dataset::mnist().unwrap();
    for (name, steps) in [("mnist-layers", 12), ("schedules", 2)] {
        let experiment = Experiment {
            steps,
            ..recipe::find(name).unwrap()
        };
        let problem = Problem::draw(&experiment, &data, 0, 0).unwrap();
        let [got, want] = [Name::Forward, Name::Tape].map(|name| {
            let method = Method::new(name);
            let trained = problem.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ());
            trained.unwrap()
        });
        assert_eq!(bits(&got.w), bits(&want.w));
        let (got, want) = (got.back.unwrap(), want.back.unwrap());
        assert_eq!(got.valid_loss, want.valid_loss);
        let want = wide(&want.hypergradient);
        for (block, range) in experiment.blocks() {
            let what = format!("{name}, {block:?}");
            let (got, want) = (&got.hypergradient[range.clone()], &want[range]);
            assert_each_above(&what, got, want, FLOOR_F32_SWEEP, F32_SWEEP);
        }
    }
    let units = recipe::find("mnist-units").unwrap();
    let problem = Problem::draw(&units, &data, 0, 0).unwrap();
    let method = Method::new(Name::Forward);
    let refused = problem.train::<Fused>(&units.start(), Some(&method), &mut |_| ());
    let words = refused.unwrap_err().to_string();
    assert!(
        words.contains("has 934, which need 83798480 numbers"),
        "{words}"
    );
}

#[test]
fn the_harness_gets_the_same_hypergradient_from_whole_images() {
    let data = Dataset::mnist().unwrap();
    let [sparse, dense] = [Inputs::Sparse, Inputs::Dense].map(|inputs| {
        let experiment = Experiment {
            inputs,
            steps: 12,
            ..find("mnist-units").unwrap().clone()
        };
        let problem = Problem::draw(&experiment, &data, 0, 0).unwrap();
        let (start, method) = (experiment.start(), Method::new(Name::Tape));
        let trained = problem.train::<Fused>(&start, Some(&method), &mut |_| ());
        wide(&trained.unwrap().back.unwrap().hypergradient)
    });
    assert_ne!(sparse, dense, "the mean has its place in other sums");
    assert_each_above("dense", &dense, &sparse, FLOOR_F32_SWEEP, F32_SWEEP);
}
