//! Builds the probe, the program that looks around inside a container, and the
//! caller, which makes system calls there.
//!
//! They must be static, whatever the container's root holds, while the tests
//! themselves need not be: hence a compiler call of their own, and no dependency
//! but the standard library. The tests carry them in themselves.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    for name in ["probe", "caller"] {
        let source = format!("src/bin/{name}.rs");
        let output = PathBuf::from(env::var("OUT_DIR").expect("set by cargo")).join(name);
        let status = Command::new(env::var("RUSTC").expect("set by cargo"))
            .args(["--edition=2024", "--crate-name", name, "--crate-type=bin"])
            .args(["-Copt-level=2", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"])
            .args(["--target", &env::var("TARGET").expect("set by cargo")])
            .arg(&source)
            .arg("-o")
            .arg(&output)
            .status()
            .expect("the compiler starts");
        assert!(status.success(), "the {name} does not compile");
        println!("cargo:rustc-env={}={}", name.to_uppercase(), output.display());
        println!("cargo:rerun-if-changed={source}");
    }
}
