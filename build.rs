//! A program that ends at a panic needs no tables for unwinding: a seventh of its bytes. They are left out of
//! release builds, which abort (Cargo.toml).
#![allow(clippy::disallowed_methods)] // It is no part of the program.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=release.ld");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|there| there == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // A linker that is called itself, as cross builds do it, is not told what to pass on.
        let linker = std::env::var("RUSTC_LINKER").unwrap_or_default();
        let pass = if linker.ends_with("lld") { "-T" } else { "-Wl,-T," };
        println!("cargo::rustc-link-arg-bin=gannet={pass}{dir}/release.ld");
    }
}
