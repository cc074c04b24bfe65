//! An exchange that brought no response, as far as the next try has to know of it.

use http::Request;

use super::{FetchError, content::ClientContent, way::Blame};

/// See the module.
pub(super) struct Failed {
    pub(super) error: FetchError,
    /// The request, if certainly nothing was done with it.
    pub(super) unsent: Option<Request<ClientContent>>,
    /// It went over a connection that was kept from before, or the server has another address.
    pub(super) may_do_better: bool,
    /// Whose doing it is.
    pub(super) blame: Blame,
}

impl Failed {
    pub(super) fn unsent(error: FetchError, message: Request<ClientContent>) -> Self {
        Self { unsent: Some(message), ..Self::sent(error) }
    }

    pub(super) fn sent(error: FetchError) -> Self {
        Self { error, unsent: None, may_do_better: false, blame: Blame::Server }
    }

    /// The server did answer, in a way that cannot be taken. That blames it no more than a 500 does:
    /// else a client that knows a URL that is answered so could have it left out for all.
    pub(super) fn answered(error: FetchError) -> Self {
        Self { blame: Blame::Answer, ..Self::sent(error) }
    }

    /// Whether it counts as a failure of the server.
    pub(super) fn counts(&self) -> bool {
        self.error.blames_server() && self.blame == Blame::Server
    }
}
