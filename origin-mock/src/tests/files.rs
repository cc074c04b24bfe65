//! The origin of files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Client, Response, clock, start};
use crate::files::{Files, FilesSettings};
use crate::origin::{Origin, Settings};
use crate::pattern;

fn origin(root: &Path) -> Origin {
    let files = Files::new(root, FilesSettings::default()).unwrap();
    Origin::files(files, clock(), Settings::serving())
}

/// A file, last modified ten seconds before the clock begins.
fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(start() - Duration::from_secs(10)).unwrap();
}

fn site() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    write(&root.path().join("a.txt"), b"0123456789");
    write(&root.path().join("empty.css"), b"");
    write(&root.path().join("dir/index.html"), b"<p>index");
    write(&root.path().join("\u{fc} %.txt"), b"odd name");
    root
}

#[tokio::test(start_paused = true)]
async fn a_file_goes_out_with_all_that_a_cache_wants() {
    let root = site();
    let origin = origin(root.path());
    let mut client = Client::connect(&origin);
    let file = client.get("/a.txt?v=1").await;
    assert_eq!((file.status(), file.text()), (200, "0123456789"));
    let expected = [
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:27 GMT"),
        ("Cache-Control", "max-age=60"),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "10"),
    ];
    for (name, value) in expected {
        assert_eq!(file.fields(name), [value], "{name}");
    }
    assert!(file.field("ETag").starts_with('"') && file.field("ETag").ends_with('"'));
    assert_eq!(client.get("/%C3%BC%20%25.txt").await.text(), "odd name");
    let empty = client.get("/empty.css").await;
    assert_eq!((empty.status(), empty.field("Content-Length")), (200, "0"));
    let head = client.ask("HEAD /a.txt HTTP/1.1\r\n\r\n").await;
    assert_eq!((head.status(), head.field("Content-Length")), (200, "10"));
    assert_eq!(head.field("ETag"), file.field("ETag"));
    assert_eq!(client.get("/a.txt").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn max_age_is_a_setting_and_a_date_is_never_in_the_future() {
    let root = site();
    let path = root.path().join("a.txt");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(start() + Duration::from_secs(5)).unwrap();
    let settings = FilesSettings { max_age: Duration::from_secs(7) };
    let files = Files::new(root.path(), settings).unwrap();
    let origin = Origin::files(files, clock(), Settings::default());
    let file = super::get(&origin, "/a.txt").await;
    assert_eq!(file.field("Cache-Control"), "max-age=7");
    assert_eq!(file.field("Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
}

#[tokio::test(start_paused = true)]
async fn directories_have_an_index_and_a_slash() {
    let root = site();
    let origin = origin(root.path());
    let mut client = Client::connect(&origin);
    let index = client.get("/dir/").await;
    assert_eq!(
        (index.text(), index.field("Content-Type")),
        ("<p>index", "text/html; charset=utf-8")
    );
    let slashless = client.get("/dir?q").await;
    assert_eq!((slashless.status(), slashless.field("Location")), (301, "/dir/?q"));
    assert_eq!(client.get("/").await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_not_allowed_is_refused() {
    let root = site();
    let origin = origin(root.path());
    let mut client = Client::connect(&origin);
    let rows = [
        ("/none", 404),
        ("/../a.txt", 404),
        ("/dir/../a.txt", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/..%2f..%2fetc/passwd", 404),
        ("//etc/passwd", 404),
        ("/a.txt/", 404),
        ("/a%00.txt", 400),
        ("*", 400),
    ];
    for (target, expected) in rows {
        assert_eq!(client.get(target).await.status(), expected, "{target}");
    }
    let post = client.ask("POST /a.txt HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!((post.status(), post.field("Allow")), (405, "GET, HEAD"));
    assert_eq!(client.get("/a.txt").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn conditionals_are_honoured() {
    let root = site();
    let origin = origin(root.path());
    let mut client = Client::connect(&origin);
    let etag = client.get("/a.txt").await.field("ETag").to_owned();
    let modified = "Sun, 06 Nov 1994 08:49:27 GMT";
    let rows = [
        (format!("If-None-Match: {etag}"), 304),
        ("If-None-Match: \"other\"".to_owned(), 200),
        (format!("If-Modified-Since: {modified}"), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:26 GMT".to_owned(), 200),
        (format!("If-Match: {etag}"), 200),
        ("If-Match: \"other\"".to_owned(), 412),
        (format!("Range: bytes=0-0\r\nIf-Range: {etag}"), 206),
        (format!("Range: bytes=0-0\r\nIf-Range: {modified}"), 206),
        ("Range: bytes=0-0\r\nIf-Range: \"other\"".to_owned(), 200),
    ];
    for (fields, expected) in rows {
        assert_eq!(client.get_with("/a.txt", &fields).await.status(), expected, "{fields}");
    }
    let same = client.get_with("/a.txt", &format!("If-None-Match: {etag}")).await;
    assert_eq!((same.field("ETag"), same.field("Cache-Control")), (etag.as_str(), "max-age=60"));
    write(&root.path().join("a.txt"), b"9876543210");
    let changed = client.get_with("/a.txt", &format!("If-None-Match: {etag}")).await;
    assert_eq!((changed.status(), changed.text()), (200, "9876543210"));
}

#[tokio::test(start_paused = true)]
async fn ranges_are_honoured_single_and_several() {
    let root = site();
    let origin = origin(root.path());
    let mut client = Client::connect(&origin);
    let part = client.get_with("/a.txt", "Range: bytes=-3").await;
    assert_eq!(
        (part.status(), part.text(), part.field("Content-Range")),
        (206, "789", "bytes 7-9/10")
    );
    let none = client.get_with("/a.txt", "Range: bytes=99-").await;
    assert_eq!((none.status(), none.field("Content-Range")), (416, "bytes */10"));
    let several: Response = client.get_with("/a.txt", "Range: bytes=8-,0-1").await;
    let boundary = several.field("Content-Type").split("boundary=").nth(1).unwrap().to_owned();
    assert!(several.field("Content-Type").starts_with("multipart/byteranges; "));
    let head = "Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes";
    let expected = format!(
        "--{boundary}\r\n{head} 8-9/10\r\n\r\n89\r\n--{boundary}\r\n{head} 0-1/10\r\n\r\n01\r\n--{boundary}--\r\n"
    );
    assert_eq!(several.text(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_large_file_comes_whole_and_in_any_part() {
    let root = site();
    let octets = pattern::octets(3, 0, 1_500_000);
    write(&root.path().join("large.bin"), &octets);
    let origin = origin(root.path());
    let mut client = Client::connect(&origin);
    assert!(client.get("/large.bin").await.content == octets);
    let part = client.get_with("/large.bin", "Range: bytes=100001-1400000").await;
    assert!(part.content == octets[100_001..=1_400_000]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_shrinks_breaks_its_response() {
    let root = site();
    let path = root.path().join("large.bin");
    write(&path, &pattern::octets(3, 0, 1_500_000));
    let origin = origin(root.path());
    let mut client = Client::connect_with(&origin, 1024);
    client.send("GET /large.bin HTTP/1.1\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains("Content-Length: 1500000"));
    fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    assert!(client.rest().await.len() < 1_500_000);
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    let root = site();
    assert!(Files::new(&root.path().join("none"), FilesSettings::default()).is_err());
    assert!(Files::new(&root.path().join("a.txt"), FilesSettings::default()).is_err());
}
