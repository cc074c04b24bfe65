//! The description of all that the admin listener answers, as one OpenAPI document.
//!
//! In: the routes of parts. Out: the routes, with the description of them all. Always holds: what is
//! not mounted is not described. It knows no route.

use std::sync::Arc;

use axum::{Extension, Json, Router, routing::get};
use nearcast_control::api::openapi::{self, Others};

/// The routes of GeoDNS and of the ledger, if there are any.
pub(crate) fn described(of_dns: Option<Router>, of_ledger: Option<Router>) -> Router {
    match (of_dns, of_ledger) {
        (None, None) => Router::new(),
        (None, Some(of_ledger)) => of_ledger,
        (Some(of_dns), Some(of_ledger)) => {
            let others = Others(Arc::new([geodns::admin::description()]));
            of_dns.merge(of_ledger.layer(Extension(others)))
        }
        (Some(of_dns), None) => {
            let page = || async { Json(geodns::admin::description()) };
            of_dns.route(openapi::PATH, get(page))
        }
    }
}
