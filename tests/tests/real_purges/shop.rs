//! What is served: pages that say which version they are, and which version is the least that may be.
//!
//! In: requests of edges. Out: content, validations, what clients may still get.
//! Always holds: a page's version is raised before the purge of it is ordered, and the least version
//! after that was reported complete; a response is of the version that there was when it was asked for.

use std::{
    io::{self, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// How many pages there are.
pub(super) const PAGES: usize = 12;
/// The values of the field that responses vary by.
pub(super) const LANGUAGES: [&str; 3] = ["de", "en", "fr"];
/// The host of all pages.
pub(super) const HOST: &str = "shop.test";
/// What stands between the first and the last line of a page.
const FILLER_LINES: usize = 40;
/// How long a slow page takes between its halves.
const SLOW: Duration = Duration::from_millis(150);

/// The pages' versions.
#[derive(Debug, Default)]
pub(super) struct Shop {
    now: [AtomicU64; PAGES],
    least: [AtomicU64; PAGES],
    /// Validations that found the version unchanged.
    pub(super) validated: AtomicU64,
}

/// A page's target.
pub(super) fn target(page: usize) -> String {
    format!("/p{}/k{page}", page % 3)
}

/// A page's tag.
pub(super) fn tag(page: usize) -> String {
    format!("t{}", page % 4)
}

/// What a content says of itself, if its beginning and its end say the same.
pub(super) fn version(content: &str, page: usize, language: &str) -> Option<u64> {
    let told = |line: Option<&str>| {
        let mut words = line?.split(' ');
        let is_it = words.next() == Some(&page.to_string()) && words.next() == Some(language);
        words.next()?.parse().ok().filter(|_| is_it)
    };
    let first: Option<u64> = told(content.lines().next());
    first.filter(|_| first == told(content.lines().last()))
}

impl Shop {
    /// A new version of a page.
    pub(super) fn raise(&self, page: usize) -> u64 {
        self.now[page].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Nobody may get an older version of it from now on.
    pub(super) fn purged(&self, page: usize, version: u64) {
        self.least[page].fetch_max(version, Ordering::SeqCst);
    }

    /// The oldest version of it that a request from now on may get.
    pub(super) fn least(&self, page: usize) -> u64 {
        self.least[page].load(Ordering::SeqCst)
    }

    /// The newest version of it.
    pub(super) fn now(&self, page: usize) -> u64 {
        self.now[page].load(Ordering::SeqCst)
    }

    /// Answers an edge.
    pub(super) fn answer(&self, head: &[String], stream: &mut TcpStream) -> io::Result<()> {
        let target = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let page = target.rsplit_once('k').and_then(|(_, number)| number.parse::<usize>().ok());
        let Some(page) = page.filter(|page| *page < PAGES) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let field = |wanted: &str| {
            let fields = head.iter().skip(1).filter_map(|line| line.split_once(": "));
            let mut named = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.next().map(|(_, value)| value)
        };
        let language = field("x-language").unwrap_or_default();
        let version = self.now(page);
        let etag = format!("\"{page}-{language}-{version}\"");
        // Half of the pages are stale after a moment, so that they are validated unasked as well.
        let lifetime = if page.is_multiple_of(2) { 600 } else { 1 };
        let common = format!(
            "ETag: {etag}\r\nVary: x-language\r\nSurrogate-Key: {}\r\nConnection: close\r\n\
             Cache-Control: max-age={lifetime}, must-revalidate\r\n",
            tag(page)
        );
        // An edge names those of all variants that it has.
        if field("if-none-match").is_some_and(|known| known.contains(&etag)) {
            self.validated.fetch_add(1, Ordering::Relaxed);
            return write!(stream, "HTTP/1.1 304 Not Modified\r\n{common}\r\n");
        }
        let line = format!("{page} {language} {version}\n");
        let half = format!("{line}{}", "filler\n".repeat(FILLER_LINES));
        let rest = format!("{}{line}", "filler\n".repeat(FILLER_LINES));
        let length = half.len() + rest.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{common}\r\n{half}")?;
        if page.is_multiple_of(3) {
            stream.flush()?;
            thread::park_timeout(SLOW);
        }
        stream.write_all(rest.as_bytes())
    }
}

#[test]
fn a_page_says_its_version_at_both_ends() {
    assert_eq!(version("3 de 7\nfiller\n3 de 7\n", 3, "de"), Some(7));
    for bad in ["3 de 7\nfiller\n3 de 8\n", "4 de 7\n4 de 7\n", "3 en 7\n", "3 de 7\nfiller\n", ""]
    {
        assert_eq!(version(bad, 3, "de"), None, "{bad}");
    }
}
