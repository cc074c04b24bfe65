//! Requests for a bucket, signed (AWS Signature Version 4, in the query).
//!
//! In: a request that is ready to go, the time. Out: the same with a signature, or the refusal to ask.
//! Always holds: GET and HEAD of one object are signed, without a query and without content; no field
//! of the client's may change what is asked for or whose key it is; a signature is of use for
//! [`VALID`] only. It knows no cache and no server.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use edge_core::{
    site::{BucketKey, BucketPlan},
    time::Timestamp,
};
use http::{HeaderMap, HeaderName, Method, Request, Uri, header};
use http_body::Body as _;
use nearcast_daemon::files::Print;
use rusty_s3::signing;
use url::Url;

use super::{FetchError, chain, content::ClientContent};

/// How long a bucket takes a signature, from when it was made: long enough for its way.
const VALID: Duration = Duration::from_secs(300);
/// More is no file of keys.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// A URL to be signed in; the Host that is signed is the request's.
const ANY: &str = "https://bucket.invalid/";

/// What signs a site's requests.
#[derive(Clone)]
pub(super) struct Signer {
    plan: BucketPlan,
    key: BucketKey,
    made_of: Print,
}

impl Signer {
    /// Signs for the bucket of `plan` with the key in its file.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub(super) fn new(plan: &BucketPlan) -> Result<Self, String> {
        let path: &PathBuf = &plan.credentials;
        let made_of = Print::of(path);
        let key = read(path).and_then(|text| BucketKey::parse(&text));
        let key = key.map_err(|fault| format!("{}: {fault}", path.display()))?;
        Ok(Self { plan: plan.clone(), key, made_of })
    }

    /// Whether its file is still the one that it was made of.
    pub(super) fn is_current(&self) -> bool {
        self.made_of.is_current()
    }

    /// Signs a request whose Host is set.
    ///
    /// # Errors
    /// [`FetchError::Withheld`] where the request is for anything but an object's content.
    pub(super) fn sign(
        &self,
        message: &mut Request<ClientContent>,
        now: Timestamp,
    ) -> Result<(), FetchError> {
        let withheld = |reason: String| FetchError::Withheld { reason };
        let method = match *message.method() {
            Method::GET => rusty_s3::Method::Get,
            Method::HEAD => rusty_s3::Method::Head,
            _ => return Err(withheld("a bucket is asked with GET and HEAD alone".to_owned())),
        };
        if !message.body().is_end_stream() {
            return Err(withheld("a bucket is sent no content".to_owned()));
        }
        let object = self.plan.object_path(message.uri().path());
        let object = object.map_err(|error| withheld(error.to_string()))?;
        strip(message.headers_mut());
        let host = message.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let signed = self.signed(method, &object, host.unwrap_or_default(), now);
        let target =
            signed.and_then(|target| Uri::from_str(&target).map_err(|error| chain(&error)));
        *message.uri_mut() = target.map_err(withheld)?;
        Ok(())
    }

    fn signed(
        &self,
        method: rusty_s3::Method,
        object: &str,
        host: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let mut url = Url::parse(ANY).map_err(|error| chain(&error))?;
        url.set_path(object);
        let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(millis).map_err(|error| chain(&error))?;
        let BucketKey { id, secret, token } = &self.key;
        let (token, region) = (token.as_deref(), &*self.plan.region);
        let fields = [("host", host)];
        let none = std::iter::empty();
        let (valid, fields) = (VALID.as_secs(), fields.iter().copied());
        let signed =
            signing::sign(&at, method, url, id, secret, token, region, valid, none, fields);
        Ok(format!("{}?{}", signed.path(), signed.query().unwrap_or_default()))
    }
}

/// A request has one signature, and what changes its meaning for a bucket is not the client's to say.
fn strip(fields: &mut HeaderMap) {
    let is_told = |name: &&HeaderName| {
        let name = name.as_str();
        name == "authorization" || name.starts_with("x-amz-") || name.starts_with("x-goog-")
    };
    let told: Vec<HeaderName> = fields.keys().filter(is_told).cloned().collect();
    for name in told {
        fields.remove(name);
    }
}

fn read(path: &Path) -> Result<String, String> {
    let file = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !file.is_file() || file.len() > FILE_BYTES_MAX {
        return Err(format!("not a regular file of at most {FILE_BYTES_MAX} bytes"));
    }
    fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
                       aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";

    fn signer() -> Signer {
        let plan = BucketPlan {
            credentials: PathBuf::new(),
            region: "us-east-1".to_owned(),
            name: None,
            index: None,
        };
        Signer { plan, key: BucketKey::parse(KEY).unwrap(), made_of: Print::of(Path::new("")) }
    }

    fn request(method: Method, target: &str, fields: &[(&str, &str)]) -> Request<ClientContent> {
        let mut request = Request::builder().method(method).uri(target);
        request = request.header("host", "examplebucket.s3.amazonaws.com");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(ClientContent::none()).unwrap()
    }

    /// The example of a presigned URL in the description of Signature Version 4 for S3, but for the
    /// time that it is valid: there it is a day.
    const SIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=\
                          AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                          &X-Amz-Date=20130524T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host\
                          &X-Amz-Signature=";

    #[test]
    fn a_request_is_signed_without_what_the_client_adds() {
        let now = Timestamp::from_secs(1_369_353_600);
        let mut plain = request(Method::GET, "/test.txt", &[]);
        signer().sign(&mut plain, now).unwrap();
        let target = plain.uri().to_string();
        assert!(target.starts_with(SIGNED), "{target}");
        let fields = [("authorization", "Basic x"), ("x-amz-acl", "public-read"), ("range", "a")];
        let mut more = request(Method::GET, "/test.txt?acl&X-Amz-Expires=9", &fields);
        signer().sign(&mut more, now).unwrap();
        assert_eq!(more.uri(), plain.uri());
        let names: Vec<_> = more.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "range"]);
        let mut other = request(Method::HEAD, "/test.txt", &[]);
        signer().sign(&mut other, now).unwrap();
        assert_ne!(other.uri(), plain.uri());
    }

    #[test]
    fn nothing_but_objects_is_asked_for() {
        let now = Timestamp::from_secs(1_369_353_600);
        for (method, target) in [
            (Method::PUT, "/a"),
            (Method::DELETE, "/a"),
            (Method::OPTIONS, "/a"),
            (Method::GET, "/"),
            (Method::GET, "/?list-type=2"),
            (Method::GET, "/a/../b"),
        ] {
            let mut request = request(method.clone(), target, &[]);
            let refused = signer().sign(&mut request, now);
            assert!(matches!(refused, Err(FetchError::Withheld { .. })), "{method} {target}");
        }
    }
}
