//! gluster-bdd as a process, with bricks on the file engine. Needs root for trusted.* attributes.

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod events;
#[cfg(test)]
mod every_point;
#[cfg(test)]
mod init;
#[cfg(test)]
mod logged;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;

/// A brick on the file engine, in the store beside it.
#[cfg(test)]
fn bed() -> support::Bed {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    support::Bed::new(folder, bd_proto::EngineSpec::File { store })
}

#[cfg(test)]
const GROUND: crash::Ground<'static> = crash::Ground {
    bed: &bed,
    admin: &|bed, name| {
        let file = std::fs::File::create(bed.path("store").join(name)).unwrap();
        file.set_len(8 << 20).unwrap();
    },
    kept: None,
};

#[test]
fn every_fail_point_is_survived() {
    every_point::survive_every_point(&GROUND);
}

#[test]
fn a_lost_handle_is_survived() {
    every_point::survive_a_lost_handle(&GROUND);
    every_point::survive_an_unmade_handle(&GROUND);
}
