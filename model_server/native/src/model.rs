//! A model that Python registered: what it takes and gives, and the requests that wait for its next run.
//!
//! All requests that the runtime parsed in one turn run together, in one call of Python.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use tokio::sync::oneshot;

use crate::counts::Counts;
use crate::tensor::Tensor;

// A model that takes so long, this often, is Python's from then on, which moves it to a thread.
const MOST_SECONDS: Duration = Duration::from_millis(50);
const SLOW_RUNS: u32 = 5;

/// The bytes of each output of a run, the samples of its requests one after the other.
pub type Outputs = Arc<Vec<Vec<u8>>>;

/// What became of a request: its rows of a run's outputs, from the first one.
pub enum Outcome {
    Ran { outputs: Outputs, first: usize },
    Late,
    Failed,
}

/// A request that waits for a run.
pub struct Job {
    pub inputs: Vec<Vec<u8>>,
    pub count: usize,
    pub latest: Instant,
    pub reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    busy: bool,
}

pub struct Model {
    pub name: String,
    pub version: String,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
    pub counts: Counts,
    most: usize,
    run: Py<PyAny>,
    queue: Mutex<Queue>,
    slow: AtomicU32,
    retired: AtomicBool,
}

impl Model {
    pub fn new(
        (name, version): (String, String),
        (inputs, outputs): (Vec<Tensor>, Vec<Tensor>),
        (run, most): (Py<PyAny>, usize),
        counts: Counts,
    ) -> Self {
        let (queue, slow, retired) = Default::default();
        Self { name, version, inputs, outputs, counts, most, run, queue, slow, retired }
    }

    /// Whether requests are Python's from now on.
    pub fn retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    pub fn waiting(&self) -> usize {
        self.queue().jobs.len()
    }

    /// Run `job` with others like it, after all requests that can be parsed now.
    pub fn add(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue();
        queue.jobs.push_back(job);
        if !queue.busy {
            queue.busy = true;
            tokio::spawn(turns(self.clone()));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take the oldest job and those after it that fit; what came too late is told so.
    fn next_batch(&self) -> Vec<Job> {
        let mut queue = self.queue();
        let (mut batch, mut samples, now) = (Vec::new(), 0, Instant::now());
        while let Some(job) = queue.jobs.pop_front() {
            if job.reply.is_closed() {
                continue;
            }
            if job.latest < now {
                let _ = job.reply.send(Outcome::Late);
                continue;
            }
            if !batch.is_empty() && samples + job.count > self.most {
                queue.jobs.push_front(job);
                break;
            }
            samples += job.count;
            batch.push(job);
        }
        queue.busy = !batch.is_empty();
        batch
    }

    fn run_batch(&self, batch: Vec<Job>) {
        let begun = Instant::now();
        let samples = batch.iter().map(|job| job.count).sum();
        self.counts.batch(samples);
        let found = Python::try_attach(|py| self.call(py, &batch, samples)).and_then(Result::ok);
        if begun.elapsed() > MOST_SECONDS && self.slow.fetch_add(1, Relaxed) + 1 >= SLOW_RUNS {
            self.retired.store(true, Relaxed);
        }
        let outputs = found.map(Arc::new);
        let mut first = 0;
        for job in batch {
            // A run that failed is Python's to try again, each request alone, and to tell of.
            let outcome = outputs.clone().map_or(Outcome::Failed, |outputs| Outcome::Ran { outputs, first });
            let _ = job.reply.send(outcome);
            first += job.count;
        }
    }

    fn call(&self, py: Python<'_>, batch: &[Job], samples: usize) -> PyResult<Vec<Vec<u8>>> {
        let mut given = vec![samples.into_pyobject(py)?.into_any()];
        for (at, tensor) in self.inputs.iter().enumerate() {
            let gather = |buffer: &mut [u8]| {
                let mut end = 0;
                for job in batch {
                    let begin = end;
                    end += job.inputs[at].len();
                    buffer[begin..end].copy_from_slice(&job.inputs[at]);
                }
                Ok(())
            };
            given.push(PyBytes::new_with(py, tensor.size() * samples, gather)?.into_any());
        }
        let answer = self.run.bind(py).call1(PyTuple::new(py, given)?)?;
        let outputs: Vec<Vec<u8>> =
            answer.extract::<Vec<Bound<PyBytes>>>()?.iter().map(|one| one.as_bytes().to_vec()).collect();
        let wanted = self.outputs.iter().map(|tensor| tensor.size() * samples);
        if !outputs.iter().map(Vec::len).eq(wanted) {
            return Err(pyo3::exceptions::PyValueError::new_err("outputs are not as long as their shapes say"));
        }
        Ok(outputs)
    }
}

async fn turns(model: Arc<Model>) {
    loop {
        let batch = model.next_batch();
        if batch.is_empty() {
            return;
        }
        model.run_batch(batch);
        // Answers are written, and new requests read, before the next run.
        tokio::task::yield_now().await;
    }
}
