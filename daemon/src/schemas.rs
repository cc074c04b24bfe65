//! How the types of the admin API become schemas.
//!
//! In: types. Out: JSON Schema, with named types among an OpenAPI document's components. Always: what
//! is read and what is told are described apart, since a member with a default need not be there in
//! what is read. It does not know any route.
//! Clause: OpenAPI 3.1.0, JSON Schema 2020-12; docs/decisions/0009-openapi-from-schemas.md.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

/// What makes the schemas of what is told, or of what is read.
#[must_use]
pub fn generator(is_told: bool) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let settings = if is_told { settings.for_serialize() } else { settings };
    settings.into_generator()
}

/// The schema of a type.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
