//! HTTP/2 to origins: shared connections, what the server refuses or leaves, content both ways.
//!
//! In: origins that speak HTTP/2 by prior knowledge. Out: what clients got, and how many connections
//! that took.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edge_core::settings::EdgeSettings;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use nearcast_daemon::access_log::AccessLog;
use nearcast_tests::{
    message::Answer,
    world::{Server, Task, Wires, World, caller::Caller, rest, site, until},
};
use parking_lot::Mutex;
use tokio::{io::AsyncWriteExt as _, sync::Notify, task::JoinSet, time::advance};

use super::{
    stage::{HOST, run},
    trunks::by_hand,
};

const SECOND: Duration = Duration::from_secs(1);

/// What an origin does with one request.
pub(super) type Handle =
    Arc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Task + Send + Sync>;

pub(super) fn handle<T: Future<Output = Option<()>> + Send + 'static>(
    what: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> T + Send + Sync + 'static,
) -> Handle {
    // A stream that the edge gives up ends its task.
    Arc::new(move |request, respond| {
        let task = what(request, respond);
        Box::pin(async move { task.await.unwrap_or_default() })
    })
}

/// An origin that allows so many streams at once.
pub(super) fn speaking(streams_max: u32, handle: Handle) -> Server {
    Arc::new(move |io| {
        let handle = Arc::clone(&handle);
        Box::pin(async move {
            let mut settings = h2::server::Builder::new();
            settings.max_concurrent_streams(streams_max);
            let Ok(mut connection) = settings.handshake(io).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(handle(request, respond));
            }
        })
    })
}

pub(super) fn unstorable() -> Response<()> {
    Response::builder().header("cache-control", "no-store").body(()).unwrap()
}

/// Says the method and the target.
fn echo() -> Handle {
    handle(async |request, mut respond| {
        let text = format!("{} {}", request.method(), request.uri());
        let mut stream = respond.send_response(unstorable(), false).ok()?;
        stream.send_data(Bytes::from(text), true).ok()
    })
}

pub(super) struct Stage {
    pub(super) world: World,
}

pub(super) fn stage(server: Server, settings: &str) -> Stage {
    let wires = Arc::new(Wires::default());
    wires.put("a:80", server);
    let text = format!(
        "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://a\"]\n\
         protocol = \"http2\"\n{settings}\n"
    );
    let settings = EdgeSettings::default();
    let world = World::new(&settings, &[site(&text).unwrap()], wires, AccessLog::off()).unwrap();
    Stage { world }
}

impl Stage {
    pub(super) fn caller(&self) -> Caller {
        Caller::on(self.world.connect())
    }

    pub(super) async fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        self.caller().ask(method, HOST, target, fields).await
    }

    fn crowd(&self, size: usize) -> JoinSet<Answer> {
        let mut crowd = JoinSet::new();
        for number in 0..size {
            let mut caller = self.caller();
            let target = format!("/{number}");
            crowd.spawn(async move { caller.ask("GET", HOST, &target, "").await });
        }
        crowd
    }

    pub(super) fn connections(&self) -> usize {
        self.world.wires.tried("a:80")
    }

    fn charged(&self) -> usize {
        self.world.edge.hall().room.budget.used()
    }
}

#[test]
fn rfc9113_5_requests_share_one_connection() {
    run(async {
        let stage = stage(speaking(100, echo()), "");
        for answer in stage.crowd(60).join_all().await {
            assert_eq!(answer.status(), 200);
        }
        for number in 0..100 {
            let answer = stage.ask("GET", &format!("/{number}?q"), "").await;
            assert_eq!(answer.body, format!("GET http://a/{number}?q").into_bytes());
        }
        assert_eq!(stage.connections(), 1, "for 160 requests");
        let snapshot = stage.world.edge.hall().snapshot.load();
        let entry = snapshot.sites.values().next().unwrap();
        let counts = entry.pool.servers()[0].counts();
        let counted =
            [&counts.requests, &counts.connections].map(|one| one.load(Ordering::Relaxed));
        assert_eq!(counted, [160, 1]);
    });
}

#[test]
fn rfc9113_5_1_2_a_server_has_no_more_streams_than_it_allows() {
    run(async {
        let (open, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, wait) = (Arc::clone(&open), Arc::clone(&release));
        let held = handle(move |_, mut respond: SendResponse<Bytes>| {
            let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
            async move {
                let released = wait.notified();
                count.fetch_add(1, Ordering::AcqRel);
                released.await;
                respond.send_response(unstorable(), true).ok().map(drop)
            }
        });
        let stage = stage(speaking(4, held), "");
        let crowd = stage.crowd(16);
        assert!(until(|| open.load(Ordering::Acquire) == 16).await);
        assert_eq!(stage.connections(), 4);
        release.notify_waiters();
        assert!(crowd.join_all().await.iter().all(|answer| answer.status() == 200));
    });
}

#[test]
fn rfc9113_8_7_what_a_server_refused_is_sent_again_whatever_its_method() {
    run(async {
        let refusals = Arc::new(AtomicUsize::new(2));
        let left = Arc::clone(&refusals);
        let refusing = handle(move |request: Request<RecvStream>, mut respond| {
            let left = Arc::clone(&left);
            async move {
                let take = |left: usize| left.checked_sub(1);
                if left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok() {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    return Some(());
                }
                let length = request.headers().get("content-length").cloned();
                assert!(length.is_none_or(|length| length == "0"));
                respond.send_response(unstorable(), true).ok().map(drop)
            }
        });
        let stage = stage(speaking(100, refusing), "");
        assert_eq!(stage.ask("POST", "/", "Content-Length: 0\r\n").await.status(), 200);
        assert_eq!((stage.connections(), refusals.load(Ordering::Acquire)), (1, 0));
    });
}

#[test]
fn trailers_interim_responses_and_heads_come_through() {
    run(async {
        let origin = handle(async |request: Request<RecvStream>, mut respond| {
            let hint = Response::builder().status(103).header("link", "</a.css>; rel=preload");
            respond.send_informational(hint.body(()).ok()?).ok()?;
            let mut response = unstorable();
            response.headers_mut().insert("trailer", "x-sum".parse().ok()?);
            if request.method() == "HEAD" {
                response.headers_mut().insert("content-length", "7".parse().ok()?);
                return respond.send_response(response, true).ok().map(drop);
            }
            let mut stream = respond.send_response(response, false).ok()?;
            stream.send_data(Bytes::from_static(b"content"), false).ok()?;
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "7".parse().ok()?);
            stream.send_trailers(trailers).ok()
        });
        let stage = stage(speaking(100, origin), "");
        let answer = stage.ask("GET", "/", "TE: trailers\r\n").await;
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"content"[..]));
        let hints: Vec<u16> = answer.interim.iter().map(|head| head.status).collect();
        assert_eq!(hints, [103]);
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
        let head = stage.ask("HEAD", "/", "").await;
        assert_eq!((head.status(), head.field("content-length").as_deref()), (200, Some("7")));
        assert_eq!(stage.connections(), 1);
    });
}

#[test]
fn rfc9113_5_2_request_content_goes_out_at_the_servers_pace() {
    run(async {
        let reads = Arc::new(Notify::new());
        let wait = Arc::clone(&reads);
        let slow = handle(move |request: Request<RecvStream>, mut respond| {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                let announced = request.headers().get("content-length").cloned()?;
                let mut content = request.into_body();
                let mut read = 0;
                while let Some(piece) = content.data().await {
                    let length = piece.ok()?.len();
                    content.flow_control().release_capacity(length).ok()?;
                    read += length;
                }
                assert_eq!(announced, read.to_string());
                let mut stream = respond.send_response(unstorable(), false).ok()?;
                stream.send_data(Bytes::from(read.to_string()), true).ok()
            }
        });
        let stage = stage(speaking(100, slow), "");
        let mut caller = stage.caller();
        let sent = Arc::new(AtomicUsize::new(0));
        let so_far = Arc::clone(&sent);
        let client = tokio::spawn(async move {
            let head =
                format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2000000\r\n\r\n");
            caller.send("POST", head.as_bytes()).await;
            for _ in 0..2000 {
                caller.more(&[b'x'; 1000]).await;
                so_far.fetch_add(1000, Ordering::AcqRel);
            }
            caller.answer().await
        });
        rest().await;
        advance(5 * SECOND).await;
        rest().await;
        let taken = sent.load(Ordering::Acquire);
        assert!((1..400_000).contains(&taken), "{taken} bytes that the server has not taken");
        reads.notify_one();
        assert_eq!(client.await.unwrap().body, b"2000000");
    });
}

#[test]
fn rfc9113_5_4_2_a_client_that_leaves_ends_its_stream_alone() {
    run(async {
        let ended: Arc<Mutex<Vec<Reason>>> = Arc::default();
        let reasons = Arc::clone(&ended);
        let endless = handle(move |request: Request<RecvStream>, mut respond| {
            let reasons = Arc::clone(&reasons);
            async move {
                let mut stream = respond.send_response(unstorable(), false).ok()?;
                stream.send_data(Bytes::from_static(&[b'x'; 30_000]), false).ok()?;
                if request.uri().path() == "/short" {
                    return stream.send_data(Bytes::new(), true).ok();
                }
                let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.ok()?;
                reasons.lock().push(reason);
                Some(())
            }
        });
        let stage = stage(speaking(100, endless), "");
        let before = stage.charged();
        let mut caller = stage.caller();
        caller.send("GET", format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
        assert!(caller.read(100).await > 0);
        drop(caller);
        assert!(until(|| ended.lock().len() == 1).await);
        assert_eq!(*ended.lock(), [Reason::CANCEL]);
        assert_eq!(stage.ask("GET", "/short", "").await.body.len(), 30_000);
        assert_eq!(stage.connections(), 1, "the connection stays");
        assert!(until(|| stage.world.serving() == 0).await);
        // Kept for the next request, until it has waited too long for one.
        advance(70 * SECOND).await;
        assert!(until(|| stage.world.wires.open() == 0).await);
        assert!(until(|| stage.charged() == before).await, "{} bytes", stage.charged());
    });
}

#[test]
fn rfc9113_6_8_what_a_server_has_not_looked_at_when_it_leaves_is_sent_elsewhere() {
    run(async {
        let heads = AtomicUsize::new(0);
        let server = by_hand(move |wire, said| {
            wire.has_manners(said);
            // The first answer, then a GOAWAY that says that nothing after it was looked at.
            if said.is_head() {
                match heads.fetch_add(1, Ordering::AcqRel) {
                    1 => wire.leaves(1),
                    _ => wire.answers(said.stream, b""),
                }
            }
        });
        let stage = stage(server, "retry_percent = 0");
        assert_eq!(stage.ask("POST", "/1", "Content-Length: 0\r\n").await.status(), 200);
        assert_eq!(stage.ask("POST", "/2", "Content-Length: 0\r\n").await.status(), 200);
        assert_eq!(stage.connections(), 2);
        assert_eq!(stage.ask("POST", "/3", "Content-Length: 0\r\n").await.status(), 200);
        assert_eq!(stage.connections(), 2);
    });
}

#[test]
fn rfc9113_6_7_a_server_that_gives_no_sign_of_life_is_given_up() {
    run(async {
        let silent: Mutex<BTreeSet<usize>> = Mutex::default();
        let server = by_hand(move |wire, said| {
            let mut silent = silent.lock();
            if said.is_head() {
                silent.insert(wire.number);
            }
            if !silent.contains(&wire.number) {
                wire.has_manners(said);
            }
        });
        let stage = stage(server, "first_byte_timeout = \"10m\"\nretry_percent = 0");
        let before = tokio::time::Instant::now();
        assert_eq!(stage.ask("GET", "/", "").await.status(), 502);
        let seconds = before.elapsed().as_secs();
        assert!((20..=30).contains(&seconds), "{seconds} s for two connections");
        assert_eq!(stage.connections(), 2);
        // What does not speak HTTP/2 at all is no connection.
        let deaf: Server = Arc::new(|mut io| {
            Box::pin(async move {
                io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap_or_default();
            })
        });
        stage.world.wires.put("a:80", deaf);
        assert_eq!(stage.ask("GET", "/", "").await.status(), 502);
    });
}
