//! What an operator may say about an origin that is a bucket.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// `site.origin.bucket`: the origin is a bucket (S3 or alike) that answers signed requests alone.
/// GET and HEAD are signed (AWS Signature Version 4), without query; nothing else is sent, and no
/// listing is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketSettings {
    /// A file with the key that requests are signed with, as `aws configure` writes it: lines
    /// `aws_access_key_id = …`, `aws_secret_access_key = …` and, for one that is lent for a time,
    /// `aws_session_token = …`. A replaced file is taken up.
    #[schemars(with = "String", extend("x-kind" = "path", "x-example" = "bucket.credentials"))]
    pub credentials: PathBuf,
    /// The region that the bucket is in, which the signature names.
    #[serde(default = "BucketSettings::default_region")]
    pub region: String,
    /// The bucket's name, where the server wants it before the path; without it the server's own
    /// name says which bucket it is (`https://shop.s3.eu-central-1.amazonaws.com`).
    #[serde(default)]
    #[schemars(extend("x-example" = "shop"))]
    pub name: Option<String>,
    /// What is asked for where a path ends with a slash; without it the path itself, and the bucket's
    /// root, which would list it, is answered 403.
    #[serde(default)]
    #[schemars(extend("x-example" = "index.html"))]
    pub index: Option<String>,
}

impl BucketSettings {
    fn default_region() -> String {
        "us-east-1".to_owned()
    }
}
