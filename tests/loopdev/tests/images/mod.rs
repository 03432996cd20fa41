//! Images of a stock Gluster volume, through its mount and through libgfapi: what LVM and dm-thin can
//! change of them.
//!
//! The same steps run on this machine with the file engine and in the guest with LVM: `main.rs`
//! beside says on what. A volume takes long to set up in the guest, so that a test runs several
//! steps on one; each begins with an empty image directory and is reported by its name. The
//! variable `GBT_STEP` chooses steps by parts of their names, with commas between them.

mod bytes;
mod ext4;
mod files;
mod foreign;
mod holes;
mod kills;
mod life;
mod merges;
pub(crate) mod model;
mod names;
mod plain;
mod ranges;
pub(crate) mod restart;
pub(crate) mod tools;
pub(crate) mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use loopdev::{Backing, Bed, Rig, run};

use crate::{BACKING, PLACE};

/// One step of a test, and its name.
pub(crate) type Step = (&'static str, fn(&mut Bed<'_>) -> Result<()>);

/// Steps and their names.
macro_rules! steps {
    ($($module:ident::$step:ident),* $(,)?) => {
        &[$((
            concat!(stringify!($module), "::", stringify!($step)),
            $module::$step as fn(&mut loopdev::Bed<'_>) -> anyhow::Result<()>,
        )),*]
    };
}

/// Runs the steps on one volume, all of them even if one fails. `name` is the test's own.
pub(crate) fn run_steps(name: &str, backing: Backing, mib: u64, steps: &[&[Step]]) {
    run_steps_on(name, |rig| rig.bed(backing, mib), steps);
}

/// As [`run_steps`], on a volume that `make` makes.
pub(crate) fn run_steps_on(
    name: &str,
    make: impl for<'r> FnOnce(&'r mut Rig) -> Result<Bed<'r>>,
    steps: &[&[Step]],
) {
    run(name, PLACE, |rig| {
        let start = Instant::now();
        let mut bed = make(rig)?;
        println!("measured: set-up {:.1} s", start.elapsed().as_secs_f32());
        let wanted = std::env::var("GBT_STEP").unwrap_or_default();
        let mut failures = Vec::new();
        let chosen = |step: &str| wanted.split(',').any(|part| step.contains(part));
        for (step, body) in steps.concat().iter().filter(|(step, _)| chosen(step)) {
            let start = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| body(&mut bed)))
                .unwrap_or_else(|panic| Err(anyhow!("{}", words_of(&*panic))))
                .and_then(|()| clean(&mut bed));
            let took = start.elapsed().as_secs_f32();
            match outcome {
                Ok(()) => println!("measured: {step} {took:.1} s"),
                Err(error) => {
                    println!("{step} FAILED after {took:.1} s: {error:?}");
                    failures.push(*step);
                    // The next step shall not fail for what this one left.
                    if let Err(error) = bed.revive() {
                        println!("after {step}: {error:#}");
                    }
                }
            }
        }
        if !failures.is_empty() {
            bail!("failed: {}", failures.join(", "));
        }
        Ok(())
    });
}

/// After a step nothing may be left, and the server's own check must agree.
fn clean(bed: &mut Bed<'_>) -> Result<()> {
    bed.clear()?;
    bed.check()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}

/// MiB of the store.
pub(crate) const SIZE: u64 = 2048;

#[test]
fn hold_bytes() {
    run_steps(
        "images::hold_bytes",
        BACKING,
        SIZE,
        &[DATA, on_file_systems()],
    );
}

#[test]
fn have_names_and_copies() {
    let steps = steps![
        names::work_as_files,
        names::come_to_their_volumes,
        life::every_name_of_a_clone_has_its_own_bytes,
        files::live_until_the_last_close,
        files::are_one_while_others_look,
        files::tell_their_blocks,
        plain::a_plain_file_becomes_an_image,
        plain::subdirectories_hold_images_too,
        plain::statfs_tells_the_store,
        merges::of_an_open_image,
        merges::that_are_refused,
    ];
    run_steps("images::have_names_and_copies", BACKING, SIZE, &[steps]);
}

#[test]
fn outlive_their_servers() {
    let steps = steps![
        restart::without_the_server_open_images_go_on,
        foreign::appear_as_files,
        merges::that_are_cut_off,
        waits::for_a_disk_hold_nobody_up,
    ];
    // With LVM the servers are restarted by `names::work_as_files`.
    let only_here: &[Step] = match BACKING {
        Backing::File => steps![
            restart::of_every_server,
            waits::for_the_server_hold_nobody_up,
        ],
        Backing::Thin | Backing::Thick => &[],
    };
    run_steps(
        "images::outlive_their_servers",
        BACKING,
        SIZE,
        &[steps, only_here],
    );
}

/// Steps that read and write a lot, for each way to do so.
pub(crate) const DATA: &[Step] = steps![
    life::rounds,
    files::grow_at_their_end,
    ranges::agree_with_a_model,
    ranges::give_and_take_space,
    ranges::agree_with_a_model_by_libgfapi,
    holes::are_found_and_skipped,
    bytes::copied_in_and_out,
];

/// A file system on an image is the same on any engine, but for its copies.
fn on_file_systems() -> &'static [Step] {
    match BACKING {
        Backing::File => steps![
            ext4::is_clean_and_equal,
            ext4::clone_of_a_mounted_one,
            ranges::zeroed_by_libgfapi,
        ],
        Backing::Thin | Backing::Thick => steps![ext4::clone_of_a_mounted_one],
    }
}

#[test]
fn kills() {
    let steps = steps![kills::lose_nothing_acknowledged, kills::metadata_is_sound];
    run_steps_on("images::kills", kills::bed, &[steps]);
}
