//! Builds one of our programs as a static one: no loader, no libraries, so that an image needs no base.
//!
//! Invariants: release profile; paths of this machine do not appear in the program; build scripts are not static
//! (that is what naming the target is for). Called by the images.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cache::{Cache, checkout};
use crate::console::{Step, bytes};
use crate::process::Program;

#[cfg(target_arch = "aarch64")]
const TARGET: &str = "aarch64-unknown-linux-gnu";
#[cfg(not(target_arch = "aarch64"))]
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The path of the package's program of the same name, in the target folder until the next build.
pub fn build(cache: &Cache, package: &str, features: &[&str]) -> anyhow::Result<PathBuf> {
    let with = if features.is_empty() { String::new() } else { format!(" with {}", features.join(", ")) };
    let step = Step::start(&format!("Building {package}{with}, static"), "some minutes the first time");
    let target = cache.target();
    Program::cargo()
        .args(["build", "--locked", "--release", "--package", package, "--bin", package, "--target", TARGET])
        .args(["--features", &features.join(",")])
        .folder(checkout())
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("RUSTFLAGS", rust_flags())
        .run(Some(&step))?;
    let path = target.join(TARGET).join("release").join(package);
    let binary = std::fs::read(&path).with_context(|| format!("the build left no {}", path.display()))?;
    anyhow::ensure!(
        is_static(&binary),
        "{} names a dynamic loader: it would not start in an empty image",
        path.display()
    );
    step.finish(&bytes(binary.len() as u64));
    Ok(path)
}

/// Our own paths are relative to the checkout already; naming it here would rebuild everything in every checkout.
fn rust_flags() -> String {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(std::path::Path::new(&home).join(".cargo"))
    });
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.join(" ")
}

/// A 64-bit ELF file without a program header of type PT_INTERP.
fn is_static(binary: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, size: usize| {
        let bytes = binary.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((offset, size, count)) = headers() else { return false };
    let kinds = (0..count).map(|index| number((offset + index * size) as usize, 4));
    binary.starts_with(b"\x7fELF")
        && kinds.into_iter().all(|kind| kind.is_some_and(|kind| kind != u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_recognised() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
        assert!(!is_static(&own), "tests are built dynamic");
        assert!(!is_static(b"#!/bin/sh\n"), "a script is no program");
    }
}
