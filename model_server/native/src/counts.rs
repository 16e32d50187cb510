//! What is counted of one version of a model, in the buckets that Python names.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many values fell into each bucket, the last one without a bound, and their sum.
#[derive(Clone)]
pub struct Buckets {
    bounds: Vec<f64>,
    pub counts: Vec<u64>,
    pub sum: f64,
}

impl Buckets {
    pub fn new(bounds: Vec<f64>) -> Self {
        let counts = vec![0; bounds.len() + 1];
        Self { bounds, counts, sum: 0.0 }
    }

    fn observe(&mut self, value: f64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }
}

/// Requests by their answers' codes, how long they took in seconds, and the samples of the runs.
#[derive(Clone)]
pub struct Tally {
    pub codes: BTreeMap<u16, u64>,
    pub seconds: Buckets,
    pub batches: Buckets,
}

/// A tally that requests add to and Python reads.
pub struct Counts(Mutex<Tally>);

impl Counts {
    pub fn new(seconds: Vec<f64>, samples: Vec<f64>) -> Self {
        Self(Mutex::new(Tally {
            codes: BTreeMap::new(),
            seconds: Buckets::new(seconds),
            batches: Buckets::new(samples),
        }))
    }

    pub fn request(&self, code: u16, took: Duration) {
        let mut tally = self.tally();
        *tally.codes.entry(code).or_default() += 1;
        tally.seconds.observe(took.as_secs_f64());
    }

    pub fn batch(&self, samples: usize) {
        self.tally().batches.observe(samples as f64);
    }

    pub fn read(&self) -> Tally {
        self.tally().clone()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
