//! The pool: what is extended, what is refused, and how many commands that costs.

use bd_engine::events::{Events, Target};
use bd_engine::thin_pool::{Attention, PolicyFile};
use bd_proto::PoolHealth;

use super::*;

/// Policies that hold for every group.
fn policies(text: &str) -> Arc<Policies> {
    let file = PolicyFile::parse(std::path::Path::new("/policy.toml"), text).unwrap();
    Arc::new(Policies::new(file))
}

/// A pool of 25 of 100 extents that says `line` of itself, under a policy.
fn cared_for(text: &str, line: &str) -> (Bench, Arc<Policies>) {
    let mut bench = bench(Some("pool"));
    let policies = policies(text);
    bench.engine = bench.engine.with_policies(policies.clone());
    says(&bench, line);
    (bench, policies)
}

fn says(bench: &Bench, line: &str) {
    line.clone_into(&mut bench.kernel.pool.lock().unwrap());
}

const NO_RESERVE: &str = "[default]\nreserve = \"0%\"\n";
/// 1600 chunks of 64 KiB are 25 extents of 4 MiB.
const EMPTY: &str = "1 10/1024 100/1600 - rw discard_passdown error_if_no_space - 256";
const NEARLY: &str = "1 10/1024 1400/1600 - rw discard_passdown error_if_no_space - 256";
const FULL: &str =
    "1 10/1024 1600/1600 - out_of_data_space discard_passdown error_if_no_space - 256";
const LITTLE_METADATA: &str = "1 800/1024 100/1600 - rw discard_passdown error_if_no_space - 256";

#[test]
fn a_pool_is_extended_before_it_is_full() {
    let (bench, _) = cared_for(NO_RESERVE, EMPTY);
    assert_eq!(bench.engine.tend(), Attention::Calm);
    assert_eq!(bench.commands(), [] as [&str; 0]);
    says(&bench, NEARLY);
    assert_eq!(bench.engine.tend(), Attention::Near);
    assert_eq!(
        bench.commands(),
        ["lvs vg0", "lvextend vg0/pool", "lvs vg0"]
    );
    assert_eq!(bench.engine.model().vg.free, Extents(70), "a fifth more");
    says(&bench, LITTLE_METADATA);
    assert_eq!(bench.engine.tend(), Attention::Near);
    let commands = bench.commands();
    assert_eq!(commands[1], "lvextend --poolmetadatasize vg0/pool");
    assert_eq!(
        bench.engine.model().vg.free,
        Extents(69),
        "2 MiB are one extent"
    );
    // Metadata that cannot be written any more are for an admin.
    for line in [
        "1 1024/1024 1500/1600 - ro discard_passdown error_if_no_space needs_check 256",
        "Fail",
    ] {
        says(&bench, line);
        assert_eq!(bench.engine.tend(), Attention::Calm);
        assert_eq!(bench.commands(), [] as [&str; 0]);
    }
    assert_eq!(self::bench(None).engine.tend(), Attention::None);
}

#[test]
fn events_tell_of_a_pool() {
    let (mut bench, _) = cared_for(NO_RESERVE, EMPTY);
    let notifier = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    notifier.set_nonblocking(true).unwrap();
    let target = Target::Address(notifier.local_addr().unwrap());
    bench.engine = bench.engine.with_events(Events::to(target).unwrap());
    // What has come since, by its kind and part.
    let came = || {
        let mut came = Vec::new();
        let mut bytes = [0; 1000];
        while let Ok(len) = notifier.recv(&mut bytes) {
            let text = String::from_utf8(bytes[..len].to_vec()).unwrap();
            assert!(text.contains(" 140 source=gluster-bdd;kind="), "{text}");
            assert!(text.contains(";vg=vg0;pool=pool"), "{text}");
            let word = |key| {
                let (_, rest) = text.split_once(key)?;
                rest.split(';').next().map(str::to_owned)
            };
            came.push(word("kind=").unwrap() + " " + &word("part=").unwrap_or_default());
        }
        came
    };
    let tend = |line| {
        says(&bench, line);
        bench.engine.tend();
        came()
    };
    let nothing = [] as [&str; 0];
    assert_eq!(tend(EMPTY), nothing);
    assert_eq!(tend(NEARLY), ["pool_extended data"]);
    // Nothing is left to extend it by: that is told once.
    bench.lvm.state().vg.free = Extents(0);
    assert_eq!(tend(NEARLY), ["pool_nearly_full data"]);
    assert_eq!(tend(NEARLY), nothing);
    assert_eq!(tend(FULL), ["pool_full "]);
    assert_eq!(tend(EMPTY), ["pool_good "]);
    assert_eq!(tend(LITTLE_METADATA), ["pool_nearly_full metadata"]);
    let broken = "1 1024/1024 15/1600 - ro discard_passdown error_if_no_space needs_check 256";
    assert_eq!(tend(broken), ["pool_needs_check "]);
    assert_eq!(tend("Fail"), ["pool_needs_check "]);
    // A pool that is never extended has the mark of its refusals.
    let never = PolicyFile::parse(
        "/p".as_ref(),
        "[default]\nextend_at = 100\nrefuse_at = 80\n",
    );
    bench.engine.policies.set(never.unwrap());
    assert_eq!(tend(EMPTY), ["pool_good "]);
    assert_eq!(tend(NEARLY), ["pool_nearly_full data"]);
    assert_eq!(tend(NEARLY), nothing);
}

#[test]
fn a_pool_that_cannot_grow_is_not_tried_over_and_over() {
    let (bench, policies) = cared_for(NO_RESERVE, FULL);
    bench.lvm.state().vg.free = Extents(0);
    for commands in [1, 0, 0] {
        assert_eq!(bench.engine.tend(), Attention::Near);
        assert_eq!(bench.commands().len(), commands);
    }
    // The policies were read anew.
    policies.reload().unwrap();
    policies.set(PolicyFile::parse("/p".as_ref(), NO_RESERVE).unwrap());
    for commands in [1, 0] {
        bench.engine.tend();
        assert_eq!(bench.commands().len(), commands);
    }
    // A disk was added, by an admin who told nobody.
    bench.lvm.state().vg.free = Extents(3);
    bench.engine.tend();
    assert_eq!(bench.commands().len(), 3);
    assert_eq!(bench.lvm.state().vg.free, Extents(0), "all that there is");
    // An error of LVM is told and not repeated at once either.
    bench.lvm.state().vg.free = Extents(30);
    bench
        .lvm
        .state()
        .failures
        .extend([Some(LvmErrorKind::Failed)]);
    bench.engine.tend();
    assert_eq!(bench.commands().len(), 3);
    bench.engine.tend();
    assert_eq!(bench.commands().len(), 0);
}

#[test]
fn the_reserve_and_never_are_kept() {
    let (bench, _) = cared_for("[default]\nreserve = \"75%\"\n", NEARLY);
    bench.engine.tend();
    assert_eq!(bench.commands(), ["lvs vg0"]);
    let never = "[vg.vg0]\nextend_at = 100\nmetadata_extend_at = 100\n";
    let (bench, _) = cared_for(never, FULL);
    assert_eq!(
        bench.engine.tend(),
        Attention::Near,
        "a full pool is watched"
    );
    assert_eq!(bench.commands(), [] as [&str; 0]);
}

#[test]
fn limits_refuse_what_is_new_and_not_what_is_there() {
    let limits = "[vg.vg0]\nrefuse_at = 85\nmetadata_refuse_at = 75\noverprovision = 2\n";
    let (bench, _) = cared_for(limits, EMPTY);
    let a = bench.create("a", ImageKind::Thin);
    let new = |size| {
        let gfid = Gfid::random();
        bench
            .engine
            .create(gfid, &name("new"), ImageKind::Thin, Bytes(size))
    };
    let copy = || bench.engine.snapshot(a, Gfid::random(), &name("s"), None);
    let grow = |size| bench.engine.resize(a, Bytes(size));
    says(&bench, NEARLY);
    bench.commands();
    refused(
        new(1),
        FaultKind::NoSpace,
        "cannot create vg0/new: thin pool vg0/pool: 87% of its data are in use (87.50 MiB of 100 \
         MiB), and its policy refuses new images from 85% on; 300 MiB free in vg0: extend the pool",
    );
    refused(copy(), FaultKind::NoSpace, "87% of its data");
    grow(8 * MIB).unwrap();
    says(&bench, LITTLE_METADATA);
    refused(new(1), FaultKind::NoSpace, "78% of its metadata are in use");
    assert_eq!(
        bench.commands(),
        ["lvextend vg0/a"],
        "a refusal costs nothing"
    );
    says(&bench, EMPTY);
    refused(
        new(200 * MIB),
        FaultKind::NoSpace,
        "its images would have 208 MiB together, and its policy allows 2 times its 100 MiB",
    );
    refused(grow(201 * MIB), FaultKind::NoSpace, "204 MiB together");
    new(192 * MIB).unwrap();
    refused(copy(), FaultKind::NoSpace, "208 MiB together");
    let thick = bench.create("thick", ImageKind::Thick);
    assert!(
        bench.engine.find(thick).unwrap().is_some(),
        "they are not the pool's"
    );
}

#[test]
fn how_a_pool_is_can_be_asked() {
    let (bench, _) = cared_for("[vg.vg0]\nextend_at = 60\n", FULL);
    says(&bench, EMPTY);
    bench.create("a", ImageKind::Thin);
    says(&bench, FULL);
    let info = bench.engine.pool().unwrap().unwrap();
    assert_eq!((info.health, info.images), (PoolHealth::Full, 1));
    assert_eq!(
        (info.data_used, info.data_size),
        (Bytes(100 * MIB), Bytes(100 * MIB))
    );
    assert_eq!(
        (info.metadata_used, info.metadata_size),
        (Bytes(40960), Bytes(4 * MIB))
    );
    assert_eq!(
        (info.provisioned, info.group_free),
        (Bytes(4 * MIB), Bytes(300 * MIB))
    );
    assert_eq!((info.extend_at, info.metadata_extend_at), (60, 70));
    says(&bench, "Fail");
    let info = bench.engine.pool().unwrap().unwrap();
    assert_eq!(
        (info.health, info.data_size),
        (PoolHealth::Failed, Bytes(0))
    );
}
