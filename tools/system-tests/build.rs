//! Builds the probe, the program that looks around inside a container.
//!
//! It must be static, whatever the container's root holds, while the tests
//! themselves need not be: hence a compiler call of its own, and no
//! dependency but the standard library. The tests carry it in themselves.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = "src/bin/probe.rs";
    let output = PathBuf::from(env::var("OUT_DIR").expect("set by cargo")).join("probe");
    let status = Command::new(env::var("RUSTC").expect("set by cargo"))
        .args(["--edition=2024", "--crate-name=probe", "--crate-type=bin"])
        .args(["-Copt-level=2", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"])
        .args(["--target", &env::var("TARGET").expect("set by cargo")])
        .arg(source)
        .arg("-o")
        .arg(&output)
        .status()
        .expect("the compiler starts");
    assert!(status.success(), "the probe does not compile");
    println!("cargo:rustc-env=PROBE={}", output.display());
    println!("cargo:rerun-if-changed={source}");
}
