//! One request: answered here where it is plain and understood, else by Python.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::answer::{Written, write};
use crate::connections::Watch;
use crate::front::Shared;
use crate::model::{Job, Model, Outcome};
use crate::places::Place;
use crate::request::parse;
use crate::upstream::{Body, closing};

const MOST_BYTES: u64 = 32 * 1024;
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
// What these ask for, Python does.
const OTHERS: [HeaderName; 4] = [header::CONTENT_ENCODING, header::TRANSFER_ENCODING, header::EXPECT, header::UPGRADE];

/// Answer a request of the connection that `watch` is of.
pub async fn answer(
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    watch.busy();
    let mut answer = match plain(&shared, &request) {
        Some((model, header_length)) => natively(&shared, &model, header_length, request).await,
        None => shared.upstream.ask(request.map(Either::Right)).await,
    };
    if shared.draining() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    watch.idle(shared.connections.now());
    Ok(answer)
}

/// Return the model that `request` is for and the length of its JSON, where its head has nothing that is Python's.
fn plain(shared: &Shared, request: &Request<Incoming>) -> Option<(Arc<Model>, Option<usize>)> {
    if request.method() != Method::POST || request.version() != Version::HTTP_11 {
        return None;
    }
    let model = shared.model(request.uri().path_and_query()?.as_str())?;
    let length = request.body().size_hint().exact().filter(|length| *length <= MOST_BYTES)?;
    let headers = request.headers();
    if OTHERS.iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    let mut said = headers.get_all(HEADER_LENGTH).iter();
    let header_length = said.next().map(whole);
    if said.next().is_some() {
        return None;
    }
    match header_length {
        None => Some((model, None)),
        Some(Some(known)) if (1..=length).contains(&(known as u64)) => Some((model, Some(known))),
        Some(_) => None,
    }
}

fn whole(value: &HeaderValue) -> Option<usize> {
    let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    value.to_str().ok().filter(|_| digits)?.parse().ok()
}

async fn natively(
    shared: &Shared,
    model: &Arc<Model>,
    header_length: Option<usize>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match timeout(shared.deadline, body.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return closing(StatusCode::BAD_REQUEST, Bytes::new()), // nobody is there to read it
        Err(_) => {
            model.counts.request(StatusCode::REQUEST_TIMEOUT.as_u16(), shared.deadline);
            return closing(StatusCode::REQUEST_TIMEOUT, shared.slow_body.clone());
        }
    };
    let begun = Instant::now();
    if let Some(answer) = ask(shared, model, &body, header_length, begun).await {
        model.counts.request(answer.status().as_u16(), begun.elapsed());
        return answer;
    }
    shared.upstream.ask(Request::from_parts(head, Either::Left(Full::new(body)))).await
}

/// Return the model's answer to `body`, or None where Python is to answer.
async fn ask(
    shared: &Shared,
    model: &Arc<Model>,
    body: &[u8],
    header_length: Option<usize>,
    begun: Instant,
) -> Option<Response<Body>> {
    let mut asked = parse(model, body, header_length)?;
    let _place = Place::take(&shared.places)?;
    let (reply, outcome) = oneshot::channel();
    let inputs = std::mem::take(&mut asked.inputs);
    model.add(Job { inputs, count: asked.count, latest: begun + shared.deadline, reply });
    match outcome.await {
        Ok(Outcome::Ran { outputs, first }) => Some(found(write(model, &asked, &outputs, first)?)),
        Ok(Outcome::Late) => Some(closing(StatusCode::GATEWAY_TIMEOUT, shared.late.clone())),
        Ok(Outcome::Failed) | Err(_) => None,
    }
}

fn found(Written { body, header_length }: Written) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(body))));
    let media_type = if header_length.is_some() { "application/octet-stream" } else { "application/json" };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(length) = header_length {
        answer.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(length));
    }
    answer
}
