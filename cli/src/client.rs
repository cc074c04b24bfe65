//! A client of the admin API.
//!
//! In: where it is, a path, what is wanted. Out: what it answers, or why there is no answer.
//! Always holds: connecting and answering have a deadline; a problem detail (RFC 9457) is told in its
//! own words; nothing larger than [`ANSWER_BYTES_MAX`] is read.
//! It knows no verb.

use std::{net::SocketAddr, time::Duration};

use axum::http::{
    Request, StatusCode,
    header::{ACCEPT, HOST},
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use crate::failure::{Failure, chain};

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The longest wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gets `path` of the admin API at `admin`, in the form `accept`.
pub(crate) fn get(admin: SocketAddr, path: &str, accept: &str) -> Result<String, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of(&error))?;
    let asked = runtime.block_on(async { timeout(PATIENCE, ask(admin, path, accept)).await });
    let (status, text) = asked.unwrap_or_else(|_elapsed| {
        let seconds = PATIENCE.as_secs();
        Err(Failure::new(format!("the admin listener at {admin} did not answer in {seconds} s")))
    })?;
    if status == StatusCode::OK { Ok(text) } else { Err(problem(status, &text)) }
}

async fn ask(admin: SocketAddr, path: &str, accept: &str) -> Result<(StatusCode, String), Failure> {
    let away = |error: &dyn std::fmt::Display| {
        Failure::new(format!("the admin listener at {admin} cannot be asked: {error}"))
            .advise("is the node running, and is this its [admin] listen? --admin says where it is")
    };
    let stream = TcpStream::connect(admin).await.map_err(|error| away(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&chain(&error)))?;
    let request = Request::get(path)
        .header(HOST, admin.to_string())
        .header(ACCEPT, accept)
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::usage(format!("{path}: {error}")))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| away(&chain(&error)))?;
        let (head, body) = response.into_parts();
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let bytes = read.map_err(|error| away(&chain(&*error)))?.to_bytes();
        Ok((head.status, String::from_utf8_lossy(&bytes).into_owned()))
    };
    tokio::pin!(exchange);
    let driven = tokio::spawn(connection);
    let answered = exchange.await;
    driven.abort();
    answered
}

/// What a problem detail says, or the status alone.
fn problem(status: StatusCode, text: &str) -> Failure {
    let detail = serde_json::from_str::<serde_json::Value>(text).ok();
    let detail = detail.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    match detail {
        Some(detail) => Failure::new(format!("{detail} ({status})")),
        None => Failure::new(format!("the admin listener answered {status}")),
    }
}
