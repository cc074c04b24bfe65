//! DNS over a stream of bytes: TCP (RFC 7766), and TLS over it (RFC 7858).
//!
//! In: messages, each behind its length in two bytes (RFC 1035 §4.2.2). Out: responses, in the order
//! of the queries, those of queries that came together in one write (RFC 7766 §6.2.1.1).
//! Always holds: nothing more is read before what was answered is taken, so a client that does not
//! read has one buffer here and no more; a query that begins must come to its end in time; a client
//! that has closed its side gets its responses; a message that cannot be answered ends the connection.
//! It deliberately does not know what a query says.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{record::Met, streams::Session};

/// Bytes that are read at once, and that a connection without queries holds.
const READ_BYTES: usize = 512;
/// Responses are sent from so many bytes on, even if there are more queries.
const WRITE_BYTES: usize = 16 * 1024;
/// The longest wait for the next query once the drain has begun.
const DRAIN_IDLE: Duration = Duration::from_millis(100);
const LENGTH_BYTES: usize = 2;

/// What stands in front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// A whole message of so many bytes behind its length.
    Message(usize),
    /// A part of one, of which so many bytes are missing at least.
    Part(usize),
    /// A message that is longer than is read.
    TooLong,
}

/// How a read ended.
enum Read {
    Some,
    End,
    Failed(Met),
    Lost,
}

/// Serves one connection until it is over.
pub(crate) async fn serve<S>(mut io: S, session: &Session)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut queries = BytesMut::new();
    let mut responses = Vec::new();
    loop {
        let going_on = answer(&mut queries, &mut responses, session);
        if !responses.is_empty() {
            match timeout(session.limits.write_timeout, send(&mut io, &responses)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => return session.met(Met::Expired),
            }
            let may_be_more = responses.len() >= WRITE_BYTES && going_on.is_ok();
            responses.clear();
            responses.shrink_to(READ_BYTES);
            if may_be_more {
                continue;
            }
        }
        let Ok(missing) = going_on else { return session.met(Met::Broken) };
        match read(&mut io, &mut queries, missing, session).await {
            Read::Some => {}
            Read::End => break,
            Read::Failed(met) => return session.met(met),
            Read::Lost => return,
        }
    }
    // Both sides are done; how the other one takes it changes nothing.
    drop(timeout(session.limits.write_timeout, io.shutdown()).await);
}

async fn send(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

/// Answers the messages that have come, and says how many bytes are missing to the next one at
/// least; an error, if the connection is not to go on.
fn answer(queries: &mut BytesMut, responses: &mut Vec<u8>, session: &Session) -> Result<usize, ()> {
    while responses.len() < WRITE_BYTES {
        let length = match ahead(queries, session.limits.query_bytes_max) {
            Ahead::Message(length) => length,
            Ahead::Part(missing) => return Ok(missing),
            Ahead::TooLong => return Err(()),
        };
        let end = LENGTH_BYTES + length;
        let message = queries.get(LENGTH_BYTES..end).unwrap_or_default();
        let answered = session.counter.answer(session, message, |response| {
            let length = u16::try_from(response.len()).unwrap_or(u16::MAX);
            responses.extend_from_slice(&length.to_be_bytes());
            responses.extend_from_slice(response);
        });
        queries.advance(end);
        // It was a response, or no message at all: who sends that sends no query next.
        answered.ok_or(())?;
    }
    Ok(0)
}

fn ahead(queries: &[u8], bytes_max: usize) -> Ahead {
    let Some((length, rest)) = queries.split_first_chunk::<LENGTH_BYTES>() else {
        return Ahead::Part(LENGTH_BYTES - queries.len());
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > bytes_max {
        return Ahead::TooLong;
    }
    match length.checked_sub(rest.len()) {
        None | Some(0) => Ahead::Message(length),
        Some(missing) => Ahead::Part(missing),
    }
}

/// Reads what there is, or until at least a byte has come.
async fn read(
    io: &mut (impl AsyncRead + Unpin),
    queries: &mut BytesMut,
    missing: usize,
    session: &Session,
) -> Read {
    if !queries.is_empty() {
        return match timeout(session.limits.query_timeout, fill(io, queries, missing)).await {
            Ok(Ok(true)) => Read::Some,
            Ok(Ok(false)) => Read::Failed(Met::Broken),
            Ok(Err(_)) => Read::Lost,
            Err(_) => Read::Failed(Met::Expired),
        };
    }
    // A connection that idles has no buffer but this one.
    *queries = BytesMut::with_capacity(READ_BYTES);
    let read = tokio::select! {
        biased;
        read = timeout(session.limits.idle_timeout, io.read_buf(queries)) => read,
        () = session.draining.started() => timeout(DRAIN_IDLE, io.read_buf(queries)).await,
    };
    match read {
        Ok(Ok(0)) => Read::End,
        Ok(Ok(_)) => Read::Some,
        Ok(Err(_)) => Read::Lost,
        // That nothing more is asked is how most connections end.
        Err(_) => Read::End,
    }
}

/// Reads until `missing` bytes have come; whether they have.
async fn fill(
    io: &mut (impl AsyncRead + Unpin),
    queries: &mut BytesMut,
    missing: usize,
) -> std::io::Result<bool> {
    let wanted = queries.len() + missing;
    queries.reserve(missing.max(READ_BYTES));
    while queries.len() < wanted {
        if io.read_buf(queries).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_length() {
        let rows: [(&[u8], Ahead); 8] = [
            (b"", Ahead::Part(2)),
            (b"\0", Ahead::Part(1)),
            (b"\0\x03", Ahead::Part(3)),
            (b"\0\x03ab", Ahead::Part(1)),
            (b"\0\x03abc", Ahead::Message(3)),
            (b"\0\x03abc\0", Ahead::Message(3)),
            (b"\0\0", Ahead::Message(0)),
            (b"\x10\x01", Ahead::TooLong),
        ];
        for (bytes, expected) in rows {
            assert_eq!(ahead(bytes, 4096), expected, "{bytes:?}");
        }
    }
}
