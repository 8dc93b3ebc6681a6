//! Linked as ocinit is: see its build.rs.

fn main() {
    let top = format!("{}/../..", std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo"));
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static-pie",
        "-Wl,--no-dynamic-linker",
        "-Wl,-z,pack-relative-relocs",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,noexecstack",
        "-Wl,--gc-sections",
        "-Wl,--build-id=none",
        &format!("-Wl,-T,{top}/linker/ocinit.ld"),
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed={top}/linker/ocinit.ld");
    println!("cargo:rerun-if-changed=build.rs");
}
