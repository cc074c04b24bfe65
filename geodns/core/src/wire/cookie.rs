//! Cookies: proof that a client has the address that it sends from (RFC 7873, RFC 9018).
//!
//! In: the option of a query, the client's address, the time, and secrets. Out: whether the proof
//! holds, and the option of the answer. Always holds: the server cookie is the interoperable one of
//! RFC 9018 §4, so all nodes that share a secret accept each other's; the reserved bytes of a
//! received one are hashed as they came.
//! It deliberately does not decide what a missing or wrong proof costs.
//!
//! A secret is changed in three steps (RFC 9018 §5): all nodes learn the new one as `other`; it
//! becomes `current` and the old one `other`; after an hour, `other` goes.
//!
//! Hot path: one or two SipHash-2-4, no allocation.

use std::{fmt, hash::Hasher, net::IpAddr};

use siphasher::sip::SipHasher24;

use super::cursor::Cursor;

/// What goes into an answer: the client's cookie and ours.
pub const REPLY_BYTES: usize = 24;
const CLIENT_BYTES: usize = 8;
const SERVER_BYTES: usize = 16;
const VERSION: u8 = 1;
/// Server cookies are good for an hour, and for five minutes ahead (RFC 9018 §4.3).
const PAST_SECONDS_MAX: u32 = 3600;
const FUTURE_SECONDS_MAX: u32 = 300;
/// From this age on a client gets a new one (RFC 9018 §4.3).
const RENEW_SECONDS: u32 = 1800;

/// The option of a query, of a length that RFC 7873 §5.2 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieOption<'a> {
    /// The client's own cookie, which goes back as it came.
    pub client: &'a [u8; CLIENT_BYTES],
    /// What some server gave it, by now maybe not us.
    pub server: Option<&'a [u8]>,
}

/// A key that makes server cookies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 16]);

/// The keys that hold now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Makes cookies, and accepts them.
    pub current: Secret,
    /// Accepts them only: the previous one, or the next while not all nodes know it.
    pub other: Option<Secret>,
}

/// What a cookie proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It comes without ours: a first contact (RFC 7873 §5.2.3).
    ClientOnly,
    /// Ours is wrong, or from another time (RFC 7873 §5.2.4).
    Invalid,
    /// The client received what we sent to that address (RFC 7873 §5.2.5).
    Valid,
}

/// What comes of a query's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it proves.
    pub standing: Standing,
    /// The data of the answer's option: every answer to a cookie carries a good one (§5.2).
    pub reply: [u8; REPLY_BYTES],
}

impl<'a> CookieOption<'a> {
    /// Reads the data of an option: 8 bytes, or 16 to 40; all else is malformed (RFC 7873 §5.2.2).
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        match server.len() {
            0 => Some(Self { client, server: None }),
            8..=32 => Some(Self { client, server: Some(server) }),
            _ => None,
        }
    }
}

/// A text is no file of secrets. The operator is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one line or two are allowed, each of 32 hexadecimal digits")]
pub struct SecretsError;

impl Secret {
    fn parse(text: &str) -> Result<Self, SecretsError> {
        let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| plain);
        number.map(|number| Self(number.to_be_bytes())).ok_or(SecretsError)
    }

    /// A secret of 128 random bits.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// `Hash = SipHash-2-4(Client Cookie | Version | Reserved | Timestamp | Client-IP, Secret)`
    /// (RFC 9018 §4.4), in the byte order of SipHash itself.
    fn hash(&self, client: &[u8; CLIENT_BYTES], head: [u8; 8], address: IpAddr) -> [u8; 8] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(client);
        hasher.write(&head);
        match address.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.finish().to_le_bytes()
    }

    fn make(&self, client: &[u8; CLIENT_BYTES], address: IpAddr, now: u32) -> [u8; SERVER_BYTES] {
        let [a, b, c, d] = now.to_be_bytes();
        let head = [VERSION, 0, 0, 0, a, b, c, d];
        join(head, self.hash(client, head, address))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secrets {
    /// Reads a file of secrets, 32 hexadecimal digits a line: the current one, and maybe another.
    ///
    /// # Errors
    /// The text is something else; what it is does not stand in the message.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let current = Secret::parse(lines.next().ok_or(SecretsError)?)?;
        let other = lines.next().map(Secret::parse).transpose()?;
        if lines.next().is_some() { Err(SecretsError) } else { Ok(Self { current, other }) }
    }

    /// Judges a cookie of a query from `address` at `now`, in seconds of the Unix epoch.
    #[must_use]
    pub fn check(&self, cookie: &CookieOption<'_>, address: IpAddr, now: u32) -> Checked {
        let standing = cookie.server.map_or(Judged::ClientOnly, |server| {
            self.judge(cookie.client, server, address, now).unwrap_or(Judged::Invalid)
        });
        let fresh = || self.current.make(cookie.client, address, now);
        let (standing, server) = match standing {
            Judged::ClientOnly => (Standing::ClientOnly, fresh()),
            Judged::Invalid => (Standing::Invalid, fresh()),
            Judged::Renew => (Standing::Valid, fresh()),
            Judged::Keep(server) => (Standing::Valid, server),
        };
        Checked { standing, reply: join(*cookie.client, server) }
    }

    /// Nothing, if the server cookie is not one of ours.
    fn judge(
        &self,
        client: &[u8; CLIENT_BYTES],
        server: &[u8],
        address: IpAddr,
        now: u32,
    ) -> Option<Judged> {
        let mut cursor = Cursor::new(server);
        let head = cursor.array::<8>()?;
        let hash = cursor.array::<8>()?;
        let [version, _, _, _, time @ ..] = head;
        if !cursor.is_empty() || version != VERSION {
            return None;
        }
        // Times are compared as serial numbers, so that 2106 passes unnoticed (RFC 9018 §4.3).
        let time = u32::from_be_bytes(time);
        let (past, future) = (now.wrapping_sub(time), time.wrapping_sub(now));
        if past > PAST_SECONDS_MAX && future > FUTURE_SECONDS_MAX {
            return None;
        }
        if self.current.hash(client, head, address) == hash {
            let aged = past > RENEW_SECONDS && past <= PAST_SECONDS_MAX;
            return Some(if aged { Judged::Renew } else { Judged::Keep(join(head, hash)) });
        }
        let other = self.other?.hash(client, head, address) == hash;
        other.then_some(Judged::Renew)
    }
}

enum Judged {
    ClientOnly,
    Invalid,
    Renew,
    Keep([u8; SERVER_BYTES]),
}

/// Two arrays, one behind the other.
fn join<const A: usize, const B: usize, const C: usize>(a: [u8; A], b: [u8; B]) -> [u8; C] {
    const { assert!(A.saturating_add(B) == C) };
    let mut joined = [0; C];
    for (to, from) in joined.iter_mut().zip(a.into_iter().chain(b)) {
        *to = from;
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn secret(hex: &str) -> Secret {
        Secret::new(bytes(hex).try_into().unwrap())
    }

    fn check(secrets: Secrets, cookie: &str, address: &str, now: u32) -> (Standing, Vec<u8>) {
        let data = bytes(cookie);
        let cookie = CookieOption::read(&data).unwrap();
        let checked = secrets.check(&cookie, address.parse().unwrap(), now);
        (checked.standing, checked.reply.to_vec())
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
    const NEW: &str = "445536bcd2513298075a5d379663c962";

    #[test]
    fn secrets_are_read_and_never_shown() {
        let one = Secrets { current: secret(SECRET), other: None };
        let two = Secrets { other: Some(secret(OLD)), ..one };
        let rows = [
            ("RFC 9018 §5 one", SECRET.to_owned(), Some(one)),
            ("RFC 9018 §5 two", format!("\n {SECRET}\r\n{}\n\n", OLD.to_uppercase()), Some(two)),
            ("none", String::new(), None),
            ("three", format!("{SECRET}\n{OLD}\n{NEW}"), None),
            ("too short", SECRET.replacen('e', "", 1), None),
            ("too long", format!("0{SECRET}"), None),
            ("a sign", SECRET.replacen('e', "+", 1), None),
            ("no digits", "x".repeat(32), None),
        ];
        for (row, text, expected) in rows {
            assert_eq!(Secrets::parse(&text).ok(), expected, "{row}");
        }
        assert!(!format!("{two:?}").contains("e5"), "{two:?}");
    }

    #[test]
    fn cookies_are_those_of_the_rfc() {
        let one = Secrets { current: secret(SECRET), other: None };
        let rolled = Secrets { current: secret(NEW), other: Some(secret(OLD)) };
        let first = "2464c4abcf10c957";
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let renewed = "2464c4abcf10c957010000005cf7a871d4a564a1442aca77";
        let reserved = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        let by_old = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        let by_new = "22681ab97d52c298010000005cf7c609a6bb79d16625507a";
        let (v4, other_v4) = ("198.51.100.100", "203.0.113.203");
        let v6 = "2001:db8:220:1:59de:d0f4:8769:82b8";
        let rows = [
            ("A.1 a new one", one, first, v4, 1_559_731_985, Standing::ClientOnly, learned),
            (
                "A.1 mapped",
                one,
                first,
                "::ffff:198.51.100.100",
                1_559_731_985,
                Standing::ClientOnly,
                learned,
            ),
            ("A.2 renewed", one, learned, v4, 1_559_734_385, Standing::Valid, renewed),
            ("§4.3 kept", one, learned, v4, 1_559_731_985 + 1800, Standing::Valid, learned),
            (
                "§4.3 a little ahead",
                one,
                learned,
                v4,
                1_559_731_985 - 300,
                Standing::Valid,
                learned,
            ),
            (
                "§4.2 reserved bytes",
                one,
                reserved,
                other_v4,
                1_559_727_985,
                Standing::Valid,
                reserved,
            ),
            (
                "A.3 too old for us",
                one,
                reserved,
                other_v4,
                1_559_734_700,
                Standing::Invalid,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            ("A.4 the old secret", rolled, by_old, v6, 1_559_741_961, Standing::Valid, by_new),
        ];
        for (row, secrets, cookie, address, now, standing, reply) in rows {
            let expected = (standing, bytes(reply));
            assert_eq!(check(secrets, cookie, address, now), expected, "RFC 9018 {row}");
        }
    }

    #[test]
    fn what_is_not_ours_proves_nothing() {
        let secrets = Secrets { current: secret(SECRET), other: None };
        let made = 1_559_731_985;
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let rows = [
            ("§4.4 another address", learned, "198.51.100.101", made),
            (
                "§4.4 another client",
                "2464c4abcf10c958010000005cf79f111f8130c3eee29480",
                "198.51.100.100",
                made,
            ),
            (
                "§4.4 another time",
                "2464c4abcf10c957010000005cf79f121f8130c3eee29480",
                "198.51.100.100",
                made,
            ),
            (
                "§4.1 another version",
                "2464c4abcf10c957020000005cf79f111f8130c3eee29480",
                "198.51.100.100",
                made,
            ),
            ("§4.3 an hour and a second old", learned, "198.51.100.100", made + 3601),
            ("§4.3 too far ahead", learned, "198.51.100.100", made - 301),
            (
                "§4 longer than ours",
                "2464c4abcf10c957010000005cf79f111f8130c3eee2948000",
                "198.51.100.100",
                made,
            ),
            ("§4 shorter than ours", "2464c4abcf10c957010000005cf79f11", "198.51.100.100", made),
        ];
        for (row, cookie, address, now) in rows {
            let (standing, reply) = check(secrets, cookie, address, now);
            assert_eq!(standing, Standing::Invalid, "RFC 9018 {row}");
            let data = reply.clone();
            let cookie = CookieOption::read(&data).unwrap();
            let again = secrets.check(&cookie, address.parse().unwrap(), now);
            assert_eq!(
                again.standing,
                Standing::Valid,
                "RFC 7873 §5.2.4 {row}: a good one goes back"
            );
            assert_eq!(again.reply.to_vec(), reply, "{row}");
        }
    }

    #[test]
    fn the_epoch_may_wrap() {
        let secrets = Secrets { current: secret(SECRET), other: None };
        let data = b"clientco".as_slice();
        let address = IpAddr::from([192, 0, 2, 1]);
        let before =
            secrets.check(&CookieOption::read(data).unwrap(), address, u32::MAX - 10).reply;
        let cookie = CookieOption::read(&before).unwrap();
        assert_eq!(secrets.check(&cookie, address, 10).standing, Standing::Valid);
        assert_eq!(secrets.check(&cookie, address, 5000).standing, Standing::Invalid);
    }

    #[test]
    fn options_have_the_lengths_of_the_rfc() {
        for length in 0..60 {
            let allowed = length == 8 || (16..=40).contains(&length);
            let data = vec![0; length];
            assert_eq!(CookieOption::read(&data).is_some(), allowed, "RFC 7873 §5.2.2: {length}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", secret("41414141414141414141414141414141")).contains("41"));
    }

    proptest! {
        #[test]
        fn a_guess_proves_nothing(data in prop::collection::vec(any::<u8>(), 16..41), now: u32) {
            let secrets = Secrets { current: secret(SECRET), other: Some(secret(OLD)) };
            let cookie = CookieOption::read(&data).unwrap();
            let checked = secrets.check(&cookie, IpAddr::from([192, 0, 2, 1]), now);
            prop_assert_eq!(checked.standing, Standing::Invalid);
            prop_assert_eq!(checked.reply.first_chunk(), Some(cookie.client));
        }
    }
}
