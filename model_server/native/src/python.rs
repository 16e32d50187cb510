//! What Python sees: Places, Model and Front.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::connections::Connections;
use crate::counts::{Counts, Tally};
use crate::front::{Shared, accept, listen};
use crate::tensor::Tensor;
use crate::upstream::Upstream;
use crate::{model, places};

// A request that stalls is noticed within a tick: a quarter of the deadline, within bounds.
const TICKS_A_DEADLINE: u32 = 4;
const SHORTEST_TICK: Duration = Duration::from_millis(10);
const LONGEST_TICK: Duration = Duration::from_secs(1);
// Tasks run between two looks at the sockets: about as many as arrive at once, so that they share a run.
const TASKS_A_TURN: u32 = 128;

type Told = (BTreeMap<u16, u64>, (Vec<u64>, f64), (Vec<u64>, f64));

fn told(tally: Tally) -> Told {
    let Tally { codes, seconds, batches } = tally;
    (codes, (seconds.counts, seconds.sum), (batches.counts, batches.sum))
}

/// At most `limit` requests at a time, on both ways together.
#[pyclass(frozen)]
pub struct Places(Arc<places::Places>);

#[pymethods]
impl Places {
    #[new]
    fn new(limit: usize) -> Self {
        Self(Arc::new(places::Places::new(limit)))
    }

    fn take(&self) -> bool {
        self.0.take()
    }

    fn give(&self) {
        self.0.give();
    }

    fn taken(&self) -> usize {
        self.0.taken()
    }
}

/// A version of a model; `run(samples, *inputs)` takes and returns bytes, a tensor each.
#[pyclass(frozen)]
pub struct Model(Arc<model::Model>);

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (name, version, *, inputs, outputs, run, most, seconds, samples))]
    fn new(
        name: String,
        version: String,
        inputs: Vec<(String, String, Vec<usize>)>,
        outputs: Vec<(String, String, Vec<usize>)>,
        run: Py<PyAny>,
        most: usize,
        seconds: Vec<f64>,
        samples: Vec<f64>,
    ) -> PyResult<Self> {
        let counts = Counts::new(seconds, samples);
        let tensors = (tensors(inputs)?, tensors(outputs)?);
        Ok(Self(Arc::new(model::Model::new((name, version), tensors, (run, most), counts))))
    }

    fn counts(&self) -> Told {
        told(self.0.counts.read())
    }

    fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

fn tensors(specs: Vec<(String, String, Vec<usize>)>) -> PyResult<Vec<Tensor>> {
    let found = specs.into_iter().map(|(name, datatype, shape)| {
        let told = format!("{name:?}: {datatype} of shape {shape:?} is not served natively");
        Tensor::new(name, datatype, shape).ok_or_else(|| PyValueError::new_err(told))
    });
    found.collect()
}

/// The public socket; listens from the first, answers from `start` on, on a thread of its own.
#[pyclass(frozen)]
pub struct Front {
    shared: Arc<Shared>,
    #[pyo3(get)]
    port: u16,
    waiting: Mutex<Option<(Runtime, TcpListener)>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[pymethods]
impl Front {
    #[new]
    #[pyo3(signature = (host, port, *, backlog, upstream, places, deadline, idle, slow_body, late, seconds, samples))]
    fn new(
        host: &str,
        port: u16,
        backlog: u32,
        upstream: String,
        places: &Places,
        deadline: f64,
        idle: f64,
        slow_body: Vec<u8>,
        late: Vec<u8>,
        seconds: Vec<f64>,
        samples: Vec<f64>,
    ) -> PyResult<Self> {
        let deadline = Duration::from_secs_f64(deadline);
        let tick = (deadline / TICKS_A_DEADLINE).clamp(SHORTEST_TICK, LONGEST_TICK);
        let runtime =
            Builder::new_current_thread().enable_all().event_interval(TASKS_A_TURN).build().map_err(failed)?;
        let guard = runtime.enter();
        let listener = listen(host, port, backlog).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        drop(guard);
        let shared = Arc::new(Shared {
            connections: Arc::new(Connections::new(tick)),
            places: places.0.clone(),
            upstream: Upstream::new(upstream),
            deadline,
            idle: Duration::from_secs_f64(idle),
            slow_body: Bytes::from(slow_body),
            late: Bytes::from(late),
            unknown: Counts::new(seconds, samples),
            paths: Default::default(),
            draining: Default::default(),
            stop: Default::default(),
        });
        Ok(Self { shared, port, waiting: Mutex::new(Some((runtime, listener))), thread: Mutex::default() })
    }

    /// Begin to answer; connections that are open at the end get `patience` seconds.
    fn start(&self, patience: f64) -> PyResult<()> {
        let Some((runtime, listener)) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Err(PyValueError::new_err("the front was started before"));
        };
        let (shared, patience) = (self.shared.clone(), Duration::from_secs_f64(patience));
        let work = move || runtime.block_on(accept(shared, listener, patience));
        // Attached once for the thread's life: Python would make and drop a thread's state, stack included, every run.
        let work = move || Python::attach(|py| py.detach(work));
        let thread = std::thread::Builder::new().name("front".into()).spawn(work).map_err(failed)?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Answer these paths here from now on, all others by Python.
    fn serve(&self, py: Python<'_>, paths: HashMap<String, Py<Model>>) {
        self.shared.serve(paths.into_iter().map(|(path, model)| (path, model.bind(py).get().0.clone())).collect());
    }

    /// Close each connection after its next answer.
    fn drain(&self) {
        self.shared.draining.store(true, Relaxed);
    }

    /// Accept no more, and return when the connections have ended.
    fn stop(&self, py: Python<'_>) {
        self.drain();
        self.shared.stop.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = py.detach(|| thread.join());
        }
    }

    /// What was counted of requests that were never whole.
    fn counts(&self) -> Told {
        told(self.shared.unknown.read())
    }

    /// Return how many of those wait for a run: none ever does.
    fn waiting(&self) -> usize {
        0
    }
}

fn failed(error: io::Error) -> PyErr {
    PyOSError::new_err((error.raw_os_error(), error.to_string()))
}
