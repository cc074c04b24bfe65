//! What may be asked: HTTP/2 is read as strictly as HTTP/1.1.

use super::*;

/// The first octet of a response's head names the status, if HPACK's table knows it; else the status
/// stands in its text.
async fn status(client: &mut Client, stream: u32) -> String {
    loop {
        let frame = client.next().await.expect("the connection ended");
        if frame.kind != HEADERS || frame.stream != stream {
            continue;
        }
        return match frame.payload[0] {
            0x88 => "200".to_owned(),
            0x8c => "400".to_owned(),
            // A literal with an indexed name, Huffman-coded: three digits are two octets.
            _ => format!("{:x?}", frame.payload.get(2..4)),
        };
    }
}

/// RFC 9113 §8.3.1: what a request line may not hold, a `:path` may not either.
#[tokio::test(start_paused = true)]
async fn h2_targets_are_read_strictly() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let rows =
        [("/4", "200"), ("*", "400"), ("/|{}", "400"), ("/\\", "400"), ("/c1\u{9b}31m", "400")];
    for (stream, (path, expected)) in (0..).zip(rows) {
        client.get(stream * 2 + 1, path).await;
        assert_eq!(status(&mut client, stream * 2 + 1).await, expected, "{path:?}");
    }
}
