//! Tests over the specification as a whole: its schemas and examples where they
//! are at hand, the documents that we write, the rules beyond the schema.

mod documents;
mod rules;
mod schema;
