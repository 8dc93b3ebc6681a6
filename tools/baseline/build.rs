//! Linked as ocinit is: see its build.rs.

include!("../../linker/arguments.rs");

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    link(&format!("{folder}/../.."));
}
