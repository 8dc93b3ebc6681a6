//! How the one binary is linked: without libc, static-PIE, by our own script.
//!
//! The arguments are given here and not as RUSTFLAGS, which would also reach
//! build scripts and the host tests.

include!("linker/arguments.rs");

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    link(&root);
    // The commit goes into `--version`; a source archive has none.
    let commit = std::process::Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(&root)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=OCINIT_COMMIT={}", commit.trim());
    // The first changes with the branch, the second with every commit.
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    schemas(&root);
}

/// The schemas of the runtime-spec are not part of this repository: tests over them
/// run where a folder of them is at hand, and are ignored elsewhere.
fn schemas(root: &str) {
    let folder = std::env::var("OCINIT_OCI_DIR").unwrap_or_else(|_| format!("{root}/../shared/oci"));
    println!("cargo:rustc-check-cfg=cfg(schemas)");
    println!("cargo:rerun-if-env-changed=OCINIT_OCI_DIR");
    println!("cargo:rerun-if-changed={folder}/config-schema.json");
    if std::path::Path::new(&folder).join("config-schema.json").exists() {
        println!("cargo:rustc-cfg=schemas");
        println!("cargo:rustc-env=OCINIT_SCHEMAS={folder}");
    }
}
