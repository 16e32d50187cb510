//! Python's server, which answers all that is not answered here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tower_service::Service;

pub type Body = Either<Full<Bytes>, Incoming>;

// Python's server closes a connection after 75 s; one that it is about to close is not used.
const IDLE: Duration = Duration::from_secs(30);
const OF_ONE_CONNECTION: [header::HeaderName; 5] =
    [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT];

/// A client of Python's server, with a pool of connections.
pub struct Upstream(Client<Connector, Body>);

impl Upstream {
    /// Return a client of the server on the socket `path`, which is abstract where it begins with a zero byte.
    pub fn new(path: String) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Self(builder.build(Connector(path)))
    }

    /// Return Python's answer to `request`, unchanged but for what concerns one connection.
    pub async fn ask(&self, request: Request<Body>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = Uri::builder().scheme("http").authority("server").path_and_query(path).build() else {
            return failed(StatusCode::BAD_REQUEST, "the path is not one");
        };
        head.uri = uri;
        head.version = Version::HTTP_11;
        OF_ONE_CONNECTION.iter().for_each(|name| _ = head.headers.remove(name));
        match self.0.request(Request::from_parts(head, body)).await {
            Ok(answer) => returned(answer),
            Err(error) if of_the_client(&error) => {
                failed(StatusCode::BAD_REQUEST, "the body cannot be read to its end")
            }
            Err(_) => failed(StatusCode::BAD_GATEWAY, "the server's other part does not answer; its log says more"),
        }
    }
}

fn returned(mut answer: Response<Incoming>) -> Response<Body> {
    let closing = answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
    OF_ONE_CONNECTION.iter().for_each(|name| _ = answer.headers_mut().remove(name));
    if closing {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(Either::Right)
}

fn of_the_client(error: &hyper_util::client::legacy::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<hyper::Error>());
    source.is_some_and(hyper::Error::is_user)
}

fn failed(status: StatusCode, reason: &str) -> Response<Body> {
    let body = Bytes::from(serde_json::json!({ "error": reason }).to_string());
    closing(status, body)
}

/// Return an answer after which the connection ends; `body` is JSON.
pub fn closing(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[derive(Clone)]
struct Connector(String);

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(UnixStream::connect(path).await?)) })
    }
}
