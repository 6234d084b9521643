//! A server as the command line starts it: alone, or as one of the processes of MPI.

use anyhow::Result;
#[cfg(not(feature = "mpi"))]
use anyhow::ensure;

use super::Server;
#[cfg(feature = "mpi")]
use super::ranks;

impl Server {
    /// Runs as the command line does: where several processes of MPI were started, as one of them.
    ///
    /// # Errors
    /// As [`run`](Self::run); several processes and a program that knows nothing of MPI.
    pub fn start(&self, resume: bool) -> Result<()> {
        let Some(ranks) = started_ranks() else {
            return self.run(resume).map(drop);
        };
        #[cfg(feature = "mpi")]
        {
            let _ = ranks;
            ranks::run(self, resume)
        }
        #[cfg(not(feature = "mpi"))]
        {
            ensure!(
                ranks == 1,
                "one of {ranks} processes, of a program that was built without MPI: build it with \
                 --features mpi"
            );
            self.run(resume).map(drop)
        }
    }
}

/// The number of processes that were started beside this one, itself among them, as Open MPI, MPICH and
/// Slurm tell it; nothing where this one was started alone.
pub(crate) fn started_ranks() -> Option<usize> {
    let of = |name: &str| std::env::var(name).ok()?.parse().ok();
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    names.into_iter().find_map(of)
}
