//! Generates the bindings from the installed headers.
//!
//! The headers assume the defines of GlusterFS's own `config.h`, which is not installed. The
//! ones below are those of every Linux distribution's build. `HAVE_ATOMIC_BUILTINS` decides the
//! size of each counter and with it the layout of nearly every structure; the tests of this crate
//! and the guard in a translator's `init` both notice if it is wrong.

use std::env;
use std::path::PathBuf;

const DEFINES: &[&str] = &[
    "-DSIZEOF_LONG=8",
    "-DSIZEOF_SHORT=2",
    "-DHAVE_ATOMIC_BUILTINS=1",
    "-D_FILE_OFFSET_BITS=64",
    "-D_GNU_SOURCE",
    "-DGF_LINUX_HOST_OS",
];

const FUNCTIONS: &[&str] = &[
    "__gf_(calloc|malloc|free)",
    "__glusterfs_this_location",
    "__inode_ctx_(get|set)0",
    "__fd_ctx_(get|set)",
    "_gf_log",
    "create_frame",
    "default_notify",
    "dict_.*",
    "data_unref",
    "fd_.*",
    "gf_dirent_.*",
    "gf_frame_latency_update",
    "gf_rsync_.*",
    "glusterfs_(ctx_new|globals_init)",
    "inode_.*",
    "iobref_.*",
    "iobuf_.*",
    "loc_.*",
    "mem_get_calloc",
    "mem_pool_new_fn",
    "mem_put_pool",
    "synctask_get",
    "xlator_mem_acct_init",
];

const TYPES: &[&str] = &[
    "xlator_t",
    "xlator_api_t",
    "xlator_fops",
    "xlator_cbks",
    "volume_option_t",
    "call_frame_t",
    "call_stack_t",
    "call_pool",
    "fop_.*_t",
    "glusterfs_ctx_t",
    "inode_table_t",
    "glusterfs_event_t",
    "gf_loglevel_t",
    "gf_dirent_t",
    "iobuf",
    "iobref",
    "gf_common_mem_types_",
];

const VARIABLES: &[&str] = &[
    "GF_.*",
    "IATT_.*",
    "MDATA_.*",
    "GLUSTERFS_.*",
    "gf_common_mt_.*",
    "gf_xattrop.*",
];

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");
    println!("cargo:rerun-if-env-changed=GLUSTERFS_INCLUDE");
    println!("cargo:rustc-link-lib=dylib=glusterfs");
    let root = env::var("GLUSTERFS_INCLUDE").unwrap_or_else(|_| "/usr/include".to_owned());
    println!("cargo:rerun-if-changed={root}/glusterfs/xlator.h");
    println!("cargo:rerun-if-changed={root}/glusterfs/stack.h");

    println!("cargo:rustc-check-cfg=cfg(glusterfs_11)");
    let dict = std::fs::read_to_string(format!("{root}/glusterfs/dict.h")).unwrap_or_default();
    if dict.contains("dict_setn_bin(") {
        println!("cargo:rustc-cfg=glusterfs_11");
    }

    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(DEFINES)
        .clang_arg(format!("-I{root}"))
        .clang_arg(format!("-I{root}/glusterfs"))
        .clang_arg("-I/usr/include/uuid")
        .derive_default(false)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARIABLES {
        builder = builder.allowlist_var(name);
    }
    let bindings = builder.generate().expect(
        "the headers of GlusterFS cannot be read; install libglusterfs-dev, liburcu-dev, \
         libacl1-dev, uuid-dev, libssl-dev and libclang-dev",
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");
}
