//! Compares the generated structures with the installed library's own machine code.
//!
//! bindgen checks that Rust and clang agree; only the defines given to clang can be wrong, and
//! they change the offsets of nearly all fields. The translator `playground/template` of
//! GlusterFS does little more than reading and writing `this->private`, so the offset of that
//! field stands in its instructions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::mem::{offset_of, size_of};
use std::path::PathBuf;

use glusterfs_sys as sys;

fn template() -> Vec<u8> {
    let mut found: Vec<PathBuf> = Vec::new();
    for root in ["/usr/lib", "/usr/lib64", "/usr/local/lib"] {
        for library in fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
        {
            let folders = [library.join("glusterfs"), library.clone()];
            let versions = folders.iter().flat_map(fs::read_dir).flatten().flatten();
            found.extend(
                versions
                    .map(|version| version.path().join("xlator/playground/template.so"))
                    .filter(|path| path.exists()),
            );
        }
    }
    let path = found
        .first()
        .expect("template.so is installed with glusterfs-common");
    fs::read(path).unwrap()
}

fn count(haystack: &[u8], offset: usize) -> usize {
    let needle = u32::try_from(offset).unwrap().to_le_bytes();
    haystack
        .windows(4)
        .filter(|window| *window == needle)
        .count()
}

#[test]
fn the_private_field_is_where_the_installed_translators_have_it() {
    let code = template();
    let private = offset_of!(sys::xlator_t, private);
    assert!(
        count(&code, private) >= 5,
        "offset {private:#x} does not stand in template.so"
    );
}

#[test]
fn the_test_above_notices_a_wrong_offset() {
    // What a build without HAVE_ATOMIC_BUILTINS would say: 4 counters of 40 bytes more per fop.
    let private = offset_of!(sys::xlator_t, private);
    assert_eq!(count(&template(), private + 0x24e0), 0);
}

#[test]
fn counters_are_without_locks() {
    assert_eq!(size_of::<sys::gf_atomic_int64_t>(), 8);
}

#[test]
fn structures_have_the_sizes_of_the_abi() {
    assert_eq!(size_of::<sys::iatt>(), 152);
    assert_eq!(size_of::<sys::loc_t>(), 64);
    assert_eq!(size_of::<sys::call_frame_t>(), 176);
    // Those of GlusterFS 10, and of 11.
    assert!([152, 80].contains(&size_of::<sys::dict_t>()));
    assert!([120, 104].contains(&size_of::<sys::fd_t>()));
}
