//! What clients get of a bucket that refuses.

use std::fs;

use origin_mock::script::{Script, Step};

use super::stage::{run, stage, unstorable};

#[test]
fn what_a_bucket_says_of_a_refused_request_is_kept_from_clients() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "[default]\naws_access_key_id = KEY\naws_secret_access_key = secret\n")
            .unwrap();
        let says = "<Error><AWSAccessKeyId>KEY</AWSAccessKeyId></Error>";
        let signed = "http://elsewhere/a?X-Amz-Signature=abc";
        let step = |status| Step { status, ..unstorable(says) };
        let script = Script::new()
            .route("/403", [step(403)])
            .route("/400", [step(400)])
            .route("/307", [step(307).with_field("Location", signed)])
            .route("/301", [step(301).with_field("Location", "http://elsewhere/a")])
            .route("/404", [Step { status: 404, ..unstorable("gone") }])
            .route("/*", [unstorable("object")]);
        let settings = format!("bucket = {{ credentials = \"{}\" }}", file.display());
        let stage = stage(vec![script], &settings);
        for (status, text, location) in [
            (403, "", None),
            (400, "", None),
            (307, "", None),
            (301, "", Some("http://elsewhere/a")),
            (404, "gone", None),
            (200, "object", None),
        ] {
            let answer = stage.get(&format!("/{status}")).await;
            assert_eq!(answer.status(), status);
            assert_eq!(String::from_utf8_lossy(&answer.body), text, "{status}");
            assert!(answer.whole(), "{status}");
            assert_eq!(answer.field("location").as_deref(), location, "{status}");
        }
        assert_eq!(stage.world.wires.tried("a:80"), 1, "its connection is kept");
    });
}
