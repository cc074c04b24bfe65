//! What a filling publishes, and when: content that ends as the test says.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use edge::{
    fetch::{
        FetchError,
        filling::FillPlan,
        sharing::share,
        table::{Filling, Stage, Want},
    },
    store::shared::Reader,
};
use edge_core::{
    key::CacheKey,
    storable::{Exchange, StoredHead, judge},
    time::Timestamp,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::{Body, Frame};
use nearcast_tests::world::rest;
use origin_mock::script::Script;
use tokio::sync::mpsc;

use super::stage::{Stage as World, run, stage};

/// Content whose frames, and whose end, come when the test sends them.
struct Slow(mpsc::UnboundedReceiver<&'static [u8]>);

impl Body for Slow {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let frame = |content| Ok(Frame::data(Bytes::from_static(content)));
        self.0.poll_recv(cx).map(|content| content.map(frame))
    }
}

/// The head of a response of that length.
fn head(length: u64) -> StoredHead {
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
    fields.insert("content-length", HeaderValue::from(length));
    let now = Timestamp::from_secs(1_700_000_000);
    judge(&Exchange {
        method: &Method::GET,
        target: "http://www.example/a",
        request_fields: &HeaderMap::new(),
        status: StatusCode::OK,
        response_fields: &fields,
        request_time: now,
        response_time: now,
        policy: &edge_core::site::Policy::default(),
    })
    .unwrap()
}

/// A filling of a response of that length, under way, and where its content is sent.
async fn filling(
    world: &World,
    key: &CacheKey,
    length: u64,
) -> (Arc<Filling>, mpsc::UnboundedSender<&'static [u8]>) {
    let hall = world.world.edge.hall();
    let snapshot = hall.snapshot.load();
    let entry = snapshot.sites.values().next().unwrap();
    let fields = HeaderMap::new();
    let want = Want {
        key,
        fields: &fields,
        range: None,
        ahead_max: 0,
        head: false,
        presumed: None,
        usable: &|_| true,
    };
    let ticket = hall.room.table.lead_alone(want, &hall.room.stamps);
    let filling = Arc::clone(ticket.filling());
    let plan = FillPlan {
        site: Arc::clone(&entry.site),
        pool: Arc::clone(&entry.pool),
        path: "/a".to_owned(),
        target: "http://www.example/a".to_owned(),
        client_fields: fields.clone(),
        validating: Vec::new(),
        stale_on_error: false,
        background: false,
        private: Arc::default(),
        limits: snapshot.edge.fill,
    };
    let (content, body) = mpsc::unbounded_channel();
    let (room, led) = (Arc::clone(&hall.room), Arc::clone(&filling));
    tokio::spawn(async move {
        share(&room, &led, &plan, head(length), Slow(body)).await;
        drop(ticket);
    });
    filling.watch().wait_for(|stage| !matches!(stage, Stage::Waiting)).await.unwrap();
    (filling, content)
}

fn reader(filling: &Filling) -> Reader {
    let watch = filling.watch();
    let stage = watch.borrow();
    let Stage::Shared { body, .. } = &*stage else { panic!("nothing is shared") };
    body.reader(0).unwrap()
}

#[test]
fn nobody_has_the_last_octet_before_it_is_stored() {
    run(async {
        let world = stage(vec![Script::new()], "");
        let key = CacheKey::from(b"http/1/www.example/a".as_slice());
        let (filling, content) = filling(&world, &key, 5).await;
        let mut reader = reader(&filling);
        content.send(b"he").unwrap();
        let first = poll_fn(|cx| reader.poll_next(cx)).await;
        assert_eq!(first.unwrap().unwrap(), "he");
        // All of the content is here, but its end is not: it may still turn out to be broken.
        content.send(b"llo").unwrap();
        {
            let mut rest = pin!(poll_fn(|cx| reader.poll_next(cx)));
            tokio::select! {
                biased;
                rest = &mut rest => panic!("{rest:?} before the end"),
                () = nearcast_tests::world::rest() => {}
            }
        }
        let tier = &world.world.edge.hall().room.tier;
        assert!(tier.lookup(key.as_bytes()).is_none());
        drop(content);
        let rest = poll_fn(|cx| reader.poll_next(cx)).await;
        assert_eq!(rest.unwrap().unwrap(), "llo");
        assert!(tier.lookup(key.as_bytes()).is_some());
    });
}

#[test]
fn what_finds_no_place_in_the_index_is_counted() {
    run(async {
        let world = stage(vec![Script::new()], "");
        let key = CacheKey::from(b"http/1/www.example/a".as_slice());
        let (_filling, content) = filling(&world, &key, 5).await;
        content.send(b"hello").unwrap();
        rest().await;
        let room = &world.world.edge.hall().room;
        let _all = room.budget.reserve(room.budget.limit() - room.budget.used()).unwrap();
        drop(content);
        rest().await;
        assert!(room.tier.lookup(key.as_bytes()).is_none());
        assert_eq!(room.counts.unstored_for_memory.load(Ordering::Relaxed), 1);
        assert_eq!(room.counts.stored.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn without_content_it_is_stored_before_its_head_is_told() {
    run(async {
        let world = stage(vec![Script::new()], "");
        let key = CacheKey::from(b"http/1/www.example/a".as_slice());
        let (_filling, _content) = filling(&world, &key, 0).await;
        assert!(world.world.edge.hall().room.tier.lookup(key.as_bytes()).is_some());
    });
}
