//! A second try beside the first, for a GET that takes long.
//!
//! In: a first exchange that is about to begin. Out: the first response of the two that is no error.
//! Always holds: there is no second unless the settings say so, a server that is up and of the same
//! role is free for it, and the retry budget has one; the second never makes worse what the first
//! brings; whichever is not needed ends at once. It knows no law and no queue.

use std::{pin::pin, sync::Arc};

use futures_util::future::{Either, select};
use http::{Method, Request, Response};
use http_body::Body as _;
use tokio::time::{Instant, sleep_until};

use super::{
    choose::Wish,
    content::ClientContent,
    failed::Failed,
    pool::{OriginRequest, Pool},
    response::OriginBody,
    server::{Admission, Server},
};

/// A server, the place that a request has there, and the message.
pub(super) type Try<'a> = (&'a Arc<Server>, Admission, Request<ClientContent>);

impl Pool {
    /// The exchange, and beside it a second on another server where the first takes long.
    pub(super) async fn hedged(
        &self,
        (server, admission, message): Try<'_>,
        request: &mut OriginRequest,
        wish: Wish,
        tried: &mut Vec<usize>,
    ) -> Result<Response<OriginBody>, Failed> {
        let may = request.method == Method::GET && message.body().is_end_stream();
        let sent = Instant::now();
        let mut first = pin!(self.exchange(server, admission, message));
        let Some(after) = self.plan.hedge_after.filter(|_| may) else {
            return first.await;
        };
        tokio::select! {
            biased;
            exchanged = &mut first => return exchanged,
            () = sleep_until(sent + after) => {}
        }
        let Some((other, admission)) = self.second(wish, tried) else { return first.await };
        let Ok(message) = self.message(&other, request) else { return first.await };
        tracing::debug!(server = server.name(), beside = other.name(), "a second try");
        let second = pin!(self.exchange(&other, admission, message));
        match select(first, second).await {
            Either::Left((Err(_), second)) => second.await,
            Either::Right((Err(_), first)) => first.await,
            // As good as a failure where the settings say so: it would be tried again, and is already.
            Either::Left((Ok(response), second)) if self.is_error(response.status()) => {
                Ok(better(response, second.await))
            }
            // The first may do better, and would have been waited for without a second.
            Either::Right((Ok(response), first)) if response.status().is_server_error() => {
                first.await.or(Ok(response))
            }
            Either::Left((Ok(response), _)) => Ok(response),
            Either::Right((Ok(response), _)) => {
                server.was_slow(sent);
                Ok(response)
            }
        }
    }

    /// Another server that has a place now, if the budget allows for it.
    fn second(&self, wish: Wish, tried: &mut Vec<usize>) -> Option<(Arc<Server>, Admission)> {
        let (index, server) = self.beside(wish, tried)?;
        let admission = server.admit_now()?;
        if !self.budget.withdraw() {
            return None;
        }
        tried.push(index);
        Some((Arc::clone(server), admission))
    }
}

/// What the second brought, unless that is no better than the error that the first did.
fn better(
    first: Response<OriginBody>,
    second: Result<Response<OriginBody>, Failed>,
) -> Response<OriginBody> {
    second.ok().filter(|second| !second.status().is_server_error()).unwrap_or(first)
}
