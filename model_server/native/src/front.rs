//! The public socket: a thread of its own that accepts connections until it is told to stop.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::connections::{Connections, Order};
use crate::counts::Counts;
use crate::model::Model;
use crate::places::Places;
use crate::service::answer;
use crate::upstream::Upstream;

// Accepting fails where no file can be opened any more; connections that end make room.
const AFTER_FAULT: Duration = Duration::from_millis(100);

/// What all requests share.
pub struct Shared {
    pub connections: Arc<Connections>,
    pub places: Arc<Places>,
    pub upstream: Upstream,
    pub deadline: Duration,
    pub idle: Duration,
    /// The bodies of the answers to a request that did not arrive in time, and to one whose turn came too late.
    pub slow_body: Bytes,
    pub late: Bytes,
    /// Requests that were never whole enough to be any model's.
    pub unknown: Counts,
    pub paths: RwLock<HashMap<String, Arc<Model>>>,
    pub draining: AtomicBool,
    pub stop: Notify,
}

impl Shared {
    pub fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Return the model that answers on `path`, where it is not Python's.
    pub fn model(&self, path: &str) -> Option<Arc<Model>> {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        paths.get(path).filter(|model| !model.retired()).cloned()
    }

    pub fn serve(&self, paths: HashMap<String, Arc<Model>>) {
        *self.paths.write().unwrap_or_else(PoisonError::into_inner) = paths;
    }
}

/// Listen on `host` and `port`, within a runtime.
pub fn listen(host: &str, port: u16, backlog: u32) -> io::Result<TcpListener> {
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Accept connections until told to stop, then let those that are open end within `patience`.
pub async fn accept(shared: Arc<Shared>, listener: TcpListener, patience: Duration) {
    let watching = shared.clone();
    tokio::spawn(async move { watching.connections.sweep(watching.deadline, watching.idle).await });
    let mut stop = pin!(shared.stop.notified());
    while let Some(stream) = until(listener.accept(), stop.as_mut()).await {
        match stream {
            Ok((stream, _)) => _ = tokio::spawn(serve(shared.clone(), stream)),
            Err(_) => sleep(AFTER_FAULT).await,
        }
    }
    drop(listener);
    shared.connections.leave();
    let _ = timeout(patience, async {
        while shared.connections.count() > 0 {
            shared.connections.ended.notified().await;
        }
    })
    .await;
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let member = shared.connections.add();
    let watch = member.watch.clone();
    let service = service_fn(|request| answer(shared.clone(), watch.clone(), request));
    let io = TokioIo::new(member.watched(stream));
    let mut connection = http1::Builder::new().serve_connection(io, service);
    while until(Pin::new(&mut connection), pin!(watch.told.notified())).await.is_none() {
        if watch.order() == Some(Order::Late) {
            shared.unknown.request(StatusCode::REQUEST_TIMEOUT.as_u16(), shared.deadline);
            refuse(connection.into_parts().io.into_inner(), &shared.slow_body).await;
            return;
        }
        Pin::new(&mut connection).graceful_shutdown();
    }
}

/// Answer a request whose head did not arrive; no library writes an answer to what is not yet a request.
async fn refuse(mut stream: impl AsyncWrite + Unpin, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _ = stream.shutdown().await;
}

/// Return what `work` comes to, or None where `end` comes first.
async fn until<T>(work: impl Future<Output = T>, mut end: Pin<&mut impl Future>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(found) = work.as_mut().poll(context) {
            return Poll::Ready(Some(found));
        }
        end.as_mut().poll(context).map(|_| None)
    })
    .await
}
