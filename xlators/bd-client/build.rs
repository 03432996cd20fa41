//! Keeps the shared object in the process: libgfapi unloads translators while threads of them
//! may still be ending.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
