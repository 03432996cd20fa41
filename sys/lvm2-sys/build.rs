//! Generates the bindings from the installed header.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");
    println!("cargo:rerun-if-changed=/usr/include/lvm2cmd.h");
    println!("cargo:rustc-link-lib=dylib=lvm2cmd");

    let bindings = bindgen::Builder::default()
        .header("wrapper.h")
        .allowlist_function("lvm2_.*")
        .allowlist_type("lvm2_log_fn_t")
        .allowlist_var("LVM2_.*")
        .generate_comments(false)
        .generate()
        .expect("lvm2cmd.h cannot be read; install liblvm2-dev and libclang-dev");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");
}
