//! Keeps the shared object in the process: threads of a brick may still be ending when it is
//! detached from a process that serves others, too.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
