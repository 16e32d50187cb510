//! How many requests are in the server at once, whichever way they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// At most `limit` places, shared with Python's admission.
pub struct Places {
    limit: usize,
    taken: AtomicUsize,
}

impl Places {
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    pub fn take(&self) -> bool {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    pub fn give(&self) {
        let less = |taken: usize| Some(taken.saturating_sub(1));
        let _ = self.taken.fetch_update(Relaxed, Relaxed, less);
    }
}

/// A place that is given back when the request ends, however it does.
pub struct Place(Arc<Places>);

impl Place {
    pub fn take(places: &Arc<Places>) -> Option<Self> {
        places.take().then(|| Self(places.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give();
    }
}
