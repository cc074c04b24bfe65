//! An origin's response as the rest of the edge may see it: framing checked, content bounded in
//! time, the connection given back at its end.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use edge_core::site::OriginPlan;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::{
    FetchError,
    content::Watch,
    server::{Admission, Server},
    way::{Content, Way},
};
use crate::store::budget::Charge;

/// Checks what hyper leaves to us and hands the body its connection.
pub(super) fn finish(
    mut response: Response<Content>,
    lease: Lease,
    sent: Instant,
) -> Result<Response<OriginBody>, FetchError> {
    if let Err(reason) = check_framing(&mut response) {
        let server = lease.server.address.authority.clone();
        return Err(FetchError::Broken { server, reason: reason.to_owned() });
    }
    Ok(response.map(|incoming| {
        let ended = incoming.is_end_stream();
        let idle_timeout = lease.plan.idle_timeout;
        let (lease, asked) = (Some(lease), Instant::now());
        let mut body = OriginBody {
            incoming,
            sent,
            lease,
            idle_timeout,
            deadline: None,
            asked,
            kept_waiting: false,
            is_blameless: false,
            is_withheld: false,
            taken: VecDeque::new(),
            charge: None,
        };
        if ended {
            body.give_back();
        }
        body
    }))
}

/// One reading of the response's length, or none at all.
fn check_framing<B>(response: &mut Response<B>) -> Result<(), &'static str> {
    let status = response.status();
    if status.is_informational() {
        // We never ask for an upgrade (RFC 9110 §15.2.2).
        return Err("the response switches protocols unasked");
    }
    let version = response.version();
    let fields = response.headers_mut();
    check_codings(version, fields)?;
    // RFC 9112 §6.3: a message with both is a sign of tampering; nothing good comes of guessing.
    if fields.contains_key(header::TRANSFER_ENCODING) && fields.contains_key(header::CONTENT_LENGTH)
    {
        return Err("the response has both Content-Length and Transfer-Encoding");
    }
    let mut length = None;
    for value in fields.get_all(header::CONTENT_LENGTH) {
        for member in value.to_str().unwrap_or("?").split(',') {
            let member = member.trim();
            let digits = !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_digit());
            let number: Option<u64> = digits.then(|| member.parse().ok()).flatten();
            if number.is_none() || length.is_some_and(|length| Some(length) != number) {
                return Err("the response's Content-Length is not one number");
            }
            length = number;
        }
    }
    fields.remove(header::CONTENT_LENGTH);
    // RFC 9110 §8.6: a 204 has none.
    if let Some(length) = length
        && status != StatusCode::NO_CONTENT
    {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

/// Nothing but one `chunked`, which hyper has decoded: a coding that is not undone here would go on
/// as content that its fields do not tell (RFC 9112 §6.1, §6.3, §7; RFC 9110 §7.6.1). An HTTP/1.0
/// message has none (RFC 9112 §6.1).
fn check_codings(version: Version, fields: &HeaderMap) -> Result<(), &'static str> {
    let mut lines = fields.get_all(header::TRANSFER_ENCODING).iter();
    let Some(line) = lines.next() else { return Ok(()) };
    let is_chunked = line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || lines.next().is_some() {
        return Err("the response has a transfer coding other than one chunked");
    }
    if version < Version::HTTP_11 {
        return Err("the response of HTTP/1.0 has a transfer coding");
    }
    Ok(())
}

/// The connection that a response body is read from, and its place under `connections_max`.
pub(super) struct Lease {
    pub(super) server: Arc<Server>,
    pub(super) plan: Arc<OriginPlan>,
    pub(super) way: Way,
    pub(super) admission: Admission,
    /// What becomes of the request's content.
    pub(super) watch: Arc<Watch>,
    /// The memory that the exchange may take.
    pub(super) charge: Option<Charge>,
}

/// Content that is taken in whole, and how long it may take to come.
const SHORT_BYTES: usize = 16 * 1024;
const SHORT_TIME: Duration = Duration::from_millis(20);

/// A pause of this length says who waited for whom; what is shorter may be the scheduler's.
const PAUSE: Duration = Duration::from_secs(1);

/// An origin's response content; at its end the connection is free for the next request.
pub struct OriginBody {
    incoming: Content,
    sent: Instant,
    lease: Option<Lease>,
    idle_timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    /// When it was last asked for content.
    asked: Instant,
    /// Whether it has been kept waiting since we last had to wait for it.
    kept_waiting: bool,
    /// Its framing is wrong: an answer as good or bad as an error's, and nobody's failure to answer; or
    /// its end is somebody else's, and was counted.
    is_blameless: bool,
    /// What it says is not for clients: it is read to its end, and nothing of it goes on.
    is_withheld: bool,
    /// What was taken in before anybody asked for it, and what it is charged to.
    taken: VecDeque<Result<Frame<Bytes>, FetchError>>,
    charge: Option<Charge>,
}

impl OriginBody {
    /// When the request that it answers was sent.
    #[must_use]
    pub fn sent(&self) -> Instant {
        self.sent
    }

    /// Keeps its content from clients.
    pub(super) fn withhold(&mut self) {
        self.is_withheld = true;
    }

    /// Takes in what there is of it, if it is short, so that its connection is free for others while the
    /// request is tried elsewhere.
    pub(super) async fn take_in(&mut self) {
        self.charge = self.lease.as_mut().and_then(|lease| lease.charge.take());
        let until = Instant::now() + SHORT_TIME;
        let mut bytes = 0;
        while self.lease.is_some() && bytes < SHORT_BYTES {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(Some(frame)) = timeout(left, poll_fn(|cx| self.poll_rest(cx))).await else {
                break;
            };
            // A slice would keep the whole of what was read.
            let frame = frame.map(|frame| frame.map_data(|data| Bytes::copy_from_slice(&data)));
            bytes += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            self.taken.push_back(frame);
        }
        if let Some(charge) = self.charge.as_mut().filter(|_| self.lease.is_none()) {
            charge.reduce_to(bytes);
        }
    }

    /// Notes who has waited for whom since the body was last asked.
    fn note_pause(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.asked) >= PAUSE {
            self.kept_waiting = self.deadline.is_none();
        }
        self.asked = now;
    }

    fn give_back(&mut self) {
        let Some(Lease { server, way, admission, watch, .. }) = self.lease.take() else { return };
        server.succeeded(self.sent);
        // A response may come before the request's content has gone out (a 401, a 413). The next
        // request would wait for the rest of it, so this connection ends here; a stream does anyway.
        match way {
            Way::Own(link) if watch.is_whole() => server.put_back(link),
            Way::Own(_) | Way::Shared(_) => {}
        }
        drop(admission);
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        match self.taken.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.poll_rest(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.taken.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_withheld {
            return SizeHint::default();
        }
        let data = self.taken.iter().flatten().filter_map(Frame::data_ref);
        let taken: usize = data.map(Bytes::len).sum();
        let (taken, rest) = (taken as u64, self.incoming.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(taken));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(taken));
        }
        hint
    }
}

impl OriginBody {
    /// What has not been taken in.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        self.note_pause();
        while let Poll::Ready(frame) = self.incoming.poll_frame(cx) {
            // The timer is armed again only when the next wait begins.
            self.deadline = None;
            return Poll::Ready(match frame {
                Some(Ok(frame)) => {
                    if self.incoming.is_end_stream() {
                        self.give_back();
                    }
                    if self.is_withheld {
                        continue;
                    }
                    Some(Ok(frame))
                }
                Some(Err(misread)) => {
                    self.is_blameless |= misread.is_blameless;
                    Some(Err(self.broken(misread.reason)))
                }
                None => {
                    self.give_back();
                    None
                }
            });
        }
        let idle = self.idle_timeout;
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
        ready!(deadline.as_mut().poll(cx));
        self.kept_waiting = false;
        Poll::Ready(Some(Err(self.broken(format!("no content for {idle:?}")))))
    }

    fn broken(&mut self, reason: String) -> FetchError {
        let mut server = String::new();
        if let Some(lease) = self.lease.take() {
            // A server that was kept waiting by a slow client may give up without being to blame.
            if !self.kept_waiting && !self.is_blameless {
                lease.server.failed(&lease.plan, self.sent);
            }
            server.clone_from(&lease.server.address.authority);
        }
        FetchError::Broken { server, reason }
    }
}
