//! DNS over HTTPS (RFC 8484), over HTTP/1.1 and HTTP/2.
//!
//! In: requests to the path of the settings: GET or HEAD with the query in `dns`, or POST with it as
//! content. Out: the response as content, but for HEAD, with the time that it may be kept for.
//! Always holds: a request that is none of these is told what is wrong with it, and no DNS response
//! is ever another status than 200; content beyond the limit is not read; a connection on which
//! nothing is asked ends, whether or not its client took what it was sent.
//! It deliberately does not know what a query says.

mod age;

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;

use crate::{record::Met, streams::Session};

/// What a client may ask for.
pub(crate) const ALPN: [&[u8]; 2] = [HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";
/// RFC 8484 §6.
const MEDIA_TYPE: &str = "application/dns-message";
/// The longest head: a query of 4 KiB in base64, and the fields of a browser.
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// HTTP/2's smallest window that a query fits in.
const WINDOW_BYTES: u32 = 16 * 1024;

type Answer = Response<Full<Bytes>>;

/// When a connection was asked last.
#[derive(Debug)]
struct Asked(Mutex<Instant>);

/// Serves one connection until it is over.
pub(crate) async fn serve(stream: TlsStream<TcpStream>, session: Session) {
    let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    let asked = Arc::new(Asked(Mutex::new(Instant::now())));
    let io = TokioIo::new(stream);
    let (of_requests, last) = (session.clone(), Arc::clone(&asked));
    let service = service_fn(move |request| {
        *last.0.lock() = Instant::now();
        respond(request, of_requests.clone())
    });
    if speaks_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(session.limits.streams_max)
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 4)
            .max_send_buf_size(HEAD_BYTES_MAX as usize);
        let connection = builder.serve_connection(io, service);
        run(connection, http2::Connection::graceful_shutdown, &asked, &session).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(session.limits.idle_timeout)
            .max_buf_size(HEAD_BYTES_MAX as usize);
        let connection = builder.serve_connection(io, service);
        run(connection, http1::Connection::graceful_shutdown, &asked, &session).await;
    }
}

/// Drives a connection until it ends, nothing was asked for too long, or the drain begins.
async fn run<C>(connection: C, end: fn(Pin<&mut C>), asked: &Asked, session: &Session)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    loop {
        let idle_until = *asked.0.lock() + session.limits.idle_timeout;
        tokio::select! {
            over = &mut connection => {
                if over.is_err() {
                    session.met(Met::Broken);
                }
                return;
            }
            () = sleep_until(idle_until) => {
                if *asked.0.lock() + session.limits.idle_timeout <= Instant::now() {
                    break;
                }
            }
            () = session.draining.started() => break,
        }
    }
    end(connection.as_mut());
    if timeout(session.limits.write_timeout, connection).await.is_err() {
        session.met(Met::Expired);
    }
}

async fn respond(request: Request<Incoming>, session: Session) -> Result<Answer, Infallible> {
    let is_head = request.method() == Method::HEAD;
    let answer = match query(request, &session).await {
        Ok(query) => answer(&query, &session),
        Err(status) => refuse(status),
    };
    Ok(if is_head { bare(answer) } else { answer })
}

/// The query in a request.
async fn query(request: Request<Incoming>, session: &Session) -> Result<Bytes, StatusCode> {
    if request.uri().path() != &*session.limits.https_path {
        return Err(StatusCode::NOT_FOUND);
    }
    let bytes_max = session.limits.query_bytes_max;
    match *request.method() {
        Method::GET | Method::HEAD => from_target(request.uri().query(), bytes_max),
        Method::POST => {
            let kind = request.headers().get(header::CONTENT_TYPE);
            if !kind.is_some_and(is_message) {
                return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            }
            let reading = Limited::new(request.into_body(), bytes_max).collect();
            match timeout(session.limits.query_timeout, reading).await {
                Ok(Ok(content)) => Ok(content.to_bytes()),
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    Err(StatusCode::PAYLOAD_TOO_LARGE)
                }
                Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
                Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
            }
        }
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The variable `dns` of a GET, which is base64url without padding (RFC 8484 §6). Whoever sends it
/// twice means two queries.
fn from_target(target: Option<&str>, bytes_max: usize) -> Result<Bytes, StatusCode> {
    let mut values =
        target.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("dns="));
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let query = URL_SAFE_NO_PAD.decode(value).map_err(|_malformed| StatusCode::BAD_REQUEST)?;
    if query.len() > bytes_max {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(query.into())
}

/// Whether a media type is that of messages, whatever its parameters.
fn is_message(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

fn answer(query: &[u8], session: &Session) -> Answer {
    let Some(message) = session.counter.answer(session, query, Bytes::copy_from_slice) else {
        return refuse(StatusCode::BAD_REQUEST);
    };
    // RFC 8484 §5.1: not longer than the smallest TTL. An answer is for one client's place: what
    // many clients share must not keep it for all of them.
    let seconds = age::freshness(&message);
    let control = format!("private, max-age={seconds}");
    let mut response = Response::new(Full::new(message));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Ok(control) = HeaderValue::from_str(&control) {
        fields.insert(header::CACHE_CONTROL, control);
    }
    response
}

/// An answer without its content, which HEAD does not get (RFC 9110 §9.3.2).
fn bare(mut answer: Answer) -> Answer {
    let content = std::mem::take(answer.body_mut());
    let length = content.size_hint().lower();
    answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    answer
}

fn refuse(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_has_one_query_in_base64url() {
        let rows = [
            (Some("dns=AAEC"), Ok(&[0, 1, 2][..])),
            (Some("ct&dns=-_8&x=y"), Ok(&[0xfb, 0xff])),
            (Some("dns="), Ok(&[])),
            (Some("dns=AAE="), Err(400)),
            (Some("dns=+/8"), Err(400)),
            (Some("dns=AAEC&dns=AAEC"), Err(400)),
            (Some("xdns=AAEC"), Err(400)),
            (None, Err(400)),
            (Some("dns=AAECAwQ"), Err(413)),
        ];
        for (target, expected) in rows {
            let found = from_target(target, 4);
            let found = found.as_deref().map_err(StatusCode::as_u16);
            assert_eq!(found, expected, "{target:?}");
        }
    }

    #[test]
    fn media_types_are_compared_without_case_and_parameters() {
        for (kind, expected) in [
            ("application/dns-message", true),
            ("Application/DNS-Message; charset=x", true),
            ("application/dns-json", false),
            ("", false),
        ] {
            assert_eq!(is_message(&HeaderValue::from_static(kind)), expected, "{kind}");
        }
    }
}
