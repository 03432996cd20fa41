//! What programs see of images whatever these lie on: links, attributes, times, QEMU, and the plain
//! directories beside. What LVM can change of it is in `images`, which the guest runs, too.

mod alike;
mod descriptors;
mod files;
mod links;
mod others;
mod qemu;
mod stock;

use loopdev::Backing;

use crate::images::{SIZE, run_steps};

#[test]
fn see_links() {
    let steps = steps![
        links::to_other_things_stay_links,
        links::are_not_followed_by_bricks,
        links::of_images_follow_every_path,
        links::are_right_at_once,
        links::are_the_same_for_libgfapi,
        links::clients_without_the_translator_are_refused,
        others::make_links,
        others::unpack_links,
    ];
    run_steps("programs::see_links", Backing::File, SIZE, &[steps]);
}

#[test]
fn see_files() {
    let steps = steps![
        others::copy_with_holes,
        files::rename_replaces_an_open_one,
        files::are_known_by_readdir_alone,
        files::times_follow_writes,
        files::keep_owner_mode_and_attributes,
        files::answer_for_themselves_not_the_stub,
        stock::directories_behave_as_ever,
        descriptors::allow_what_they_are_open_for,
    ];
    run_steps("programs::see_files", Backing::File, SIZE, &[steps]);
}

#[test]
fn see_disks() {
    let steps = steps![
        qemu::and_fuse_agree,
        qemu::zeroes_ranges_by_fuse,
        qemu::finds_the_block_size,
    ];
    run_steps("programs::see_disks", Backing::File, SIZE, &[steps]);
}

#[test]
fn do_with_disks_as_with_plain_files() {
    let steps = steps![alike::programs_of_disks];
    let name = "programs::do_with_disks_as_with_plain_files";
    run_steps(name, Backing::File, SIZE, &[steps]);
}

#[test]
fn do_with_files_as_with_plain_files() {
    let steps = steps![alike::programs_of_files];
    let name = "programs::do_with_files_as_with_plain_files";
    run_steps(name, Backing::File, SIZE, &[steps]);
}
