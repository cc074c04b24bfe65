//! A client of the admin API.
//!
//! In: where it is, a path, what is wanted. Out: what it answers, or why there is no answer.
//! Always holds: connecting and answering have a deadline; a problem detail (RFC 9457) is told in its
//! own words; nothing larger than [`ANSWER_BYTES_MAX`] is read; a token is sent nowhere but there.
//! It knows no verb.

pub(crate) mod waiting;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::{
    HeaderName, Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER},
    response::Parts,
};
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use nearcast_control::{copy::COPY_BYTES_MAX, token::random_name};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    runtime::Builder,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    data,
    failure::{Failure, chain},
    ledger::token_file,
    up::ledger_in,
};

/// The largest answer, which is a copy of a ledger.
const ANSWER_BYTES_MAX: usize = COPY_BYTES_MAX;
/// The longest wait for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The form of most content, and of answers.
const JSON: &str = "application/json";
/// The field that names an order, so that it is carried out once however often it is sent.
const ONCE: &str = "idempotency-key";
/// How often a request is sent again whose answer was lost, and after which pause.
const AGAIN_MAX: u32 = 10;
/// After which pause at least what was asked too often is asked again, and after how many seconds where
/// the node does not say.
const REST_MIN: Duration = AGAIN_AFTER;
const REST_S: u64 = 1;
/// See [`AGAIN_MAX`].
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// A token in the environment.
const TOKEN: &str = "NEARCAST_TOKEN";

/// Where the node's admin API is, and what opens it.
#[derive(Debug, Args)]
pub(crate) struct Api {
    /// Where the node's admin listener is.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// The file of the token; without it NEARCAST_TOKEN is the token, or `token` in the folder that
    /// `nearcast up` uses unless told otherwise.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Says it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Api {
    /// Asks, and waits `longer` than for other answers.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        content: Option<&Value>,
        longer: Duration,
    ) -> Result<Value, Failure> {
        let content = content.map(|content| (JSON, content.to_string()));
        let order = Order { method, path, fields: &[], content };
        self.order(order, longer)?.done()
    }

    /// Gives an order, and waits `longer` for its answer, which may be a refusal.
    pub(crate) fn order(&self, order: Order<'_>, longer: Duration) -> Result<Told, Failure> {
        let Order { method, path, fields, content } = order;
        let token = Some(self.token()?);
        let mut fields = fields.to_vec();
        let is_named = fields.iter().any(|(name, _)| name == ONCE);
        if !method.is_safe() && !is_named {
            let name = random_name();
            fields.extend(name.map(|name| (HeaderName::from_static(ONCE), name)));
        }
        let fields = &fields;
        let wanted = Wanted { method, path, accept: JSON, token, fields, content };
        let (status, text) = answered(self.admin, &wanted, PATIENCE.saturating_add(longer))?;
        match serde_json::from_str(&text) {
            Ok(said) => Ok(Told { status, said }),
            Err(_) if !status.is_success() => Err(problem(status, &text)),
            Err(error) => Err(Failure::new(format!(
                "the admin listener at {} answered no JSON: {error}",
                self.admin
            ))),
        }
    }

    fn token(&self) -> Result<String, Failure> {
        if let Some(file) = &self.token_file {
            return token_in(file);
        }
        match env::var(TOKEN) {
            Ok(token) => Ok(token.trim().to_owned()),
            Err(_) => match data::default() {
                Some(data) => token_in(&token_file(&ledger_in(&data))),
                None => Err(Failure::new("this asks for a token")
                    .advise(&format!("name its file with --token-file, or set {TOKEN}"))),
            },
        }
    }
}

fn token_in(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::new(format!("cannot read the token in {}: {error}", file.display()))
            .advise("the first token lies beside the ledger; name its file with --token-file")
    })?;
    Ok(text.trim().to_owned())
}

/// What is asked of the API, with fields and content of a kind.
pub(crate) struct Order<'o> {
    pub(crate) method: Method,
    pub(crate) path: &'o str,
    pub(crate) fields: &'o [(HeaderName, String)],
    pub(crate) content: Option<(&'static str, String)>,
}

/// What it answered.
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) said: Value,
}

impl Told {
    /// What it said, if it was done.
    pub(crate) fn done(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.said);
        }
        Err(problem(self.status, &self.said.to_string()))
    }
}

/// A request.
struct Wanted<'w> {
    method: Method,
    path: &'w str,
    accept: &'w str,
    token: Option<String>,
    fields: &'w [(HeaderName, String)],
    content: Option<(&'static str, String)>,
}

/// Rests before the same is asked again.
pub(crate) fn rest(pause: Duration) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Failure::of(&error))?;
    runtime.block_on(async { sleep_until(Instant::now() + pause).await });
    Ok(())
}

/// Gets `path` of the admin API at `admin`, in the form `accept`.
pub(crate) fn get(admin: SocketAddr, path: &str, accept: &str) -> Result<String, Failure> {
    let (method, fields) = (Method::GET, &[][..]);
    let wanted = Wanted { method, path, accept, token: None, fields, content: None };
    let (status, text) = answered(admin, &wanted, PATIENCE)?;
    if status.is_success() { Ok(text) } else { Err(problem(status, &text)) }
}

fn answered(
    admin: SocketAddr,
    wanted: &Wanted<'_>,
    patience: Duration,
) -> Result<(StatusCode, String), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of(&error))?;
    let asked = runtime.block_on(async {
        let until = Instant::now() + patience;
        timeout(patience, ask_until(admin, wanted, until)).await
    });
    asked.unwrap_or_else(|_elapsed| {
        let seconds = patience.as_secs();
        let failure = format!("the admin listener at {admin} did not answer in {seconds} s");
        Err(Failure::new(failure).passing())
    })
}

/// Asks, and once more where the answer was lost: an order has a name, so it is not carried out again. Where
/// the node is asked too often it is asked again when it says so, as long as that is before `until`.
async fn ask_until(
    admin: SocketAddr,
    wanted: &Wanted<'_>,
    until: Instant,
) -> Result<(StatusCode, String), Failure> {
    let mut lost = None;
    let mut lost_times = 0;
    while lost_times < AGAIN_MAX {
        match ask(admin, wanted).await {
            Ok(Answer { status: StatusCode::TOO_MANY_REQUESTS, rest: Some(rest), .. })
                if Instant::now() + rest < until =>
            {
                sleep_until(Instant::now() + rest).await;
                continue;
            }
            Ok(Answer { status, text, .. }) => return Ok((status, text)),
            Err(NoAnswer::Lost(failure)) => lost = Some(failure),
            Err(NoAnswer::Away(failure)) if lost.is_none() => return Err(failure),
            // It may be starting again.
            Err(NoAnswer::Away(_)) => {}
        }
        lost_times += 1;
        sleep_until(Instant::now() + AGAIN_AFTER).await;
    }
    let failure = lost.unwrap_or_else(|| Failure::new("the answer was lost"));
    Err(failure.advise("what was ordered may have been done; look before you order it again"))
}

struct Answer {
    status: StatusCode,
    text: String,
    /// How long to rest before the next request, where it is asked too often.
    rest: Option<Duration>,
}

/// How long a node that is asked too often wants to be left alone; nothing where that is too long to add.
fn rest_of(head: &Parts) -> Option<Duration> {
    let said =
        head.headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let rest = Duration::from_secs(said.unwrap_or(REST_S)).max(REST_MIN);
    (rest <= PATIENCE).then_some(rest)
}

/// Why there is no answer.
enum NoAnswer {
    /// Nobody was there to be asked.
    Away(Failure),
    /// Somebody was asked.
    Lost(Failure),
}

async fn ask(admin: SocketAddr, wanted: &Wanted<'_>) -> Result<Answer, NoAnswer> {
    let away = |error: &dyn std::fmt::Display| {
        let failure = format!("the admin listener at {admin} cannot be asked: {error}");
        NoAnswer::Away(Failure::new(failure).passing().advise(
            "is the node running, and is this its [admin] listen? --admin says where it is",
        ))
    };
    let lost = |error: &dyn std::fmt::Display| {
        let told = format!("the answer of the admin listener at {admin} was lost: {error}");
        NoAnswer::Lost(Failure::new(told).passing())
    };
    let stream = TcpStream::connect(admin).await.map_err(|error| away(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&chain(&error)))?;
    let path = wanted.path;
    let mut request = Request::builder()
        .method(&wanted.method)
        .uri(path)
        .header(HOST, admin.to_string())
        .header(ACCEPT, wanted.accept);
    if let Some(token) = &wanted.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    for (name, value) in wanted.fields {
        request = request.header(name, value);
    }
    let (kind, content) = wanted.content.clone().unzip();
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    let request = request
        .body(Full::new(Bytes::from(content.unwrap_or_default())))
        .map_err(|error| NoAnswer::Away(Failure::usage(format!("{path}: {error}"))))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| lost(&chain(&error)))?;
        let (head, body) = response.into_parts();
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let bytes = read.map_err(|error| lost(&chain(&*error)))?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { status: head.status, text, rest: rest_of(&head) })
    };
    tokio::pin!(exchange);
    let driven = tokio::spawn(connection);
    let answered = exchange.await;
    driven.abort();
    answered
}

/// What a problem detail says, or the status alone.
fn problem(status: StatusCode, text: &str) -> Failure {
    let detail = serde_json::from_str::<Value>(text).ok();
    let detail = detail.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let failure = match detail {
        Some(detail) => Failure::new(format!("{detail} ({status})")),
        None => Failure::new(format!("the admin listener answered {status}")),
    };
    let passes = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    if passes.contains(&status) { failure.passing() } else { failure }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    #[test]
    fn who_asks_too_often_rests_and_asks_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        let answers = [
            "429 Too Many Requests\r\nretry-after: 0",
            "200 OK",
            // That is longer than anybody waits.
            "429 Too Many Requests\r\nretry-after: 18446744073709551615",
        ];
        let serving = thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let read = stream.read(&mut [0; 4096]).unwrap();
                assert!(read > 0);
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\n{{}}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!(get(admin, "/", JSON).unwrap(), "{}");
        assert!(get(admin, "/", JSON).unwrap_err().may_pass());
        serving.join().unwrap();
    }
}
