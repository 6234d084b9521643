//! A network and its training in float64, from scratch: nested vectors, one loop an index, no code
//! and no memory layout in common with the crate but the order of the flat weights.

#![allow(clippy::needless_range_loop)] // indices as in the formulas

/// `weights[layer][input][output]` and `biases[layer][output]`.
pub(crate) struct Network {
    pub(crate) weights: Vec<Vec<Vec<f64>>>,
    pub(crate) biases: Vec<Vec<f64>>,
}

impl Network {
    pub(crate) fn from_flat(widths: &[usize], w: &[f64]) -> Network {
        let mut next = w.iter().copied();
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for pair in widths.windows(2) {
            let mut matrix = vec![vec![0.0; pair[1]]; pair[0]];
            for row in &mut matrix {
                for w in row {
                    *w = next.next().unwrap();
                }
            }
            weights.push(matrix);
            biases.push((0..pair[1]).map(|_| next.next().unwrap()).collect());
        }
        assert!(next.next().is_none());
        Network { weights, biases }
    }

    /// The loss of one example with target `q`, and its gradient added to `g`, flat, times `share`.
    pub(crate) fn example(&self, x: &[f64], q: &[f64], share: f64, g: &mut [f64]) -> f64 {
        let depth = self.weights.len();
        let mut a = vec![x.to_vec()];
        for l in 0..depth {
            let mut z = Vec::new();
            for o in 0..self.biases[l].len() {
                let mut sum = self.biases[l][o];
                for i in 0..a[l].len() {
                    sum += a[l][i] * self.weights[l][i][o];
                }
                z.push(if l + 1 < depth { sum.tanh() } else { sum });
            }
            a.push(z);
        }
        let z = &a[depth];
        let partition: f64 = z.iter().map(|z| z.exp()).sum();
        let loss = (0..z.len()).map(|o| q[o] * (partition.ln() - z[o])).sum();
        let total: f64 = q.iter().sum();
        let mut d: Vec<f64> = (0..z.len())
            .map(|o| total * z[o].exp() / partition - q[o])
            .collect();
        let mut end = g.len();
        for l in (0..depth).rev() {
            let (inputs, outputs) = (a[l].len(), d.len());
            let start = end - (inputs + 1) * outputs;
            for o in 0..outputs {
                for i in 0..inputs {
                    g[start + i * outputs + o] += share * a[l][i] * d[o];
                }
                g[start + inputs * outputs + o] += share * d[o];
            }
            d = (0..inputs)
                .map(|i| {
                    let back: f64 = (0..outputs).map(|o| self.weights[l][i][o] * d[o]).sum();
                    back * (1.0 - a[l][i] * a[l][i])
                })
                .collect();
            end = start;
        }
        loss
    }
}

/// Examples with all that a loss can depend on, `x[example][input]` and so on.
#[derive(Clone)]
pub(crate) struct Set {
    pub(crate) x: Vec<Vec<f64>>,
    pub(crate) targets: Vec<Vec<f64>>,
    pub(crate) weights: Vec<f64>,
}

impl Set {
    /// Inputs as they are, one-hot targets, weights of 1.
    pub(crate) fn new(inputs: usize, classes: usize, x: &[f32], labels: &[u8]) -> Set {
        let one_hot = |label: &u8| {
            let mut q = vec![0.0; classes];
            q[usize::from(*label)] = 1.0;
            q
        };
        Set {
            x: x.chunks(inputs)
                .map(|x| x.iter().map(|x| f64::from(*x)).collect())
                .collect(),
            targets: labels.iter().map(one_hot).collect(),
            weights: vec![1.0; labels.len()],
        }
    }

    /// Mean loss and gradient over `batch`.
    pub(crate) fn loss_and_gradient(
        &self,
        widths: &[usize],
        w: &[f64],
        batch: &[u32],
    ) -> (f64, Vec<f64>) {
        let network = Network::from_flat(widths, w);
        let mut g = vec![0.0; w.len()];
        let mut loss = 0.0;
        for i in batch {
            let i = *i as usize;
            let share = self.weights[i] / batch.len() as f64;
            loss += share * network.example(&self.x[i], &self.targets[i], share, &mut g);
        }
        (loss, g)
    }
}

/// Mean loss and gradient over `batch` of plain examples.
pub(crate) fn loss_and_gradient(
    widths: &[usize],
    w: &[f64],
    x: &[f32],
    labels: &[u8],
    batch: &[u32],
) -> (f64, Vec<f64>) {
    let set = Set::new(widths[0], widths[widths.len() - 1], x, labels);
    set.loss_and_gradient(widths, w, batch)
}

/// A training with everything spelled out for each weight. It minimises
/// `network(scale z) + sum l2 z^2 + sum l1 |z|`.
#[derive(Clone)]
pub(crate) struct Training<'a> {
    pub(crate) widths: &'a [usize],
    pub(crate) x: &'a [f32],
    pub(crate) labels: &'a [u8],
    /// The batch of each step: their number is the number of steps.
    pub(crate) batches: &'a [Vec<u32>],
    /// `z_0`.
    pub(crate) start: Vec<f64>,
    pub(crate) scales: Vec<f64>,
    pub(crate) l2: Vec<f64>,
    pub(crate) l1: Vec<f64>,
    /// `[step][weight]`.
    pub(crate) rates: Vec<Vec<f64>>,
    pub(crate) momenta: Vec<Vec<f64>>,
}

impl Training<'_> {
    /// `z_T`; `each` sees every `z_t` with its loss.
    pub(crate) fn run(&self, mut each: impl FnMut(&[f64], f64)) -> Vec<f64> {
        let mut z = self.start.clone();
        let mut v = vec![0.0; z.len()];
        for (t, batch) in self.batches.iter().enumerate() {
            let (mut loss, by_w) =
                loss_and_gradient(self.widths, &self.scaled(&z), self.x, self.labels, batch);
            let mut g = vec![0.0; z.len()];
            for i in 0..z.len() {
                loss += self.l2[i] * z[i] * z[i] + self.l1[i] * z[i].abs();
                g[i] =
                    self.scales[i] * by_w[i] + 2.0 * self.l2[i] * z[i] + self.l1[i] * z[i].signum();
            }
            each(&z, loss);
            for i in 0..z.len() {
                let gamma = self.momenta[t][i];
                v[i] = gamma * v[i] - (1.0 - gamma) * g[i];
                z[i] += self.rates[t][i] * v[i];
            }
        }
        z
    }

    /// The weights of the network: `scale z`.
    pub(crate) fn scaled(&self, z: &[f64]) -> Vec<f64> {
        z.iter().zip(&self.scales).map(|(z, s)| z * s).collect()
    }

    /// The loss after the training on `valid`, without penalties.
    pub(crate) fn valid_loss(&self, valid: &[u32]) -> f64 {
        let z = self.run(|_, _| ());
        loss_and_gradient(self.widths, &self.scaled(&z), self.x, self.labels, valid).0
    }
}

/// The derivative of `f` at 0 to fourth order in `step`.
pub(crate) fn derivative(step: f64, f: impl Fn(f64) -> f64) -> f64 {
    let pair = |s: f64| f(s) - f(-s);
    (8.0 * pair(step) - pair(2.0 * step)) / (12.0 * step)
}

/// For each weight of a network the number of its unit: one a row of a weight matrix and, with
/// `biases`, one a vector of biases; -1 for a bias without.
pub(crate) fn units(widths: &[usize], biases: bool) -> Vec<i64> {
    let (mut map, mut unit) = (Vec::new(), 0);
    for pair in widths.windows(2) {
        for _ in 0..pair[0] {
            map.extend(vec![unit; pair[1]]);
            unit += 1;
        }
        map.extend(vec![if biases { unit } else { -1 }; pair[1]]);
        unit += i64::from(biases);
    }
    map
}

/// For each weight of a network the number of its tensor: weight matrices and biases in turn.
pub(crate) fn tensors(widths: &[usize]) -> Vec<i64> {
    let (mut map, mut tensor) = (Vec::new(), 0);
    for pair in widths.windows(2) {
        map.extend(vec![tensor; pair[0] * pair[1]]);
        map.extend(vec![tensor + 1; pair[1]]);
        tensor += 2;
    }
    map
}

/// `x[group]` for each weight, and `otherwise` for a weight in no group.
pub(crate) fn spread(x: &[f64], map: &[i64], otherwise: f64) -> Vec<f64> {
    map.iter()
        .map(|group| {
            usize::try_from(*group)
                .ok()
                .map_or(otherwise, |group| x[group])
        })
        .collect()
}

/// Solves `a x = b` by Gauss' elimination with pivoting.
pub(crate) fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let pivot = (k..n)
            .max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs()))
            .unwrap();
        a.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..n {
            let by = a[i][k] / a[k][k];
            for j in k..n {
                a[i][j] -= by * a[k][j];
            }
            b[i] -= by * b[k];
        }
    }
    for k in (0..n).rev() {
        for j in k + 1..n {
            b[k] -= a[k][j] * b[j];
        }
        b[k] /= a[k][k];
    }
    b
}
