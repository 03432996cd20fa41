//! Generates the bindings from the installed header.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");
    println!("cargo:rerun-if-env-changed=GLUSTERFS_INCLUDE");
    println!("cargo:rustc-link-lib=dylib=gfapi");
    let root = env::var("GLUSTERFS_INCLUDE").unwrap_or_else(|_| "/usr/include".to_owned());
    println!("cargo:rerun-if-changed={root}/glusterfs/api/glfs.h");
    let bindings = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(["-D_FILE_OFFSET_BITS=64", "-D_GNU_SOURCE"])
        .clang_arg(format!("-I{root}"))
        .allowlist_function("glfs_.*")
        // Callbacks and locks that would pull in much and that nobody here calls.
        .blocklist_function("glfs_.*_async|glfs_sysrq|glfs_posix_lock|glfs_file_lock")
        .derive_default(false)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true)
        .generate()
        .expect("the header of libgfapi cannot be read; install libglusterfs-dev and libclang-dev");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");
}
