//! The rules beyond the schema, case by case: what stays allowed, and that the
//! form of patterns is right. What is refused is the corpus of `tools/corpus`.
