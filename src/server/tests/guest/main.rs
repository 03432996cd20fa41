//! gluster-bdd as a process, with bricks on volume groups.

#[cfg(test)]
#[path = "../native/crash.rs"]
mod crash;
#[cfg(test)]
mod groups;
#[cfg(test)]
#[path = "../native/support.rs"]
mod support;

// The other points do not differ from those on the file engine: they lie outside the engine.
#[test]
fn fail_points_are_survived_on_a_thin_pool() {
    groups::survive(
        "fail_points_are_survived_on_a_thin_pool",
        Some("pool"),
        &[
            "init.claimed",
            // They leave what the next one wants.
            "create.made",
            "copy.made",
            "abort.removed",
            "merge.committed",
            "merge.swapped",
            "remove.removed",
            "adopt.done",
            "release.released",
            "old.tagged",
        ],
    );
}

#[test]
fn fail_points_are_survived_on_thick_volumes() {
    let points = ["create.made", "copy.made", "remove.begun"];
    groups::survive("fail_points_are_survived_on_thick_volumes", None, &points);
}
