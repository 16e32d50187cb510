//! The connections that are open, and how long each has waited for what.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

// What a connection waits for: a request, the rest of a request's head, or an answer.
const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// What a connection is told to do: end after the answer that is under way, or end because a head did not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Leave,
    Late,
}

/// One connection's state, since which tick, and what it was told.
#[derive(Default)]
pub struct Watch {
    state: AtomicU8,
    since: AtomicU64,
    order: Mutex<Option<Order>>,
    pub told: Notify,
}

impl Watch {
    pub fn busy(&self) {
        self.state.store(BUSY, Relaxed);
    }

    pub fn idle(&self, now: u64) {
        self.since.store(now, Relaxed);
        self.state.store(IDLE, Relaxed);
    }

    pub fn order(&self) -> Option<Order> {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn began(&self, now: u64) {
        if self.state.compare_exchange(IDLE, HEAD, Relaxed, Relaxed).is_ok() {
            self.since.store(now, Relaxed);
        }
    }

    fn tell(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
        self.told.notify_one();
    }
}

/// All connections; time is counted in ticks, so that no request reads a clock for it.
pub struct Connections {
    open: Mutex<HashMap<u64, Arc<Watch>>>,
    now: AtomicU64,
    next: AtomicU64,
    tick: Duration,
    pub ended: Notify,
}

impl Connections {
    pub fn new(tick: Duration) -> Self {
        let (open, now, next, ended) = Default::default();
        Self { open, now, next, tick, ended }
    }

    pub fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    pub fn count(&self) -> usize {
        self.open().len()
    }

    pub fn add(self: &Arc<Self>) -> Member {
        let (id, watch) = (self.next.fetch_add(1, Relaxed), Arc::new(Watch::default()));
        watch.idle(self.now());
        self.open().insert(id, watch.clone());
        Member { all: self.clone(), id, watch }
    }

    /// Tell every connection to end after the answer that is under way.
    pub fn leave(&self) {
        self.open().values().for_each(|watch| watch.tell(Order::Leave));
    }

    /// For as long as the front runs, tell those that took too long.
    pub async fn sweep(&self, head: Duration, idle: Duration) {
        let ticks = |span: Duration| span.as_nanos().div_ceil(self.tick.as_nanos()) as u64;
        loop {
            tokio::time::sleep(self.tick).await;
            let now = self.now.fetch_add(1, Relaxed) + 1;
            for watch in self.open().values() {
                let waited = now - watch.since.load(Relaxed).min(now);
                match watch.state.load(Relaxed) {
                    HEAD if waited > ticks(head) => watch.tell(Order::Late),
                    IDLE if waited > ticks(idle) => watch.tell(Order::Leave),
                    _ => {}
                }
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Watch>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the others, until it ends.
pub struct Member {
    all: Arc<Connections>,
    id: u64,
    pub watch: Arc<Watch>,
}

impl Member {
    /// Return `stream`, which notes when a request begins.
    pub fn watched(&self, stream: TcpStream) -> Watched {
        Watched { stream, all: self.all.clone(), watch: self.watch.clone() }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.all.open().remove(&self.id);
        self.all.ended.notify_one();
    }
}

/// A stream that notes when a request begins.
pub struct Watched {
    stream: TcpStream,
    all: Arc<Connections>,
    watch: Arc<Watch>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.watch.began(this.all.now());
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
