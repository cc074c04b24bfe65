//! What documents and entries say: JSON with the version of its schema.
//!
//! In: values, bytes. Out: bytes, values. Always: what a newer version wrote is told apart from what
//! is broken, so that an older node can say which it met. It does not know where they stand.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version of every schema here; a change that older nodes would misread makes it 2.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Written<'v, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'v T,
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A newer version wrote it.
    #[error("it has schema {0}, and this version reads up to {SCHEMA}")]
    Newer(u32),
    /// It is not what it should be.
    #[error("it is broken: {0}")]
    Broken(#[from] serde_json::Error),
}

/// The bytes of a document.
///
/// # Errors
/// Never for the types of this package, whose keys are all text.
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&Written { schema: SCHEMA, value }).map(Bytes::from)
}

/// Reads a document.
///
/// # Errors
/// When it cannot be read.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DocumentError> {
    let Schema { schema } = serde_json::from_slice(bytes)?;
    if schema > SCHEMA {
        return Err(DocumentError::Newer(schema));
    }
    Ok(serde_json::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_newer_document_is_told_from_a_broken_one() {
        let value = json!({ "a": 1 });
        let bytes = encode(&value).unwrap();
        assert_eq!(decode::<Value>(&bytes).unwrap(), json!({ "schema": 1, "a": 1 }));
        let newer = decode::<Value>(br#"{"schema":2}"#).unwrap_err();
        assert!(matches!(newer, DocumentError::Newer(2)));
        for broken in ["", "{}", "{\"schema\":1", "[]"] {
            let broken = decode::<Value>(broken.as_bytes()).unwrap_err();
            assert!(matches!(broken, DocumentError::Broken(_)));
        }
    }
}
