//! A plain, well-behaved origin: the files of a directory.
//!
//! In: a request and the time. Out: the file, part of it, or why not.
//! Always holds: nothing outside the directory is served; a file goes out in pieces that are read
//! away from the runtime's threads; its length is that of the moment when it was opened, and a file
//! that shrinks meanwhile breaks the response instead of passing for whole.
//! It deliberately keeps nothing between requests: caching is the edge's.
//! Spec: RFC 9110 §8.8, §9.3.1, §9.3.2, §13, §14.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::clock::{http_date, parse_http_date};
use crate::conditional::{self, Validators, Verdict};
use crate::control::{percent_decoded, text};
use crate::ranges::{self, Asked};
use crate::reply::{Head, Part, Reply, Source, Span};
use crate::request::Request;

use self::open::{Found, Opened};

mod media_type;
mod open;

/// A directory that is served.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    settings: FilesSettings,
}

/// How the files of a directory go out.
#[derive(Debug, Clone, Copy)]
pub struct FilesSettings {
    /// What `Cache-Control: max-age` says.
    pub max_age: Duration,
}

impl Default for FilesSettings {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(60) }
    }
}

impl Files {
    /// Takes a directory to serve.
    ///
    /// # Errors
    /// When there is no such directory or it cannot be read.
    pub fn new(root: &Path, settings: FilesSettings) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, settings })
    }

    /// The response to a request.
    pub(crate) async fn answer(&self, request: &Request, now: SystemTime) -> Reply {
        let mut reply = self.whole_answer(request, now).await;
        if request.method == "HEAD" {
            reply.parts = Vec::new();
        }
        reply
    }

    async fn whole_answer(&self, request: &Request, now: SystemTime) -> Reply {
        let head = |status| Head::status(status).field("Date", http_date(now, 0));
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return text(head(405).field("Allow", "GET, HEAD"), "only GET and HEAD");
        }
        let Some(path) = relative(&request.target) else {
            return text(head(400), "a path that is none");
        };
        let root = self.root.clone();
        let wants_directory = path.ends_with('/') || path.is_empty();
        let found =
            tokio::task::spawn_blocking(move || open::open(&root, &path, wants_directory)).await;
        match found {
            Ok(Ok(Found::File(opened))) => self.file(request, head, now, opened),
            Ok(Ok(Found::Directory)) => {
                text(head(301).field("Location", with_slash(&request.target)), "a directory")
            }
            Ok(Ok(Found::Nothing)) => text(head(404), "not found"),
            Ok(Err(_)) | Err(_) => text(head(500), "the file cannot be read"),
        }
    }

    fn file(
        &self,
        request: &Request,
        head: impl Fn(u16) -> Head,
        now: SystemTime,
        opened: Opened,
    ) -> Reply {
        // RFC 9110 §8.8.2.1: a modification date is never later than the response's own date.
        let modified = http_date(opened.modified.min(now), 0);
        let validators = Validators {
            etag: Some(opened.etag.clone().into_bytes()),
            last_modified: parse_http_date(modified.as_bytes()),
        };
        let max_age = self.settings.max_age.as_secs();
        let head = |status| {
            head(status)
                .field("Cache-Control", format!("max-age={max_age}"))
                .field("ETag", &opened.etag)
                .field("Last-Modified", &modified)
                .field("Accept-Ranges", "bytes")
        };
        match conditional::judge(request, &validators) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Reply::empty(head(304)),
            Verdict::Failed => return Reply::empty(head(412).field("Content-Length", "0")),
        }
        let length = opened.bytes;
        let mut asked = Asked::Whole;
        if conditional::range_counts(request, &validators) {
            asked = ranges::asked(request, length);
        }
        let media_type = opened.media_type;
        let (head, parts) = match asked {
            Asked::Whole => {
                let head = head(200).field("Content-Type", media_type);
                (head, vec![Part::Span(Span { start: 0, bytes: length })])
            }
            Asked::Unsatisfiable => {
                let head = head(416).field("Content-Range", format!("bytes */{length}"));
                return Reply::empty(head.field("Content-Length", "0"));
            }
            Asked::Spans(spans) => partial(head(206), &spans, &opened),
        };
        let bytes: u64 = parts.iter().map(Part::bytes).sum();
        let head = head.field("Content-Length", bytes.to_string());
        let file = tokio::fs::File::from_std(opened.file);
        Reply::plain(head, Source::File { file, bytes: length }, parts)
    }
}

fn partial(head: Head, spans: &[Span], opened: &Opened) -> (Head, Vec<Part>) {
    let length = opened.bytes;
    if let [span] = spans {
        let head = head
            .field("Content-Type", opened.media_type)
            .field("Content-Range", ranges::content_range(*span, length));
        return (head, vec![Part::Span(*span)]);
    }
    // The tag makes the boundary differ from file to file and from version to version.
    let boundary = format!("part-{}", opened.etag.trim_matches('"'));
    let head = head.field("Content-Type", format!("multipart/byteranges; boundary={boundary}"));
    let media_type = Some(opened.media_type.as_bytes());
    (head, ranges::multipart(spans, length, media_type, &boundary))
}

/// The path below the root that a target names, decoded; nothing where the target is no path, or
/// has what no file name can have.
fn relative(target: &str) -> Option<String> {
    let path = target.split(['?', '#']).next()?;
    let decoded = String::from_utf8(percent_decoded(path.strip_prefix('/')?)).ok()?;
    if decoded.contains('\0') { None } else { Some(decoded) }
}

/// The same target with a slash at the end of its path. Leading slashes are made one, so that the
/// location cannot name another host.
fn with_slash(target: &str) -> String {
    let (path, query) =
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut location = format!("/{}/", path.trim_start_matches(['/', '\\']));
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_a_path_below_the_root() {
        let rows = [
            ("/", Some("")),
            ("/a%20b?c", Some("a b")),
            ("/%2e%2e/x", Some("../x")),
            ("/a%00", None),
            ("/%ff", None),
            ("*", None),
            ("http://host/a", None),
        ];
        for (target, expected) in rows {
            assert_eq!(relative(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_directory_redirect_stays_on_the_host() {
        let rows = [("/a?b", "/a/?b"), ("//evil", "/evil/"), ("/a/b", "/a/b/")];
        for (target, expected) in rows {
            assert_eq!(with_slash(target), expected);
        }
    }
}
