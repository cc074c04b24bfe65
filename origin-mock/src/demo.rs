//! The demo: a few pages that show what a cache in front of them does.
//!
//! In: nothing. Out: a script; each page says how often the origin was asked for it.
//! Always holds: it is a plain [`Script`], so the demo shows nothing that a script could not do.

use std::time::Duration;

use crate::script::{Body, Script, Step};

/// How long the slow page lets one wait.
pub const SLOW: Duration = Duration::from_secs(2);

const INDEX: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Nearcast demo</title>
<link rel=\"stylesheet\" href=\"/style.css\">
</head>
<body>
<h1>Nearcast demo</h1>
<p>The origin made this page at {date}, as its answer to request number {n} for it.
Reload it: while the cache holds it, neither changes.</p>
<ul>
<li><a href=\"/style.css\">/style.css</a> may be reused for an hour</li>
<li><a href=\"/validated.txt\">/validated.txt</a> may be reused for 5 seconds, then must be validated; its content never changes</li>
<li><a href=\"/never-stored.txt\">/never-stored.txt</a> must never be stored</li>
<li><a href=\"/slow.txt\">/slow.txt</a> takes the origin 2 seconds, and may be reused for a minute</li>
</ul>
</body>
</html>
";

const STYLE: &str = "/* The origin's answer to request number {n} for this file. */
body { font-family: sans-serif; max-width: 42em; margin: 3em auto; line-height: 1.5; }
";

const VALIDATED: &str = "Fresh for 5 seconds. After that the edge asks the origin whether this
is still current and is told so in a 304, without the content: until the edge
forgets it, this stays the answer to request number {n}.
";

const NEVER_STORED: &str = "no-store: the origin's answer to request number {n}.
";

const SLOW_TEXT: &str = "The origin took 2 seconds for this, its answer to request number {n}.
";

/// The demo's script.
#[must_use]
pub fn script() -> Script {
    let page = |media_type: &str, cache_control: &str, text: &str| {
        let step = Step { body: Body::Template(text.to_owned()), ..Step::default() };
        step.with_field("Content-Type", media_type).with_field("Cache-Control", cache_control)
    };
    let plain = "text/plain; charset=utf-8";
    let validated = Step {
        conditional: true,
        ..page(plain, "max-age=5", VALIDATED).with_field("ETag", "\"demo-1\"")
    };
    let slow = Step { head_delay: SLOW, ..page(plain, "max-age=60", SLOW_TEXT) };
    let missing = Step {
        status: 404,
        ..page(plain, "max-age=5", "Not found: the origin's answer number {n} of this kind.\n")
    };
    let mut script = Script::new()
        .route("/", [page("text/html; charset=utf-8", "max-age=30", INDEX)])
        .route("/style.css", [page("text/css; charset=utf-8", "max-age=3600", STYLE)])
        .route("/validated.txt", [validated])
        .route("/never-stored.txt", [page(plain, "no-store", NEVER_STORED)])
        .route("/slow.txt", [slow]);
    script.otherwise = vec![missing];
    script
}
