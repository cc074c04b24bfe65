//! Origins that are buckets: which object a path names.
//!
//! In: [`BucketSettings`], the path of a target. Out: the path of an object, or why none is asked for.
//! Always holds: what is signed reads in one way only, whoever decodes it and however often: it is
//! encoded anew from its octets, has no dot segment, and names an object within the bucket. A signature
//! opens the whole bucket to whoever may choose the path, and so nothing but objects is asked for.
//! It knows no key and no clock.

use std::path::PathBuf;

use super::{Problem, build::Faults};
use crate::settings::BucketSettings;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlan {
    /// The file with the key.
    pub credentials: PathBuf,
    /// Where it is.
    pub region: String,
    /// Its name, where it stands before the path.
    pub name: Option<String>,
    /// What a path that ends with a slash stands for.
    pub index: Option<String>,
}

/// A key that requests are signed with, as its file has it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BucketKey {
    /// Whose it is.
    pub id: String,
    /// What signs.
    pub secret: String,
    /// What goes with a key that is lent for a time.
    pub token: Option<String>,
}

/// Why nothing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// It would be answered with a list of the bucket's objects.
    #[error("the bucket's root is no object, and the site has no index")]
    Listing,
    /// Whoever resolves the path leaves the bucket, or reads another object.
    #[error("a path with dot segments names no object")]
    DotSegment,
    /// It is no path.
    #[error("the target is no path")]
    NoPath,
}

impl BucketPlan {
    /// The bucket that the settings describe; what is wrong with them goes to `faults`.
    pub(super) fn build(settings: &BucketSettings, faults: &mut Faults) -> Self {
        let mut check = |key: &str, text: Option<&String>, is_sound: fn(&str) -> bool, allowed| {
            if let Some(text) = text.filter(|text| !is_sound(text)) {
                let message = format!("\"{text}\" is not {allowed}");
                faults.0.push(Problem { at: format!("origin.bucket.{key}"), message });
            }
        };
        let word = "a word of letters, digits and -";
        check("region", Some(&settings.region), is_region, word);
        let name = "the name of a bucket: a-z, 0-9, dots and - ";
        check("name", settings.name.as_ref(), is_bucket, name.trim_end());
        let index = "the name of an object without slash, not . or ..";
        check("index", settings.index.as_ref(), is_index, index);
        Self {
            credentials: settings.credentials.clone(),
            region: settings.region.clone(),
            name: settings.name.clone(),
            index: settings.index.clone(),
        }
    }

    /// The path of the object that `path` names, ready to be signed.
    ///
    /// # Errors
    /// Why it names none.
    pub fn object_path(&self, path: &str) -> Result<String, Withheld> {
        let named = path.strip_prefix('/').ok_or(Withheld::NoPath)?;
        let mut octets = decoded(named);
        if octets.is_empty() || octets.ends_with(b"/") {
            octets.extend_from_slice(self.index.as_deref().unwrap_or_default().as_bytes());
        }
        // Some take several slashes for one.
        if octets.iter().all(|octet| *octet == b'/') {
            return Err(Withheld::Listing);
        }
        let is_dot = |segment: &[u8]| matches!(segment, b"." | b"..");
        if octets.split(|octet| matches!(octet, b'/' | b'\\')).any(is_dot) {
            return Err(Withheld::DotSegment);
        }
        let mut object = String::with_capacity(path.len());
        for part in [self.name.as_deref().unwrap_or_default().as_bytes(), &octets] {
            if !part.is_empty() {
                object.push('/');
                part.iter().for_each(|octet| encode(*octet, &mut object));
            }
        }
        Ok(object)
    }
}

impl BucketKey {
    /// The key in the first section of a file.
    ///
    /// # Errors
    /// What is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut key = Self::default();
        let mut has_section = false;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with('[') {
                if std::mem::replace(&mut has_section, true) {
                    break;
                }
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                return Err("a line that is not NAME = VALUE".to_owned());
            };
            let value = value.trim();
            match name.trim() {
                "aws_access_key_id" => value.clone_into(&mut key.id),
                "aws_secret_access_key" => value.clone_into(&mut key.secret),
                "aws_session_token" => key.token = Some(value.to_owned()),
                _ => {}
            }
        }
        for (name, value) in
            [("aws_access_key_id", &key.id), ("aws_secret_access_key", &key.secret)]
        {
            if value.is_empty() {
                return Err(format!("no {name} in its first section"));
            }
        }
        Ok(key)
    }
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

fn is_bucket(text: &str) -> bool {
    let inner = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let ends = |octet: Option<u8>| octet.is_some_and(|octet| octet.is_ascii_alphanumeric());
    text.bytes().all(inner) && ends(text.bytes().next()) && ends(text.bytes().last())
}

fn is_index(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '\\']) && !matches!(text, "." | "..")
}

/// The octets of a path (RFC 3986 §2.1); a percent sign that escapes nothing stands for itself.
fn decoded(path: &str) -> Vec<u8> {
    let mut pieces = path.split('%');
    let mut octets = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escape = piece.split_at_checked(2).and_then(|(digits, rest)| {
            let is_escape = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let octet = u8::from_str_radix(digits, 16).ok().filter(|_| is_escape);
            Some((octet?, rest))
        });
        match escape {
            Some((octet, rest)) => {
                octets.push(octet);
                octets.extend_from_slice(rest.as_bytes());
            }
            None => {
                octets.push(b'%');
                octets.extend_from_slice(piece.as_bytes());
            }
        }
    }
    octets
}

/// Everything but the unreserved characters and the slash is escaped, as the signature has it.
fn encode(octet: u8, text: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    match char::from(octet) {
        c if c.is_ascii_alphanumeric() || "-._~/".contains(c) => text.push(c),
        _ => {
            text.push('%');
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or('0');
            text.extend([digit(octet >> 4), digit(octet & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(name: Option<&str>, index: Option<&str>) -> BucketPlan {
        BucketPlan {
            credentials: PathBuf::new(),
            region: "us-east-1".to_owned(),
            name: name.map(str::to_owned),
            index: index.map(str::to_owned),
        }
    }

    #[test]
    fn a_path_names_one_object() {
        // A path, the bucket's name, the index, what is asked for.
        type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Result<&'a str, Withheld>);
        let rows: [Row<'_>; 18] = [
            ("/a/b.png", None, None, Ok("/a/b.png")),
            ("/a/b.png", Some("shop"), None, Ok("/shop/a/b.png")),
            ("/a%20b", None, None, Ok("/a%20b")),
            ("/a+b(c)'d!*", None, None, Ok("/a%2Bb%28c%29%27d%21%2A")),
            ("/%61%7e%2fb", None, None, Ok("/a~/b")),
            ("/caf%C3%A9", None, None, Ok("/caf%C3%A9")),
            ("/100%", None, None, Ok("/100%25")),
            ("/100%zz%2", None, None, Ok("/100%25zz%252")),
            ("/%252e%252e/x", None, None, Ok("/%252e%252e/x")),
            ("/docs/", None, None, Ok("/docs/")),
            ("/docs/", None, Some("index.html"), Ok("/docs/index.html")),
            ("/", Some("shop"), Some("index.html"), Ok("/shop/index.html")),
            ("/", Some("shop"), None, Err(Withheld::Listing)),
            ("/%2F/", None, None, Err(Withheld::Listing)),
            ("/a/../../other/x", Some("shop"), None, Err(Withheld::DotSegment)),
            ("/a/%2e%2E/x", None, None, Err(Withheld::DotSegment)),
            ("/a%5C..%5Cx", None, None, Err(Withheld::DotSegment)),
            ("*", None, None, Err(Withheld::NoPath)),
        ];
        for (path, name, index, expected) in rows {
            let found = plan(name, index).object_path(path);
            assert_eq!(found.as_deref(), expected.as_ref().map(|path| *path), "{path} {name:?}");
        }
    }

    #[test]
    fn faults_of_the_settings_are_named() {
        let settings = |region: &str, name: &str, index: &str| BucketSettings {
            credentials: PathBuf::new(),
            region: region.to_owned(),
            name: Some(name.to_owned()),
            index: Some(index.to_owned()),
        };
        let rows = [
            (settings("eu-central-1", "shop.assets-1", "index.html"), &[][..]),
            (settings("", "shop", "i"), &["origin.bucket.region"][..]),
            (settings("eu/1", "Shop", "i"), &["origin.bucket.region", "origin.bucket.name"][..]),
            (settings("a", "-shop", ".."), &["origin.bucket.name", "origin.bucket.index"][..]),
            (settings("a", "a/b", "a/b"), &["origin.bucket.name", "origin.bucket.index"][..]),
        ];
        for (settings, expected) in rows {
            let mut faults = Faults::default();
            BucketPlan::build(&settings, &mut faults);
            let found: Vec<&str> = faults.0.iter().map(|problem| problem.at.as_str()).collect();
            assert_eq!(found, expected, "{settings:?}");
        }
    }

    const KEY: &str = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
                       aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";

    #[test]
    fn a_file_has_a_key_or_says_what_it_lacks() {
        let token = format!("# mine\n{KEY}aws_session_token=t\n[other]\naws_access_key_id=b\n");
        let key = BucketKey::parse(&token).unwrap();
        assert_eq!((key.id.as_str(), key.token.as_deref()), ("AKIAIOSFODNN7EXAMPLE", Some("t")));
        for (text, fault) in [
            ("", "no aws_access_key_id"),
            ("aws_access_key_id = a", "no aws_secret_access_key"),
            (
                "[default]\n[other]\naws_access_key_id = a\naws_secret_access_key = b",
                "no aws_access",
            ),
            ("aws_access_key_id a", "NAME = VALUE"),
        ] {
            let found = BucketKey::parse(text).err().unwrap_or_default();
            assert!(found.contains(fault), "{text:?}: {found}");
        }
    }

    proptest! {
        /// Read once more, it is the same object, and it never leaves the bucket.
        #[test]
        fn an_object_path_has_one_reading(path in "/[ -~]{0,40}") {
            let plan = plan(None, None);
            if let Ok(object) = plan.object_path(&path) {
                prop_assert_eq!(plan.object_path(&object), Ok(object.clone()));
                prop_assert!(object.len() > 1 && object.starts_with('/'));
                let is_dot = |segment: &str| matches!(segment, "." | "..");
                prop_assert!(!object.split('/').any(is_dot));
                prop_assert!(!object.contains(['?', '#', '\\']));
            }
        }
    }
}
