// What the linker is told of every program here that has no libc: static-PIE and
// nothing that nobody reads. Build scripts include this file and name the script.

const ARGUMENTS: &[&str] = &[
    "-nostartfiles",
    "-nostdlib",
    "-static-pie",
    "-Wl,--no-dynamic-linker",
    "-Wl,-z,pack-relative-relocs",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,noexecstack",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-Wl,--hash-style=gnu",
];

/// Tells cargo, for a repository at `top`.
fn link(top: &str) {
    let script = format!("{top}/linker/ocinit.ld");
    for argument in ARGUMENTS {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{script}");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rerun-if-changed={top}/linker/arguments.rs");
    println!("cargo:rerun-if-changed=build.rs");
}
